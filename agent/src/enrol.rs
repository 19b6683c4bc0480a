//! Enrolment: telling the server who this agent is, with a token that allows it.
//!
//! Repeating it gives the same host, so it is simply tried until there is an answer.

use crate::backoff::Backoff;
use crate::identity::Identity;
use crate::platform::Facts;
use crate::server_url::ServerUrl;
use crate::tls;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::api::{Enrol, Enrolled, Problem};

const ATTEMPT: Duration = Duration::from_secs(15);

/// Why enrolment ended without a host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server said no, for good.
    #[error("the server refused the enrolment: {0}")]
    Refused(String),
    /// No HTTP client could be made.
    #[error("failed to prepare the enrolment (a host without root certificates needs --ca)")]
    Client(#[source] reqwest::Error),
}

enum Attempt {
    Done(Enrolled),
    Refused(String),
    Later(String),
}

/// Enrols; waits for a server that cannot be reached for as long as it takes.
pub async fn enrol(
    server: &ServerUrl,
    trust: Option<&Arc<ClientConfig>>,
    token: &str,
    identity: &Identity,
    facts: Facts,
) -> Result<Enrolled, Error> {
    let client = client(server, trust).map_err(Error::Client)?;
    let body = Enrol {
        install_id: identity.install_id,
        key_sha256: identity.key_sha256(),
        hostname: facts.hostname,
        addresses: facts.addresses,
        platform: facts.platform.to_owned(),
        arch: facts.arch.to_owned(),
    };
    let mut backoff = Backoff::default();
    loop {
        match attempt(&client, server, token, &body).await {
            Attempt::Done(enrolled) => return Ok(enrolled),
            Attempt::Refused(why) => return Err(Error::Refused(why)),
            Attempt::Later(why) => {
                let wait = backoff.next_wait();
                tracing::warn!(%server, why, retry_ms = wait.as_millis(), "not enrolled yet");
                // Back-off with jitter, as for the connection.
                tokio::time::sleep(wait).await;
            }
        }
    }
}

fn client(server: &ServerUrl, trust: Option<&Arc<ClientConfig>>) -> Result<reqwest::Client, reqwest::Error> {
    // The agent's channel uses no proxy either: one that works for only half of it would be worse.
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ATTEMPT);
    let trust = if server.is_tls() {
        trust.cloned()
    } else {
        Some(tls::no_trust())
    };
    match trust {
        Some(config) => builder
            .tls_backend_preconfigured(ClientConfig::clone(&config))
            .build(),
        None => builder.build(),
    }
}

async fn attempt(client: &reqwest::Client, server: &ServerUrl, token: &str, body: &Enrol) -> Attempt {
    let request = client
        .post(server.http("v1/agent/enrol"))
        .bearer_auth(token)
        .json(body);
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Attempt::Later(unreachable(&error)),
    };
    let status = response.status();
    let bytes = match response.bytes().await {
        Ok(bytes) => bytes,
        Err(error) => return Attempt::Later(chain(&error)),
    };
    if status.is_success() {
        return match serde_json::from_slice(&bytes) {
            Ok(enrolled) => Attempt::Done(enrolled),
            Err(error) => Attempt::Later(format!("an answer that is no enrolment: {error}")),
        };
    }
    let why = refusal(status.as_u16(), &bytes);
    match status.as_u16() {
        // Not of this server for good: a proxy that does not know its backend yet, a limit, a timeout.
        404 | 408 | 425 | 429 => Attempt::Later(why),
        400..=499 => Attempt::Refused(why),
        _ => Attempt::Later(why),
    }
}

/// What the server says about a refusal, for people.
pub(crate) fn refusal(status: u16, body: &[u8]) -> String {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => format!("{} ({}, HTTP {status})", problem.detail, problem.code),
        Err(_) => format!("HTTP {status}"),
    }
}

/// An error with its causes, without those that the text before already has.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}

/// Why the server was not reached; for a certificate that is not trusted also what to do about it.
pub(crate) fn unreachable(error: &dyn std::error::Error) -> String {
    let text = chain(error);
    match text.contains("UnknownIssuer") {
        true => format!("{text}; name the server's CA with --ca"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("connect: {0}")]
    struct Failed(#[source] std::io::Error);

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        assert_eq!(
            chain(&Failed(std::io::Error::other("refused"))),
            "connect: refused"
        );
    }

    #[test]
    fn who_does_not_trust_the_server_hears_of_the_ca() {
        let untrusted = Failed(std::io::Error::other("invalid peer certificate: UnknownIssuer"));
        assert!(unreachable(&untrusted).ends_with("--ca"));
        assert!(!unreachable(&Failed(std::io::Error::other("refused"))).contains("--ca"));
    }
}

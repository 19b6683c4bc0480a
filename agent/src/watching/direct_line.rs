//! The way straight to a LittleBrother server: `POST /api/events`, a new connection for every message.
//!
//! Its server (Werkzeug) closes each connection after the answer, and another one may close a kept connection while
//! the next message is on its way; a message every few seconds is worth no kept connection. No redirect is followed
//! and no proxy used: both would hand the secret to somebody else.

use super::answer::Answer;
use super::line::{Delivery, Line, Status, Undelivered};
use crate::enrol::{chain, unreachable};
use crate::server_url::ServerUrl;
use crate::stop::parking::Mutex;
use crate::tls;
use crate::watcher::Failure;
use reqwest::{Response, StatusCode};
use rustls::ClientConfig;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tripline_protocol::littlebrother::{ClientMessage, LocalTime, MESSAGE_BYTES_MAX, WireEvent};

/// How long a message and its answer may take.
const EXCHANGE: Duration = Duration::from_secs(5);
/// Most problems of one answer that are logged.
const PROBLEMS_LOGGED_MAX: usize = 5;

/// A LittleBrother server.
pub(crate) struct DirectLine {
    shared: Arc<Shared>,
    status: watch::Sender<Status>,
}

struct Shared {
    client: reqwest::Client,
    url: String,
    secret: String,
    /// What was wrong with the last answer: said once.
    problems: Mutex<Vec<String>>,
}

/// What is posted.
#[derive(Serialize)]
struct Body<'a> {
    secret: &'a str,
    #[serde(flatten)]
    message: &'a ClientMessage,
}

impl DirectLine {
    /// # Errors
    /// No HTTP client could be made.
    pub(crate) fn new(
        server: &ServerUrl,
        secret: String,
        trust: Option<&Arc<ClientConfig>>,
    ) -> Result<Self, reqwest::Error> {
        let shared = Shared {
            client: client(server, trust)?,
            url: server.http("api/events"),
            secret,
            problems: Mutex::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            status: watch::Sender::new(Status::Up(1)),
        })
    }
}

fn client(server: &ServerUrl, trust: Option<&Arc<ClientConfig>>) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .timeout(EXCHANGE);
    let trust = match server.is_tls() {
        true => trust.cloned(),
        false => Some(tls::no_trust()),
    };
    match trust {
        Some(config) => builder.tls_backend_preconfigured(ClientConfig::clone(&config)),
        None => builder,
    }
    .build()
}

impl Line for DirectLine {
    fn deliver(&self, message: ClientMessage) -> Delivery {
        let shared = self.shared.clone();
        Box::pin(async move { shared.post(message).await })
    }

    fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }
}

impl Shared {
    async fn post(&self, message: ClientMessage) -> Result<Vec<WireEvent>, Undelivered> {
        let body = Body {
            secret: &self.secret,
            message: &message,
        };
        let sent = self.client.post(&self.url).json(&body).send().await;
        let response = sent.map_err(|error| Undelivered::unreachable(unreachable(&error)))?;
        judge(response.status())?;
        let body = whole(response).await.map_err(Undelivered::unreachable)?;
        // Stands in where an event names no time; nothing that servers send depends on it.
        let answer = Answer::read(&body, &message.hostname, LocalTime::epoch());
        self.complain(answer.problems);
        Ok(answer.events)
    }

    fn complain(&self, problems: Vec<String>) {
        let mut told = self.problems.lock();
        if *told == problems {
            return;
        }
        for problem in problems.iter().take(PROBLEMS_LOGGED_MAX) {
            tracing::warn!(url = self.url, problem, "part of an answer is not usable");
        }
        *told = problems;
    }
}

fn judge(status: StatusCode) -> Result<(), Undelivered> {
    let failure = match status.as_u16() {
        200..=299 => return Ok(()),
        401 | 403 => Failure::WrongSecret,
        400 | 413 | 415 | 422 => Failure::Refused,
        _ => Failure::Unreachable,
    };
    Err(Undelivered {
        failure,
        why: format!("HTTP {}", status.as_u16()),
    })
}

/// The body, of a size that a server may send.
async fn whole(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > MESSAGE_BYTES_MAX {
            return Err(format!("an answer of more than {MESSAGE_BYTES_MAX} bytes"));
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_to_make_of_the_message() {
        let failure = |status: u16| {
            let judged = judge(StatusCode::from_u16(status).unwrap());
            judged.err().map(|undelivered| undelivered.failure)
        };
        assert_eq!(failure(200), None);
        for status in [401, 403] {
            assert_eq!(failure(status), Some(Failure::WrongSecret));
        }
        for status in [400, 413, 415] {
            assert_eq!(failure(status), Some(Failure::Refused));
        }
        for status in [302, 404, 416, 429, 500, 503] {
            assert_eq!(failure(status), Some(Failure::Unreachable), "{status}");
        }
    }
}

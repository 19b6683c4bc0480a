//! One POST to the service: bounded in time and in bytes, and wherever the service redirects to, nobody goes.

use super::play::Request;
use crate::cli::connection::{CONNECT_TIMEOUT, certificates_of};
use crate::cli::{Failure, chain};
use futures_util::StreamExt;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use std::path::Path;
use std::time::{Duration, Instant};
use tripline_protocol::limacharlie::{SIGNATURE_HEADER, USER_AGENT};

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest text that is kept of a header.
const HEADER_CHARS_MAX: usize = 200;

/// Calls one service, over one connection as long as it lasts.
pub(super) struct Caller {
    http: Client,
    url: Url,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered(Answered),
    /// No connection.
    Unreachable(String),
    /// No answer, or none that is whole, by the deadline.
    Late,
    /// The connection ended before the answer did.
    Cut(String),
    /// More than [`ANSWER_BYTES_MAX`].
    TooLong,
}

/// A whole HTTP answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    /// Where it would have others go.
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Outcome {
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(answered) => Some(answered.status),
            _ => None,
        }
    }
}

impl Caller {
    pub(super) fn new(url: Url, ca: Option<&Path>, deadline: Duration) -> Result<Self, Failure> {
        let builder = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(deadline)
            .redirect(Policy::none())
            .user_agent(USER_AGENT);
        let builder = match ca {
            Some(path) => builder.tls_certs_only(certificates_of(path)?),
            // Plain HTTP must not fail because a machine has no root certificates, and needs no proxy on the way.
            None if url.scheme() == "http" => builder.tls_certs_only([]).no_proxy(),
            None => builder,
        };
        let http = builder
            .build()
            .map_err(|error| Failure::Failed(format!("cannot set up TLS: {}", chain(&error))))?;
        Ok(Self { http, url })
    }

    /// The outcome, and how long it took.
    pub(super) async fn post(&self, request: Request) -> (Outcome, Duration) {
        let began = Instant::now();
        let outcome = self.try_post(request).await.unwrap_or_else(failed);
        (outcome, began.elapsed())
    }

    async fn try_post(&self, request: Request) -> reqwest::Result<Outcome> {
        let mut post = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(request.body);
        if let Some(signature) = request.signature {
            post = post.header(SIGNATURE_HEADER, signature);
        }
        let response = post.send().await?;
        let header = |name| {
            let value = response.headers().get(name)?;
            let text = String::from_utf8_lossy(value.as_bytes());
            Some(text.chars().take(HEADER_CHARS_MAX).collect())
        };
        let answered = Answered {
            status: response.status().as_u16(),
            content_type: header(CONTENT_TYPE),
            location: header(LOCATION),
            body: Vec::new(),
        };
        Ok(match body(response).await? {
            Some(body) => Outcome::Answered(Answered { body, ..answered }),
            None => Outcome::TooLong,
        })
    }
}

/// `None` for one that is too long, of which no more is read.
async fn body(response: Response) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

fn failed(error: reqwest::Error) -> Outcome {
    if error.is_connect() {
        return Outcome::Unreachable(chain(&error.without_url()));
    }
    if error.is_timeout() {
        return Outcome::Late;
    }
    Outcome::Cut(chain(&error.without_url()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Answers one request with these bytes and closes; a second one would not be answered.
    async fn once(answer: String) -> (Url, JoinHandle<TcpListener>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let answer = answer.replace("{url}", url.as_str());
        let served = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4_096];
            assert!(socket.read(&mut request).await.unwrap() > 0, "a request");
            socket.write_all(answer.as_bytes()).await.unwrap();
            listener
        });
        (url, served)
    }

    async fn post(url: Url) -> Outcome {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let request = Request {
            body: b"{}".to_vec(),
            signature: Some("x".to_owned()),
        };
        Caller::new(url, None, PATIENCE).unwrap().post(request).await.0
    }

    #[tokio::test]
    async fn a_redirect_is_told_and_not_followed() {
        let answer =
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: {url}elsewhere\r\nContent-Length: 0\r\n\r\n";
        let (url, served) = once(answer.to_owned()).await;
        let Outcome::Answered(answered) = post(url.clone()).await else {
            panic!("an answer");
        };
        assert_eq!(answered.status, 307);
        assert_eq!(answered.location, Some(format!("{url}elsewhere")));
        // The call is over: whoever had followed would stand in the backlog.
        let listener = served.await.unwrap();
        assert!(listener.accept().now_or_never().is_none());
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_off_is_none() {
        for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"success\""] {
            let (url, _served) = once(answer.to_owned()).await;
            assert!(matches!(post(url).await, Outcome::Cut(_)), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_not_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        drop(listener);
        assert!(matches!(post(url).await, Outcome::Unreachable(_)));
    }
}

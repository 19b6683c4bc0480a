//! Requests to `/v1`: paths, bodies, answers. When one is repeated is `retry`; which errors there are is `error`.

mod answer;
mod retry;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result, unreachable};
use crate::secret::Secret;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::time::Duration;
use uuid::Uuid;

pub(crate) use retry::{Backoff, Repeat, Tries};

/// Under which a server knows a request again, for 24 h.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest time for which the server is asked to hold a request; it takes 60 s.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(30);

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// An answer, or a pause in a transfer.
    pub(crate) request: Duration,
    /// Asking again.
    pub(crate) patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(30),
            patience: Duration::from_secs(60),
        }
    }
}

/// One server, asked as one caller.
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    base: Url,
    token: Secret,
    timing: Timing,
}

/// One request; it can be sent more than once.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: Method,
    /// Below `/v1`.
    segments: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Bytes>,
    headers: HeaderMap,
    hold: Option<Duration>,
    repeat: Repeat,
}

impl Request {
    fn new(method: Method, segments: &[&dyn Display], repeat: Repeat) -> Self {
        Self {
            method,
            segments: segments.iter().map(|segment| segment.to_string()).collect(),
            query: Vec::new(),
            body: None,
            headers: HeaderMap::new(),
            hold: None,
            repeat,
        }
    }

    /// Reads; asked again freely.
    pub(crate) fn get(segments: &[&dyn Display]) -> Self {
        Self::new(Method::GET, segments, Repeat::Freely)
    }

    /// Ends something; asked again freely, for what is ended stays so.
    pub(crate) fn delete(segments: &[&dyn Display]) -> Self {
        Self::new(Method::DELETE, segments, Repeat::Freely)
    }

    /// Sets something; asked again freely, for it is set to the same.
    pub(crate) fn put(segments: &[&dyn Display]) -> Self {
        Self::new(Method::PUT, segments, Repeat::Freely)
    }

    /// Makes something; asked again only when it cannot have been made.
    pub(crate) fn post(segments: &[&dyn Display]) -> Self {
        Self::new(Method::POST, segments, Repeat::IfNotTaken)
    }

    /// Makes something at most once however often it is asked for: the server knows it again by its key.
    pub(crate) fn once(mut self) -> Self {
        // The form of a UUID is that of a header's value.
        if let Ok(key) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
            self.headers.insert(IDEMPOTENCY_KEY, key);
            self.repeat = Repeat::Freely;
        }
        self
    }

    /// Whether the server knows it again.
    pub(crate) fn is_once(&self) -> bool {
        self.headers.contains_key(IDEMPOTENCY_KEY)
    }

    /// The same for a server that cannot know it again.
    pub(crate) fn without_key(&self) -> Self {
        let mut request = self.clone();
        request.headers.remove(IDEMPOTENCY_KEY);
        request
    }

    /// With a body.
    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(body).map_err(|error| {
            Error::unsupported("bad_argument", format!("this has no JSON form: {error}")).because(error)
        })?;
        self.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = Some(body.into());
        Ok(self)
    }

    /// With a parameter.
    pub(crate) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// With a parameter, if there is one.
    pub(crate) fn query_if(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// With a header.
    pub(crate) fn header(mut self, name: reqwest::header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The server is asked to hold it for so long (its parameter `wait`).
    pub(crate) fn held(self, hold: Duration) -> Self {
        let hold = hold.min(HOLD_MAX);
        let mut request = self.query("wait", format_args!("{}ms", hold.as_millis()));
        request.hold = Some(hold);
        request
    }

    /// When it may be asked again.
    pub(crate) fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }
}

impl Http {
    pub(crate) fn new(client: reqwest::Client, base: Url, token: Secret, timing: Timing) -> Self {
        Self {
            client,
            base,
            token,
            timing,
        }
    }

    pub(crate) fn timing(&self) -> Timing {
        self.timing
    }

    /// Pauses for as long as the patience lasts.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.timing.patience)
    }

    /// The server's address, for people.
    pub(crate) fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// No answer came in time, or nothing moved.
    pub(crate) fn silent(&self) -> Error {
        Error::server("no_answer", format!("{} gave no answer in time", self.server()))
    }

    /// Sends it, again where it may be, and reads the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T> {
        let mut backoff = self.backoff();
        let mut tries = Tries::of(request.clone());
        loop {
            match self.ask_once(&tries.request).await {
                Err(error) => {
                    tries.failed(&error);
                    backoff.again(request.repeat, error).await?;
                }
                answered => return answered,
            }
        }
    }

    /// Sends it once and reads the answer.
    pub(crate) async fn ask_once<T: DeserializeOwned>(&self, request: &Request) -> Result<T> {
        let timeout = self.timing.request + request.hold.unwrap_or_default();
        let builder = self.prepare(request)?.timeout(timeout);
        let sent = builder.send().await;
        let response = sent.map_err(|error| unreachable(self.server(), error))?;
        answer::read(self.server(), response).await
    }

    /// Sends it once; the answer's body is not read yet, and has no time limit. Its head has.
    pub(crate) async fn open(&self, request: &Request) -> Result<Response> {
        let sent = tokio::time::timeout(self.timing.request, self.prepare(request)?.send()).await;
        let response = sent
            .map_err(|late| self.silent().because(late))?
            .map_err(|error| unreachable(self.server(), error))?;
        answer::accepted(response).await
    }

    /// Sends a body that can be sent once only, and reads the answer. There is no time limit.
    pub(crate) async fn upload<T: DeserializeOwned>(
        &self,
        request: &Request,
        body: reqwest::Body,
    ) -> Result<T> {
        let sent = self.prepare(request)?.body(body).send().await;
        let response = sent.map_err(|error| unreachable(self.server(), error))?;
        answer::read(self.server(), response).await
    }

    fn prepare(&self, request: &Request) -> Result<reqwest::RequestBuilder> {
        let mut builder = self
            .client
            .request(request.method.clone(), self.url(request)?)
            .headers(request.headers.clone())
            .bearer_auth(self.token.expose());
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        Ok(builder)
    }

    fn url(&self, request: &Request) -> Result<Url> {
        // A URL would forget these, and the request would be another one.
        if let Some(bad) = request
            .segments
            .iter()
            .find(|segment| matches!(segment.as_str(), "" | "." | ".."))
        {
            return Err(Error::unsupported(
                "bad_name",
                format!("nothing has the name {bad:?}"),
            ));
        }
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Error::unsupported("bad_url", format!("{} cannot be a server", self.server())))?
            .pop_if_empty()
            .push("v1")
            .extend(&request.segments);
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        Ok(url)
    }
}

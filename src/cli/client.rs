//! A client of the server's own API: requests as JSON, errors as one line with the right exit code.

use super::Global;
use super::connection::Connection;
use super::failure::{Failure, NOT_ALLOWED, chain};
use super::patience;
use reqwest::header::HeaderName;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;
use tripline_protocol::api::{Page, Problem};

/// Under which the server knows a request again, for 24 h.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// What a download may take.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// Items a page holds at most.
const PAGE_ITEMS_MAX: usize = 1000;

/// Talks to one server as one caller.
pub(crate) struct Client {
    connection: Connection,
}

impl Client {
    pub(crate) fn find(global: &Global) -> Result<Self, Failure> {
        Connection::find(global).map(|connection| Self { connection })
    }

    /// The server's data directory, when it runs on this machine.
    pub(crate) fn local_data_dir(&self, global: &Global) -> Option<PathBuf> {
        self.connection.local_data_dir(global)
    }

    /// `GET` of the path `v1/<segments>`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let mut url = self.url(segments)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(self.connection.http.request(Method::GET, url)).await
    }

    /// `GET` of the path `v1/<segments>` whose answer takes as long as it takes.
    pub(crate) async fn download(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
    ) -> Result<Response, Failure> {
        let mut url = self.url(segments)?;
        url.query_pairs_mut().extend_pairs(query);
        let request = self.connection.http.request(Method::GET, url);
        self.answer(request.timeout(DOWNLOAD_TIMEOUT)).await
    }

    /// `GET` of a stream at the path `v1/<segments>`, from behind the event `last_id` on.
    pub(crate) async fn stream(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
        last_id: Option<&str>,
    ) -> Result<Response, Failure> {
        let mut url = self.url(segments)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.connection.http.request(Method::GET, url);
        if let Some(last_id) = last_id {
            request = request.header("Last-Event-ID", last_id);
        }
        self.answer(request.timeout(DOWNLOAD_TIMEOUT)).await
    }

    /// `POST` of a body to the path `v1/<segments>`.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.send_body(Method::POST, segments, body).await
    }

    /// `POST` of a body to the path `v1/<segments>`, which with the same `key` and body makes nothing again.
    pub(crate) async fn post_once<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        body: &impl Serialize,
        key: Option<&str>,
    ) -> Result<T, Failure> {
        let url = self.url(segments)?;
        let request = self.connection.http.request(Method::POST, url).json(body);
        self.send(match key {
            Some(key) => request.header(IDEMPOTENCY_KEY, key),
            None => request,
        })
        .await
    }

    /// `POST` of a body to the path `v1/<segments>` with a query.
    pub(crate) async fn post_with<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let mut url = self.url(segments)?;
        url.query_pairs_mut().extend_pairs(query);
        self.send(self.connection.http.request(Method::POST, url).json(body))
            .await
    }

    /// `PUT` of a body to the path `v1/<segments>`.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.send_body(Method::PUT, segments, body).await
    }

    /// `GET` of the path `v1/<segments>`, with what it answers as it is.
    pub(crate) async fn get_bytes(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
    ) -> Result<Vec<u8>, Failure> {
        let mut url = self.url(segments)?;
        url.query_pairs_mut().extend_pairs(query);
        let answer = self
            .answer(self.connection.http.request(Method::GET, url))
            .await?;
        let bytes = answer
            .bytes()
            .await
            .map_err(|error| unreachable(&self.connection.server, &error))?;
        Ok(bytes.to_vec())
    }

    /// `POST` of a body to the path `v1/<segments>`, whatever it answers.
    pub(crate) async fn tell(&self, segments: &[&str], body: &impl Serialize) -> Result<(), Failure> {
        let url = self.url(segments)?;
        self.answer(self.connection.http.request(Method::POST, url).json(body))
            .await
            .map(drop)
    }

    /// `POST` to the path `v1/<segments>` without a body.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T, Failure> {
        let url = self.url(segments)?;
        self.send(self.connection.http.request(Method::POST, url)).await
    }

    /// `PATCH` of the path `v1/<segments>`.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.send_body(Method::PATCH, segments, body).await
    }

    /// `DELETE` of the path `v1/<segments>`, whatever it answers.
    pub(crate) async fn delete(&self, segments: &[&str]) -> Result<(), Failure> {
        let url = self.url(segments)?;
        self.answer(self.connection.http.request(Method::DELETE, url))
            .await
            .map(drop)
    }

    /// `DELETE` of the path `v1/<segments>`; whether there was anything.
    pub(crate) async fn delete_if_there(&self, segments: &[&str]) -> Result<bool, Failure> {
        let url = self.url(segments)?;
        let request = self.connection.http.request(Method::DELETE, url);
        let answer = self.any_answer(request).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        accepted(answer).await.map(|_| true)
    }

    /// `DELETE` of the path `v1/<segments>`, with what it answers.
    pub(crate) async fn end<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let mut url = self.url(segments)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(self.connection.http.request(Method::DELETE, url)).await
    }

    /// Follows the pages of a list until it has `limit` items; says whether there are more.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
        limit: usize,
    ) -> Result<(Vec<T>, bool), Failure> {
        self.select(segments, query, limit, |_| true).await
    }

    /// The same of those that are `wanted`.
    pub(crate) async fn select<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
        limit: usize,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<(Vec<T>, bool), Failure> {
        let mut items = Vec::new();
        let mut after: Option<String> = None;
        loop {
            // One more than is wanted shows whether there are more; that a page has a next one does not.
            let room = (limit.saturating_add(1) - items.len()).min(PAGE_ITEMS_MAX);
            let mut query = query.to_vec();
            query.push(("limit", room.to_string()));
            query.extend(after.take().map(|after| ("after", after)));
            let page: Page<T> = self.get(segments, &query).await?;
            items.extend(page.items.into_iter().filter(&wanted));
            match page.next {
                Some(next) if items.len() <= limit => after = Some(next),
                _ => break,
            }
        }
        let more = items.len() > limit;
        items.truncate(limit);
        Ok((items, more))
    }

    async fn send_body<T: DeserializeOwned>(
        &self,
        method: Method,
        segments: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let url = self.url(segments)?;
        self.send(self.connection.http.request(method, url).json(body))
            .await
    }

    fn url(&self, segments: &[&str]) -> Result<Url, Failure> {
        let mut url = self.connection.server.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::Input(format!("{} cannot be a server", self.connection.server)))?
            .pop_if_empty()
            .push("v1")
            .extend(segments);
        Ok(url)
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let response = self.answer(request).await?;
        response.json().await.map_err(|error| {
            Failure::Failed(format!(
                "{} gave an answer that cannot be read: {}",
                self.server(),
                chain(&error)
            ))
        })
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, Failure> {
        accepted(self.any_answer(request).await?).await
    }

    async fn any_answer(&self, request: RequestBuilder) -> Result<Response, Failure> {
        patience::send(request.bearer_auth(self.connection.token.expose()))
            .await
            .map_err(|error| unreachable(&self.connection.server, &error))
    }

    fn server(&self) -> &str {
        name_of(&self.connection.server)
    }
}

fn name_of(server: &Url) -> &str {
    server.as_str().trim_end_matches('/')
}

/// Why there was no answer, and what may help.
pub(super) fn unreachable(server: &Url, error: &reqwest::Error) -> Failure {
    let mut text = format!("cannot reach {}", name_of(server));
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() {
        text.push_str(": no answer in time");
    } else {
        text.push_str(&format!(": {cause}"));
    }
    if text.contains("UnknownIssuer") {
        text.push_str("; name the server's CA with --ca, or the data directory it is in with --data-dir");
    } else if error.is_connect() {
        text.push_str("; does the server run there? (tripline serve, --server, --data-dir)");
    }
    Failure::Unavailable(text)
}

async fn accepted(response: Response) -> Result<Response, Failure> {
    match response.status() {
        status if status.is_success() => Ok(response),
        status => {
            let body = response.bytes().await.unwrap_or_default();
            Err(refused(status, &body))
        }
    }
}

/// An error of the server as one line.
fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let (text, code) = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => (format!("{} ({})", problem.detail, problem.code), problem.code),
        Err(_) => (format!("the server answered {status}"), String::new()),
    };
    of_status(status.as_u16(), &code, text)
}

/// The exit code of a refusal is that of its status.
pub(super) fn of_status(status: u16, code: &str, text: String) -> Failure {
    match status {
        401 | 403 => Failure::Unavailable(format!("{NOT_ALLOWED}{text}")),
        // A name that several hosts share is the caller's to make clear; other conflicts are of the moment.
        409 if code == "ambiguous_host" => Failure::Input(text),
        409 | 429 => Failure::Failed(text),
        400..500 => Failure::Input(text),
        _ => Failure::Failed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::connection::{CONNECT_TIMEOUT, REQUEST_TIMEOUT};
    use crate::stub::{FullQueue, Reply, Stub};
    use std::net::SocketAddr;
    use tokio::time::Instant;

    fn code(status: u16) -> u8 {
        let problem = Problem {
            kind: "urn:tripline:problem:x".into(),
            title: "X".into(),
            status,
            detail: "it is so".into(),
            code: "x".into(),
        };
        let failure = refused(
            StatusCode::from_u16(status).unwrap(),
            &serde_json::to_vec(&problem).unwrap(),
        );
        assert!(failure.lines()[0].ends_with("it is so (x)"), "{failure:?}");
        failure.code()
    }

    #[test]
    fn statuses_become_exit_codes() {
        assert_eq!([400, 404, 413, 422].map(code), [2; 4]);
        assert_eq!([401, 403].map(code), [3; 2]);
        assert_eq!([409, 429, 500, 503].map(code), [1; 4]);
    }

    #[test]
    fn an_answer_that_is_no_problem_document_names_its_status() {
        let failure = refused(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(failure.lines(), ["tripline: the server answered 502 Bad Gateway"]);
    }

    /// What somebody is told who asks there, and how long that takes.
    async fn waited<T>(
        addr: SocketAddr,
        ask: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
    ) -> (Failure, Duration) {
        let client = Client::find(&crate::cli::asking(addr)).unwrap();
        let begun = Instant::now();
        let failure = ask(&client).await.err().expect("no answer");
        (failure, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_has_so_long_to_take_a_connection_for_an_answer_and_for_a_download() {
        let silent = Stub::start(|_| Reply::silence()).await;
        let full = FullQueue::new();
        let get = async |client: &Client| client.get::<serde_json::Value>(&["status"], &[]).await;
        let download = async |client: &Client| client.download(&["audit"], &[]).await;
        for (waited, time, much_more) in [
            (waited(full.addr, get).await, CONNECT_TIMEOUT, REQUEST_TIMEOUT),
            (
                waited(silent.addr, get).await,
                REQUEST_TIMEOUT,
                2 * REQUEST_TIMEOUT,
            ),
            (
                waited(silent.addr, download).await,
                DOWNLOAD_TIMEOUT,
                2 * DOWNLOAD_TIMEOUT,
            ),
        ] {
            let (failure, waited) = waited;
            assert_eq!(failure.code(), 3, "{failure:?}");
            assert!(failure.lines()[0].contains("no answer in time"), "{failure:?}");
            assert!((time..much_more).contains(&waited), "{waited:?}");
        }
    }
}

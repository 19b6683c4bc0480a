//! The micro service `tripline`: discovery by `$SRV`, endpoints on `<prefix>.api.<noun>.<verb>`, the token in
//! header `Tripline-Token`, errors in `Nats-Service-Error` and `Nats-Service-Error-Code` with a problem as body.
//!
//! Deliberately not here: what the requests mean (`api.rs`).

use super::fanouts::FanoutVerb;
use super::link::Link;
use async_nats::HeaderMap;
use async_nats::service::endpoint::Endpoint as Requests;
use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE, Request, Service, ServiceExt};
use bytes::Bytes;
use futures_util::stream::select_all;
use futures_util::{Stream, StreamExt};
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;
use tripline_protocol::Subjects;
use tripline_protocol::api::Problem;
use tripline_protocol::subject::HEADER_TOKEN;

/// Most requests handled at once; more wait in the connection.
const REQUESTS_MAX: usize = 64;
/// How long requests under way may take when the service stops.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// Most bytes of an answer; nats-server's own limit for a message.
pub const ANSWER_BYTES_MAX: usize = 1_000_000;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `jobs.submit`
    SubmitJob,
    /// `jobs.get`
    GetJob,
    /// `jobs.list`
    ListJobs,
    /// `jobs.cancel`
    CancelJob,
    /// `detections.report`
    ReportDetection,
    /// `hosts.list`
    ListHosts,
    /// `slots.list`
    ListSlots,
    /// `fanouts.…`
    Fanout(FanoutVerb),
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::SubmitJob,
        Self::GetJob,
        Self::ListJobs,
        Self::CancelJob,
        Self::ReportDetection,
        Self::ListHosts,
        Self::ListSlots,
        Self::Fanout(FanoutVerb::Submit),
        Self::Fanout(FanoutVerb::Get),
        Self::Fanout(FanoutVerb::List),
        Self::Fanout(FanoutVerb::Hosts),
        Self::Fanout(FanoutVerb::Pause),
        Self::Fanout(FanoutVerb::Resume),
        Self::Fanout(FanoutVerb::Cancel),
        Self::Fanout(FanoutVerb::Retry),
    ];

    /// Noun and verb of its subject.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::SubmitJob => ("jobs", "submit"),
            Self::GetJob => ("jobs", "get"),
            Self::ListJobs => ("jobs", "list"),
            Self::CancelJob => ("jobs", "cancel"),
            Self::ReportDetection => ("detections", "report"),
            Self::ListHosts => ("hosts", "list"),
            Self::ListSlots => ("slots", "list"),
            Self::Fanout(verb) => ("fanouts", verb.word()),
        }
    }
}

/// Answers requests.
pub trait Api: 'static {
    /// The answer's JSON, or what is wrong. `token` and `body` are as the requester sent them.
    fn call(
        &self,
        endpoint: Endpoint,
        token: Option<&str>,
        body: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, Problem>>;
}

/// Answers requests until `until` is over, then lets those under way finish.
pub(crate) async fn run<A: Api>(link: Link, subjects: Subjects, api: A, until: impl Future<Output = ()>) {
    let mut until = std::pin::pin!(until);
    tokio::select! {
        up = link.up() => if up.is_none() { return },
        () = &mut until => return,
    }
    match start(&link, &subjects).await {
        Ok((service, endpoints)) => serve(&link, service, endpoints, &api, until).await,
        Err(error) => tracing::error!(error, "the micro service does not run"),
    }
}

async fn start(
    link: &Link,
    subjects: &Subjects,
) -> Result<(Service, Vec<(Endpoint, Requests)>), async_nats::Error> {
    let service = link
        .client
        .service_builder()
        .description("live response on hosts: jobs, fan-outs, hosts, slots")
        .start("tripline", env!("CARGO_PKG_VERSION"))
        .await?;
    let mut endpoints = Vec::new();
    for endpoint in Endpoint::ALL {
        let (noun, verb) = endpoint.words();
        let requests = service
            .endpoint_builder()
            .name(format!("{noun}-{verb}"))
            .add(subjects.api(noun, verb))
            .await?;
        endpoints.push((endpoint, requests));
    }
    Ok((service, endpoints))
}

async fn serve<A: Api>(
    link: &Link,
    service: Service,
    endpoints: Vec<(Endpoint, Requests)>,
    api: &A,
    until: impl Future<Output = ()>,
) {
    let requests = select_all(
        endpoints
            .into_iter()
            .map(|(endpoint, requests)| requests.map(move |request| (endpoint, request))),
    );
    let mut serving = std::pin::pin!(answer_all(requests, |(endpoint, request)| answer(
        api, endpoint, request
    )));
    tokio::select! {
        () = &mut serving => {}
        () = until => {
            if let Err(error) = service.stop().await {
                tracing::warn!(error, "stop the micro service");
            }
            // Without a connection nobody can be answered any more.
            let ended = async {
                tokio::select! {
                    () = serving => {}
                    () = link.down() => {}
                }
            };
            if timeout(STOP_WAIT, ended).await.is_err() {
                tracing::warn!("requests under way did not end in time");
            }
        }
    }
}

/// So many at once; the next ones are not taken before.
async fn answer_all<R, F: Future<Output = ()>>(requests: impl Stream<Item = R>, answer: impl FnMut(R) -> F) {
    requests.for_each_concurrent(REQUESTS_MAX, answer).await;
}

async fn answer<A: Api>(api: &A, endpoint: Endpoint, request: Request) {
    let headers = request.message.headers.as_ref();
    let token = headers
        .and_then(|headers| headers.get(HEADER_TOKEN))
        .map(|value| value.as_str());
    let result = api.call(endpoint, token, &request.message.payload).await;
    let sent = match fitting(result) {
        Ok(body) => request.respond(Ok(body.into())).await,
        Err(problem) => {
            let body = serde_json::to_vec(&problem).unwrap_or_default();
            request
                .respond_with_headers(Ok(Bytes::from(body)), error_headers(&problem))
                .await
        }
    };
    if let Err(error) = sent {
        tracing::debug!(?endpoint, %error, "request not answered");
    }
}

/// An answer that fits into a message; every refusal is counted.
fn fitting(answer: Result<Vec<u8>, Problem>) -> Result<Vec<u8>, Problem> {
    let fitting = match answer {
        Ok(body) if body.len() > ANSWER_BYTES_MAX => Err(too_large(body.len())),
        other => other,
    };
    if fitting.is_err() {
        metrics::counter!("tripline_nats_requests_refused_total").increment(1);
    }
    fitting
}

/// The client library sends errors without a body, so these headers are set here.
fn error_headers(problem: &Problem) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let text: String = problem
        .detail
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    headers.insert(NATS_SERVICE_ERROR, text.as_str());
    headers.insert(NATS_SERVICE_ERROR_CODE, problem.status.to_string().as_str());
    headers
}

fn too_large(bytes: usize) -> Problem {
    Problem {
        kind: "urn:tripline:problem:answer_too_large".into(),
        title: "The answer is too large".into(),
        status: 413,
        detail: format!(
            "the answer has {bytes} bytes, at most {ANSWER_BYTES_MAX} fit; ask with a smaller limit"
        ),
        code: "answer_too_large".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Counts;
    use futures_util::{FutureExt, stream};
    use std::cell::Cell;
    use tokio::sync::Semaphore;

    #[test]
    fn an_answer_fits_up_to_the_bound_and_a_larger_one_is_a_counted_refusal() {
        let counts = Counts::new();
        let _listening = counts.listen();
        let answer = |bytes: usize| fitting(Ok(vec![b' '; bytes]));
        assert_eq!(answer(ANSWER_BYTES_MAX).unwrap().len(), ANSWER_BYTES_MAX);
        assert_eq!(counts.of("tripline_nats_requests_refused_total"), 0);
        let problem = answer(ANSWER_BYTES_MAX + 1).unwrap_err();
        assert_eq!((problem.status, problem.code.as_str()), (413, "answer_too_large"));
        assert!(problem.detail.contains("smaller limit"), "{}", problem.detail);
        assert_eq!(counts.of("tripline_nats_requests_refused_total"), 1);
    }

    #[test]
    fn so_many_requests_are_answered_at_once_and_the_next_when_one_was() {
        let (begun, room) = (Cell::new(0), Semaphore::new(0));
        let answer = async |_| {
            begun.set(begun.get() + 1);
            room.acquire().await.unwrap().forget();
        };
        let mut all = std::pin::pin!(answer_all(stream::iter(0..=REQUESTS_MAX), answer));
        assert!(all.as_mut().now_or_never().is_none());
        assert_eq!(begun.get(), REQUESTS_MAX);
        room.add_permits(1);
        assert!(all.as_mut().now_or_never().is_none());
        assert_eq!(begun.get(), REQUESTS_MAX + 1);
        room.add_permits(REQUESTS_MAX);
        assert!(all.now_or_never().is_some());
    }
}

//! Sending, against a collector that the test plays.

use super::send::{ANSWER_BYTES_MAX, PAUSE_FIRST, PAUSE_MAX, read};
use super::*;
use crate::counts::Counts;
use crate::stub::{Reply, Stub};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use tripline_actors::trace::TraceKind;
use tripline_protocol::Timestamp;

/// Nothing takes this long unless it hangs.
const HANG: Duration = Duration::from_secs(60);

/// Keeps what it is sent. Answers 200, unless it was given other answers.
#[derive(Default)]
struct Collector {
    requests: Mutex<Vec<(String, Option<String>, Value)>>,
    answers: Mutex<VecDeque<(u16, Value)>>,
}

async fn take(collector: web::Data<Collector>, request: HttpRequest, body: web::Json<Value>) -> HttpResponse {
    let header = request.headers().get("x-key");
    let header = header.map(|value| value.to_str().expect("ASCII").to_owned());
    let (path, body) = (request.path().to_owned(), body.into_inner());
    let answer = collector.answers.lock().pop_front();
    let (status, answer) = answer.unwrap_or((200, json!({})));
    if status == 200 {
        collector.requests.lock().push((path, header, body));
    }
    let status = actix_web::http::StatusCode::from_u16(status).expect("a status");
    HttpResponse::build(status).json(answer)
}

impl Collector {
    fn serve(listener: TcpListener, answers: &[(u16, Value)]) -> web::Data<Self> {
        let collector = web::Data::new(Self::default());
        collector.answers.lock().extend(answers.iter().cloned());
        let data = collector.clone();
        let server = HttpServer::new(move || {
            let all = web::route().to(take);
            App::new().app_data(data.clone()).default_service(all)
        });
        let server = server.workers(1).disable_signals();
        tokio::spawn(server.listen(listener).expect("a listener").run());
        collector
    }

    /// The names of all spans that came.
    fn names(&self) -> Vec<String> {
        let requests = self.requests.lock();
        let spans = requests
            .iter()
            .flat_map(|(_, _, body)| body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array());
        let names = spans.flatten().map(|span| span["spanId"].as_str());
        names.map(|name| name.unwrap_or_default().to_owned()).collect()
    }

    async fn has(&self, count: usize) -> Vec<String> {
        let all = async {
            loop {
                let names = self.names();
                if names.len() >= count {
                    return names;
                }
                // Between two looks at what another task was sent.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let bounded = tokio::time::timeout(HANG, all).await;
        bounded.unwrap_or_else(|_| panic!("{count} spans did not come: {:?}", self.names()))
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    (listener, addr)
}

fn options(addr: SocketAddr, queue_max: usize) -> Options {
    let mut headers = HeaderMap::new();
    headers.insert("x-key", "secret".parse().expect("a value"));
    Options {
        url: format!("http://{addr}/v1/traces").parse().expect("a URL"),
        headers,
        ca: None,
        service_name: "test".into(),
        queue_max,
    }
}

fn start(options: Options) -> Traces {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Traces::start(options).expect("started")
}

fn span(number: u64) -> TraceSpan {
    TraceSpan {
        trace_id: [1; 16],
        span_id: number.to_be_bytes(),
        parent: None,
        name: "test",
        kind: TraceKind::Internal,
        began_at: Timestamp::from_micros(1),
        ended_at: Timestamp::from_micros(2),
        attributes: Vec::new(),
        failed: None,
    }
}

fn spans(numbers: std::ops::Range<u64>) -> Vec<TraceSpan> {
    numbers.map(span).collect()
}

fn ids(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("{number:016x}")).collect()
}

#[actix_web::test]
async fn spans_go_together_to_the_path_of_traces_with_the_headers() {
    let (listener, addr) = listener();
    let collector = Collector::serve(listener, &[]);
    let traces = start(options(addr, 100));
    traces.sink().take(spans(1..3));
    traces.sink().take(spans(3..4));
    assert_eq!(collector.has(3).await, ids(1..4));
    let requests = collector.requests.lock();
    let (path, header, body) = &requests[0];
    assert_eq!((path.as_str(), header.as_deref()), ("/v1/traces", Some("secret")));
    let name = &body["resourceSpans"][0]["resource"]["attributes"][0];
    assert_eq!(name["value"]["stringValue"], "test");
    assert_eq!(requests.len(), 1, "they waited for each other");
}

#[actix_web::test]
async fn a_collector_that_is_away_costs_no_more_than_the_queue_and_gets_it_when_it_is_back() {
    let (listener, addr) = listener();
    drop(listener);
    let traces = start(options(addr, 10));
    let sink = traces.sink();
    // The task takes a first one off, and cannot send it.
    sink.take(spans(0..1));
    let taken = async {
        while traces.sink.spans.capacity() < 10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, taken).await.expect("taken off");
    sink.take(spans(1..1000));
    let kept = traces.sink.waiting.get();
    assert!((10..=20).contains(&kept), "{kept} wait");
    let collector = Collector::serve(TcpListener::bind(addr).expect("the same port"), &[]);
    let names = collector.has(kept as usize).await;
    assert_eq!(names, ids(0..kept), "the first ones, in their order");
}

#[actix_web::test]
async fn a_collector_that_has_too_much_to_do_is_asked_again_and_one_that_refuses_is_not() {
    let (listener, addr) = listener();
    let answers = [(503, json!({})), (400, json!({}))];
    let collector = Collector::serve(listener, &answers);
    let traces = start(options(addr, 100));
    traces.sink().take(spans(1..2));
    let answered = async {
        while traces.sink.waiting.get() > 0 {
            // Until both answers were given and the span is dropped.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HANG, answered).await.expect("answered");
    assert!(collector.answers.lock().is_empty(), "it was asked twice");
    traces.sink().take(spans(2..3));
    assert_eq!(collector.has(1).await, ids(2..3));
}

#[actix_web::test]
async fn what_waits_is_sent_at_the_end_and_an_end_without_a_collector_is_an_end() {
    let (listener, addr) = listener();
    let collector = Collector::serve(listener, &[]);
    let traces = start(options(addr, 2000));
    traces.sink().take(spans(0..1200));
    let sink = traces.sink();
    traces.stop(HANG).await;
    assert_eq!(collector.names(), ids(0..1200));
    // Nobody sends any more: what comes now is dropped, and nothing waits for it.
    sink.take(spans(0..1));
    let (nobody, addr) = self::listener();
    drop(nobody);
    let traces = start(options(addr, 10));
    traces.sink().take(spans(0..5));
    let left = Arc::clone(&traces.sink);
    traces.stop(HANG).await;
    assert_eq!(left.waiting.get(), 0);
}

#[test]
fn a_ca_that_is_none_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.pem");
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    let with_ca = || Options {
        ca: Some(path.clone()),
        ..options(addr, 1)
    };
    assert!(matches!(client(&with_ca()), Err(Error::Ca { .. })));
    std::fs::write(&path, "nothing").expect("written");
    assert!(matches!(client(&with_ca()), Err(Error::NoCertificate { .. })));
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound() {
    for bytes in [
        ANSWER_BYTES_MAX - 1,
        ANSWER_BYTES_MAX,
        ANSWER_BYTES_MAX + 1,
        9 * ANSWER_BYTES_MAX,
    ] {
        let body: String = ('a'..='z').cycle().take(bytes).collect();
        let said = body.clone();
        let stub = Stub::start(move |_| Reply::of(200, "", &said)).await;
        let client = client(&options(stub.addr, 1)).expect("a client");
        let response = client
            .get(format!("http://{}", stub.addr))
            .send()
            .await
            .expect("an answer");
        let expected = &body.as_bytes()[..bytes.min(ANSWER_BYTES_MAX)];
        assert!(read(response).await == expected, "of {bytes}");
    }
}

/// When each request comes to a collector that gives the same answer for ever, on a paused clock, and how many of
/// them failed.
async fn attempts(count: usize, reply: impl Fn() -> Reply + Send + 'static) -> (Vec<Duration>, u64) {
    let counts = Counts::new();
    let _listening = counts.listen();
    let begun = tokio::time::Instant::now();
    let (tell, mut came) = mpsc::unbounded_channel();
    let stub = Stub::start(move |_| {
        let _ = tell.send(begun.elapsed());
        reply()
    })
    .await;
    let traces = start(options(stub.addr, 10));
    traces.sink().take(spans(0..1));
    let mut times = Vec::new();
    while times.len() < count {
        times.push(came.recv().await.expect("a request"));
    }
    let pauses = times.windows(2).map(|two| two[1] - two[0]).collect();
    (pauses, counts.of("tripline_tracing_exports_failed_total"))
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_says_nothing_is_asked_again_after_its_time() {
    let (pauses, failed) = attempts(2, Reply::silence).await;
    assert!(pauses[0] >= ANSWER_TIMEOUT + PAUSE_FIRST, "{pauses:?}");
    assert_eq!(failed, 1);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_up_to_the_longest_whatever_the_collector_wishes() {
    let second = Duration::from_secs(1);
    let (pauses, failed) = attempts(9, || Reply::of(503, "", "")).await;
    assert!(pauses.is_sorted() && pauses[0] < PAUSE_MAX, "{pauses:?}");
    assert!(
        pauses[7] >= PAUSE_MAX && pauses[7] < PAUSE_MAX + second,
        "{pauses:?}"
    );
    assert_eq!(failed, 8);
    let (pauses, _) = attempts(3, || Reply::of(503, "retry-after: 3600\r\n", "")).await;
    let longest = |pause: &Duration| (PAUSE_MAX..PAUSE_MAX + second).contains(pause);
    assert!(pauses.iter().all(longest), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_takes_no_connection_is_away_after_its_time() {
    let counts = Counts::new();
    let _listening = counts.listen();
    let full = crate::stub::FullQueue::new();
    let traces = start(options(full.addr, 10));
    let begun = tokio::time::Instant::now();
    traces.sink().take(spans(0..1));
    while counts.of("tripline_tracing_exports_failed_total") == 0 {
        // Lets the paused clock go on to the next timer.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let waited = begun.elapsed();
    assert!((CONNECT_TIMEOUT..ANSWER_TIMEOUT).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_stop_any_more_ends_by_itself() {
    let stub = Stub::start(|_| Reply::of(503, "", "")).await;
    let traces = start(options(stub.addr, 10));
    traces.sink().take(spans(0..1));
    let sink = Arc::clone(&traces.sink);
    drop(traces);
    sink.spans.closed().await;
    assert_eq!(stub.asked().len(), 1, "what waited was tried once");
}

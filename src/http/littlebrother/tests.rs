//! The dialect over real sockets, on a listener of its own; the actors are stood in for.

mod connections;

use super::super::bounds::Bounds;
use super::*;
use crate::config::{Littlebrother, Secret};
use crate::limits::LimitOptions;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tripline_actors::clock::SystemClock;
use tripline_actors::littlebrother::Receipt;
use tripline_protocol::littlebrother::{
    ClientMessage, EventType, LocalTime, MESSAGE_BYTES_MAX, UserConfig, WireEvent, Zone,
};
use tripline_protocol::{Org, Span};

/// Long enough for any machine; a test that passes does not wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the actors do with a message.
#[derive(Clone)]
enum Answers {
    /// These events.
    Events(Vec<WireEvent>),
    /// No events, once the test says so; nothing else is done on the thread until then.
    Held(Arc<Mutex<std::sync::mpsc::Receiver<()>>>),
    /// They think about it for ever.
    Never,
    /// This refusal.
    Refusal(Refusal),
}

/// Clients of a house with one active user, whose messages and receipts are told to the test.
#[derive(Clone)]
struct House {
    answers: Arc<Mutex<Answers>>,
    messages: UnboundedSender<ClientMessage>,
    written: UnboundedSender<bool>,
}

impl Clients for House {
    fn denied(&self, denied: tripline_actors::audit::Denied) {
        assert_eq!(denied.code, "wrong_secret");
    }

    fn settings(&self) -> Option<Arc<Settings>> {
        Some(Arc::new(Settings {
            org: Org::default_org(),
            users: vec![UserConfig {
                login: "amelie".into(),
                active: true,
                process_name_pattern: "bash".into(),
                prohibited_process_name_pattern: None,
            }],
            mappings: Vec::new(),
            check_interval: Span::from_secs(5),
            maximum_time_without_send: Span::from_secs(50),
            kill_process_delay: Span::from_secs(10),
            kill_prohibited: true,
            zone: Zone::utc(),
        }))
    }

    async fn message(&self, message: ClientMessage) -> Result<Answer, Refusal> {
        self.messages.send(message).unwrap();
        let answers = self.answers.lock().unwrap().clone();
        let written = self.written.clone();
        let receipt = Receipt::new(move |is_written| written.send(is_written).unwrap());
        match answers {
            Answers::Events(events) => Ok(Answer { events, receipt }),
            Answers::Held(gate) => {
                gate.lock().unwrap().recv().unwrap();
                let events = Vec::new();
                Ok(Answer { events, receipt })
            }
            Answers::Refusal(refusal) => Err(refusal),
            Answers::Never => {
                let _waits = receipt;
                std::future::pending().await
            }
        }
    }

    async fn user(&self, login: String) -> Result<Option<UserStatus>, Refusal> {
        let status = UserStatus {
            logged_in: true,
            hosts: 1,
        };
        Ok((login == "amelie").then_some(status))
    }
}

struct World {
    listener: Listener,
    client: reqwest::Client,
    answers: Arc<Mutex<Answers>>,
    messages: UnboundedReceiver<ClientMessage>,
    written: UnboundedReceiver<bool>,
}

fn start(answers: Answers) -> World {
    start_with(answers, Bounds::default())
}

fn start_with(answers: Answers, bounds: Bounds) -> World {
    start_as(answers, bounds, 0)
}

fn start_as(answers: Answers, bounds: Bounds, failed_logins_max: u32) -> World {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let answers = Arc::new(Mutex::new(answers));
    let (messages, heard) = unbounded_channel();
    let (written, receipts) = unbounded_channel();
    let served = Served {
        clients: House {
            answers: Arc::clone(&answers),
            messages,
            written,
        },
        dialect: Arc::new(Dialect::new(&Littlebrother {
            secret: Some(Secret::new("sesame")),
            ..Littlebrother::default()
        })),
        clock: Arc::new(SystemClock::default()),
        limits: Limits::new(LimitOptions {
            requests_per_second: 1,
            requests_burst: 1,
            failed_logins_max,
        }),
    };
    let listener = Listener::start(([127, 0, 0, 1], 0).into(), 1, 1, bounds, served).expect("a listener");
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    World {
        listener,
        client,
        answers,
        messages: heard,
        written: receipts,
    }
}

fn empty() -> Answers {
    Answers::Events(Vec::new())
}

fn message() -> Value {
    json!({"secret": "sesame", "hostname": "pc", "events": []})
}

fn with_events(events: Value) -> Value {
    json!({"secret": "sesame", "hostname": "pc", "events": events})
}

fn event() -> Value {
    json!({"event_type": "PROCESS_END", "hostname": "pc", "pid": 7,
        "process_start_time": "2026-11-20 10:00:00", "event_time": "2026-11-20 10:00:01"})
}

/// Sends a message over a raw connection.
async fn send(stream: &mut TcpStream, connection: &str) {
    let body = message().to_string();
    let head = format!(
        "POST /api/events HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.expect("sent");
}

/// Reads an answer without events.
async fn hear_empty(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"[]") {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut answer)).await;
        let count = read.expect("an answer in time").expect("an answer");
        assert_ne!(count, 0, "it is closed");
    }
}

impl World {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listener.addr)
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        self.post_as("application/json", body).await
    }

    async fn post_as(&self, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.client.post(self.url("/api/events")).body(body);
        let answer = request.header("content-type", content_type).send().await;
        let answer = answer.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.expect("JSON"))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.client.get(self.url(path)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn is_written(&mut self) -> bool {
        let told = tokio::time::timeout(PATIENCE, self.written.recv()).await;
        told.expect("told in time").expect("the receipt is told")
    }

    async fn heard(&mut self) -> ClientMessage {
        let heard = tokio::time::timeout(PATIENCE, self.messages.recv()).await;
        heard.expect("heard in time").expect("the listener lives")
    }

    fn heard_nothing(&mut self) {
        assert!(self.messages.try_recv().is_err());
    }

    /// A raw connection with a message on its way.
    async fn connect(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.listener.addr).await.expect("connected");
        send(&mut stream, "keep-alive").await;
        stream
    }

    async fn over(self) {
        self.listener.stop(false).await;
        self.listener.ended().await;
    }
}

#[actix_web::test]
async fn too_many_wrong_secrets_close_an_address_to_all_but_who_was_right_there() {
    let mut world = start_as(empty(), Bounds::default(), 3);
    let elsewhere = reqwest::Client::builder()
        .local_address(std::net::IpAddr::from([127, 0, 0, 2]))
        .build()
        .expect("a client");
    assert_eq!(world.post(message().to_string()).await.0, 200);
    world.heard().await;
    let wrong = |n: u32| json!({"secret": format!("sesam{n}"), "hostname": "pc", "events": []}).to_string();
    for n in 0..4 {
        assert_eq!(world.post(wrong(n)).await.0, 401);
    }
    let refused = world.client.post(world.url("/api/events")).body(wrong(4));
    let refused = refused.header("content-type", "application/json").send().await;
    let refused = refused.expect("an answer");
    assert_eq!(refused.status().as_u16(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    let body: Value = refused.json().await.expect("JSON");
    assert!(
        body["error"].as_str().expect("a text").contains("come again"),
        "{body}"
    );
    // Clients behind the same address that have the secret are not closed out, however often they come.
    for _ in 0..3 {
        assert_eq!(world.post(message().to_string()).await.0, 200);
        world.heard().await;
    }
    let there = elsewhere.post(world.url("/api/events")).body(wrong(5));
    let there = there.header("content-type", "application/json").send().await;
    assert_eq!(there.expect("an answer").status().as_u16(), 401);
    world.heard_nothing();
    world.over().await;
}

#[actix_web::test]
async fn a_message_reaches_the_actors_and_what_waits_is_the_answer() {
    let times = ["2026-11-20 10:00:00", "2026-11-20 10:00:01"].map(|time| time.parse::<LocalTime>().unwrap());
    let waits = vec![
        WireEvent::new(EventType::StartMaster, "pc", times[0]),
        WireEvent::new(EventType::KillProcess, "pc", times[1]),
    ];
    let mut world = start(Answers::Events(waits.clone()));
    for path in ["/api/events", "//api/events"] {
        let body = with_events(json!([event()])).to_string();
        let request = world.client.post(world.url(path)).body(body);
        let request = request.header("content-type", "application/json; charset=utf-8");
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        let headers = answer.headers().clone();
        assert_eq!(headers["content-type"], "application/json");
        let text = answer.text().await.expect("a body");
        assert_eq!(headers["content-length"], text.len().to_string().as_str());
        assert_eq!(text, serde_json::to_string(&waits).unwrap());
        assert!(world.is_written().await);
        let heard = world.heard().await;
        assert_eq!((&*heard.hostname, heard.events.len()), ("pc", 1));
    }
    world.over().await;
}

#[actix_web::test]
async fn a_wrong_secret_is_told_as_the_real_server_does_and_nothing_else_is_looked_at() {
    let mut world = start(empty());
    for body in [
        json!({"secret": "wrong", "hostname": "pc", "events": []}),
        json!({"secret": null, "hostname": "pc", "events": []}),
        json!({"secret": "", "hostname": "pc", "events": []}),
        json!({"secret": "wrong", "hostname": 7}),
    ] {
        let request = world.client.post(world.url("/api/events")).json(&body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "{body}");
        assert_eq!(answer.headers()["content-type"], "application/json");
        let text = answer.text().await.expect("a body");
        assert_eq!(text, r#"{ "error" : "invalid access code" }"#);
    }
    world.heard_nothing();
    world.over().await;
}

#[actix_web::test]
async fn a_secret_that_is_given_twice_must_be_right() {
    let mut world = start(empty());
    let twice = r#"{"secret": "sesame", "secret": "wrong", "hostname": "pc", "events": []}"#;
    assert_eq!(world.post(twice).await.0, 401);
    world.heard_nothing();
    world.over().await;
}

#[actix_web::test]
async fn what_is_wrong_in_a_message_is_named_and_nothing_of_it_counts() {
    let mut world = start(empty());
    let mut bad_time = event();
    bad_time["event_time"] = "2026-11-20T10:00:00Z".into();
    let mut no_pid = event();
    no_pid["pid"] = Value::Null;
    let mut bad_type = event();
    bad_type["event_type"] = 7.into();
    for (body, key) in [
        (json!({"hostname": "pc", "events": []}), "secret"),
        (json!({"secret": 7, "hostname": "pc", "events": []}), "secret"),
        (json!({"secret": "sesame", "events": []}), "hostname"),
        (
            json!({"secret": "sesame", "hostname": "a\u{7}b", "events": []}),
            "hostname",
        ),
        (json!({"secret": "sesame", "hostname": "pc"}), "events"),
        (
            json!({"secret": "sesame", "hostname": "pc", "events": {}}),
            "events",
        ),
        (with_events(json!([event(), bad_time])), "events[1].event_time"),
        (with_events(json!([no_pid])), "events[0].pid"),
        (with_events(json!([bad_type])), "events[0].event_type"),
        (with_events(json!([3])), "events[0]"),
    ] {
        let (status, answer) = world.post(body.to_string()).await;
        assert_eq!(status, 400, "{body}");
        assert_eq!(answer["key"], key, "{answer}");
        let text = answer["error"].as_str().expect("a text");
        assert!(text.starts_with(key), "{text}");
    }
    for body in ["", "{", "[]", "7", "null"] {
        let (status, answer) = world.post(body).await;
        assert_eq!(status, 400, "{body:?}");
        assert!(answer["error"].is_string(), "{answer}");
    }
    world.heard_nothing();
    world.over().await;
}

#[actix_web::test]
async fn other_content_types_methods_and_paths_are_refused() {
    let mut world = start(empty());
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
    ] {
        let (status, answer) = world.post_as(content_type, message().to_string()).await;
        assert_eq!(
            (status, answer["error"].is_string()),
            (415, true),
            "{content_type}"
        );
    }
    for path in ["/api/events", "//api/events", "/api/request-time-extension"] {
        let answer = world.client.get(world.url(path)).send().await.expect("an answer");
        assert_eq!(answer.status(), 405, "{path}");
        assert_eq!(answer.headers()["allow"], "POST");
    }
    for path in [
        "/",
        "/v1/hosts",
        "/healthz",
        "/metrics",
        "/api/events/",
        "/api",
        "///api/events",
    ] {
        assert_eq!(world.get(path).await.0, 404, "{path}");
    }
    world.heard_nothing();
    world.over().await;
}

#[actix_web::test]
async fn what_no_client_may_say_is_left_out_and_the_rest_counts() {
    let mut world = start(empty());
    let mut foreign = event();
    foreign["hostname"] = "other".into();
    let mut server = event();
    server["event_type"] = "UPDATE_CONFIG".into();
    let mut unknown = event();
    unknown["event_type"] = "NEW_IN_1_0".into();
    let mut more = event();
    more["an_attribute_of_later"] = 1.into();
    let body = with_events(json!([foreign, event(), server, unknown, more]));
    assert_eq!(world.post(body.to_string()).await, (200, json!([])));
    assert_eq!(world.heard().await.events.len(), 2);
    world.over().await;
}

#[actix_web::test]
async fn a_message_that_is_too_large_is_refused_with_an_answer() {
    let mut world = start(empty());
    let long = vec![b' '; MESSAGE_BYTES_MAX + 1];
    assert_eq!(world.post(long.clone()).await.0, 413);
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
        long.chunks(1 << 20).map(|piece| Ok(piece.to_vec())).collect();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    assert_eq!(world.post(stream).await.0, 413);
    world.heard_nothing();
    world.over().await;
}

#[actix_web::test]
async fn after_a_refusal_a_client_keeps_its_events() {
    let world = start(empty());
    for (refusal, expected) in [
        (
            Refusal::Busy {
                what: "outbox",
                retry_after: Span::from_secs(1),
            },
            503,
        ),
        (Refusal::Unavailable { detail: "it stops" }, 503),
        (
            Refusal::NotFound {
                what: "host",
                id: "pc".into(),
            },
            503,
        ),
        (
            Refusal::Invalid {
                code: "x",
                detail: "events: no".into(),
            },
            400,
        ),
        (Refusal::Forbidden { detail: "no".into() }, 403),
    ] {
        *world.answers.lock().unwrap() = Answers::Refusal(refusal.clone());
        let (status, answer) = world.post(message().to_string()).await;
        assert_eq!(status, expected, "{refusal}");
        assert_eq!(answer["error"], refusal.to_string());
    }
    world.over().await;
}

#[actix_web::test]
async fn the_desktop_app_hears_what_is_known_of_a_user() {
    let world = start(empty());
    let expected = json!({
        "username": "amelie", "activity_allowed": true, "logged_in": true, "locale": null, "notification": null,
        "minutes_left_in_session": null, "monitoring_active": true, "optional_time_available": null,
        "ruleset_check_interval": 5, "warning_time_without_send_events": 15, "maximum_time_without_send_events": 50,
    });
    assert_eq!(
        world.get("/api/status?username=amelie").await,
        (200, expected.clone())
    );
    assert_eq!(
        world.get("//api/status?username=amelie&username=bela").await,
        (200, expected)
    );
    for path in [
        "/api/status",
        "/api/status?username={x}",
        "/api/status?user=amelie",
    ] {
        let (status, answer) = world.get(path).await;
        assert_eq!(status, 404, "{path}");
        let text = answer["error"].as_str().expect("a text");
        assert!(!text.contains(['{', '}']), "{text}");
    }
    let health = world
        .client
        .get(world.url("/health"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(health.headers()["content-type"], "application/txt");
    assert_eq!(health.text().await.expect("a body"), "ok");
    world.over().await;
}

#[actix_web::test]
async fn no_time_is_left_to_extend() {
    let world = start(empty());
    for (query, expected) in [
        ("username=amelie&secret=x&extension_length=30", 416),
        ("username=bela&secret=x&extension_length=30", 404),
        ("username=amelie&secret=x&extension_length=soon", 404),
        ("username=amelie&extension_length=30", 404),
        ("username=amelie&secret=x", 404),
        ("secret=x&extension_length=30", 404),
        ("", 404),
    ] {
        let url = world.url(&format!("/api/request-time-extension?{query}"));
        let answer = world.client.post(url).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), expected, "{query}");
        let body: Value = answer.json().await.expect("JSON");
        assert!(body["error"].is_string(), "{body}");
    }
    world.over().await;
}

//! Requests that nobody may have, over HTTP, over NATS and on the agent channel: each is answered with what is wrong, and
//! no row of the store is another afterwards.

use crate::harness::{Server, SimulatedAgent, Site, job_of};
use async_nats::HeaderMap;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tripline_actors::export::{Item, Reader};
use tripline_actors::store::{Store, Table};
use tripline_protocol::HostId;
use tripline_protocol::limit::EVENT_BYTES_MAX;
use tripline_protocol::subject::HEADER_TOKEN;
use uuid::Uuid;

/// Tables that change without anybody's request: the audit has who was turned away, and what was published is marked.
const ON_THEIR_OWN: [Table; 7] = [
    Table::Meta,
    Table::Outbox,
    Table::Sent,
    Table::Audit,
    Table::AuditHead,
    Table::AuditAnchor,
    Table::AuditPublished,
];

type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

/// All rows of a running server's store, as an export has them, but for those of `left_out`.
async fn rows(server: &Server, left_out: &[Table]) -> Rows {
    let export = server.api().request(Method::GET, "/v1/store/export");
    let export = export.send().await.expect("an answer");
    assert_eq!(export.status(), 200);
    let bytes = export.bytes().await.expect("an export");
    let mut reader = Reader::begin(&*bytes, Store::newest_format()).expect("an export");
    let mut rows = Rows::new();
    while let Some(item) = reader.next_item().expect("a sound export") {
        let Item::Rows(found) = item else { continue };
        rows.extend(found.into_iter().map(|row| ((row.table, row.key), row.value)));
    }
    let leaves_out = |table: u8| {
        ON_THEIR_OWN
            .iter()
            .chain(left_out)
            .any(|left_out| *left_out as u8 == table)
    };
    rows.retain(|(table, _), _| !leaves_out(*table));
    assert!(!rows.is_empty(), "the rows are there");
    rows
}

/// Method, path, body as it is sent, status, code.
type Bad = (Method, String, Vec<u8>, u16, &'static str);

fn bad_requests(host: HostId) -> Vec<Bad> {
    let post = |path: &str, body: Value, status, code| {
        (
            Method::POST,
            path.to_owned(),
            body.to_string().into_bytes(),
            status,
            code,
        )
    };
    let raw =
        |path: &str, body: &[u8], status, code| (Method::POST, path.to_owned(), body.to_vec(), status, code);
    let get = |path: &str, status, code| (Method::GET, path.to_owned(), Vec::new(), status, code);
    let job = |job: Value| json!({"host": host, "job": job});
    let list = job_of("list_processes", json!({}));
    let step = json!({"list_processes": {}});
    let steps = json!({"name": "many", "steps": vec![step; 65]});
    let nil = Uuid::nil();
    let labels: Vec<String> = (0..65).map(|n| format!("l{n}")).collect();
    vec![
        raw("/v1/jobs", b"{\"host\": ", 400, "bad_json"),
        raw("/v1/jobs", b"", 400, "bad_json"),
        raw("/v1/jobs", &[0xff, 0xfe], 400, "bad_json"),
        raw("/v1/jobs", "[".repeat(100_000).as_bytes(), 400, "bad_json"),
        raw("/v1/jobs", &vec![b' '; (1 << 20) + 1], 413, "body_too_large"),
        post("/v1/jobs", json!({"host": host, "jop": list}), 400, "bad_json"),
        post("/v1/jobs", json!({"host": host}), 422, "bad_job"),
        post(
            "/v1/jobs",
            json!({"host": "nobody", "job": list}),
            404,
            "not_found",
        ),
        post(
            "/v1/jobs",
            json!({"host": host, "named": "nothing"}),
            404,
            "not_found",
        ),
        post("/v1/jobs", job(steps), 422, "bad_job"),
        post(
            "/v1/jobs",
            job(job_of("kill_process", json!({"pid": "many"}))),
            422,
            "bad_argument",
        ),
        post("/v1/jobs", job(job_of("fly", json!({}))), 400, "bad_json"),
        post(&format!("/v1/jobs/{nil}/cancel"), json!({}), 404, "not_found"),
        post("/v1/jobs/no-id/cancel", json!({}), 400, "bad_parameter"),
        post("/v1/sessions", json!({"host": "nobody"}), 404, "not_found"),
        post(
            "/v1/sessions",
            json!({"host": host, "idle_timeout": "1y"}),
            400,
            "bad_json",
        ),
        post(
            &format!("/v1/sessions/{nil}/commands"),
            json!({"verb": "list_processes"}),
            404,
            "not_found",
        ),
        post(
            "/v1/tokens",
            json!({"name": "x".repeat(65), "role": "viewer"}),
            422,
            "token_name",
        ),
        post(
            "/v1/tokens",
            json!({"name": "x", "role": "king"}),
            400,
            "bad_json",
        ),
        post(
            "/v1/tokens",
            json!({"name": "x", "role": "viewer", "org": "x".repeat(65)}),
            400,
            "bad_json",
        ),
        raw(
            "/v1/events",
            &vec![b' '; EVENT_BYTES_MAX + 1],
            413,
            "body_too_large",
        ),
        post("/v1/events", json!({"etype": "two words"}), 400, "bad_json"),
        post(
            "/v1/events",
            json!({"etype": "e", "id": "x".repeat(257)}),
            422,
            "bad_attribute",
        ),
        (
            Method::PUT,
            format!("/v1/hosts/{host}/labels"),
            json!({"labels": labels}).to_string().into_bytes(),
            422,
            "too_many_labels",
        ),
        (
            Method::PUT,
            "/v1/pause".into(),
            json!({"reason": "x".repeat(501)}).to_string().into_bytes(),
            422,
            "bad_reason",
        ),
        (
            Method::DELETE,
            "/v1/hosts/nobody".into(),
            Vec::new(),
            404,
            "not_found",
        ),
        (
            Method::DELETE,
            "/v1/outbox/quarantine/4711".into(),
            Vec::new(),
            404,
            "not_found",
        ),
        post(
            "/v1/outbox/quarantine/retry",
            json!({"sequences": []}),
            422,
            "bad_sequences",
        ),
        (
            Method::PATCH,
            "/v1/jobs".into(),
            Vec::new(),
            405,
            "method_not_allowed",
        ),
        get("/v1/jobs?limit=1001", 400, "bad_parameter"),
        get("/v1/jobs?state=dreaming", 400, "bad_parameter"),
        get("/v1/hosts?limit=0", 400, "bad_parameter"),
        get(
            &format!("/v1/events?etype={}", "A,".repeat(65)),
            400,
            "bad_parameter",
        ),
        get(&format!("/v1/jobs/{nil}"), 404, "not_found"),
        get("/v1/nothing", 404, "no_such_path"),
    ]
}

#[tokio::test]
async fn what_http_refuses_says_what_is_wrong_and_changes_no_row() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let api = server.api();
    let host = SimulatedAgent::enrol(&server, &api.enrol_token().await, "amelie")
        .await
        .host_id;
    let before = rows(&server, &[]).await;
    for (method, path, body, status, code) in bad_requests(host) {
        let shown = format!(
            "{method} {path} {}",
            String::from_utf8_lossy(&body[..body.len().min(100)])
        );
        let request = api
            .request(method, &path)
            .header("content-type", "application/json");
        let answer = request.body(body).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{shown}");
        let problem: Value = answer.json().await.expect("a problem");
        assert_eq!(problem["code"], code, "{shown}: {problem}");
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.len() > 8),
            "{shown}: {problem}"
        );
    }
    assert_eq!(rows(&server, &[]).await, before);
}

#[tokio::test]
async fn what_the_micro_service_refuses_says_what_is_wrong_and_changes_no_row() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let api = server.api();
    let host = SimulatedAgent::enrol(&server, &api.enrol_token().await, "amelie")
        .await
        .host_id;
    let operator = api
        .create_token(json!({"name": "siem", "role": "operator"}))
        .await;
    let viewer = api
        .create_token(json!({"name": "screen", "role": "viewer"}))
        .await;
    let outside = server.outside().await;
    let job = json!({"host": host, "job": job_of("list_processes", json!({}))});
    let before = rows(&server, &[]).await;
    let nobody = json!({"host": "nobody", "job": job_of("list_processes", json!({}))});
    let cases: [(&str, Option<&str>, String, &str); 9] = [
        ("jobs.submit", None, job.to_string(), "401"),
        ("jobs.submit", Some("tl_wrong.token"), job.to_string(), "401"),
        ("jobs.submit", Some(&viewer), job.to_string(), "403"),
        ("jobs.submit", Some(&operator), "{".into(), "400"),
        ("jobs.submit", Some(&operator), nobody.to_string(), "404"),
        (
            "jobs.submit",
            Some(&operator),
            json!({"host": host}).to_string(),
            "422",
        ),
        (
            "jobs.cancel",
            Some(&operator),
            json!({"job_id": Uuid::nil()}).to_string(),
            "404",
        ),
        (
            "jobs.list",
            Some(&operator),
            json!({"limit": 1001}).to_string(),
            "400",
        ),
        (
            "hosts.list",
            Some(&operator),
            json!({"limits": 1}).to_string(),
            "400",
        ),
    ];
    for (endpoint, token, body, code) in cases {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(HEADER_TOKEN, token);
        }
        let subject = format!("tripline.api.{endpoint}");
        let asked = outside
            .operator
            .request_with_headers(subject, headers, body.clone().into());
        let answer = asked.await.expect("an answer");
        let headers = answer.headers.expect("headers");
        let header = |name| headers.get(name).map(|value| value.as_str().to_owned());
        assert_eq!(
            header("Nats-Service-Error-Code").as_deref(),
            Some(code),
            "{endpoint} {body}"
        );
        assert!(
            header("Nats-Service-Error").is_some_and(|text| text.len() > 8),
            "{endpoint} {body}"
        );
    }
    assert_eq!(rows(&server, &[]).await, before);
}

/// Frames that a good agent never sends. What ends the connection also says when the host was seen last.
#[tokio::test]
async fn what_an_agent_may_not_say_changes_nothing_but_when_it_was_seen() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let token = server.api().enrol_token().await;
    let mut agent = SimulatedAgent::enrol(&server, &token, "amelie").await;
    agent.attach().await;
    // The first connection notes from where its key was used.
    let before = rows(&server, &[Table::Host, Table::AgentKey]).await;
    let unknown = Uuid::from_u128(7);
    for frame in [
        json!({"type": "accepted", "command_id": unknown}),
        json!({"type": "progress", "command_id": unknown, "bytes": 1}),
        json!({"type": "result", "command_id": unknown, "output": {}}),
        json!({"type": "credit", "command_id": unknown, "bytes": 1}),
        json!({"type": "resume", "command_id": unknown, "offset": 1}),
        json!({"type": "new_key", "key_sha256": "0".repeat(64)}),
        json!({"type": "teleport"}),
    ] {
        agent.say(frame).await;
    }
    // The answer shows that all of them were heard.
    agent.say(json!({"type": "ping"})).await;
    while agent.hear().await.expect("still connected")["type"] != "pong" {}
    for violation in [
        "no json".to_owned(),
        json!({"type": "result"}).to_string(),
        "[]".into(),
    ] {
        agent.say_text(violation.clone()).await;
        let reason = loop {
            match agent.hear().await {
                Ok(frame) if frame["type"] == "bye" => break frame["reason"].clone(),
                Ok(_) => {}
                Err(close) => panic!("closed without a word: {close:?}"),
            }
        };
        assert_eq!(reason, "protocol_error", "{violation}");
        agent.attach().await;
    }
    assert_eq!(rows(&server, &[Table::Host, Table::AgentKey]).await, before);
}

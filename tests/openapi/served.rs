//! A running server beside the document: every kind of answer.

mod fanouts;
mod services;

use crate::harness::{AgentProcess, Api, Server, Site, eventually};
use crate::schema::{DOCUMENT, faults, strict};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tripline_protocol::HostId;

/// What the document says of an operation.
fn operation(method: &Method, path: &str) -> &'static Value {
    let method = method.as_str().to_lowercase();
    let operation = &DOCUMENT["paths"][path][&method];
    assert!(operation.is_object(), "{method} {path} is not in the document");
    operation
}

/// What the document says of an answer, wherever it says so.
fn response(method: &Method, path: &str, status: u16) -> &'static Value {
    let found = &operation(method, path)["responses"][status.to_string()];
    match found["$ref"].as_str() {
        Some(reference) => DOCUMENT
            .pointer(reference.trim_start_matches('#'))
            .expect("an answer"),
        None => found,
    }
}

/// The type without its parameters.
pub(crate) fn essence(headers: &HeaderMap) -> Option<String> {
    let found = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(found.split(';').next()?.trim().to_owned())
}

/// Asks, and holds every answer to the document.
struct Witness {
    api: Api,
    seen: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Witness {
    /// `path` is as in the document, `uri` what is asked for.
    async fn ask(&mut self, method: Method, path: &str, uri: &str, body: Option<Value>) -> (u16, Value) {
        let request = self.api.request(method.clone(), uri);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        self.send(&method, path, request).await
    }

    async fn send(&mut self, method: &Method, path: &str, request: RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let what = format!("{method} {path} answered {status}");
        self.seen.insert(format!("{method} {path}"));
        let described = response(method, path, status);
        if !described["description"].is_string() {
            self.wrong.push(format!("{what}, which is not described"));
        }
        let kind = essence(&headers);
        let bytes = match kind.as_deref() {
            // It has no end.
            Some("text/event-stream") => Vec::new(),
            _ => answer.bytes().await.expect("a whole answer").to_vec(),
        };
        let body = match kind.as_deref().is_some_and(|kind| kind.ends_with("json")) {
            true => serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            false => Value::Null,
        };
        let found = differences(described, &headers, kind, &body);
        self.wrong
            .extend(found.iter().map(|found| format!("{what} {found}")));
        (status, body)
    }

    /// The same, and the status is this.
    async fn expect(
        &mut self,
        status: u16,
        method: Method,
        path: &str,
        uri: &str,
        body: Option<Value>,
    ) -> Value {
        let (found, answer) = self.ask(method.clone(), path, uri, body).await;
        assert_eq!(found, status, "{method} {uri}: {answer}");
        answer
    }

    async fn get(&mut self, path: &str, uri: &str) -> Value {
        self.expect(200, Method::GET, path, uri, None).await
    }

    /// A path without anything in braces.
    async fn plain(&mut self, path: &str) -> Value {
        self.get(path, path).await
    }
}

/// What an answer has that is not described, or lacks that is.
fn differences(described: &Value, headers: &HeaderMap, kind: Option<String>, body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let contents = described["content"].as_object();
    // Of several kinds of content, those that are files have headers of their own.
    if contents.is_none_or(|contents| contents.len() == 1) {
        let names = described["headers"].as_object().into_iter().flatten();
        let missing = names.filter(|(name, _)| !headers.contains_key(name.as_str()));
        found.extend(missing.map(|(name, _)| format!("without its header {name}")));
    }
    let Some(contents) = contents else {
        return found;
    };
    let kind = kind.unwrap_or_default();
    let content = contents
        .iter()
        .find(|(name, _)| name.split(';').next() == Some(kind.as_str()));
    match content {
        None => found.push(format!("with content of the type {kind:?}")),
        // Its lines are looked at by those who read them.
        Some(_) if !kind.ends_with("json") || kind.ends_with("ndjson") => {}
        Some((_, content)) => {
            let wrong = faults(&strict(&content["schema"]), body);
            if !wrong.is_empty() {
                found.push(format!("with another body: {wrong:#?}\n{body:#}"));
            }
        }
    }
    found
}

const HOST: &str = "/v1/hosts/{host}";
const SESSION: &str = "/v1/sessions/{session}";

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    server.api().attached(host, true).await;
    let mut witness = Witness {
        api: server.api(),
        seen: BTreeSet::new(),
        wrong: Vec::new(),
    };
    looks(&mut witness).await;
    hosts(&mut witness, host).await;
    jobs(&mut witness, host, &site).await;
    fanouts::ask(&mut witness).await;
    services::ask(&mut witness).await;
    sessions(&mut witness, host).await;
    messages(&mut witness, &server).await;
    callers(&mut witness).await;
    records(&mut witness).await;
    ends(&mut witness, host).await;
    assert!(witness.wrong.is_empty(), "{}", witness.wrong.join("\n"));
    let dialects = ["/api", "/health", "/lc"];
    let described = DOCUMENT["paths"].as_object().expect("paths").iter();
    for (path, item) in described
        .filter(|(path, _)| !dialects.iter().any(|dialect| path.starts_with(dialect)) || *path == "/healthz")
    {
        for method in item.as_object().expect("operations").keys() {
            let what = format!("{} {path}", method.to_uppercase());
            assert!(witness.seen.contains(&what), "ask {what} here, too");
        }
    }
}

async fn looks(witness: &mut Witness) {
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/openapi.json",
        "/v1/status",
        "/v1/slots",
        "/v1/pipelines",
        "/v1/littlebrother",
        "/v1/pause",
        "/v1/drain",
        "/v1/outbox",
        "/v1/outbox/quarantine",
        "/v1/store",
        "/v1/store/export",
        "/v1/events",
        "/v1/streams/jobs",
        "/v1/streams/hosts",
    ] {
        witness.plain(path).await;
    }
    let pause = json!({"reason": "INC-42"});
    witness
        .expect(200, Method::PUT, "/v1/pause", "/v1/pause", Some(pause))
        .await;
    for path in ["/v1/pause", "/v1/status", "/v1/slots"] {
        witness.plain(path).await;
    }
    witness
        .expect(200, Method::DELETE, "/v1/pause", "/v1/pause", None)
        .await;
    pauses_of_pipelines(witness).await;
    decisions(witness).await;
    explanations(witness).await;
}

async fn pauses_of_pipelines(witness: &mut Witness) {
    let path = "/v1/pipelines/{pipeline}/pause";
    let long = json!({"reason": "x".repeat(501)});
    for (name, status) in [("none", 404), ("NO%20NAME", 400)] {
        let uri = format!("/v1/pipelines/{name}/pause");
        let pause = Some(json!({}));
        witness.expect(status, Method::PUT, path, &uri, pause).await;
        witness.expect(status, Method::DELETE, path, &uri, None).await;
    }
    let uri = "/v1/pipelines/none/pause";
    witness.expect(422, Method::PUT, path, uri, Some(long)).await;
}

async fn decisions(witness: &mut Witness) {
    let path = "/v1/events/{event_key}/decisions";
    let none = "/v1/events/6a476cc7-fafe-5985-9fb8-67233a7efb39/decisions";
    witness.get(path, none).await;
    let no_key = "/v1/events/none/decisions";
    witness.expect(400, Method::GET, path, no_key, None).await;
}

async fn explanations(witness: &mut Witness) {
    let path = "/v1/events/{event_key}/explain";
    let none = "/v1/events/6a476cc7-fafe-5985-9fb8-67233a7efb39/explain";
    witness.get(path, none).await;
    for wrong in [
        "/v1/events/none/explain",
        &format!("{none}?since=soon"),
        &format!("{none}?what=1"),
    ] {
        witness.expect(400, Method::GET, path, wrong, None).await;
    }
}

async fn hosts(witness: &mut Witness, host: HostId) {
    for list in [
        "/v1/hosts",
        "/v1/keys",
        "/v1/jobs",
        "/v1/fanouts",
        "/v1/sessions",
        "/v1/dead",
        "/v1/outbox/quarantine",
        "/v1/tokens",
        "/v1/audit",
    ] {
        let no_place = format!("{list}?after=no%20place");
        witness.expect(422, Method::GET, list, &no_place, None).await;
    }
    witness.plain("/v1/hosts").await;
    witness.plain("/v1/keys").await;
    let one = format!("/v1/hosts/{host}");
    witness.get(HOST, &one).await;
    witness
        .expect(404, Method::GET, HOST, "/v1/hosts/nobody", None)
        .await;
    let labels = "/v1/hosts/{host}/labels";
    let uri = format!("{one}/labels");
    let (set, change) = (
        json!({"labels": ["dmz"]}),
        json!({"add": ["web"], "remove": ["dmz"]}),
    );
    witness.expect(200, Method::PUT, labels, &uri, Some(set)).await;
    witness
        .expect(200, Method::PATCH, labels, &uri, Some(change))
        .await;
    witness
        .expect(400, Method::PUT, labels, &uri, Some(json!({"labels": ["a b"]})))
        .await;
    let link = "/v1/hosts/{host}/link";
    let uri = format!("{one}/link");
    let other = json!({"littlebrother": host.to_string()});
    witness.expect(409, Method::POST, link, &uri, Some(other)).await;
    witness.expect(409, Method::DELETE, link, &uri, None).await;
    let rotate = format!("{one}/key/rotate");
    witness
        .expect(200, Method::POST, "/v1/hosts/{host}/key/rotate", &rotate, None)
        .await;
}

async fn jobs(witness: &mut Witness, host: HostId, site: &Site) {
    let file = site.write("evidence", "evidence\n");
    let job = json!({"host": host, "job": {"name": "look", "steps": [
        {"id": "file", "get_file": {"path": file}},
        {"list_processes": {}},
        {"list_directory": {"path": "/nowhere"}, "on_error": "continue", "timeout": "30s"},
    ]}});
    let job = witness
        .expect(201, Method::POST, "/v1/jobs", "/v1/jobs", Some(job))
        .await;
    let job_id = job["job_id"].as_str().expect("an id").to_owned();
    let one = format!("/v1/jobs/{job_id}");
    let ended = witness.get("/v1/jobs/{job_id}", &format!("{one}?wait=60")).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    witness.get("/v1/jobs", "/v1/jobs?state=succeeded&limit=1").await;
    witness
        .expect(
            409,
            Method::POST,
            "/v1/jobs/{job_id}/cancel",
            &format!("{one}/cancel"),
            None,
        )
        .await;
    witness
        .expect(
            422,
            Method::POST,
            "/v1/jobs",
            "/v1/jobs",
            Some(json!({"host": host})),
        )
        .await;
    let sha256 = ended["steps"][0]["artifact"]["sha256"]
        .as_str()
        .expect("a hash")
        .to_owned();
    contents(
        witness,
        "/v1/jobs/{job_id}/artifacts/{sha256}",
        &format!("{one}/artifacts/{sha256}"),
        &sha256,
    )
    .await;
}

/// Whole, a range, unchanged, and outside.
async fn contents(witness: &mut Witness, path: &str, uri: &str, sha256: &str) {
    let etag = format!("\"{sha256}\"");
    for (name, value, status) in [
        ("accept", "*/*", 200),
        ("range", "bytes=0-3", 206),
        ("if-none-match", etag.as_str(), 304),
        ("range", "bytes=999-", 416),
    ] {
        let request = witness.api.request(Method::GET, uri).header(name, value);
        let (found, body) = witness.send(&Method::GET, path, request).await;
        assert_eq!(found, status, "{name}: {value}: {body}");
    }
}

async fn sessions(witness: &mut Witness, host: HostId) {
    let body = json!({"host": host});
    let session = witness
        .expect(201, Method::POST, "/v1/sessions", "/v1/sessions", Some(body))
        .await;
    let one = format!("/v1/sessions/{}", session["session_id"].as_str().expect("an id"));
    witness.get(SESSION, &format!("{one}?wait=60")).await;
    witness.plain("/v1/sessions").await;
    let keepalive = format!("{SESSION}/keepalive");
    witness
        .expect(200, Method::POST, &keepalive, &format!("{one}/keepalive"), None)
        .await;
    commands(witness, &one).await;
    files(witness, &one).await;
    witness.expect(200, Method::DELETE, SESSION, &one, None).await;
    witness
        .expect(409, Method::POST, &keepalive, &format!("{one}/keepalive"), None)
        .await;
}

async fn commands(witness: &mut Witness, session: &str) {
    let (all, uri) = (format!("{SESSION}/commands"), format!("{session}/commands"));
    let run = json!({"verb": "list_processes", "arguments": {}, "origin": {"ticket": 42}});
    witness.expect(201, Method::POST, &all, &uri, Some(run)).await;
    let one = format!("{all}/{{number}}");
    let ended = witness.get(&one, &format!("{uri}/1?wait=60")).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    witness.get(&all, &uri).await;
    witness
        .get(&format!("{one}/output"), &format!("{uri}/1/output"))
        .await;
    witness
        .expect(409, Method::DELETE, &one, &format!("{uri}/1"), None)
        .await;
    let wrong = json!({"verb": "get_file", "arguments": {}});
    witness.expect(422, Method::POST, &all, &uri, Some(wrong)).await;
}

async fn files(witness: &mut Witness, session: &str) {
    let (all, uri) = (format!("{SESSION}/files"), format!("{session}/files"));
    let request = witness
        .api
        .request(Method::POST, &format!("{uri}?name=notes.txt"));
    let (status, file) = witness.send(&Method::POST, &all, request.body("notes\n")).await;
    assert_eq!(status, 201, "{file}");
    witness.get(&all, &uri).await;
    let one = format!("{uri}/{}", file["number"]);
    let sha256 = file["sha256"].as_str().expect("a hash");
    contents(
        witness,
        &format!("{all}/{{number}}/content"),
        &format!("{one}/content"),
        sha256,
    )
    .await;
    witness
        .get(&format!("{SESSION}/archive"), &format!("{session}/archive"))
        .await;
    witness
        .expect(200, Method::DELETE, &format!("{all}/{{number}}"), &one, None)
        .await;
    witness.get(&all, &format!("{uri}?deleted=true")).await;
}

async fn messages(witness: &mut Witness, server: &Server) {
    let event = json!({"etype": "acme.alert", "id": "a-1", "data": {"pid": 4711}});
    witness
        .expect(202, Method::POST, "/v1/events", "/v1/events", Some(event))
        .await;
    let path = "/v1/detections";
    let detection = json!({"cat": "miner", "priority": 7, "data": {"pid": 4711}});
    witness
        .expect(202, Method::POST, path, path, Some(detection))
        .await;
    let bad = json!({"cat": "miner", "priority": 11});
    witness.expect(422, Method::POST, path, path, Some(bad)).await;
    let outside = server.outside().await;
    outside
        .publish_bytes("acme.alert", &[], b"no JSON".to_vec())
        .await;
    let letter = eventually("there is a dead letter", async || {
        let list = witness.plain("/v1/dead").await;
        list["items"].get(0).cloned()
    })
    .await;
    let (path, one) = ("/v1/dead/{sequence}", format!("/v1/dead/{}", letter["sequence"]));
    witness.get(path, &one).await;
    let replay = format!("{one}/replay");
    witness
        .expect(
            409,
            Method::POST,
            "/v1/dead/{sequence}/replay",
            &replay,
            Some(json!({})),
        )
        .await;
    witness.expect(204, Method::DELETE, path, &one, None).await;
    witness.expect(404, Method::GET, path, &one, None).await;
    let (retry, none) = ("/v1/outbox/quarantine/retry", json!({"sequences": [1]}));
    witness.expect(200, Method::POST, retry, retry, Some(none)).await;
    let dropped = "/v1/outbox/quarantine/{sequence}";
    witness
        .expect(404, Method::DELETE, dropped, "/v1/outbox/quarantine/1", None)
        .await;
}

async fn callers(witness: &mut Witness) {
    let tokens = "/v1/tokens";
    let made = json!({"name": "v", "role": "viewer", "expires": "1h"});
    let made = witness
        .expect(201, Method::POST, tokens, tokens, Some(made))
        .await;
    witness.plain(tokens).await;
    let admin = witness.api.clone();
    witness.api = admin.with_token(made["token"].as_str().expect("a secret"));
    witness
        .expect(403, Method::POST, "/v1/drain", "/v1/drain", None)
        .await;
    witness.api = admin.with_token("wrong");
    witness
        .expect(401, Method::GET, "/v1/slots", "/v1/slots", None)
        .await;
    witness
        .expect(401, Method::GET, "/v1/agent", "/v1/agent", None)
        .await;
    witness.api = admin.clone();
    let one = format!("/v1/tokens/{}", made["id"].as_str().expect("an id"));
    witness
        .expect(204, Method::DELETE, "/v1/tokens/{id}", &one, None)
        .await;
    witness.api = admin.with_token(&admin.enrol_token().await);
    let enrol = json!({
        "install_id": "11111111-2222-4333-8444-555555555555", "key_sha256": "0".repeat(64), "hostname": "other",
        "addresses": ["192.0.2.7"], "platform": "linux", "arch": "x86_64",
    });
    witness
        .expect(
            200,
            Method::POST,
            "/v1/agent/enrol",
            "/v1/agent/enrol",
            Some(enrol),
        )
        .await;
    witness.api = admin;
}

async fn records(witness: &mut Witness) {
    witness.plain("/v1/audit").await;
    witness.plain("/v1/audit/chains").await;
    let all = "/v1/audit/{org}/records";
    witness.get(all, "/v1/audit/default/records").await;
    witness
        .get("/v1/audit/{org}/records/{number}", "/v1/audit/_/records/1")
        .await;
    let (path, found) = ("/v1/audit/{org}/verified", json!({"source": "store", "first": 1}));
    witness
        .expect(204, Method::POST, path, "/v1/audit/default/verified", Some(found))
        .await;
}

/// What leaves less than there was.
async fn ends(witness: &mut Witness, host: HostId) {
    let one = format!("/v1/hosts/{host}");
    witness
        .expect(
            200,
            Method::DELETE,
            "/v1/hosts/{host}/key",
            &format!("{one}/key"),
            None,
        )
        .await;
    witness.plain("/v1/keys").await;
    witness
        .expect(200, Method::DELETE, HOST, &format!("{one}?force=true"), None)
        .await;
    witness
        .expect(202, Method::POST, "/v1/drain", "/v1/drain", None)
        .await;
}

//! Interactive sessions over `/v1`: what they carry, who may use them, and what is left behind.

use crate::harness::{AgentProcess, Api, Server, Site, eventually, until};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{Cursor, Read, Write};
use std::net::TcpStream;
use std::path::Path;

/// A session that is active.
pub(crate) async fn active(api: &Api, host: impl ToString) -> String {
    let opened = api.post("/v1/sessions", &json!({"host": host.to_string()})).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    let path = format!(
        "/v1/sessions/{}",
        opened.body["session_id"].as_str().expect("an id")
    );
    eventually("the session is active", async || {
        let session = api.get(&format!("{path}?wait=10s")).await;
        (session.body["state"] == "active").then_some(())
    })
    .await;
    path
}

/// A command that has ended.
pub(crate) async fn run(api: &Api, session: &str, verb: &str, arguments: Value) -> Value {
    let command = json!({"verb": verb, "arguments": arguments});
    let accepted = api.post(&format!("{session}/commands"), &command).await;
    assert_eq!(accepted.status, 201, "{accepted:?}");
    let path = format!("{session}/commands/{}", accepted.body["number"]);
    eventually("the command ends", async || {
        let command = api.get(&format!("{path}?wait=10s")).await.body;
        (command["state"] != "pending" && command["state"] != "running").then_some(command)
    })
    .await
}

pub(crate) async fn bytes(api: &Api, path: &str) -> Vec<u8> {
    let answer = api.request(Method::GET, path).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.bytes().await.expect("a body").to_vec()
}

/// Uploads that are under way, as the server's disk has them.
pub(crate) fn incoming(data_dir: &Path) -> usize {
    let folder = data_dir.join("artifacts/incoming");
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Begins a request with a body of a hundred megabytes, sends some of it, and goes away.
pub(crate) async fn cut_upload(server: &Server, head: &str, begin: &str) {
    let address = server.url().replace("http://", "");
    let mut connection = TcpStream::connect(address).expect("a connection");
    let head = format!("{head}\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n{begin}");
    connection.write_all(head.as_bytes()).expect("sent");
    connection.write_all(&vec![7; 2 << 20]).expect("sent");
    until("something has come", || incoming(server.data_dir()) == 1).await;
    drop(connection);
    until("nothing is left of it", || incoming(server.data_dir()) == 0).await;
}

#[tokio::test]
async fn a_session_carries_files_both_ways_and_its_archive_and_transcript_tell() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let api = server.api();
    let session = active(&api, host).await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();

    let upload = api
        .request(Method::POST, &format!("{session}/files?name=tool"))
        .body(content.clone());
    let uploaded: Value = upload
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("a file");
    assert_eq!(
        (&uploaded["name"], &uploaded["bytes"]),
        (&json!("tool"), &json!(3_000_000))
    );
    let there = site.path("there");
    let put = run(
        &api,
        &session,
        "put_file",
        json!({"path": there, "artifact": uploaded["sha256"]}),
    )
    .await;
    assert_eq!(put["state"], "succeeded", "{put}");
    assert!(std::fs::read(&there).expect("put") == content);
    let fetched = run(&api, &session, "get_file", json!({"path": there})).await;
    assert_eq!(fetched["state"], "succeeded", "{fetched}");
    let path = format!("{session}/files/{}/content", fetched["file"]);
    assert!(bytes(&api, &path).await == content);

    let archive = bytes(&api, &format!("{session}/archive")).await;
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).expect("a zip");
    let names = archive
        .file_names()
        .map(|name| name.expect("a name").into_owned());
    let names: Vec<String> = names.collect();
    assert_eq!(names.len(), 2, "{names:?}");
    for name in names {
        let mut file = Vec::new();
        archive
            .by_name(&name)
            .expect("a file")
            .read_to_end(&mut file)
            .expect("read");
        assert!(file == content, "{name}");
    }
    let closed = api
        .request(Method::DELETE, &session)
        .send()
        .await
        .expect("an answer");
    assert_eq!(closed.status(), 200);
    let transcript = api.get(&format!("{session}/commands")).await.body;
    let verbs: Vec<&Value> = transcript["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| &c["verb"])
        .collect();
    assert_eq!(verbs, ["put_file", "get_file"]);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let api = server.api();
    let session = active(&api, agent.host_id().await).await;
    let token = std::fs::read_to_string(server.data_dir().join("admin.token")).expect("a token");
    let head = format!(
        "POST {session}/files HTTP/1.1\r\nAuthorization: Bearer {}",
        token.trim()
    );
    cut_upload(&server, &head, "").await;
    let files = api.get(&format!("{session}/files")).await.body;
    assert_eq!(files["items"], json!([]));
}

#[tokio::test]
async fn others_of_an_org_may_look_at_a_session_and_only_its_owner_acts() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let api = server.api();
    let token = |role: &'static str| json!({"name": role, "role": role});
    let owner = api.with_token(&api.create_token(token("operator")).await);
    let other = api.with_token(&api.create_token(token("operator")).await);
    let viewer = api.with_token(&api.create_token(token("viewer")).await);
    let session = active(&owner, host).await;
    let command = json!({"verb": "list_processes"});
    for (stranger, status) in [(&other, 200), (&viewer, 200)] {
        assert_eq!(stranger.get(&session).await.status, status);
        assert_eq!(
            stranger
                .post(&format!("{session}/commands"), &command)
                .await
                .status,
            403
        );
        assert_eq!(
            stranger
                .post(&format!("{session}/keepalive"), &json!({}))
                .await
                .status,
            403
        );
    }
    assert_eq!(
        viewer.post("/v1/sessions", &json!({"host": host})).await.status,
        403
    );
    assert_eq!(
        owner.post(&format!("{session}/commands"), &command).await.status,
        201
    );
    for (path, status) in [
        ("/v1/sessions/nonsense", 400),
        ("/v1/sessions/4000000", 404),
        ("/v1/sessions?state=asleep", 400),
        ("/v1/sessions?open=true", 200),
    ] {
        assert_eq!(owner.get(path).await.status, status, "{path}");
    }
    assert_eq!(owner.get(&format!("{session}?wait=61s")).await.status, 400);
    assert_eq!(owner.get(&format!("{session}/commands/99")).await.status, 404);
}

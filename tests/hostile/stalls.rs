//! Clients that begin and do not go on: requests that drip, uploads that stop, answers that nobody reads, requesters
//! that are gone.

use crate::harness::{Api, eventually, until};
use crate::scene::Scene;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use tripline::endpoints::Endpoints;

fn connect(url: &str) -> TcpStream {
    let connection = TcpStream::connect(url.replace("http://", "")).expect("a connection");
    connection.set_nonblocking(true).expect("an option");
    connection
}

/// Sends all of a text; the connection takes it at once.
fn say(connection: &mut TcpStream, text: &str) {
    connection.write_all(text.as_bytes()).expect("sent");
}

/// What comes until the server has closed the connection.
async fn answer(connection: &mut TcpStream) -> String {
    let mut text = Vec::new();
    until("the server closes the connection", || {
        let mut piece = [0; 4096];
        match connection.read(&mut piece) {
            Ok(0) => true,
            Ok(count) => {
                text.extend_from_slice(&piece[..count]);
                false
            }
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    })
    .await;
    String::from_utf8_lossy(&text).into_owned()
}

fn admin(scene: &Scene) -> String {
    let token = std::fs::read_to_string(scene.server.data_dir().join("admin.token"));
    token.expect("a token").trim().to_owned()
}

/// An open session on the honest host.
async fn session(scene: &Scene) -> String {
    let host = json!({"host": scene.honest.host_id()});
    let opened = scene.api.post("/v1/sessions", &host).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    format!(
        "/v1/sessions/{}",
        opened.body["session_id"].as_str().expect("an id")
    )
}

fn incoming(scene: &Scene) -> usize {
    let folder: PathBuf = scene.server.data_dir().join("artifacts/incoming");
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_head_and_a_body_that_drip_are_given_up() {
    let scene = Scene::start(&[("limits.head_timeout", "500ms"), ("limits.body_timeout", "500ms")]).await;
    let url = scene.server.url();
    let silent = scene.metric("tripline_http_silent_connections_total", "").await;
    let mut dripping = connect(&url);
    say(&mut dripping, "GET /v1/hosts HTTP/1.1\r\nHost: x\r\n");
    eventually("a head that drips is given up", async || {
        // A byte now and then does not help it.
        dripping.write_all(b"a").err()
    })
    .await;
    scene
        .counted("tripline_http_silent_connections_total", "", silent)
        .await;
    let mut stalled = connect(&url);
    let token = admin(&scene);
    say(
        &mut stalled,
        &format!(
            "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 100\r\n\r\n{{\"host\":"
        ),
    );
    let text = answer(&mut stalled).await;
    assert!(
        text.starts_with("HTTP/1.1 408") && text.contains("body_too_slow"),
        "{text}"
    );
    assert!(text.contains("500ms"), "{text}");
    assert!(
        scene
            .metric("tripline_http_requests_total", "status=\"408\"")
            .await
            >= 1.0
    );
    assert_eq!(scene.api.jobs().await.len(), 0);
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn uploads_that_stop_in_the_middle_leave_nothing() {
    let scene = Scene::start(&[("limits.body_timeout", "1s")]).await;
    let (url, token) = (scene.server.url(), admin(&scene));
    let session = session(&scene).await;
    let mut stalled = connect(&url);
    stalled.set_nonblocking(false).expect("an option");
    say(
        &mut stalled,
        &format!(
            "POST {session}/files?name=x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 100000000\r\n\r\n"
        ),
    );
    say(&mut stalled, &"x".repeat(1 << 20));
    stalled.set_nonblocking(true).expect("an option");
    until("something has come", || incoming(&scene) == 1).await;
    scene.honest_work_is_done().await;
    assert!(answer(&mut stalled).await.starts_with("HTTP/1.1 408"));
    until("nothing is left of it", || incoming(&scene) == 0).await;

    // A Carbon Black script, which stops where one part ends and the next does not begin.
    let sensor = scene.honest.sensor_id();
    let cb = scene
        .api
        .request(Method::POST, "/api/v1/cblr/session")
        .header("X-Auth-Token", &token);
    let opened: Value = cb
        .json(&json!({"sensor_id": sensor}))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let id = opened["id"].as_u64().expect("an id");
    for part in [
        "",
        "--b\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nx",
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nx",
    ] {
        let mut stalled = connect(&url);
        let head =
            format!("POST /api/v1/cblr/session/{id}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}");
        say(
            &mut stalled,
            &format!(
                "{head}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n{part}"
            ),
        );
        let text = answer(&mut stalled).await;
        assert!(text.starts_with("HTTP/1.1 408"), "{part:?}: {text}");
    }
    until("nothing is left of it", || incoming(&scene) == 0).await;
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn a_download_that_nobody_reads_ends_and_frees_what_it_held() {
    let scene = Scene::start(&[("limits.send_timeout", "1s")]).await;
    let session = session(&scene).await;
    // More than all buffers on the way can hold.
    let upload = scene
        .api
        .request(Method::POST, &format!("{session}/files?name=x"))
        .body(vec![7; 64 << 20]);
    let file: Value = upload
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("a file");
    let path = format!("{session}/files/{}/content", file["number"]);
    let cut = "tripline_http_answers_cut_total";
    let before = scene.metric(cut, "").await;
    let token = admin(&scene);
    let mut deaf: Vec<TcpStream> = (0..4).map(|_| connect(&scene.server.url())).collect();
    for connection in &mut deaf {
        say(
            connection,
            &format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"),
        );
    }
    scene.honest_work_is_done().await;
    eventually("all four are given up", async || {
        (scene.metric(cut, "").await >= before + 4.0).then_some(())
    })
    .await;
    for connection in &mut deaf {
        let text = answer(connection).await;
        assert!(text.len() < 64 << 20, "{} bytes", text.len());
    }
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn a_follower_of_events_that_does_not_read_loses_its_place() {
    let scene = Scene::start(&[("limits.send_timeout", "1s")]).await;
    let token = admin(&scene);
    let mut deaf = connect(&scene.server.url());
    say(
        &mut deaf,
        &format!("GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"),
    );
    eventually("it follows", async || {
        (scene.metric("tripline_http_event_streams", "").await == 1.0).then_some(())
    })
    .await;
    let data = "x".repeat(700_000);
    for number in 0..60 {
        publish(&scene.api, number, &data).await;
    }
    eventually("it follows no more", async || {
        (scene.metric("tripline_http_event_streams", "").await == 0.0).then_some(())
    })
    .await;
    scene.honest_work_is_done().await;
}

async fn publish(api: &Api, number: usize, data: &str) {
    let event = json!({"etype": "acme.large", "id": number.to_string(), "data": data});
    let answer = api.post("/v1/events", &event).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test]
async fn requesters_on_the_broker_that_are_gone_keep_no_place() {
    let scene = Scene::start(&[]).await;
    let outside = scene.server.outside().await;
    let token = admin(&scene);
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Tripline-Token", token.as_str());
    // More than are handled at once, and nobody waits for an answer.
    for _ in 0..500 {
        let client = &outside.operator;
        let asked = client.publish_with_reply_and_headers(
            "tripline.api.hosts.list",
            "_INBOX.nobody",
            headers.clone(),
            "{}".into(),
        );
        asked.await.expect("sent");
    }
    outside.operator.flush().await.expect("sent");
    let listed = eventually("an answer to one who waits for it", async || {
        let asked =
            outside
                .operator
                .request_with_headers("tripline.api.hosts.list", headers.clone(), "{}".into());
        let answer = asked.await.ok()?;
        serde_json::from_slice::<Value>(&answer.payload)
            .ok()
            .filter(|answer| answer["items"].is_array())
    })
    .await;
    assert_eq!(listed["items"][0]["hostname"], "honest");
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn clients_of_littlebrother_that_stall_keep_no_other_client_out() {
    let scene = Scene::start(&[
        ("littlebrother.secret", "a-secret-of-the-tests"),
        ("littlebrother.listen", "127.0.0.1:0"),
        ("limits.strangers_max", "20"),
        ("limits.body_timeout", "1s"),
        ("limits.head_timeout", "1h"),
    ])
    .await;
    let endpoints = Endpoints::read(scene.server.data_dir()).expect("it runs");
    let url = endpoints.littlebrother_url().expect("it listens");
    let head = "POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"secret\":";
    let mut stalled = connect(url.trim_end_matches('/'));
    say(&mut stalled, head);
    assert!(answer(&mut stalled).await.starts_with("HTTP/1.1 408"));
    let silent: Vec<TcpStream> = (0..100).map(|_| connect(url.trim_end_matches('/'))).collect();
    let health = reqwest::get(format!("{}/health", url.trim_end_matches('/')))
        .await
        .expect("an answer");
    assert_eq!(health.status(), 200);
    scene
        .counted("tripline_http_strangers_closed_total", "", 49.0)
        .await;
    scene.honest_work_is_done().await;
    drop(silent);
}

//! What services answer that they should not, and where they are that they must not be.

use crate::harness::{eventually, until};
use crate::peer::{Does, Peer};
use crate::scene::{SECRET, Scene, service};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tripline_protocol::HostId;
use uuid::Uuid;

/// What becomes of a detection of each name with two attempts: how often it came.
const TIMES: [(&str, usize); 11] = [
    ("html", 2),
    ("no_success", 2),
    ("text_success", 2),
    ("reset", 2),
    ("endless", 2),
    ("redirect", 2),
    ("error", 2),
    ("silent", 2),
    ("again", 2),
    ("refused", 1),
    ("not_found", 1),
];

fn by_name(cat: &str, elsewhere: &str) -> Does {
    match cat {
        "html" => Does::Say("HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n<html>Hi</html>".into()),
        "no_success" => Does::Answer(json!({ "data": {} })),
        "text_success" => Does::Answer(json!({ "success": "true" })),
        "reset" => Does::Reset,
        "endless" => Does::Endless,
        "redirect" => Does::status(307, &format!("location: {elsewhere}\r\n")),
        "error" => Does::status(503, ""),
        "silent" => Does::Silence,
        "again" => Does::Answer(json!({ "success": false, "retry": true })),
        "refused" => Does::Answer(json!({ "success": false, "error": "not mine" })),
        "not_found" => Does::status(404, ""),
        _ => Does::done(),
    }
}

#[actix_web::test]
async fn whatever_a_service_answers_each_message_ends_and_the_next_comes() {
    let elsewhere = Peer::start(SECRET, |_| Does::done()).await;
    let location = elsewhere.url();
    let handled: Vec<&str> = TIMES.iter().map(|(cat, _)| *cat).chain(["fine"]).collect();
    let peer = Peer::start(SECRET, move |call: &Value| match call["etype"].as_str() {
        Some("health") => Does::health(&["health", "detection", "org_install", "service_error"], &handled),
        Some("detection") => by_name(call["data"]["cat"].as_str().unwrap_or_default(), &location),
        _ => Does::done(),
    })
    .await;
    let scene = Scene::start(&service("odd", &peer, "attempts = 2\ndeadline = \"1s\"\n")).await;
    scene.installed("odd").await;
    // Two at a time fail four times in a row, which is not often enough for the breaker.
    for (turn, pair) in TIMES.chunks(2).enumerate() {
        for (cat, _) in pair {
            scene
                .detect(&format!("of-{cat}"), cat, HostId(Uuid::new_v4()))
                .await;
        }
        for (cat, times) in pair {
            until(cat, || peer.detections(cat).len() >= *times).await;
        }
        let next = format!("fine-{turn}");
        scene.detect(&next, "fine", HostId(Uuid::new_v4())).await;
        until("the next comes", || peer.detections("fine").len() > turn).await;
    }
    let view = scene
        .service_is("odd", "nothing waits", |view| view["waiting"] == 0)
        .await;
    for (cat, times) in TIMES {
        let told = peer.detections(cat);
        assert_eq!(told.len(), times, "{cat}");
        let mids: BTreeSet<&str> = told.iter().filter_map(|call| call["mid"].as_str()).collect();
        assert_eq!(mids.len(), 1, "{cat}: the same message");
    }
    assert_eq!(elsewhere.calls(), 0, "a redirect is not followed");
    // Two answers of eight MiB, and what is on its way in buffers.
    assert!(peer.sent() < 64 << 20, "{}", peer.sent());
    assert!(view["given_up"].as_u64() >= Some(9), "{view}");
    let dead = eventually("dead letters", async || {
        let answer = scene.api.get("/v1/dead?limit=1000").await;
        let items = answer.body["items"].as_array().cloned().unwrap_or_default();
        Some(items).filter(|items| items.len() >= 10)
    })
    .await;
    assert_eq!(dead.len(), 10, "{dead:#?}");
    until("the service is told", || peer.told("service_error").len() >= 10).await;
}

#[actix_web::test]
async fn a_private_address_is_not_called_unless_it_is_allowed() {
    let scene = Scene::start("").await;
    for name in ["address", "named"] {
        let peer = Peer::start(SECRET, |call: &Value| match call["etype"].as_str() {
            Some("health") => Does::health(&["health"], &[]),
            _ => Does::done(),
        })
        .await;
        let url = match name {
            "named" => format!("http://localhost:{}/", peer.addr.port()),
            _ => peer.url(),
        };
        let mut body = json!({ "name": name, "url": url, "secret": SECRET });
        let made = scene.api.post("/v1/services", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let view = scene
            .service_is(name, "it is down", |view| !view["last_failure"].is_null())
            .await;
        let why = view["last_failure"]["text"].as_str().expect("a text");
        assert!(why.contains("is private"), "{why}");
        assert_eq!(view["state"], "down");
        assert_eq!(peer.calls(), 0, "nobody came");
        body["allow_private"] = json!(true);
        let path = format!("/v1/services/{name}");
        let request = scene.api.request(reqwest::Method::PUT, &path).json(&body);
        assert_eq!(request.send().await.expect("an answer").status(), 200);
        scene
            .service_is(name, "it is up", |view| view["state"] == "up")
            .await;
        assert!(peer.calls() > 0);
    }
}

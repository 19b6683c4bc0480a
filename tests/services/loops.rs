//! Servers that are each other's services, in the least form: one that is its own.

use crate::harness::eventually;
use crate::scene::{SECRET, Scene};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tripline_protocol::HostId;
use tripline_protocol::Org;
use tripline_protocol::limacharlie::oid;
use tripline_protocol::limit::TRIPDEPTH_MAX;
use uuid::Uuid;

/// How deep each detection in the stream is, by its org and id.
async fn depths(scene: &Scene) -> BTreeMap<String, u64> {
    let stream = scene.outside.stream("TRIPLINE_EVENTS").await;
    let state = &stream.cached_info().state;
    let mut depths = BTreeMap::new();
    for sequence in state.first_sequence.max(1)..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.expect("a message");
        if message.subject.ends_with(".detection") {
            let event: Value = serde_json::from_slice(&message.payload).expect("JSON");
            let name = format!("{} {}", message.subject, event["id"]);
            depths.insert(name, event["tripdepth"].as_u64().unwrap_or(0));
        }
    }
    depths
}

#[actix_web::test]
async fn a_detection_goes_round_servers_that_serve_each_other_so_often_and_no_more() {
    let scene = Scene::start(&format!(
        "[limacharlie]\nsecret = {SECRET:?}\ndetections = [\"echo\"]\n"
    ))
    .await;
    let own = oid(&Org::default_org()).to_string();
    let body = json!({
        "name": "own", "url": format!("{}/lc", scene.server.url()), "secret": SECRET,
        "allow_private": true, "orgs": ["default", own],
    });
    let made = scene.api.post("/v1/services", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    scene
        .service_is("own", "both orgs are installed", |view| {
            let installed = &view["installations"];
            installed["default"] == "installed" && installed[&own] == "installed"
        })
        .await;
    scene.detect("first", "echo", HostId(Uuid::new_v4())).await;
    let view = scene
        .service_is("own", "the last is refused", |view| {
            view["last_failure"]["text"]
                .as_str()
                .is_some_and(|text| text.contains("tripdepth"))
        })
        .await;
    assert_eq!(view["state"], "up", "{view}");
    let all = eventually("all are in the stream", async || {
        Some(depths(&scene).await).filter(|depths| depths.len() > usize::from(TRIPDEPTH_MAX))
    })
    .await;
    let mut rounds: Vec<u64> = all.values().copied().collect();
    rounds.sort_unstable();
    let expected: Vec<u64> = (0..=u64::from(TRIPDEPTH_MAX)).collect();
    assert_eq!(rounds, expected, "each one deeper than the one before: {all:?}");
    scene
        .service_is("own", "nothing is on its way", |view| view["waiting"] == 0)
        .await;
}

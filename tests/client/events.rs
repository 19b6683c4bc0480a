//! Following events with the client, and acting on them.

use crate::harness::scripted::Persona;
use crate::scene::Scene;
use serde_json::{Value, json};
use tripline_client::{Error, EventStream, HostId, Session};

/// Publishes an event over HTTP; it is on NATS a moment later.
async fn publish(scene: &Scene, id: &str, etype: &str, host: Option<HostId>, data: Value) {
    let event = json!({"etype": etype, "id": id, "source": "tests", "host_id": host, "data": data});
    let answer = scene.api().post("/v1/events", &event).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

async fn ids(events: &mut EventStream, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(events.next_event().await.expect("an event").id);
    }
    ids
}

#[tokio::test]
async fn if_this_event_comes_then_that_job_runs() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.scripted(Persona::linux("pc01")).await;
    let names = async |session: &Session| -> Result<Vec<String>, Error> {
        let processes = session.list_processes().await?.processes;
        Ok(processes.into_iter().map(|process| process.path).collect())
    };
    let mut events = scene
        .client
        .events(["PROHIBITED_PROCESS"])
        .await
        .expect("a stream");
    publish(&scene, "1", "other", Some(agent.host_id()), json!({})).await;
    publish(
        &scene,
        "2",
        "PROHIBITED_PROCESS",
        Some(agent.host_id()),
        json!({"pid": 7}),
    )
    .await;

    let event = events.next_event().await.expect("an event");
    let host = event.hostid.expect("a host");
    let processes = scene.client.submit_job(names, host).await.expect("done");

    assert_eq!((event.id.as_str(), event.data), ("2", json!({"pid": 7})));
    assert!(!processes.is_empty());
}

#[tokio::test]
async fn events_go_on_over_restarts_of_the_server_and_of_the_program() {
    let mut scene = Scene::start_with(&[], 0).await;
    let mut events = scene.client.events(["acme.*"]).await.expect("a stream");
    let from = events.position();
    for id in ["1", "2"] {
        publish(&scene, id, "acme.a", None, json!({})).await;
    }
    assert_eq!(ids(&mut events, 2).await, ["1", "2"]);
    assert!(scene.server.terminate().await.success());
    scene.server.spawn();
    scene.server.ready().await;
    publish(&scene, "3", "acme.a", None, json!({})).await;
    publish(&scene, "x", "other", None, json!({})).await;
    publish(&scene, "4", "acme.b", None, json!({})).await;
    assert_eq!(ids(&mut events, 2).await, ["3", "4"]);

    let place = events.position();
    assert!(place > from);
    drop(events);
    publish(&scene, "5", "acme.b", None, json!({})).await;
    let mut later = scene
        .client
        .events(["acme.*"])
        .after(place)
        .await
        .expect("a stream");
    assert_eq!(ids(&mut later, 1).await, ["5"]);
    let mut all = scene
        .client
        .events(["acme.*"])
        .after(from)
        .await
        .expect("a stream");
    assert_eq!(ids(&mut all, 5).await, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn what_the_server_has_not_kept_is_told() {
    let scene = Scene::start_with(&[], 0).await;
    for id in ["1", "2", "3"] {
        publish(&scene, id, "acme.a", None, json!({})).await;
    }
    let mut all = scene.client.events(["acme.*"]).after(0).await.expect("a stream");
    assert_eq!(ids(&mut all, 3).await, ["1", "2", "3"]);
    let outside = scene.server.outside().await;
    let stream = outside.stream("TRIPLINE_EVENTS").await;
    stream.purge().keep(1).await.expect("to purge");
    let mut late = scene.client.events(["acme.*"]).after(0).await.expect("a stream");
    let lost = late.next_event().await.expect_err("a gap");
    assert_eq!(lost.code(), "events_lost");
    assert_eq!(ids(&mut late, 1).await, ["3"]);
}

#[tokio::test]
async fn a_wrong_pattern_and_an_unknown_host_are_told_at_the_beginning() {
    let scene = Scene::start_with(&[], 0).await;
    let wrong = scene.client.events(["a b"]).await.expect_err("no pattern");
    assert_eq!(wrong.status(), Some(400));
    let unknown = scene
        .client
        .events(["a"])
        .host("nobody")
        .await
        .expect_err("no host");
    assert_eq!(unknown.code(), "not_found");
}

//! Events that cannot be understood or handled: each to its dead letter, with the reason, and nothing else happens.

use crate::harness::{AgentProcess, Server, SimulatedAgent, Site, cloud_event, job_of_event};
use serde_json::json;
use std::collections::BTreeMap;
use tripline_protocol::{HostId, Span, Timestamp};
use uuid::Uuid;

const PIPELINES: [(&str, &str); 3] = [
    (
        "look.yaml",
        "name: look\non: [look]\njob:\n  steps:\n    - list_directory: { path: /proc/self }\n",
    ),
    (
        "stop.yaml",
        "name: stop\non: [stop]\njob:\n  steps:\n    - kill_process: { pid: \"{{ event.data.pid }}\" }\n",
    ),
    (
        "deep.yaml",
        "name: deep\non: [deep]\njob:\n  steps:\n    - delete_file: { path: \"{{ event.data.file.path }}\" }\n",
    ),
];

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_micros(i64::try_from(since.expect("after 1970").as_micros()).expect("before 294247"))
}

/// Reason, etype and payload of each bad event.
fn bad_events(known: HostId, foreign: HostId) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let event = |id: &str, etype: &str, data| cloud_event(id, etype, known, data);
    let text = |value: serde_json::Value| value.to_string().into_bytes();
    let mut differs = event("differs", "look", json!({}));
    differs["type"] = json!("other");
    let mut stale = event("stale", "look", json!({}));
    stale["time"] = json!(now().before(Span::from_secs(2 * 3600)));
    let mut long = event("long", "look", json!({}));
    long["data"] = json!({"text": "x".repeat(790 * 1024)});
    let unknown = HostId(Uuid::new_v4());
    vec![
        ("not_json", "look", b"{\"host\": ".to_vec()),
        ("etype_mismatch", "look", text(differs)),
        ("stale", "look", text(stale)),
        ("too_large", "look", text(long)),
        (
            "unknown_host",
            "look",
            text(cloud_event("unknown", "look", unknown, json!({}))),
        ),
        (
            "unknown_host",
            "look",
            text(cloud_event("foreign", "look", foreign, json!({}))),
        ),
        ("ambiguous_host", "look", text(json!({"hostname": "twin"}))),
        ("no_host", "look", text(json!({"severity": 9}))),
        (
            "bad_attribute",
            "look",
            text(json!({"specversion": "0.3", "id": "x", "type": "look"})),
        ),
        (
            "bad_argument",
            "stop",
            text(event("words", "stop", json!({"pid": "many"}))),
        ),
        (
            "missing_field",
            "deep",
            text(event("missing", "deep", json!({"file": {}}))),
        ),
    ]
}

#[tokio::test]
async fn every_bad_event_goes_to_its_dead_letter_with_the_reason_and_changes_nothing() {
    let site = Site::new().await;
    for (name, text) in PIPELINES {
        site.write(&format!("pipelines/{name}"), text);
    }
    let pipelines = site.path("pipelines");
    let server = Server::start(&site, &[("pipelines.dir", pipelines.to_str().expect("UTF-8"))]).await;
    let api = server.api();
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let known = agent.host_id().await;
    let token = api.enrol_token().await;
    for _ in 0..2 {
        SimulatedAgent::enrol(&server, &token, "twin").await;
    }
    let acme = api
        .create_token(json!({"name": "acme", "role": "enrol", "org": "acme"}))
        .await;
    let foreign = SimulatedAgent::enrol(&server, &acme, "elsewhere").await.host_id;

    let outside = server.outside().await;
    let events = bad_events(known, foreign);
    for (_, etype, payload) in &events {
        outside.publish_bytes(etype, &[], payload.clone()).await;
    }
    outside.all_handled().await;
    let letters = outside.dead(events.len()).await;
    let mut by_payload: BTreeMap<_, _> = letters
        .iter()
        .map(|letter| (letter.payload.clone(), letter))
        .collect();
    for (reason, etype, payload) in events {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(200)]).into_owned();
        let letter = by_payload
            .remove(&payload)
            .unwrap_or_else(|| panic!("no dead letter for {shown}"));
        assert_eq!(letter.reason, reason, "{shown}: {}", letter.text);
        assert_eq!(
            letter.subject,
            format!("tripline.dead.default.{reason}"),
            "{shown}"
        );
        assert_eq!(letter.from, format!("tripline.events.default.{etype}"), "{shown}");
        assert!(letter.text.len() > 10, "{shown}: {:?}", letter.text);
    }
    assert!(by_payload.is_empty(), "more than was sent: {by_payload:?}");
    assert_eq!(api.jobs().await.len(), 0);
    assert_eq!(outside.results().await.len(), 0);

    outside
        .publish("look", &cloud_event("good", "look", known, json!({})))
        .await;
    api.ended(job_of_event("system-test", "good", "look", known))
        .await;
}

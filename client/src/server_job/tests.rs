//! Jobs of a server that answers what a test says.

use super::*;
use crate::stub::{Reply, Stub, host};
use std::collections::VecDeque;
use tripline_protocol::FaultClass;

const JOB: &str = "00000000-0000-0000-0000-00000000000a";

fn view(state: &str, more: Value) -> Value {
    let mut view = json!({
        "job_id": JOB, "org": "default", "name": "look", "state": state, "priority": "normal", "run": 0, "attempt": 1,
        "host": {"host_id": host("web01")["host_id"], "hostname": "web01"},
        "queued_at": "2026-11-21T00:00:00Z", "expires_at": "2026-11-22T00:00:00Z", "steps": [],
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut view, more) {
        all.extend(more);
    }
    view
}

/// Answers with these views one after the other, the last one for ever.
async fn stub(views: impl IntoIterator<Item = Value>) -> Stub {
    let mut views: VecDeque<Value> = views.into_iter().collect();
    Stub::start(move |_| {
        let next = match views.len() {
            0 | 1 => views.front().cloned(),
            _ => views.pop_front(),
        };
        Reply::json(200, &next.unwrap_or_default())
    })
    .await
}

async fn submitted(stub: &Stub) -> ServerJob {
    let job = serde_json::from_value(json!({"name": "look", "steps": [{"list_processes": {}}]}));
    let job = stub.client().run_job("web01", job.expect("a job"));
    job.await.expect("submitted")
}

#[tokio::test]
async fn a_job_whose_answer_was_lost_is_submitted_again_under_the_same_key() {
    let mut first = true;
    let stub = Stub::start(move |_| match std::mem::replace(&mut first, false) {
        true => Reply::HangUp,
        false => Reply::json(201, &view("queued", json!({}))),
    })
    .await;
    let job = stub
        .client()
        .run_named_job("web01", "collect")
        .param("days", 7)
        .param("deep", true);
    assert_eq!(job.await.expect("submitted").id().to_string(), JOB);
    let bodies: Vec<Value> = stub.asked().iter().map(|asked| asked.json()).collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(
        (&bodies[0]["host"], &bodies[0]["named"], &bodies[0]["params"]),
        (
            &json!("web01"),
            &json!("collect"),
            &json!({"days": 7, "deep": true})
        )
    );
    assert!(bodies[0]["idempotency_key"].is_string());
}

#[tokio::test]
async fn a_parameter_without_a_json_form_is_refused_before_anything_is_sent() {
    let stub = stub([]).await;
    let odd = std::collections::BTreeMap::from([([1, 2], 3)]);
    let job = stub.client().run_named_job("web01", "collect").param("odd", odd);
    assert_eq!(job.await.expect_err("refused").code(), "bad_argument");
    assert!(stub.asked().is_empty());
}

#[tokio::test]
async fn a_watched_job_tells_every_change_until_its_end() {
    let running = view("running", json!({}));
    let states = [
        view("queued", json!({})),
        view("queued", json!({})),
        running.clone(),
        running.clone(),
        running,
        view("succeeded", json!({})),
    ];
    let stub = stub(states).await;
    let job = submitted(&stub).await;
    let mut changes = job.watch();
    let mut seen = Vec::new();
    while let Some(change) = changes.next_change().await {
        seen.push(change.expect("a change").state.to_string());
    }
    assert_eq!(seen, ["queued", "running", "succeeded"]);
}

#[tokio::test]
async fn what_a_job_brought_is_its_result_or_an_error_of_its_class() {
    let fault = json!({"class": "live_response", "code": "ENOENT", "text": "not there"});
    let step = |more: Value| json!([{"id": "a", "verb": "get_file", "status": "failed", "error": more}]);
    let reason = |code: &str| json!({"code": code, "text": "so it is"});
    for (state, more, expected) in [
        ("succeeded", json!({}), None),
        (
            "failed",
            json!({"steps": step(fault)}),
            Some((FaultClass::LiveResponse, "ENOENT")),
        ),
        (
            "failed",
            json!({"reason": reason("queue_full")}),
            Some((FaultClass::Server, "queue_full")),
        ),
        (
            "timed_out",
            json!({"reason": reason("job_timeout")}),
            Some((FaultClass::Timeout, "job_timeout")),
        ),
        ("expired", json!({}), Some((FaultClass::Timeout, "expired"))),
        ("cancelled", json!({}), Some((FaultClass::Server, "cancelled"))),
    ] {
        let stub = stub([
            view("queued", json!({})),
            view("running", json!({})),
            view(state, more),
        ])
        .await;
        let job = submitted(&stub).await;
        let result = job.result().await;
        assert_eq!(
            result.as_ref().err().map(|error| (error.class(), error.code())),
            expected,
            "{state}"
        );
        assert_eq!(job.ended().await.expect("it has ended").state.to_string(), state);
    }
}

//! Hosts that are away: what waits for them is seen with its place and its reason, recalled, held, and run when they come.

use crate::harness::{Outside, Ruled, cloud_event, eventually, job_of, job_of_event, tripline};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tripline_protocol::JobId;
use tripline_protocol::job::{JobState, Outcome};

const LOOK: &str = "name: look\non: [look]\njob: { steps: [ list_directory: { path: /proc/self } ] }\n";
const SUCCEEDED: JobState = JobState::Ended(Outcome::Succeeded);

async fn goes(scene: &mut Ruled) {
    scene.agent.kill();
    scene.server.api().attached(scene.host, false).await;
}

/// An event trips the pipeline; its job.
async fn trips(scene: &Ruled, id: &str) -> JobId {
    let event = cloud_event(id, "look", scene.host, json!({}));
    scene.outside.publish("look", &event).await;
    let job_id = job_of_event("system-test", id, "look", scene.host);
    eventually("the job is accepted", async || {
        let answer = scene.server.api().try_get(&format!("/v1/jobs/{job_id}")).await?;
        (answer.status == 200).then_some(())
    })
    .await;
    job_id
}

async fn cli(scene: &Ruled, arguments: &[&str]) -> String {
    let ran = tripline(scene.server.data_dir(), arguments).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.stdout
}

#[tokio::test]
async fn jobs_wait_for_a_host_in_order_are_seen_with_place_and_reason_recalled_and_run_when_it_comes() {
    let mut scene = Ruled::by(LOOK).await;
    goes(&mut scene).await;
    let api = scene.server.api();
    let by_event = trips(&scene, "1").await;
    let recalled = api.submit(scene.host, job_of("list_processes", json!({}))).await;
    let last = api.submit(scene.host, job_of("list_processes", json!({}))).await;
    scene.server.crash().await;
    let shown = cli(&scene, &["job", "show", &last.to_string()]).await;
    assert!(shown.contains("position 3: host offline since "), "{shown}");
    let host = cli(&scene, &["host", "show", &scene.host.to_string()]).await;
    let at = |job_id: JobId| host.find(&job_id.to_string()).expect("it is listed");
    assert!(
        at(by_event) < at(recalled) && at(recalled) < at(last) && host.contains("host offline since "),
        "{host}"
    );
    cli(&scene, &["job", "cancel", &recalled.to_string()]).await;
    let shown = cli(&scene, &["job", "show", &last.to_string()]).await;
    assert!(shown.contains("position 2: "), "{shown}");

    scene.agent.spawn();
    let (first, second) = (api.ended(by_event).await, api.ended(last).await);
    assert_eq!((first.state, second.state), (SUCCEEDED, SUCCEEDED));
    assert!(first.finished_at <= second.started_at, "{first:?} {second:?}");
    let never = api.job(recalled).await;
    assert_eq!(
        (never.state, never.started_at),
        (JobState::Ended(Outcome::Cancelled), None)
    );
    let host = cli(&scene, &["host", "show", &scene.host.to_string()]).await;
    assert!(!host.contains("WAITS FOR"), "{host}");
}

/// The message of a job's result: its subject's last words, its headers, and every path in its payload.
async fn envelope(outside: &Outside, job_id: JobId) -> (String, BTreeSet<String>) {
    let message = eventually("its result", async || {
        let messages = outside.read("TRIPLINE_RESULTS").await;
        messages.into_iter().find(|message| {
            let id = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get("Nats-Msg-Id"));
            id.is_some_and(|id| id.as_str() == job_id.to_string())
        })
    })
    .await;
    let value: Value = serde_json::from_slice(&message.payload).expect("JSON");
    let mut paths = BTreeSet::new();
    keys("", &value, &mut paths);
    let headers = message.headers.iter().flat_map(|headers| headers.iter());
    paths.extend(headers.map(|(name, _)| format!("header {name}")));
    (message.subject.to_string(), paths)
}

fn keys(path: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| keys(&format!("{path}.{key}"), value, into)),
        // How many there are is the host's affair.
        Value::Array(list) => list
            .iter()
            .for_each(|value| keys(&format!("{path}[]"), value, into)),
        _ => drop(into.insert(path.to_owned())),
    }
}

#[tokio::test]
async fn the_result_of_a_job_that_waited_for_its_host_has_the_envelope_of_one_that_did_not() {
    let mut scene = Ruled::by(LOOK).await;
    let online = trips(&scene, "online").await;
    scene.server.api().ended(online).await;
    goes(&mut scene).await;
    let offline = trips(&scene, "offline").await;
    let waiting = scene.server.api().job(offline).await.waiting.expect("it waits");
    assert_eq!(waiting.reason.code, "host_offline");
    scene.agent.spawn();
    assert_eq!(scene.server.api().ended(offline).await.state, SUCCEEDED);
    let (did_not, waited) = (
        envelope(&scene.outside, online).await,
        envelope(&scene.outside, offline).await,
    );
    assert!(did_not.1.contains(".data.steps[].status"), "{did_not:?}");
    assert_eq!(waited, did_not);
}

#[tokio::test]
async fn jobs_of_a_paused_pipeline_are_held_over_a_crash_and_go_on_when_it_is_resumed() {
    let mut scene = Ruled::by(LOOK).await;
    goes(&mut scene).await;
    let held = trips(&scene, "1").await;
    cli(&scene, &["pipeline", "pause", "look", "--reason", "INC-42"]).await;
    scene.server.crash().await;
    scene.agent.spawn();
    let api = scene.server.api();
    api.attached(scene.host, true).await;
    let other = api.run(scene.host, job_of("list_processes", json!({}))).await;
    assert_eq!(other.state, SUCCEEDED, "others go first");
    let shown = cli(&scene, &["job", "show", &held.to_string()]).await;
    assert!(
        shown.contains("queued") && shown.contains("position 1: ") && shown.contains("INC-42"),
        "{shown}"
    );
    cli(&scene, &["pipeline", "resume", "look"]).await;
    assert_eq!(api.ended(held).await.state, SUCCEEDED);
}

//! Pipelines that trip each other: a circle comes to an end, and an event that says it is too deep trips nobody.

use crate::harness::{Ruled, cloud_event, eventually, job_of};
use serde_json::json;
use tripline_protocol::api::JobView;
use tripline_protocol::job::{JobState, Outcome};

/// Events that jobs cause are at most so deep.
const DEPTH_MAX: usize = 8;
const CIRCLE: &str = "name: ping\non: [ping]\njob: { steps: [ publish: { etype: pong } ] }\n---\n\
                      name: pong\non: [pong]\njob: { steps: [ publish: { etype: ping } ] }\n";

/// The jobs of the circle, the oldest first.
async fn jobs(scene: &Ruled) -> Vec<JobView> {
    let mut jobs = scene.server.api().jobs().await;
    jobs.retain(|job| job.pipeline.is_some());
    jobs.sort_by_key(|job| job.queued_at);
    jobs
}

#[tokio::test]
async fn pipelines_that_publish_for_each_other_in_a_circle_come_to_an_end() {
    let scene = Ruled::by(CIRCLE).await;
    let event = cloud_event("first", "ping", scene.host, json!({}));
    scene.outside.publish("ping", &event).await;
    eventually("one job fails", async || {
        let failed = |job: &JobView| job.state == JobState::Ended(Outcome::Failed);
        jobs(&scene).await.iter().any(failed).then_some(())
    })
    .await;
    scene.outside.all_handled().await;
    let jobs = jobs(&scene).await;
    assert_eq!(jobs.len(), DEPTH_MAX + 1, "{jobs:?}");
    for (depth, job) in jobs.iter().enumerate() {
        let name = ["ping", "pong"][depth % 2];
        let outcome = match depth {
            DEPTH_MAX => Outcome::Failed,
            _ => Outcome::Succeeded,
        };
        assert_eq!(
            (job.name.as_str(), job.state),
            (name, JobState::Ended(outcome)),
            "{depth}"
        );
    }
    let last = jobs.last().expect("a job");
    let fault = last.steps[0].error.as_ref().expect("its reason");
    assert_eq!(fault.code, "too_deep", "{fault:?}");
    let result = scene.outside.result(last.job_id).await;
    assert_eq!(result.outcome, Outcome::Failed, "its result says so");
}

#[tokio::test]
async fn an_event_that_says_it_is_too_deep_is_a_dead_letter_and_trips_nobody() {
    let scene = Ruled::by(CIRCLE).await;
    let mut event = cloud_event("forged", "ping", scene.host, json!({}));
    event["tripdepth"] = json!(DEPTH_MAX + 1);
    scene.outside.publish("ping", &event).await;
    let letters = scene.outside.dead(1).await;
    assert_eq!(letters[0].reason, "too_deep", "{letters:?}");
    scene.outside.all_handled().await;
    assert_eq!(jobs(&scene).await.len(), 0);
    let after = scene
        .server
        .api()
        .run(scene.host, job_of("list_processes", json!({})))
        .await;
    assert_eq!(
        after.state,
        JobState::Ended(Outcome::Succeeded),
        "nothing else is held up"
    );
}

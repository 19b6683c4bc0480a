//! Jobs from submission to result.

use crate::fixture::Fixture;
use serde_json::json;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::step::Step;
use tripline_protocol::verb::Verb;

#[actix::test]
async fn a_job_runs_its_steps_in_order_and_its_result_is_published() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let steps = vec![
        Step::new(Verb::ListProcesses, json!({})),
        Step::new(Verb::DeleteFile, json!({ "path": "/tmp/x" })),
    ];
    let job = fixture.submit(host.host_id, steps).await;
    let first = agent.command().await;
    agent.answer(first.command_id, json!({ "processes": [] }));
    assert_eq!(agent.ack().await, [first.command_id]);
    let second = agent.command().await;
    agent.answer(second.command_id, json!({}));
    assert_eq!(agent.ack().await, [second.command_id]);
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Succeeded), "{view:?}");
    let results = fixture.publisher.results();
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].message_id, job.job_id.to_string());
}

//! What a job does beside its commands: steps for its end, events that it publishes, lists. Whatever dies meanwhile.

use crate::events::{delivery, listening};
use crate::fixture::{Fixture, Setup, delete, eventually, list, request};
use serde_json::{Value, json};
use tripline_actors::{Delivery, JobFilter};
use tripline_protocol::api::{JobView, SubmitJob};
use tripline_protocol::job::{JobSpec, JobState, Outcome};
use tripline_protocol::step::{ForEach, ServerVerb, Step, StepStatus};
use tripline_protocol::{HostId, JobId, Span};

pub(crate) async fn submit(
    fixture: &Fixture,
    host_id: HostId,
    steps: Vec<Step>,
    finally: Vec<Step>,
) -> JobView {
    let job = JobSpec {
        finally,
        ..JobSpec::new("test".parse().unwrap(), steps)
    };
    let request = SubmitJob {
        job: Some(job),
        ..request(host_id, Vec::new())
    };
    fixture.core.submit_job(request).await.unwrap()
}

pub(crate) fn wait() -> Step {
    Step::new(ServerVerb::Wait, json!("5m"))
}

async fn waits(fixture: &Fixture, job_id: JobId) {
    eventually("it waits", || async {
        let view = fixture.core.get_job(None, job_id).await.unwrap();
        view.waiting.filter(|waiting| waiting.until.is_some())
    })
    .await;
}

#[actix::test]
async fn a_job_that_is_cancelled_while_it_waits_runs_its_last_steps() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(
        &fixture,
        host.host_id,
        vec![delete(), wait(), list()],
        vec![delete()],
    )
    .await;
    agent.obey().await;
    waits(&fixture, job.job_id).await;
    let view = fixture.core.cancel_job(None, job.job_id).await.unwrap();
    assert_eq!(view.state.outcome(), None, "its last steps are to come");
    agent.obey().await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
    let statuses: Vec<_> = view.steps.iter().map(|step| step.status).collect();
    use StepStatus::{Skipped, Succeeded};
    assert_eq!(statuses, [Succeeded, Skipped, Skipped, Succeeded]);
}

#[actix::test]
async fn a_job_whose_host_is_away_ends_without_its_last_steps() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(&fixture, host.host_id, vec![wait()], vec![list()]).await;
    waits(&fixture, job.job_id).await;
    drop(agent);
    eventually("the host is away", || async {
        let view = fixture
            .core
            .get_host(None, host.host_id.to_string())
            .await
            .unwrap();
        view.attachments.is_empty().then_some(())
    })
    .await;
    let view = fixture.core.cancel_job(None, job.job_id).await.unwrap();
    assert_eq!(view.state.outcome(), None, "its host may come back at once");
    eventually("it waits for its host", || async {
        let view = fixture.core.get_job(None, job.job_id).await.unwrap();
        view.waiting
            .filter(|waiting| waiting.reason.code == "host_offline")
    })
    .await;
    fixture.advance(GRACE);
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
    assert_eq!(view.steps[1].status, StepStatus::Skipped);
    let text = view.reason.unwrap().text;
    assert!(
        text.contains("its last steps did not run to their end: host offline since"),
        "{text}"
    );
}

/// Seconds that a command waits for its host.
const GRACE: u64 = 30;

/// Waits until the scheduler has looked at what is over by now.
pub(crate) async fn looked(fixture: &Fixture) {
    let other = fixture.enrol("somebody").await;
    let spec = JobSpec {
        expires: Some(Span::from_millis(1)),
        ..JobSpec::new("test".parse().unwrap(), vec![list()])
    };
    let request = SubmitJob {
        job: Some(spec),
        ..request(other.host_id, Vec::new())
    };
    let job = fixture.core.submit_job(request).await.unwrap();
    fixture.advance(1);
    fixture.ended(job.job_id).await;
}

#[actix::test]
async fn last_steps_come_in_time_although_another_job_is_in_their_way_for_longer_than_they_may_run() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(&fixture, host.host_id, vec![wait()], vec![delete()]).await;
    waits(&fixture, job.job_id).await;
    let patient = Step {
        timeout: Some(Span::from_secs(500)),
        ..list()
    };
    let other = submit(&fixture, host.host_id, vec![patient], Vec::new()).await;
    let command = agent.command().await.command_id;
    fixture.core.cancel_job(None, job.job_id).await.unwrap();
    fixture.advance(300);
    looked(&fixture).await;
    agent.answer(command, json!({}));
    assert_eq!(agent.ack().await, [command]);
    fixture.ended(other.job_id).await;
    agent.obey().await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
    assert_eq!(view.steps[1].status, StepStatus::Succeeded);
}

#[actix::test]
async fn last_steps_wait_for_a_connection_that_was_lost_for_a_moment() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(&fixture, host.host_id, vec![wait()], vec![delete()]).await;
    waits(&fixture, job.job_id).await;
    drop(agent);
    fixture.core.cancel_job(None, job.job_id).await.unwrap();
    fixture.advance(GRACE - 2);
    looked(&fixture).await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent.obey().await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
    assert_eq!(view.steps[1].status, StepStatus::Succeeded);
}

#[actix::test]
async fn last_steps_wait_for_a_host_that_is_away_when_the_time_of_its_job_is_over() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let spec = JobSpec {
        timeout: Some(Span::from_secs(60)),
        finally: vec![delete()],
        ..JobSpec::new("test".parse().unwrap(), vec![list()])
    };
    let request = SubmitJob {
        job: Some(spec),
        ..request(host.host_id, Vec::new())
    };
    let job = fixture.core.submit_job(request).await.unwrap().job_id;
    agent.command().await;
    fixture.advance(58);
    drop(agent);
    // It is asked to end its command, and cannot answer.
    fixture.advance(5);
    looked(&fixture).await;
    fixture.advance(10);
    eventually("it waits for its host", || async {
        let view = fixture.core.get_job(None, job).await.unwrap();
        (view.state == JobState::Queued).then_some(())
    })
    .await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent.obey().await;
    let view = fixture.ended(job).await;
    assert_eq!(view.state, JobState::Ended(Outcome::TimedOut));
    assert_eq!(view.steps[1].status, StepStatus::Succeeded);
}

#[actix::test]
async fn last_steps_of_a_job_whose_time_ran_out_while_the_server_was_stopped_wait_for_its_host() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(
        &fixture,
        host.host_id,
        vec![wait(), list()],
        vec![delete(), list()],
    )
    .await;
    waits(&fixture, job.job_id).await;
    let later = |setup: &mut Setup| setup.clock.advance(Span::from_secs(700));
    let fixture = fixture.restart_with(later).await;
    looked(&fixture).await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent.obey().await;
    // It stops for longer than they may run, under a command that only reads.
    agent.command().await;
    let fixture = fixture.restart_with(later).await;
    looked(&fixture).await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent.obey().await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::TimedOut));
    let statuses: Vec<_> = view.steps.iter().map(|step| step.status).collect();
    use StepStatus::{Skipped, Succeeded};
    assert_eq!(statuses, [Skipped, Skipped, Succeeded, Succeeded]);
}

#[actix::test]
async fn last_steps_that_do_not_get_their_turn_within_a_day_do_not_run_and_the_reason_says_so() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(&fixture, host.host_id, vec![wait()], vec![delete()]).await;
    waits(&fixture, job.job_id).await;
    fixture.core.pause(&crate::audit::ana(), None).await.unwrap();
    fixture.core.cancel_job(None, job.job_id).await.unwrap();
    fixture.advance(24 * 3600 - 10);
    looked(&fixture).await;
    let view = fixture.core.get_job(None, job.job_id).await.unwrap();
    assert_eq!(view.state, JobState::Queued);
    fixture.advance(10);
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
    let text = view.reason.unwrap().text;
    assert!(
        text.contains("its last steps did not run to their end: paused by ana"),
        "{text}"
    );
}

#[actix::test]
async fn last_steps_that_were_cancelled_do_not_go_on_over_a_restart() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(&fixture, host.host_id, vec![delete()], vec![list(), delete()]).await;
    agent.obey().await;
    agent.command().await;
    fixture.core.cancel_job(None, job.job_id).await.unwrap();
    let fixture = fixture.restart().await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let next = fixture.submit(host.host_id, vec![list()]).await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Succeeded));
    assert_eq!(view.steps[2].status, StepStatus::Skipped);
    assert_eq!(
        view.reason.unwrap().text,
        "all steps succeeded; its last steps did not run to their end: it was cancelled while it ran"
    );
    agent.obey().await;
    fixture.ended(next.job_id).await;
}

#[actix::test]
async fn a_host_that_goes_away_during_the_last_steps_has_a_result_that_says_so() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(&fixture, host.host_id, vec![delete()], vec![delete(), delete()]).await;
    agent.obey().await;
    agent.command().await;
    drop(agent);
    eventually("the host is away", || async {
        let id = host.host_id.to_string();
        let view = fixture.core.get_host(None, id).await.unwrap();
        view.attachments.is_empty().then_some(())
    })
    .await;
    looked(&fixture).await;
    fixture.advance(GRACE);
    fixture.ended(job.job_id).await;
    // The other one is of the job that was looked with.
    let results = fixture.published(".results.", 2).await;
    let message = results
        .iter()
        .find(|message| message.message_id == job.job_id.to_string())
        .unwrap();
    let envelope: Value = serde_json::from_slice(&message.payload).unwrap();
    let result = &envelope["data"];
    assert_eq!(result["outcome"], "succeeded");
    assert_eq!(
        result["reason"]["text"],
        "all steps succeeded; its last steps did not run to their end: nobody knows whether delete_file ran, and it is not \
         run twice"
    );
    assert_eq!(result["steps"][2]["status"], "skipped");
}

#[actix::test]
async fn last_steps_go_on_over_a_restart_and_none_runs_twice() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(&fixture, host.host_id, vec![delete()], vec![delete(), list()]).await;
    let first = agent.obey().await.command_id;
    let second = agent.command().await.command_id;
    let fixture = fixture.restart().await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let again = agent.command().await.command_id;
    assert_eq!(again, second, "it never arrived, and has its id");
    agent.answer(again, json!({}));
    assert_eq!(agent.ack().await, [again]);
    let third = agent.obey().await.command_id;
    assert!(third != first && third != second);
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Succeeded));
    assert!(view.steps.iter().all(|step| step.status == StepStatus::Succeeded));
}

#[actix::test]
async fn a_list_goes_on_over_a_restart_where_it_was() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let each = Step {
        for_each: Some(ForEach {
            items: json!(["/a", "/b", "/c"]),
            max: 5,
        }),
        args: json!({ "path": "{{ item }}" }),
        ..delete()
    };
    let job = submit(&fixture, host.host_id, vec![each], Vec::new()).await;
    let paths = |command: &tripline_protocol::frame::Command| command.call.to_args()["path"].clone();
    assert_eq!(paths(&agent.obey().await), "/a");
    let second = agent.command().await;
    assert_eq!(paths(&second), "/b");
    let fixture = fixture.restart().await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let again = agent.command().await;
    assert_eq!(
        (again.command_id, paths(&again)),
        (second.command_id, json!("/b"))
    );
    agent.answer(again.command_id, json!({}));
    assert_eq!(agent.ack().await, [again.command_id]);
    assert_eq!(paths(&agent.obey().await), "/c");
    let view = fixture.ended(job.job_id).await;
    let ids: Vec<_> = view.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["step1", "step1-1", "step1-2", "step1-3"]);
}

/// Of a published event: its message id and its body.
async fn event(fixture: &Fixture, etype: &str, count: usize) -> Vec<(String, Value)> {
    let subject = format!(".events.default.{etype}");
    let found = fixture.published(&subject, count).await;
    let body = |payload: &[u8]| serde_json::from_slice(payload).unwrap();
    found
        .iter()
        .map(|message| (message.message_id.clone(), body(&message.payload)))
        .collect()
}

#[actix::test]
async fn a_job_publishes_its_event_once_whenever_the_server_dies() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let publish = Step::new(
        ServerVerb::Publish,
        json!({ "etype": "acme.begun", "data": { "n": 1 } }),
    );
    let job = submit(&fixture, host.host_id, vec![publish, delete()], Vec::new()).await;
    let command = agent.command().await.command_id;
    let (id, body) = event(&fixture, "acme.begun", 1).await.remove(0);
    assert_eq!(
        (&body["tripdepth"], &body["data"]),
        (&json!(1), &json!({ "n": 1 }))
    );
    assert_eq!(body["hostid"], json!(host.host_id));
    let fixture = fixture.restart().await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    assert_eq!(agent.command().await.command_id, command);
    agent.answer(command, json!({}));
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.steps[0].output.as_ref().unwrap()["id"], body["id"]);
    let again = fixture.publisher.with(".events.default.acme.begun");
    assert!(
        again.iter().all(|message| message.message_id == id),
        "it is the same event"
    );
}

#[actix::test]
async fn a_job_publishes_an_event_for_every_element_of_a_long_list() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let each = Step {
        for_each: Some(ForEach {
            items: json!(vec![0; 200]),
            max: 200,
        }),
        ..Step::new(
            ServerVerb::Publish,
            json!({ "etype": "acme.seen", "data": "{{ index }}" }),
        )
    };
    let job = submit(&fixture, host.host_id, vec![each], Vec::new()).await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Succeeded));
    let found = event(&fixture, "acme.seen", 200).await;
    let places: Vec<u64> = found
        .iter()
        .map(|(_, body)| body["data"].as_u64().unwrap())
        .collect();
    assert_eq!(places, (0..200).collect::<Vec<_>>());
}

const ECHO: &str = "name: echo\non: [acme.alert]\njob: { steps: [ publish: { etype: acme.alert } ] }\n";

#[actix::test]
async fn a_pipeline_that_trips_itself_comes_to_an_end() {
    let (fixture, host_id) = listening(vec![ECHO]).await;
    let _agent = fixture.attach(host_id, "amelie").await;
    let first = delivery(&fixture, 1, "e1", json!({ "hostname": "amelie" }));
    fixture.core.ingest(vec![first]).await.unwrap();
    for depth in 1..=8_u64 {
        let (id, body) = event(&fixture, "acme.alert", depth as usize).await.pop().unwrap();
        assert_eq!(body["tripdepth"], depth);
        let back = Delivery {
            headers: vec![("Nats-Msg-Id".into(), id)],
            payload: body.to_string().into_bytes().into(),
            ..delivery(&fixture, depth + 1, "x", json!({}))
        };
        fixture.core.ingest(vec![back]).await.unwrap();
    }
    let failed = eventually("the last job failed", || async {
        let filter = JobFilter {
            limit: 100,
            ..JobFilter::default()
        };
        let jobs = fixture.core.list_jobs(filter).await.unwrap().items;
        jobs.into_iter()
            .find(|job| job.state == JobState::Ended(Outcome::Failed))
    })
    .await;
    assert_eq!(failed.steps[0].error.as_ref().unwrap().code, "too_deep");
    assert_eq!(fixture.publisher.with(".events.default.acme.alert").len(), 8);
}

//! Jobs of a paused pipeline: what waits is held, keeps its place, expires as ever and goes on when the pipeline does.

use crate::audit::ana;
use crate::events::{delivery, jobs, listening, stream};
use crate::fixture::{Agent, Fixture, Setup, delete, eventually, hello, request, rules};
use serde_json::json;
use tripline_protocol::api::{BrokerState, JobCounts, JobView, Waiting};
use tripline_protocol::job::{JobState, Outcome, Priority};
use tripline_protocol::{Fault, HostId, Name};

const SUCCEEDED: JobState = JobState::Ended(Outcome::Succeeded);
const PLAIN: &str = "name: p\non: [acme.>]\njob: { steps: [ delete_file: { path: /tmp/x } ] }\n";
const SHORT: &str = "name: p\non: [acme.>]\njob: { expires: 1h, steps: [ delete_file: { path: /tmp/x } ] }\n";
const WAITING: &str = "name: p\non: [acme.>]\njob:\n  timeout: 1h\n  \
                       steps: [ delete_file: { path: /tmp/x }, wait: 2m, delete_file: { path: /tmp/y } ]\n";
const RETRIED: &str = "name: p\non: [acme.>]\njob:\n  retry: { attempts: 2, backoff: 1m }\n  \
                       steps: [ delete_file: { path: /tmp/x } ]\n";
const FAILING: &str = "name: p\non: [acme.>]\nauto_pause: { failed: 1, of: 1 }\n\
                       job: { steps: [ delete_file: { path: /tmp/x } ] }\n";

fn p() -> Name {
    "p".parse().unwrap()
}

async fn offer(fixture: &Fixture, number: u64, host_id: HostId) -> JobView {
    let id = format!("e{number}");
    let event = delivery(fixture, number, &id, json!({ "host_id": host_id }));
    fixture.core.ingest(vec![event]).await.unwrap();
    let of_event = |job: &JobView| job.event.as_ref().is_some_and(|event| event.id == id);
    jobs(fixture).await.into_iter().find(of_event).unwrap()
}

async fn job(fixture: &Fixture, of: &JobView) -> JobView {
    fixture.core.get_job(None, of.job_id).await.unwrap()
}

/// What the job waits for, once that is this.
async fn waits(fixture: &Fixture, of: &JobView, code: &str) -> Waiting {
    eventually(code, || async {
        let view = job(fixture, of).await;
        view.waiting.filter(|waiting| waiting.reason.code == code)
    })
    .await
}

async fn counts(fixture: &Fixture) -> JobCounts {
    let broker = BrokerState {
        connected: true,
        detail: String::new(),
    };
    fixture.core.status(&ana(), broker).await.unwrap().jobs
}

async fn pause(fixture: &Fixture) {
    let reason = Some("INC-42".to_owned());
    fixture.core.pause_pipeline(&ana(), p(), reason).await.unwrap();
}

async fn resume(fixture: &Fixture) {
    fixture.core.resume_pipeline(&ana(), p()).await.unwrap();
}

#[actix::test]
async fn a_job_that_waits_when_its_pipeline_is_paused_does_not_start_until_it_is_resumed() {
    let (fixture, host_id) = listening(vec![PLAIN]).await;
    let first = offer(&fixture, 1, host_id).await;
    let second = offer(&fixture, 2, host_id).await;
    let by_a_person = fixture.submit(host_id, vec![delete()]).await;
    pause(&fixture).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    agent.obey().await;
    assert_eq!(
        fixture.ended(by_a_person.job_id).await.state,
        SUCCEEDED,
        "it need not wait for them"
    );
    for held in [&first, &second] {
        let view = job(&fixture, held).await;
        let waiting = view.waiting.expect("it waits");
        assert_eq!(
            (view.state, waiting.reason.code.as_str()),
            (JobState::Queued, "pipeline_paused")
        );
        let text = &waiting.reason.text;
        assert!(
            text.contains("ana paused pipeline p") && text.contains("INC-42"),
            "{text}"
        );
    }
    let now = counts(&fixture).await;
    assert_eq!((now.open, now.held, now.resting), (2, 2, 0));

    // The server ends and starts again, and its rules are read anew: they are held as before.
    let fixture = fixture.restart().await;
    fixture.core.set_rules(rules(&[PLAIN]));
    let mut agent = fixture.attach(host_id, "amelie").await;
    assert_eq!(waits(&fixture, &first, "pipeline_paused").await.position, 1);
    resume(&fixture).await;
    for next in [first, second] {
        agent.obey().await;
        assert_eq!(
            fixture.ended(next.job_id).await.state,
            SUCCEEDED,
            "in their old order"
        );
    }
}

#[actix::test]
async fn a_held_job_expires_and_says_why_it_never_began() {
    let (fixture, host_id) = listening(vec![SHORT]).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    let first = fixture.submit(host_id, vec![delete()]).await;
    let command = agent.command().await;
    let held = offer(&fixture, 1, host_id).await;
    pause(&fixture).await;
    agent.answer(command.command_id, json!({}));
    agent.ack().await;
    fixture.ended(first.job_id).await;
    waits(&fixture, &held, "pipeline_paused").await;
    fixture.advance(3601);
    let view = fixture.ended(held.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Expired));
    let reason = view.reason.unwrap();
    assert!(
        reason.text.contains("ana paused pipeline p") && reason.text.contains("INC-42"),
        "{}",
        reason.text
    );
}

#[actix::test]
async fn a_held_job_can_be_cancelled() {
    let (fixture, host_id) = listening(vec![PLAIN]).await;
    let held = offer(&fixture, 1, host_id).await;
    pause(&fixture).await;
    waits(&fixture, &held, "pipeline_paused").await;
    let view = fixture.core.cancel_job(None, held.job_id).await.unwrap();
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
    resume(&fixture).await;
    fixture.published(".cancelled.", 1).await;
    assert_eq!(counts(&fixture).await.open, 0);
}

#[actix::test]
async fn a_job_one_of_whose_steps_has_begun_goes_on_although_its_pipeline_is_paused() {
    let (fixture, host_id) = listening(vec![WAITING]).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    let under_way = offer(&fixture, 1, host_id).await;
    agent.obey().await;
    waits(&fixture, &under_way, "wait").await;
    pause(&fixture).await;
    let fixture = fixture.restart().await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    waits(&fixture, &under_way, "wait").await;
    fixture.advance(120);
    agent.obey().await;
    assert_eq!(fixture.ended(under_way.job_id).await.state, SUCCEEDED);
}

#[actix::test]
async fn a_job_that_would_begin_anew_is_held_once_its_back_off_is_over() {
    let (fixture, host_id) = listening(vec![RETRIED]).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    let failed = offer(&fixture, 1, host_id).await;
    fail(&mut agent).await;
    waits(&fixture, &failed, "backing_off").await;
    pause(&fixture).await;
    waits(&fixture, &failed, "backing_off").await;
    fixture.advance(60);
    waits(&fixture, &failed, "pipeline_paused").await;
    resume(&fixture).await;
    agent.obey().await;
    let ended = fixture.ended(failed.job_id).await;
    assert_eq!((ended.state, ended.attempt), (SUCCEEDED, 2));
}

async fn fail(agent: &mut Agent) {
    let command = agent.command().await;
    let fault = Fault::live_response("denied", "no");
    agent.fail(command.command_id, fault);
    agent.ack().await;
}

#[actix::test]
async fn jobs_of_a_pipeline_that_paused_itself_are_held_too() {
    let (fixture, host_id) = listening(vec![FAILING]).await;
    let failing = offer(&fixture, 1, host_id).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    let command = agent.command().await;
    let away = fixture.enrol("ben").await.host_id;
    let held = offer(&fixture, 2, away).await;
    let fault = Fault::live_response("denied", "no");
    agent.fail(command.command_id, fault);
    agent.ack().await;
    fixture.ended(failing.job_id).await;
    let waiting = waits(&fixture, &held, "pipeline_paused").await;
    assert!(
        waiting.reason.text.contains("pipeline p paused itself"),
        "{}",
        waiting.reason.text
    );
    resume(&fixture).await;
    let mut agent = fixture.attach(away, "ben").await;
    agent.obey().await;
    assert_eq!(fixture.ended(held.job_id).await.state, SUCCEEDED);
}

#[actix::test]
async fn a_job_that_was_under_way_at_the_stop_is_adopted_although_its_pipeline_is_paused() {
    let (fixture, host_id) = listening(vec![PLAIN]).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    let under_way = offer(&fixture, 1, host_id).await;
    let command = agent.command().await;
    pause(&fixture).await;
    let fixture = fixture.restart().await;
    let mut returning = hello("amelie");
    returning.finished = vec![command.command_id];
    let mut agent = Agent::attach(&fixture.core, host_id, returning).await;
    agent.answer(command.command_id, json!({}));
    assert_eq!(agent.ack().await, [command.command_id]);
    assert_eq!(fixture.ended(under_way.job_id).await.state, SUCCEEDED);
}

#[actix::test]
async fn an_urgent_job_that_is_held_does_not_make_its_host_urgent() {
    let mut setup = Setup {
        pipelines: vec![
            "name: p\non: [acme.>]\njob: { priority: high, steps: [ delete_file: { path: /tmp/x } ] }\n",
        ],
        ..Setup::default()
    };
    setup.config.slots_total = 1;
    let fixture = Fixture::start_with(setup);
    let (first, second) = (fixture.enrol("amelie").await, fixture.enrol("ben").await);
    stream(&fixture).await;
    let held = offer(&fixture, 1, second.host_id).await;
    pause(&fixture).await;
    let mut low = request(second.host_id, vec![delete()]);
    low.job.as_mut().unwrap().priority = Priority::Low;
    let low = fixture.core.submit_job(low).await.unwrap();
    let normal = fixture.submit(first.host_id, vec![delete()]).await;
    let third = fixture.enrol("carla").await;
    let mut blocker = fixture.attach(third.host_id, "carla").await;
    let blocking = fixture.submit(third.host_id, vec![delete()]).await;
    let command = blocker.command().await;
    let _ben = fixture.attach(second.host_id, "ben").await;
    let _amelie = fixture.attach(first.host_id, "amelie").await;
    assert_eq!(waits(&fixture, &normal, "no_free_slot").await.position, 1);
    assert_eq!(waits(&fixture, &low, "no_free_slot").await.position, 2);
    resume(&fixture).await;
    assert_eq!(waits(&fixture, &held, "no_free_slot").await.position, 1);
    blocker.answer(command.command_id, json!({}));
    fixture.ended(blocking.job_id).await;
}

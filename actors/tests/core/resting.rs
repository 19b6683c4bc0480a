//! Jobs that wait for a time: what others see of them, and that no end of the server loses or doubles a command.

use crate::fixture::{Fixture, Setup, delete, eventually, list};
use serde_json::json;
use tripline_protocol::api::{JobView, SubmitJob};
use tripline_protocol::job::{JobSpec, JobState, Outcome};
use tripline_protocol::step::{Retry, ServerVerb, Step, StepStatus};
use tripline_protocol::{Fault, HostId, JobId, Span};

fn wait(span: &str) -> Step {
    Step::new(ServerVerb::Wait, json!(span))
}

fn retry(attempts: u32) -> Option<Retry> {
    Some(Retry {
        attempts,
        backoff: Span::from_secs(60),
        backoff_max: None,
        on: Vec::new(),
    })
}

async fn submit(fixture: &Fixture, host_id: HostId, job: JobSpec) -> JobView {
    let request = SubmitJob {
        job: Some(job),
        ..crate::fixture::request(host_id, Vec::new())
    };
    fixture.core.submit_job(request).await.unwrap()
}

fn spec(steps: Vec<Step>) -> JobSpec {
    JobSpec::new("test".parse().unwrap(), steps)
}

/// The job, once it waits for this.
async fn waits(fixture: &Fixture, job_id: JobId, code: &str) -> JobView {
    eventually("it waits", || async {
        let view = fixture.core.get_job(None, job_id).await.unwrap();
        let waiting = view.waiting.as_ref()?;
        (waiting.reason.code == code).then_some(view)
    })
    .await
}

#[actix::test]
async fn a_job_that_waits_says_until_when_and_lets_the_next_of_its_host_go_first() {
    let mut setup = Setup::default();
    setup.config.slots_total = 1;
    let fixture = Fixture::start_with(setup);
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(&fixture, host.host_id, spec(vec![wait("2m"), list()])).await;
    let view = waits(&fixture, job.job_id, "wait").await;
    assert_eq!(
        (view.state, view.steps[0].status),
        (JobState::Queued, StepStatus::Running)
    );
    let waiting = view.waiting.unwrap();
    assert_eq!(waiting.until, Some(fixture.now().after(Span::from_secs(120))));
    assert!(
        waiting.reason.text.starts_with("step step1 waits until "),
        "{}",
        waiting.reason.text
    );
    let other = fixture.submit(host.host_id, vec![delete()]).await;
    agent.obey().await;
    fixture.ended(other.job_id).await;
    fixture.advance(120);
    agent.obey().await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Succeeded));
    assert_eq!(view.steps[0].status, StepStatus::Succeeded);
}

#[actix::test]
async fn a_job_that_waits_can_be_cancelled() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(&fixture, host.host_id, spec(vec![wait("2m")])).await;
    waits(&fixture, job.job_id, "wait").await;
    let view = fixture.core.cancel_job(None, job.job_id).await.unwrap();
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
    assert_eq!(
        view.reason.unwrap().text,
        "it was cancelled while it waited to go on"
    );
    fixture.published(".cancelled.", 1).await;
}

#[actix::test]
async fn a_job_that_waits_while_its_host_is_away_ends_when_its_time_is_over() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(&fixture, host.host_id, spec(vec![wait("9m"), list()])).await;
    waits(&fixture, job.job_id, "wait").await;
    drop(agent);
    fixture.advance(600);
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::TimedOut));
    assert_eq!(view.reason.unwrap().code, "job_timeout");
}

#[actix::test]
async fn a_wait_goes_on_over_a_restart() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = submit(&fixture, host.host_id, spec(vec![delete(), wait("2m"), delete()])).await;
    let first = agent.obey().await.command_id;
    let until = waits(&fixture, job.job_id, "wait").await.waiting.unwrap().until;
    let fixture = fixture.restart().await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let view = waits(&fixture, job.job_id, "wait").await;
    assert_eq!(view.waiting.unwrap().until, until);
    fixture.advance(120);
    let second = agent.obey().await.command_id;
    assert_ne!(first, second);
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Succeeded));
}

#[actix::test]
async fn a_job_that_failed_waits_out_its_back_off_over_a_restart_and_begins_anew() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = JobSpec {
        retry: retry(2),
        ..spec(vec![delete()])
    };
    let job = submit(&fixture, host.host_id, job).await;
    let first = agent.command().await.command_id;
    agent.fail(first, Fault::live_response("EBUSY", "busy"));
    let view = waits(&fixture, job.job_id, "backing_off").await;
    assert_eq!(view.steps[0].status, StepStatus::Pending);
    let fixture = fixture.restart().await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    waits(&fixture, job.job_id, "backing_off").await;
    fixture.advance(60);
    let second = agent.command().await.command_id;
    assert_ne!(first, second, "an agent never runs one id twice");
    agent.answer(second, json!({}));
    let view = fixture.ended(job.job_id).await;
    assert_eq!(
        (view.state, view.attempt),
        (JobState::Ended(Outcome::Succeeded), 2)
    );
    assert_eq!(fixture.published(".succeeded.", 1).await.len(), 1);
}

#[actix::test]
async fn a_job_that_cannot_begin_anew_in_time_ends_as_its_last_try_and_runs_its_last_steps() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = JobSpec {
        retry: retry(2),
        expires: Some(Span::from_secs(100)),
        finally: vec![delete()],
        ..spec(vec![delete()])
    };
    let job = submit(&fixture, host.host_id, job).await;
    let first = agent.command().await.command_id;
    agent.fail(first, Fault::live_response("EBUSY", "busy"));
    assert_eq!(agent.ack().await, [first]);
    waits(&fixture, job.job_id, "backing_off").await;
    // Another job is in its way.
    let patient = Step {
        timeout: Some(Span::from_secs(300)),
        ..list()
    };
    submit(&fixture, host.host_id, spec(vec![patient])).await;
    let other = agent.command().await.command_id;
    fixture.advance(110);
    crate::endings::looked(&fixture).await;
    agent.answer(other, json!({}));
    assert_eq!(agent.ack().await, [other]);
    agent.obey().await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Failed));
    let reason = view.reason.unwrap();
    assert_eq!(reason.code, "step_failed");
    assert!(
        reason
            .text
            .contains("busy; it did not begin anew in time: behind job"),
        "{}",
        reason.text
    );
    assert_eq!(view.steps[1].status, StepStatus::Succeeded);
}

#[actix::test]
async fn a_command_under_way_at_a_stop_is_not_run_again_when_no_slot_was_free_to_ask_for_it() {
    let fixture = Fixture::start();
    let (mut jobs, mut agents) = (Vec::new(), Vec::new());
    for hostname in ["amelie", "bernard"] {
        let host_id = fixture.enrol(hostname).await.host_id;
        let mut agent = fixture.attach(host_id, hostname).await;
        let patient = Step {
            timeout: Some(Span::from_secs(300)),
            ..delete()
        };
        let job = JobSpec {
            retry: retry(3),
            finally: vec![delete()],
            ..spec(vec![wait("1m"), patient])
        };
        let job = submit(&fixture, host_id, job).await;
        waits(&fixture, job.job_id, "wait").await;
        fixture.advance(60);
        agent.command().await;
        jobs.push(job.job_id);
        agents.push(agent);
    }
    let fixture = fixture
        .restart_with(|setup| {
            setup.config.slots_total = 1;
            // The time of both is over.
            setup.clock.advance(Span::from_secs(600));
        })
        .await;
    let mut codes = Vec::new();
    for job in jobs {
        // The other one is adopted, until its host does not come back.
        fixture.advance(31);
        let view = fixture.ended(job).await;
        assert_eq!(view.steps[1].status, StepStatus::Interrupted);
        assert_eq!(view.steps[2].status, StepStatus::Skipped);
        codes.push(view.reason.unwrap().code);
    }
    let not_resumed = codes.iter().filter(|code| *code == "not_resumed");
    assert_eq!(not_resumed.count(), 1, "{codes:?}");
}

#[actix::test]
async fn a_step_that_failed_is_tried_again_without_the_steps_before_it() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let again = Step {
        retry: retry(3),
        ..delete()
    };
    let job = submit(&fixture, host.host_id, spec(vec![list(), again])).await;
    agent.obey().await;
    let first = agent.command().await.command_id;
    agent.fail(first, Fault::live_response("EBUSY", "busy"));
    waits(&fixture, job.job_id, "backing_off").await;
    assert_eq!(agent.ack().await, [first]);
    fixture.advance(60);
    agent.obey().await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Succeeded));
    assert_eq!(view.steps[1].tries, Some(2));
}

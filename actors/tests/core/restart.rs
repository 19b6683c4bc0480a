//! The core stops in the middle of something and starts again on the same data.

use crate::fixture::{Agent, Fixture, delete, eventually, hello, list};
use serde_json::json;
use tripline_actors::LinkMessage;
use tripline_protocol::api::{Enrolled, JobView};
use tripline_protocol::frame::{Command, Hello, ServerFrame};
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::step::{Step, StepStatus};
use tripline_protocol::{Fault, Span};
use uuid::Uuid;

/// A core that stopped under a command, started again.
struct Stopped {
    fixture: Fixture,
    host: Enrolled,
    job: JobView,
    command: Command,
}

impl Stopped {
    async fn under(step: Step) -> Self {
        let fixture = Fixture::start();
        let host = fixture.enrol("amelie").await;
        let mut agent = fixture.attach(host.host_id, "amelie").await;
        let job = fixture.submit(host.host_id, vec![step, list()]).await;
        let command = agent.command().await;
        let fixture = fixture.restart().await;
        Self {
            fixture,
            host,
            job,
            command,
        }
    }

    async fn back(&self, hello: Hello) -> Agent {
        Agent::attach(&self.fixture.core, self.host.host_id, hello).await
    }

    async fn ended(&self) -> JobView {
        self.fixture.ended(self.job.job_id).await
    }
}

const SUCCEEDED: JobState = JobState::Ended(Outcome::Succeeded);

#[actix::test]
async fn a_queued_job_survives() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let jobs = [
        fixture.submit(host.host_id, vec![list()]).await,
        fixture.submit(host.host_id, vec![delete()]).await,
    ];
    let fixture = fixture.restart().await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    assert_eq!(
        list().verb,
        agent.obey().await.call.verb(),
        "in the order of acceptance"
    );
    agent.obey().await;
    for job in jobs {
        assert_eq!(fixture.ended(job.job_id).await.state, SUCCEEDED);
    }
}

#[actix::test]
async fn a_reading_job_is_run_again_after_its_old_command_ended() {
    let stopped = Stopped::under(list()).await;
    let old = stopped.command.command_id;
    let mut agent = stopped
        .back(Hello {
            running: vec![old],
            ..hello("amelie")
        })
        .await;
    assert_eq!(agent.cancel().await, old, "nobody waits for it");
    agent.fail(old, Fault::server("cancelled", "cancelled"));
    assert_eq!(agent.ack().await, [old]);
    let again = agent.obey().await;
    assert_ne!(again.command_id, old, "an agent runs no id twice");
    agent.obey().await;
    let view = stopped.ended().await;
    assert_eq!((view.state, view.attempt), (SUCCEEDED, 2));
}

#[actix::test]
async fn a_mutating_command_that_still_runs_is_adopted() {
    let stopped = Stopped::under(delete()).await;
    let id = stopped.command.command_id;
    let mut agent = stopped
        .back(Hello {
            running: vec![id],
            ..hello("amelie")
        })
        .await;
    agent.answer(id, json!({}));
    assert_eq!(agent.ack().await, [id]);
    agent.obey().await;
    let view = stopped.ended().await;
    assert_eq!((view.state, view.attempt), (SUCCEEDED, 1));
}

#[actix::test]
async fn the_result_of_a_mutating_command_that_finished_meanwhile_is_adopted() {
    let stopped = Stopped::under(delete()).await;
    let id = stopped.command.command_id;
    let mut agent = stopped
        .back(Hello {
            finished: vec![id],
            ..hello("amelie")
        })
        .await;
    agent.answer(id, json!({ "deleted": true }));
    assert_eq!(agent.ack().await, [id]);
    agent.obey().await;
    let view = stopped.ended().await;
    assert_eq!(view.state, SUCCEEDED);
    assert_eq!(view.steps[0].output, Some(json!({ "deleted": true })));
}

#[actix::test]
async fn a_mutating_command_that_never_arrived_is_sent_again_as_the_same() {
    let stopped = Stopped::under(delete()).await;
    let mut agent = stopped.back(hello("amelie")).await;
    let again = agent.obey().await;
    assert_eq!(again.command_id, stopped.command.command_id);
    assert!(again.epoch > stopped.command.epoch);
    agent.obey().await;
    assert_eq!(stopped.ended().await.state, SUCCEEDED);
}

#[actix::test]
async fn a_mutating_command_of_a_lost_journal_is_interrupted_and_not_run_again() {
    let stopped = Stopped::under(delete()).await;
    let forgetful = Hello {
        journal_id: Uuid::from_u128(2),
        ..hello("amelie")
    };
    let mut agent = stopped.back(forgetful).await;
    let view = stopped.ended().await;
    assert_eq!(view.state, JobState::Ended(Outcome::Interrupted));
    assert_eq!(view.reason.unwrap().code, "journal_lost");
    assert_eq!(view.steps[0].status, StepStatus::Interrupted);
    let next = stopped.fixture.submit(stopped.host.host_id, vec![list()]).await;
    agent.obey().await;
    assert_eq!(stopped.fixture.ended(next.job_id).await.state, SUCCEEDED);
}

#[actix::test]
async fn a_mutating_command_whose_host_stays_away_is_interrupted_after_the_grace() {
    let stopped = Stopped::under(delete()).await;
    let view = stopped
        .fixture
        .core
        .get_job(None, stopped.job.job_id)
        .await
        .unwrap();
    assert_eq!(view.state, JobState::Running);
    stopped.fixture.advance(31);
    let view = stopped.ended().await;
    assert_eq!(view.state, JobState::Ended(Outcome::Interrupted));
    assert_eq!(view.reason.unwrap().code, "host_gone");
}

#[actix::test]
async fn a_cancelled_reading_job_ends_and_is_not_run_again() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![list()]).await;
    agent.command().await;
    fixture.core.cancel_job(None, job.job_id).await.unwrap();
    let fixture = fixture.restart().await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
}

#[actix::test]
async fn a_cancelled_mutating_job_waits_for_its_command_to_end() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![delete(), list()]).await;
    let id = agent.command().await.command_id;
    fixture.core.cancel_job(None, job.job_id).await.unwrap();
    let fixture = fixture.restart().await;
    let running = Hello {
        running: vec![id],
        ..hello("amelie")
    };
    let mut agent = Agent::attach(&fixture.core, host.host_id, running).await;
    assert_eq!(agent.cancel().await, id);
    agent.fail(id, Fault::server("cancelled", "cancelled"));
    assert_eq!(
        fixture.ended(job.job_id).await.state,
        JobState::Ended(Outcome::Cancelled)
    );
    assert_eq!(agent.ack().await, [id]);
}

#[actix::test]
async fn draining_waits_for_running_jobs_and_starts_no_more() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let running = fixture.submit(host.host_id, vec![delete()]).await;
    let waiting = fixture.submit(host.host_id, vec![delete()]).await;
    let command = agent.command().await;
    let core = fixture.core.clone();
    let mut drained = Box::pin(core.drain(Span::from_secs(60)));
    tokio::select! {
        biased;
        () = &mut drained => panic!("a job still runs"),
        () = std::future::ready(()) => {}
    }
    let rest = async {
        agent.answer(command.command_id, json!({}));
        // The next job is not started. The ack may come too late: then the result is offered again.
        match agent.next().await {
            Some(LinkMessage::Frame(ServerFrame::Ack { .. })) => assert_eq!(agent.close().await, "shutdown"),
            Some(LinkMessage::Close(reason)) => assert_eq!(reason, "shutdown"),
            other => panic!("expected the end, got {other:?}"),
        }
    };
    tokio::join!(&mut drained, rest);
    drop(drained);
    drop(core);
    assert_eq!(fixture.publisher.results().len(), 1);
    assert!(!fixture.core.readiness().actors);
    assert_eq!(fixture.core.slots().await.unwrap_err().code(), "unavailable");
    let fixture = fixture.restart().await;
    assert_eq!(fixture.ended(running.job_id).await.state, SUCCEEDED);
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent.obey().await;
    assert_eq!(fixture.ended(waiting.job_id).await.state, SUCCEEDED);
    eventually("both results are out", || async {
        let ids: std::collections::HashSet<String> = fixture
            .publisher
            .results()
            .into_iter()
            .map(|result| result.message_id)
            .collect();
        (ids.len() == 2).then_some(())
    })
    .await;
}

//! The server, or one of its actors, stops in the middle of a session.

use super::*;
use crate::fixture::{hello, list};
use crate::recorder;
use tripline_protocol::frame::{CODE_CANCELLED, Hello};
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::{CommandId, Fault};
use uuid::Uuid;

/// A session on a host, and the command that its agent was sent when the server stopped.
struct Stopped {
    fixture: Fixture,
    host_id: HostId,
    session: SessionView,
    command: CommandView,
    sent: CommandId,
}

impl Stopped {
    async fn under(command: RunCommand) -> Self {
        let fixture = Fixture::start();
        let host = fixture.enrol("amelie").await;
        let mut agent = fixture.attach(host.host_id, "amelie").await;
        let session = fixture.active(&amelie(), host.host_id).await;
        let command = fixture.run(&amelie(), &session, command).await;
        let sent = agent.command().await.command_id;
        let fixture = fixture.restart().await;
        Self {
            fixture,
            host_id: host.host_id,
            session,
            command,
            sent,
        }
    }

    async fn back(&self, hello: Hello) -> Agent {
        Agent::attach(&self.fixture.core, self.host_id, hello).await
    }

    async fn done(&self) -> CommandView {
        self.fixture.done(&amelie(), &self.command).await
    }
}

fn running(id: CommandId) -> Hello {
    Hello {
        running: vec![id],
        ..hello("amelie")
    }
}

#[actix::test]
async fn a_session_goes_on_after_a_restart_between_two_commands() {
    let fixture = Fixture::start_with(slots(1));
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    fixture.through(&mut agent, &session, delete(), json!({})).await;
    let waiting = fixture.open(&caller("bert"), host.host_id).await;
    let job = fixture.submit(host.host_id, vec![list()]).await;
    let fixture = fixture.restart().await;
    let seen = fixture.seen(session.session_id).await;
    assert_eq!(
        (seen.state, seen.number),
        (SessionState::Active, 1),
        "before all others"
    );
    assert_eq!(fixture.slots_held().await, 1);
    assert_eq!(
        fixture.seen(waiting.session_id).await.state,
        SessionState::Pending
    );
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let next = fixture.through(&mut agent, &session, delete(), json!({})).await;
    assert_eq!(next.number, 2);
    fixture
        .core
        .close_session(&amelie(), session.session_id)
        .await
        .unwrap();
    let bert = caller("bert");
    let served = fixture.session(&bert, waiting.session_id);
    let job_done = async {
        agent.obey().await;
        fixture.ended(job.job_id).await;
    };
    tokio::select! {
        view = served => assert_eq!(view.state, SessionState::Active),
        () = job_done => {}
    }
}

#[actix::test]
async fn a_mutating_command_that_still_runs_is_adopted() {
    let stopped = Stopped::under(delete()).await;
    let mut agent = stopped.back(running(stopped.sent)).await;
    agent.answer(stopped.sent, json!({ "deleted": true }));
    assert_eq!(agent.ack().await, [stopped.sent]);
    let view = stopped.done().await;
    assert_eq!(
        (view.state, view.output),
        (CommandState::Succeeded, Some(json!({ "deleted": true })))
    );
    stopped
        .fixture
        .through(&mut agent, &stopped.session, processes(), json!({}))
        .await;
}

#[actix::test]
async fn the_result_that_was_not_heard_is_taken() {
    for command in [delete(), processes()] {
        let stopped = Stopped::under(command).await;
        let finished = Hello {
            finished: vec![stopped.sent],
            ..hello("amelie")
        };
        let mut agent = stopped.back(finished).await;
        agent.answer(stopped.sent, json!({ "n": 1 }));
        assert_eq!(agent.ack().await, [stopped.sent]);
        assert_eq!(stopped.done().await.output, Some(json!({ "n": 1 })));
    }
}

#[actix::test]
async fn a_command_that_never_arrived_is_sent_again_as_the_same() {
    for command in [delete(), processes()] {
        let stopped = Stopped::under(command).await;
        let mut agent = stopped.back(hello("amelie")).await;
        assert_eq!(agent.obey().await.command_id, stopped.sent);
        assert_eq!(stopped.done().await.state, CommandState::Succeeded);
    }
}

#[actix::test]
async fn a_mutating_command_of_a_lost_journal_is_not_run_again() {
    let stopped = Stopped::under(delete()).await;
    let forgetful = Hello {
        journal_id: Uuid::from_u128(2),
        ..hello("amelie")
    };
    let mut agent = stopped.back(forgetful).await;
    assert_eq!(stopped.done().await.error.unwrap().code, "interrupted");
    stopped
        .fixture
        .through(&mut agent, &stopped.session, processes(), json!({}))
        .await;
}

#[actix::test]
async fn a_command_whose_host_stays_away_fails_after_the_grace() {
    for (command, code) in [(delete(), "interrupted"), (processes(), "host_offline")] {
        let stopped = Stopped::under(command).await;
        stopped.fixture.advance(30);
        assert_eq!(stopped.done().await.error.unwrap().code, code);
    }
}

#[actix::test]
async fn commands_that_waited_run_after_the_restart_in_their_order() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    let mut commands = Vec::new();
    for _ in 0..3 {
        commands.push(fixture.run(&amelie(), &session, delete()).await);
    }
    let first = agent.command().await.command_id;
    let fixture = fixture.restart().await;
    let mut agent = Agent::attach(&fixture.core, host.host_id, running(first)).await;
    agent.answer(first, json!({}));
    assert_eq!(agent.ack().await, [first]);
    for command in &commands[1..] {
        assert_eq!(agent.obey().await.command_id, command.command_id);
    }
    for command in &commands {
        assert_eq!(
            fixture.done(&amelie(), command).await.state,
            CommandState::Succeeded
        );
    }
}

#[actix::test]
async fn a_session_that_was_being_closed_ends_after_the_restart() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    let command = fixture.run(&amelie(), &session, delete()).await;
    let sent = agent.command().await.command_id;
    fixture
        .core
        .close_session(&amelie(), session.session_id)
        .await
        .unwrap();
    let fixture = fixture.restart().await;
    assert_eq!(fixture.slots_held().await, 1);
    let mut agent = Agent::attach(&fixture.core, host.host_id, running(sent)).await;
    assert_eq!(agent.cancel().await, sent);
    agent.fail(sent, Fault::server(CODE_CANCELLED, "cancelled"));
    assert_eq!(agent.ack().await, [sent]);
    fixture.free().await;
    assert_eq!(
        fixture.done(&amelie(), &command).await.state,
        CommandState::Cancelled
    );
    assert_eq!(
        fixture.seen(session.session_id).await.reason.unwrap().code,
        "closed"
    );
}

#[actix::test]
async fn with_fewer_slots_than_before_the_oldest_sessions_keep_theirs() {
    let fixture = Fixture::start_with(slots(2));
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let first = fixture.active(&amelie(), host.host_id).await;
    let second = fixture.active(&amelie(), host.host_id).await;
    let fixture = fixture.restart_with(|setup| setup.config.slots_total = 1).await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    assert_eq!(fixture.seen(first.session_id).await.state, SessionState::Active);
    let waits = fixture.seen(second.session_id).await;
    assert_eq!(
        (waits.state, waits.waiting.unwrap().position),
        (SessionState::Pending, 1)
    );
    fixture
        .core
        .close_session(&amelie(), first.session_id)
        .await
        .unwrap();
    let active = fixture.session(&amelie(), second.session_id).await;
    assert_eq!(active.state, SessionState::Active);
}

#[actix::test]
async fn draining_waits_for_no_session_and_refuses_commands() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    fixture.run(&amelie(), &session, delete()).await;
    let sent = agent.command().await.command_id;
    let core = fixture.core.clone();
    core.drain(Span::from_secs(60)).await;
    let refused = core.run_command(&amelie(), session.session_id, processes()).await;
    assert_eq!(refused.unwrap_err().code(), "unavailable");
    drop(core);
    let fixture = fixture.restart().await;
    let mut agent = Agent::attach(&fixture.core, host.host_id, running(sent)).await;
    agent.answer(sent, json!({}));
    assert_eq!(agent.ack().await, [sent]);
    fixture
        .through(&mut agent, &session, processes(), json!({}))
        .await;
}

#[actix::test]
async fn after_a_panic_sessions_keep_their_slots_and_their_commands() {
    recorder::install();
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    fixture.published("new_sensor", 1).await;
    let thread = fixture.publisher.thread.lock().unwrap().unwrap();
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    let command = fixture.run(&amelie(), &session, delete()).await;
    let sent = agent.command().await.command_id;
    recorder::arm(thread, "tripline_scheduler_sessions_opened_total");
    let refused = fixture.core.open_session(&amelie(), on(host.host_id)).await;
    assert_eq!(refused.unwrap_err().code(), "unavailable");
    assert_eq!(agent.close().await, "restart");
    eventually("the actors are made anew", || async {
        (fixture.core.restarts() == 1 && fixture.core.readiness().actors).then_some(())
    })
    .await;
    assert_eq!(fixture.seen(session.session_id).await.state, SessionState::Active);
    let mut agent = Agent::attach(&fixture.core, host.host_id, running(sent)).await;
    agent.answer(sent, json!({}));
    assert_eq!(agent.ack().await, [sent]);
    assert_eq!(
        fixture.done(&amelie(), &command).await.state,
        CommandState::Succeeded
    );
    let next = fixture.active(&amelie(), host.host_id).await;
    assert!(next.number > session.number, "no number is given twice");
    fixture.through(&mut agent, &next, processes(), json!({})).await;
}

#[actix::test]
async fn a_host_actor_that_panics_learns_of_the_command_again() {
    recorder::install();
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    fixture.published("new_sensor", 1).await;
    let thread = fixture.publisher.thread.lock().unwrap().unwrap();
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    let command = fixture.run(&amelie(), &session, delete()).await;
    let sent = agent.command().await.command_id;
    recorder::arm(thread, "tripline_host_replaced_total");
    let (link, _receiver) = tokio::sync::mpsc::channel(8);
    let attach = tripline_actors::AttachAgent {
        host_id: host.host_id,
        presented: Default::default(),
        hello: hello("amelie"),
        link,
    };
    assert_eq!(
        fixture.core.attach_agent(attach).await.unwrap_err().code(),
        "unavailable"
    );
    eventually("the host is offline", || async {
        let view = fixture
            .core
            .get_host(None, host.host_id.to_string())
            .await
            .unwrap();
        view.attachments.is_empty().then_some(())
    })
    .await;
    // The slots answer after they were told of the death.
    fixture.core.slots().await.unwrap();
    let mut agent = Agent::attach(&fixture.core, host.host_id, running(sent)).await;
    agent.answer(sent, json!({}));
    assert_eq!(agent.ack().await, [sent]);
    assert_eq!(
        fixture.done(&amelie(), &command).await.state,
        CommandState::Succeeded
    );
    let job = fixture.submit(host.host_id, vec![list()]).await;
    agent.obey().await;
    assert_eq!(
        fixture.ended(job.job_id).await.state,
        JobState::Ended(Outcome::Succeeded)
    );
    assert_eq!(fixture.core.restarts(), 0);
}

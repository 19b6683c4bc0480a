//! Commands of a session.

use super::*;
use crate::fixture::hello;
use tripline_protocol::frame::{CODE_CANCELLED, Hello};
use tripline_protocol::{Fault, FaultClass};
use uuid::Uuid;

/// An active session on a host with an agent.
async fn active(fixture: &Fixture) -> (HostId, Agent, SessionView) {
    let host = fixture.enrol("amelie").await;
    let agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    (host.host_id, agent, session)
}

#[actix::test]
async fn commands_run_one_after_the_other_and_make_the_transcript() {
    let fixture = Fixture::start();
    let (_, mut agent, session) = active(&fixture).await;
    let named = RunCommand {
        origin: Some(json!({ "name": "process list" })),
        ..processes()
    };
    let first = fixture.run(&amelie(), &session, named).await;
    let second = fixture.run(&amelie(), &session, delete()).await;
    assert_eq!((first.number, first.state), (1, CommandState::Running));
    assert_eq!((second.number, second.state), (2, CommandState::Pending));
    let sent = agent.command().await;
    assert_eq!(sent.command_id, first.command_id);
    agent.answer(sent.command_id, json!({ "processes": [] }));
    assert_eq!(agent.ack().await, [sent.command_id]);
    let sent = agent.command().await;
    assert_eq!((sent.command_id, sent.remaining_ms), (second.command_id, 120_000));
    agent.fail(sent.command_id, Fault::live_response("ENOENT", "no such file"));
    assert_eq!(agent.ack().await, [sent.command_id]);
    fixture.done(&amelie(), &second).await;
    let viewer = with_role("auditor", Role::Viewer);
    let listed = fixture.core.list_commands(&viewer, session.session_id, None, 10);
    let transcript = listed.await.unwrap();
    let [one, two] = transcript.items.as_slice() else {
        panic!("{transcript:?}");
    };
    assert_eq!(
        (one.state, one.output.clone()),
        (CommandState::Succeeded, Some(json!({ "processes": [] })))
    );
    assert_eq!(
        (one.caller.as_str(), one.origin.clone()),
        ("amelie", Some(json!({ "name": "process list" })))
    );
    assert_eq!(two.state, CommandState::Failed);
    let error = two.error.as_ref().unwrap();
    assert_eq!(
        (error.class, error.code.as_str()),
        (FaultClass::LiveResponse, "ENOENT")
    );
    assert!(two.started_at.is_some() && two.finished_at.is_some());
    let page = fixture
        .core
        .list_commands(&viewer, session.session_id, Some(1), 10);
    assert_eq!(page.await.unwrap().items.len(), 1);
    let page = fixture.core.list_commands(&viewer, session.session_id, None, 1);
    assert_eq!(page.await.unwrap().next.as_deref(), Some("1"));
}

#[actix::test]
async fn a_waiting_command_is_cancelled_at_once_and_a_running_one_when_its_host_confirms() {
    let fixture = Fixture::start();
    let (_, mut agent, session) = active(&fixture).await;
    let id = session.session_id;
    let running = fixture.run(&amelie(), &session, delete()).await;
    let waiting = fixture.run(&amelie(), &session, processes()).await;
    let chief = with_role("chief", Role::Admin);
    let cancelled = fixture.core.cancel_command(&chief, id, 2).await.unwrap();
    assert_eq!(cancelled.state, CommandState::Cancelled);
    assert_eq!(cancelled.cancelled_by.as_deref(), Some("chief"));
    let sent = agent.command().await.command_id;
    let still = fixture.core.cancel_command(&amelie(), id, 1).await.unwrap();
    assert_eq!(still.state, CommandState::Running);
    assert_eq!(agent.cancel().await, sent);
    agent.fail(sent, Fault::server(CODE_CANCELLED, "cancelled"));
    assert_eq!(agent.ack().await, [sent]);
    for (command, by) in [(running, "amelie"), (waiting, "chief")] {
        let view = fixture.done(&amelie(), &command).await;
        assert_eq!(
            (view.caller.as_str(), view.cancelled_by.as_deref()),
            ("amelie", Some(by))
        );
        assert_eq!(
            (view.state, view.error.unwrap().code.as_str()),
            (CommandState::Cancelled, CODE_CANCELLED)
        );
    }
    let again = fixture.core.cancel_command(&amelie(), id, 1).await.unwrap_err();
    assert_eq!(again.code(), "command_ended");
    fixture
        .through(&mut agent, &session, processes(), json!({}))
        .await;
}

#[actix::test]
async fn a_command_that_its_agent_does_not_end_in_time_is_cancelled_and_fails_as_a_timeout() {
    let fixture = Fixture::start();
    let (_, mut agent, session) = active(&fixture).await;
    let short = RunCommand {
        timeout: Some(Span::from_secs(10)),
        ..delete()
    };
    let command = fixture.run(&amelie(), &session, short).await;
    let sent = agent.command().await;
    assert_eq!(sent.remaining_ms, 10_000);
    fixture.advance(12);
    assert_eq!(agent.cancel().await, sent.command_id);
    agent.fail(sent.command_id, Fault::server(CODE_CANCELLED, "cancelled"));
    let view = fixture.done(&amelie(), &command).await;
    let error = view.error.unwrap();
    assert_eq!(
        (error.class, error.code.as_str()),
        (FaultClass::Timeout, "command_timeout")
    );
    assert_eq!(agent.ack().await, [sent.command_id]);
    fixture
        .through(&mut agent, &session, processes(), json!({}))
        .await;
}

#[actix::test]
async fn an_unconfirmed_command_holds_back_its_own_session_and_nobody_else() {
    let fixture = Fixture::start();
    let (host_id, mut agent, session) = active(&fixture).await;
    let beside = fixture.active(&amelie(), host_id).await;
    let command = fixture.run(&amelie(), &session, delete()).await;
    let deaf = agent.command().await.command_id;
    fixture
        .core
        .cancel_command(&amelie(), session.session_id, 1)
        .await
        .unwrap();
    assert_eq!(agent.cancel().await, deaf);
    fixture.advance(10);
    let view = fixture.done(&amelie(), &command).await;
    let error = view.error.unwrap();
    assert_eq!(
        (view.state, error.class, error.code.as_str()),
        (CommandState::Failed, FaultClass::Server, "interrupted")
    );
    assert_eq!(agent.cancel().await, deaf, "it is told again when it is given up");
    let next = fixture.run(&amelie(), &session, processes()).await;
    fixture.through(&mut agent, &beside, processes(), json!({})).await;
    let job = fixture.submit(host_id, vec![crate::fixture::list()]).await;
    agent.obey().await;
    fixture.ended(job.job_id).await;
    agent.fail(deaf, Fault::server(CODE_CANCELLED, "cancelled"));
    assert_eq!(agent.ack().await, [deaf]);
    assert_eq!(agent.obey().await.command_id, next.command_id);
}

#[actix::test]
async fn a_hundred_commands_wait_and_no_more() {
    let fixture = Fixture::start();
    let (_, mut agent, session) = active(&fixture).await;
    for _ in 0..101 {
        fixture.run(&amelie(), &session, processes()).await;
    }
    let more = fixture
        .core
        .run_command(&amelie(), session.session_id, processes())
        .await;
    assert_eq!(more.unwrap_err().code(), "busy");
    for _ in 0..101 {
        agent.obey().await;
    }
    fixture
        .through(&mut agent, &session, processes(), json!({}))
        .await;
}

#[actix::test]
async fn closing_cancels_what_runs_and_keeps_the_slot_until_the_host_confirms() {
    let fixture = Fixture::start();
    let (_, mut agent, session) = active(&fixture).await;
    let running = fixture.run(&amelie(), &session, delete()).await;
    let waiting = fixture.run(&amelie(), &session, processes()).await;
    let sent = agent.command().await.command_id;
    let closed = fixture
        .core
        .close_session(&amelie(), session.session_id)
        .await
        .unwrap();
    assert_eq!(
        (closed.state, closed.reason.unwrap().code.as_str()),
        (SessionState::Closed, "closed")
    );
    assert_eq!(agent.cancel().await, sent);
    assert_eq!(fixture.slots_held().await, 1);
    let more = fixture
        .core
        .run_command(&amelie(), session.session_id, processes())
        .await;
    assert_eq!(more.unwrap_err().code(), "session_ended");
    agent.fail(sent, Fault::server(CODE_CANCELLED, "cancelled"));
    assert_eq!(agent.ack().await, [sent]);
    fixture.free().await;
    for command in [running, waiting] {
        assert_eq!(
            fixture.done(&amelie(), &command).await.state,
            CommandState::Cancelled
        );
    }
    let again = fixture
        .core
        .close_session(&amelie(), session.session_id)
        .await
        .unwrap();
    assert_eq!(again.state, SessionState::Closed);
    assert!(again.closed_at.is_some());
    let kept = fixture.core.keep_alive(&amelie(), session.session_id).await;
    assert_eq!(kept.unwrap_err().code(), "session_ended");
}

#[actix::test]
async fn a_host_that_comes_back_in_time_goes_on_with_the_command() {
    let fixture = Fixture::start();
    let (host_id, mut agent, session) = active(&fixture).await;
    let command = fixture.run(&amelie(), &session, delete()).await;
    let sent = agent.command().await.command_id;
    drop(agent);
    fixture.advance(20);
    let known = Hello {
        running: vec![sent],
        ..hello("amelie")
    };
    let mut agent = Agent::attach(&fixture.core, host_id, known).await;
    agent.answer(sent, json!({}));
    assert_eq!(agent.ack().await, [sent]);
    assert_eq!(
        fixture.done(&amelie(), &command).await.state,
        CommandState::Succeeded
    );
    fixture
        .through(&mut agent, &session, processes(), json!({}))
        .await;
}

#[actix::test]
async fn a_host_that_stays_away_fails_the_command_and_not_the_session() {
    let fixture = Fixture::start();
    let (host_id, mut agent, session) = active(&fixture).await;
    let cases = [
        (delete(), FaultClass::Server, "interrupted"),
        (processes(), FaultClass::Timeout, "host_offline"),
    ];
    for (command, class, code) in cases {
        let command = fixture.run(&amelie(), &session, command).await;
        agent.command().await;
        drop(agent);
        eventually("the host is away", || async {
            let view = fixture.core.get_host(None, host_id.to_string()).await.unwrap();
            view.attachments.is_empty().then_some(())
        })
        .await;
        // The slot answers after it was told.
        fixture.core.slots().await.unwrap();
        fixture.advance(30);
        let error = fixture.done(&amelie(), &command).await.error.unwrap();
        assert_eq!((error.class, error.code.as_str()), (class, code));
        let offline = fixture.run(&amelie(), &session, processes()).await;
        assert_eq!(offline.state, CommandState::Pending, "it waits for its host");
        agent = fixture.attach(host_id, "amelie").await;
        agent.obey().await;
        assert_eq!(
            fixture.done(&amelie(), &offline).await.state,
            CommandState::Succeeded
        );
    }
    let waits = {
        drop(agent);
        eventually("the host is away", || async {
            let view = fixture.core.get_host(None, host_id.to_string()).await.unwrap();
            view.attachments.is_empty().then_some(())
        })
        .await;
        fixture.run(&amelie(), &session, delete()).await
    };
    fixture.advance(30);
    let view = fixture.done(&amelie(), &waits).await;
    assert_eq!(
        (view.started_at, view.error.unwrap().code.as_str()),
        (None, "host_offline"),
        "it was never sent"
    );
    assert_eq!(fixture.seen(session.session_id).await.state, SessionState::Active);
}

#[actix::test]
async fn a_reading_command_whose_agent_died_is_begun_again() {
    let fixture = Fixture::start();
    let (_, mut agent, session) = active(&fixture).await;
    let command = fixture.run(&amelie(), &session, processes()).await;
    let first = agent.command().await.command_id;
    agent.fail(first, Fault::server("interrupted", "the agent died"));
    assert_eq!(agent.ack().await, [first]);
    let second = agent.obey().await.command_id;
    assert_ne!(first, second);
    let view = fixture.done(&amelie(), &command).await;
    assert_eq!((view.state, view.command_id), (CommandState::Succeeded, second));
}

#[actix::test]
async fn a_mutating_command_of_a_lost_journal_fails_and_the_session_goes_on() {
    let fixture = Fixture::start();
    let (host_id, mut agent, session) = active(&fixture).await;
    let command = fixture.run(&amelie(), &session, delete()).await;
    agent.command().await;
    drop(agent);
    let forgetful = Hello {
        journal_id: Uuid::from_u128(2),
        ..hello("amelie")
    };
    let mut agent = Agent::attach(&fixture.core, host_id, forgetful).await;
    let error = fixture.done(&amelie(), &command).await.error.unwrap();
    assert_eq!(
        (error.class, error.code.as_str()),
        (FaultClass::Server, "interrupted")
    );
    assert!(error.text.contains("journal_lost"));
    fixture.through(&mut agent, &session, delete(), json!({})).await;
}

#[actix::test]
async fn a_verb_that_the_agent_lacks_is_unsupported() {
    let fixture = Fixture::start();
    let (_, _agent, session) = active(&fixture).await;
    let memdump = RunCommand::new(Verb::Memdump, json!({ "path": "/tmp/m" }));
    let command = fixture.run(&amelie(), &session, memdump).await;
    let error = fixture.done(&amelie(), &command).await.error.unwrap();
    assert_eq!(
        (error.class, error.code.as_str()),
        (FaultClass::Unsupported, "unsupported_verb")
    );
}

#[actix::test]
async fn a_request_is_held_until_its_command_ends_and_not_longer_than_it_wants() {
    let fixture = Fixture::start();
    let (_, mut agent, session) = active(&fixture).await;
    let command = fixture.run(&amelie(), &session, processes()).await;
    let id = session.session_id;
    let moment = Some(Span::from_millis(1));
    let soon = fixture.core.get_command(&amelie(), id, 1, moment).await;
    assert_eq!(soon.unwrap().state, CommandState::Running);
    let core = fixture.core.clone();
    let held = actix::spawn(async move { core.get_command(&amelie(), id, 1, LONG).await.unwrap() });
    let sent = agent.command().await.command_id;
    assert!(!held.is_finished());
    agent.answer(sent, json!({ "processes": [] }));
    assert_eq!(held.await.unwrap().state, CommandState::Succeeded);
    assert_eq!(command.number, 1);
}

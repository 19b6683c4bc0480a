//! Bodies of `/v1/sessions`.

use crate::golden::Golden;
use crate::jobs::web_1;
use crate::samples::{at, command, hash, json, no_such_process, p};
use serde_json::json;
use tripline_protocol::api::Waiting;
use tripline_protocol::job::Reason;
use tripline_protocol::session::*;
use tripline_protocol::step::{ArtifactRef, Truncated};
use tripline_protocol::verb::Verb;
use tripline_protocol::{CommandId, Fault, Org, SessionId};

fn id() -> SessionId {
    p("0b0f6a83-44b1-4a8a-8d6f-0d3f4c8a2b11")
}

fn pending() -> SessionView {
    SessionView {
        session_id: id(),
        number: 7,
        org: Org::default_org(),
        host: web_1(),
        sensor_id: 3,
        owner: SessionOwner {
            token_id: "k3x9".into(),
            name: "amelie".into(),
        },
        state: SessionState::Pending,
        waiting: Some(Waiting {
            position: 2,
            reason: Reason::new("no_free_slot", "no free slot"),
            until: None,
        }),
        reason: None,
        error: None,
        verbs: vec![],
        opened_at: at("14:00:00"),
        active_since: None,
        closed_at: None,
        last_request_at: at("14:00:05"),
        idle_timeout: p("5m"),
    }
}

#[test]
fn sessions_are_as_the_golden_file_has_them() {
    let mut golden = Golden::open("sessions.json");
    let open = OpenSession {
        org: Some(Org::default_org()),
        host: "web-1".into(),
        idle_timeout: Some(p("1m")),
    };
    golden.both_ways("open", &open);
    let short = OpenSession {
        org: None,
        idle_timeout: None,
        ..open
    };
    golden.both_ways("open, short", &short);
    golden.both_ways("session, pending", &pending());
    let active = SessionView {
        state: SessionState::Active,
        waiting: None,
        verbs: vec![Verb::ListProcesses, Verb::KillProcess],
        active_since: Some(at("14:00:04")),
        ..pending()
    };
    golden.both_ways("session, active", &active);
    let closed = SessionView {
        state: SessionState::Closed,
        reason: Some(Reason::new("idle", "nobody used it for 5m")),
        closed_at: Some(at("14:05:05")),
        ..active
    };
    golden.both_ways("session, closed", &closed);
    let text = "its host did not come within 2m";
    let failed = SessionView {
        state: SessionState::Failed,
        waiting: None,
        reason: Some(Reason::new("host_offline", text)),
        error: Some(Fault::timeout("host_offline", text)),
        closed_at: Some(at("14:02:00")),
        ..pending()
    };
    golden.both_ways("session, failed", &failed);
    commands(&mut golden);
    files(&mut golden);
}

fn commands(golden: &mut Golden) {
    let run = RunCommand {
        timeout: Some(p("30s")),
        idempotent: true,
        origin: Some(json!({"name": "kill"})),
        ..RunCommand::new(Verb::KillProcess, json!({"pid": 42}))
    };
    golden.both_ways("run", &run);
    let short = RunCommand::new(Verb::ListProcesses, json!({}));
    golden.both_ways("run, short", &short);
    let waiting = CommandView {
        session_id: id(),
        number: 1,
        command_id: command(),
        verb: Verb::KillProcess,
        arguments: json!({"pid": 42}),
        state: CommandState::Pending,
        timeout: p("30s"),
        output: None,
        file: None,
        artifact: None,
        truncated: None,
        error: None,
        origin: Some(json!({"name": "kill"})),
        caller: "amelie".into(),
        cancelled_by: None,
        queued_at: at("14:00:05"),
        started_at: None,
        finished_at: None,
    };
    golden.both_ways("command, waiting", &waiting);
    let failed = CommandView {
        state: CommandState::Failed,
        error: Some(no_such_process()),
        started_at: Some(at("14:00:05")),
        finished_at: Some(at("14:00:06")),
        ..waiting.clone()
    };
    golden.both_ways("command, failed", &failed);
    let cancelled = CommandView {
        state: CommandState::Cancelled,
        error: None,
        cancelled_by: Some("bert".into()),
        finished_at: Some(at("14:00:06")),
        ..waiting.clone()
    };
    golden.both_ways("command, cancelled", &cancelled);
    let fetched = CommandView {
        number: 2,
        verb: Verb::GetFile,
        arguments: json!({"path": "/etc/hostname"}),
        state: CommandState::Succeeded,
        output: Some(json!({"sha256": hash(), "bytes": 6})),
        file: Some(11),
        artifact: Some(ArtifactRef {
            sha256: hash(),
            bytes: 6,
            name: "hostname".into(),
        }),
        truncated: Some(Truncated { bytes: 5 }),
        error: None,
        origin: None,
        ..failed
    };
    golden.both_ways("command, fetched", &fetched);
}

fn files(golden: &mut Golden) {
    let uploaded = SessionFile {
        number: 10,
        session_id: id(),
        name: "tool".into(),
        sha256: hash(),
        bytes: 6,
        command: None,
        added_at: at("14:00:05"),
        deleted_at: None,
        deleted_by: None,
    };
    golden.both_ways("file, uploaded", &uploaded);
    let fetched = SessionFile {
        number: 11,
        name: "hostname".into(),
        command: Some(2),
        ..uploaded
    };
    golden.both_ways("file, fetched", &fetched);
    let deleted = SessionFile {
        deleted_at: Some(at("14:00:07")),
        deleted_by: Some("amelie".into()),
        ..fetched
    };
    golden.both_ways("file, deleted", &deleted);
}

#[test]
fn the_words_of_states_are_those_on_the_wire() {
    use SessionState::{Active, Closed, Failed, Pending};
    for state in [Pending, Active, Closed, Failed] {
        assert_eq!(serde_json::to_value(state).unwrap(), state.to_string());
        assert_eq!(p::<SessionState>(&state.to_string()), state);
        assert_eq!(state.is_open(), matches!(state, Pending | Active));
    }
    assert!("open".parse::<SessionState>().is_err());
    let states = [
        CommandState::Pending,
        CommandState::Running,
        CommandState::Succeeded,
        CommandState::Failed,
        CommandState::Cancelled,
    ];
    for (state, ended) in states.into_iter().zip([false, false, true, true, true]) {
        assert_eq!(serde_json::to_value(state).unwrap(), state.to_string());
        assert_eq!(state.has_ended(), ended);
    }
}

#[test]
fn arguments_of_a_command_that_are_nested_too_deeply_are_refused() {
    let deep = |levels: usize| {
        let value = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"verb": "list_processes", "arguments": {value}}}"#)
    };
    assert!(json::<RunCommand>(&deep(63)).is_ok());
    assert!(json::<RunCommand>(&deep(64)).is_err());
}

#[test]
fn each_command_of_each_session_has_an_id_of_its_own_in_each_attempt() {
    let other: SessionId = p("0b0f6a83-44b1-4a8a-8d6f-0d3f4c8a2b12");
    let ids = [(id(), 1, 1), (id(), 1, 2), (id(), 2, 1), (other, 1, 1)]
        .map(|(session, number, attempt)| CommandId::derive_interactive(session, number, attempt));
    let distinct: std::collections::HashSet<CommandId> = ids.into_iter().collect();
    assert_eq!(distinct.len(), 4);
    assert_eq!(ids[0], CommandId::derive_interactive(id(), 1, 1));
}

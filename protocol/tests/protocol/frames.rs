//! Every frame of the agent channel, and the binary chunks beside them.

use crate::golden::Golden;
use crate::samples::{at, client_stats, command, hash, host, isolation, json, p, second_command};
use serde_json::{Value, json};
use tripline_protocol::frame::{
    AgentEvent, AgentFrame, CHUNK_HEADER_BYTES, Chunk, Command, CommandResult, Hello, InvalidChunk,
    ServerFrame, Transfer,
};
use tripline_protocol::limit::CHUNK_BYTES_MAX;
use tripline_protocol::littlebrother::{
    ClientMessage, EventType, PROCESS_HANDLER, UserConfig, WireEvent, config_event,
};
use tripline_protocol::step::Truncated;
use tripline_protocol::verb::{NoArguments, PutFile, Verb, VerbCall};
use tripline_protocol::{Fault, IsolationEnd, IsolationReport};

fn hello() -> Hello {
    Hello {
        agent_version: "0.1.0".into(),
        hostname: "web-1".into(),
        platform: "linux".into(),
        arch: "x86_64".into(),
        os_version: "Debian GNU/Linux 12".into(),
        addresses: vec!["192.0.2.7".into(), "2001:db8::7".into()],
        labels: vec!["dmz".into()],
        verbs: vec![Verb::GetFile, Verb::ListProcesses],
        journal_id: p("11111111-2222-4333-8444-555555555555"),
        run_id: Some(p("22222222-2222-4333-8444-555555555555")),
        running: vec![command()],
        finished: vec![second_command()],
        isolation: Some(IsolationReport::Isolated {
            left: p("3h 59m"),
            isolation: isolation(),
        }),
    }
}

#[test]
fn how_an_isolation_stands_may_be_said_in_words_of_another_version() {
    let report = |text: &str| json::<IsolationReport>(text).unwrap();
    assert_eq!(report(r#"{"state": "half", "at": 3}"#), IsolationReport::Unknown);
    let ended = report(
        r#"{"state": "ended", "command_id": "56e28577-413a-5355-ab05-7d5384fb792b", "at": "2026-11-20T18:00:00Z", "why": "melted"}"#,
    );
    assert!(matches!(
        ended,
        IsolationReport::Ended {
            why: IsolationEnd::Unknown,
            ..
        }
    ));
    for why in [
        IsolationEnd::Expired,
        IsolationEnd::Unisolated,
        IsolationEnd::ByHand,
        IsolationEnd::Rebooted,
        IsolationEnd::Unknown,
    ] {
        assert_eq!(serde_json::to_value(why).unwrap(), why.as_str());
        assert_eq!(
            serde_json::from_value::<IsolationEnd>(why.as_str().into()).unwrap(),
            why
        );
    }
}

fn result(output: Option<Value>, error: Option<Fault>, truncated: Option<Truncated>) -> AgentFrame {
    AgentFrame::Result(Box::new(CommandResult {
        command_id: command(),
        output,
        error,
        truncated,
    }))
}

fn of_process(kind: EventType) -> WireEvent {
    WireEvent {
        pid: Some(21505),
        process_start_time: Some(p("2026-11-20 20:21:43")),
        processhandler: Some(PROCESS_HANDLER.into()),
        username: Some("amelie".into()),
        ..WireEvent::new(kind, "web-1", p("2026-11-20 20:21:45"))
    }
}

fn answers(golden: &mut Golden) {
    let amelie = UserConfig {
        login: "amelie".into(),
        active: true,
        process_name_pattern: "lbgame".into(),
        prohibited_process_name_pattern: None,
    };
    let config = config_event("web-1", p("2026-11-20 20:21:45"), &[amelie], 50);
    let kill = WireEvent {
        delay: 2,
        ..of_process(EventType::KillProcess)
    };
    let answer = |seq, events| ServerFrame::Littlebrother { seq, events };
    golden.both_ways("littlebrother", &answer(7, vec![config, kill]));
    golden.both_ways("littlebrother, empty", &answer(8, vec![]));
}

#[test]
fn frames_of_agents_are_as_the_golden_file_has_them() {
    let mut golden = Golden::open("agent_frames.json");
    golden.both_ways("hello", &AgentFrame::Hello(Box::new(hello())));
    let ended = IsolationReport::Ended {
        command_id: command(),
        at: at("18:00:00"),
        why: IsolationEnd::Expired,
    };
    golden.both_ways(
        "isolation, ended",
        &AgentFrame::Isolation {
            isolation: Box::new(ended),
        },
    );
    golden.both_ways(
        "accepted",
        &AgentFrame::Accepted {
            command_id: command(),
        },
    );
    golden.both_ways(
        "progress",
        &AgentFrame::Progress {
            command_id: command(),
            bytes: 1_048_576,
        },
    );
    let output = Some(json!({"processes": [], "omitted": 0}));
    golden.both_ways(
        "result, with output",
        &result(output, None, Some(Truncated { bytes: 12 })),
    );
    let fault = Fault::live_response("ENOENT", "no such file or directory");
    golden.both_ways("result, with error", &result(None, Some(fault), None));
    golden.both_ways(
        "credit",
        &AgentFrame::Credit {
            command_id: command(),
            bytes: 262_144,
        },
    );
    let event = AgentEvent {
        id: "boot-1".into(),
        etype: p("agent_started"),
        time: at("14:00:00"),
        data: json!({"version": "0.1.0"}),
    };
    golden.both_ways("event", &AgentFrame::Event(Box::new(event)));
    let message = |seq, events: &[WireEvent], client_stats| AgentFrame::Littlebrother {
        seq,
        message: Box::new(ClientMessage {
            hostname: "web-1".into(),
            events: events.to_vec(),
            client_stats,
        }),
    };
    let start = WireEvent {
        processname: Some("lbgame".into()),
        ..of_process(EventType::ProcessStart)
    };
    golden.both_ways("littlebrother", &message(7, &[start], Some(client_stats())));
    golden.both_ways("littlebrother, empty", &message(8, &[], None));
    golden.both_ways("new_key", &AgentFrame::NewKey { key_sha256: hash() });
    golden.both_ways("ping", &AgentFrame::Ping);
    golden.both_ways("pong", &AgentFrame::Pong);
}

#[test]
fn frames_of_servers_are_as_the_golden_file_has_them() {
    let mut golden = Golden::open("server_frames.json");
    let welcome = ServerFrame::Welcome {
        host_id: host(),
        epoch: 3,
        server_version: "0.1.0".into(),
        littlebrother: false,
    };
    golden.both_ways("welcome", &welcome);
    let welcome = ServerFrame::Welcome {
        host_id: host(),
        epoch: 3,
        server_version: "0.1.0".into(),
        littlebrother: true,
    };
    golden.both_ways("welcome, littlebrother", &welcome);
    answers(&mut golden);
    let list = Command {
        command_id: command(),
        epoch: 3,
        call: VerbCall::ListProcesses(NoArguments {}),
        remaining_ms: 120_000,
        transfer: None,
    };
    golden.both_ways("command", &ServerFrame::Command(Box::new(list)));
    let put = PutFile {
        path: "/tmp/x".into(),
        content: None,
        content_b64: None,
        artifact: Some(hash()),
        mode: None,
        overwrite: None,
    };
    let put = Command {
        command_id: second_command(),
        epoch: 3,
        call: VerbCall::PutFile(put),
        remaining_ms: 30_000,
        transfer: Some(Transfer {
            bytes: 0,
            sha256: hash(),
        }),
    };
    golden.both_ways("command, with a transfer", &ServerFrame::Command(Box::new(put)));
    golden.both_ways(
        "cancel",
        &ServerFrame::Cancel {
            command_id: command(),
        },
    );
    golden.both_ways(
        "ack",
        &ServerFrame::Ack {
            command_ids: vec![command(), second_command()],
        },
    );
    golden.both_ways("event_ack", &ServerFrame::EventAck { id: "boot-1".into() });
    golden.both_ways(
        "credit",
        &ServerFrame::Credit {
            command_id: command(),
            bytes: 262_144,
        },
    );
    golden.both_ways("rotate_key", &ServerFrame::RotateKey);
    golden.both_ways("key_taken", &ServerFrame::KeyTaken { key_sha256: hash() });
    golden.both_ways("ping", &ServerFrame::Ping);
    golden.both_ways("pong", &ServerFrame::Pong);
    golden.both_ways(
        "bye",
        &ServerFrame::Bye {
            reason: "replaced".into(),
        },
    );
}

#[test]
fn a_frame_of_an_unknown_type_is_read_as_unknown_whatever_it_carries() {
    for text in [
        r#"{"type": "tomorrow"}"#,
        r#"{"type": "tomorrow", "command_id": 7, "bytes": {"deep": [1]}}"#,
        r#"{"list": [null], "type": ""}"#,
    ] {
        assert_eq!(json::<AgentFrame>(text).unwrap(), AgentFrame::Unknown);
        assert_eq!(json::<ServerFrame>(text).unwrap(), ServerFrame::Unknown);
    }
    assert_eq!(
        json::<AgentFrame>(r#"{"type": "welcome"}"#).unwrap(),
        AgentFrame::Unknown
    );
    assert_eq!(
        json::<ServerFrame>(r#"{"type": "hello"}"#).unwrap(),
        ServerFrame::Unknown
    );
}

#[test]
fn what_is_no_frame_is_an_error() {
    for text in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"type": 7}"#,
        r#"{"type": "ping"} x"#,
        r#"{"type": "accepted"}"#,
    ] {
        assert!(json::<AgentFrame>(text).is_err(), "{text}");
    }
    assert!(json::<ServerFrame>(r#"{"type": "cancel", "command_id": "x"}"#).is_err());
    assert!(json::<ServerFrame>(r#"{"type": "credit", "command_id": "x", "bytes": -1}"#).is_err());
}

#[test]
fn a_verb_that_the_server_does_not_know_does_not_spoil_a_hello() {
    let mut frame = serde_json::to_value(AgentFrame::Hello(Box::new(hello()))).unwrap();
    frame["verbs"] = json!(["get_file", "teleport", "list_processes"]);
    assert_eq!(
        serde_json::from_value::<AgentFrame>(frame).unwrap(),
        AgentFrame::Hello(Box::new(hello()))
    );
}

#[test]
fn a_hello_of_the_first_agents_is_understood_without_what_is_optional() {
    let text = r#"{"type": "hello", "agent_version": "0", "hostname": "h", "platform": "linux", "arch": "x",
        "verbs": [], "journal_id": "11111111-2222-4333-8444-555555555555"}"#;
    let AgentFrame::Hello(hello) = json(text).unwrap() else {
        panic!("no hello")
    };
    assert_eq!((hello.os_version.as_str(), hello.addresses.len()), ("", 0));
    assert_eq!((hello.running.len(), hello.finished.len()), (0, 0));
}

#[test]
fn a_chunk_is_the_command_the_offset_and_the_bytes() {
    let chunk = Chunk {
        command_id: command(),
        offset: 0x0102_0304_0506_0708,
        bytes: b"abc",
    };
    let frame = chunk.encode();
    let mut expected = command().as_bytes().to_vec();
    expected.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    expected.extend(b"abc");
    assert_eq!(frame, expected);
    assert_eq!(Chunk::decode(&frame).unwrap(), chunk);
}

#[test]
fn chunks_are_taken_from_nothing_to_the_limit() {
    let encode = |bytes: &[u8], offset| {
        Chunk {
            command_id: command(),
            offset,
            bytes,
        }
        .encode()
    };
    assert_eq!(Chunk::decode(&encode(&[], 0)).unwrap().bytes, b"");
    assert_eq!(
        Chunk::decode(&encode(&vec![1; CHUNK_BYTES_MAX], 0))
            .unwrap()
            .bytes
            .len(),
        CHUNK_BYTES_MAX
    );
    let long = Chunk::decode(&encode(&vec![1; CHUNK_BYTES_MAX + 1], 0)).err();
    assert_eq!(long, Some(InvalidChunk::Long(CHUNK_BYTES_MAX + 1)));
    for bytes in [0, 1, 16, CHUNK_HEADER_BYTES - 1] {
        assert_eq!(
            Chunk::decode(&vec![0; bytes]).err(),
            Some(InvalidChunk::Short(bytes))
        );
    }
    assert!(Chunk::decode(&encode(&[], u64::MAX)).is_ok());
    let beyond = Chunk::decode(&encode(&[1], u64::MAX)).err();
    assert_eq!(
        beyond,
        Some(InvalidChunk::Offset(u64::MAX)),
        "an end beyond 64 bits is refused, not added"
    );
}

//! Arguments that do not fit their verb, and what each is answered with.

use crate::samples::HASH;
use serde_json::{Value, json};
use tripline_protocol::limit::{INLINE_CONTENT_BYTES_MAX, OUTPUT_BYTES_MAX};
use tripline_protocol::verb::{Verb, VerbCall};

fn refused(verb: Verb, args: Value) -> String {
    VerbCall::parse(verb, args).unwrap_err().to_string()
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    for (verb, args, expected) in [
        (
            Verb::KillProcess,
            json!({"pid": "x"}),
            "arguments of kill_process: pid: invalid type: string \"x\", expected u32",
        ),
        (
            Verb::KillProcess,
            json!({"pid": -1}),
            "arguments of kill_process: pid: invalid value: integer `-1`, expected u32",
        ),
        (
            Verb::KillProcess,
            json!({"pid": 0}),
            "arguments of kill_process: pid must be positive",
        ),
        (
            Verb::KillProcess,
            json!({}),
            "arguments of kill_process: missing field `pid`",
        ),
        (
            Verb::KillProcess,
            json!({"pid": 1, "wait": 5}),
            "arguments of kill_process: wait: invalid type: integer `5`, expected a span of time such as 30s, 2m, 24h or 7d",
        ),
        (
            Verb::KillProcess,
            Value::Null,
            "arguments of kill_process: missing field `pid`",
        ),
        (
            Verb::ListProcesses,
            json!({"all": true}),
            "arguments of list_processes: all: unknown field `all`, there are no fields",
        ),
        (
            Verb::GetFile,
            json!({"path": ""}),
            "arguments of get_file: path: a path must not be empty",
        ),
        (
            Verb::GetFile,
            json!({"path": "/a\u{0}b"}),
            "arguments of get_file: path: a path must not contain a NUL byte",
        ),
        (
            Verb::GetFile,
            json!({"path": {"b64": "!"}}),
            "arguments of get_file: path: b64 of a path is not base64",
        ),
        (
            Verb::GetFile,
            json!({"path": 7}),
            "arguments of get_file: path: a path: a string, or {\"b64\": \"…\"}",
        ),
        (
            Verb::CreateProcess,
            json!({"argv": [], "wait": true}),
            "arguments of create_process: argv must name a program",
        ),
        (
            Verb::CreateProcess,
            json!({"argv": ["", "x"]}),
            "arguments of create_process: argv must name a program",
        ),
        (
            Verb::CreateProcess,
            json!({"argv": ["a\u{0}"]}),
            "arguments of create_process: argv: a path must not contain a NUL byte",
        ),
        (
            Verb::CreateProcess,
            json!({"command": " "}),
            "arguments of create_process: command must name a program",
        ),
        (
            Verb::CreateProcess,
            json!({"command": "a\u{0}"}),
            "arguments of create_process: command must not contain a NUL byte",
        ),
        (
            Verb::CreateProcess,
            json!({}),
            "arguments of create_process: exactly one of argv and command is needed",
        ),
        (
            Verb::CreateProcess,
            json!({"argv": ["a"], "command": "a"}),
            "arguments of create_process: exactly one of argv and command is needed",
        ),
        (
            Verb::CreateProcess,
            json!({"argv": ["a"], "output_bytes_max": 65537}),
            "arguments of create_process: output_bytes_max is at most 65536",
        ),
        (
            Verb::CreateProcess,
            json!({"argv": ["a"], "environment": {"A=B": "c"}}),
            "arguments of create_process: environment \"A=B\": a name or value no process can have",
        ),
        (
            Verb::PutFile,
            json!({"path": "/a"}),
            "arguments of put_file: exactly one of content, content_b64 and artifact is needed",
        ),
        (
            Verb::PutFile,
            json!({"path": "/a", "content": "", "content_b64": ""}),
            "arguments of put_file: exactly one of content, content_b64 and artifact is needed",
        ),
        (
            Verb::PutFile,
            json!({"path": "/a", "content": "", "mode": 4096}),
            "arguments of put_file: mode has more than the permission bits",
        ),
        (
            Verb::PutFile,
            json!({"path": "/a", "artifact": "abc"}),
            "arguments of put_file: artifact: \"abc\" is not a valid SHA-256: expected 64 lower-case hexadecimal digits",
        ),
        (
            Verb::Isolate,
            json!({"for": "59s"}),
            "arguments of isolate: for: 1m to 30d are possible, not 59s",
        ),
        (
            Verb::Isolate,
            json!({"for": "31d"}),
            "arguments of isolate: for: 1m to 30d are possible, not 31d",
        ),
        (
            Verb::Isolate,
            json!({"allow": vec!["10.0.0.1"; 33]}),
            "arguments of isolate: allow: at most 32 are possible, not 33",
        ),
        (
            Verb::Isolate,
            json!({"allow": ["10.0.0.1", "1.2.3.4/0"]}),
            "arguments of isolate: allow: 0.0.0.0/0 is every address there is; to allow them all, do not isolate",
        ),
        (
            Verb::Isolate,
            json!({"allow": ["web01; drop"]}),
            "arguments of isolate: allow[0]: \"web01; drop\" is no address or range of addresses such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32",
        ),
        (
            Verb::Walk,
            json!({"path": "/", "depht_max": 1}),
            "arguments of walk: depht_max: unknown field `depht_max`, expected `path` or `depth_max`",
        ),
    ] {
        assert_eq!(refused(verb, args.clone()), expected, "{args}");
    }
    assert!(
        refused(Verb::PutFile, json!({"path": "/a", "content_b64": "?"}))
            .contains("content_b64 is no base64")
    );
}

#[test]
fn an_isolation_is_taken_from_its_shortest_to_its_longest() {
    let isolate = |lasts: &str| VerbCall::parse(Verb::Isolate, json!({ "for": lasts }));
    for (lasts, taken) in [
        ("59999ms", false),
        ("1m", true),
        ("30d", true),
        ("30d 1ms", false),
    ] {
        assert_eq!(isolate(lasts).is_ok(), taken, "{lasts}");
    }
    let Ok(VerbCall::Isolate(plain)) = VerbCall::parse(Verb::Isolate, Value::Null) else {
        panic!("arguments are not needed");
    };
    assert_eq!(plain.span().to_string(), "4h");
    let most = json!({ "allow": vec!["10.0.0.1"; 32] });
    assert!(VerbCall::parse(Verb::Isolate, most).is_ok());
}

#[test]
fn sizes_are_taken_up_to_their_limit() {
    let put =
        |text: usize| VerbCall::parse(Verb::PutFile, json!({"path": "/a", "content": "a".repeat(text)}));
    assert!(put(INLINE_CONTENT_BYTES_MAX).is_ok());
    assert!(
        put(INLINE_CONTENT_BYTES_MAX + 1)
            .unwrap_err()
            .reason
            .contains("use an artifact")
    );
    let run = |bytes| {
        VerbCall::parse(
            Verb::CreateProcess,
            json!({"argv": ["a"], "output_bytes_max": bytes}),
        )
    };
    assert!(run(OUTPUT_BYTES_MAX).is_ok());
    let artifact = json!({"path": "/a", "artifact": HASH, "mode": 0o7777});
    assert!(VerbCall::parse(Verb::PutFile, artifact).is_ok());
}

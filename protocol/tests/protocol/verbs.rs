//! Every verb's name and arguments.

use crate::golden::{Golden, text};
use crate::samples::{hash, p};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::RemotePath;
use tripline_protocol::verb::*;

fn get(path: &str, offset: Option<u64>, bytes_max: Option<u64>) -> GetFile {
    GetFile {
        path: path.into(),
        offset,
        bytes_max,
    }
}

fn put(path: &str) -> PutFile {
    PutFile {
        path: path.into(),
        content: None,
        content_b64: None,
        artifact: None,
        mode: None,
        overwrite: None,
    }
}

fn key(path: &str) -> RegistryPath {
    RegistryPath { path: path.into() }
}

#[test]
fn the_arguments_of_every_verb_are_as_the_golden_file_has_them() {
    let mut golden = Golden::open("verbs.json");
    let no_utf8 = |bytes: &[u8]| RemotePath::from(bytes.to_vec());
    golden.both_ways(
        "get_file",
        &VerbCall::GetFile(get("/var/log/syslog", Some(4096), Some(65536))),
    );
    golden.both_ways(
        "get_file, all of it",
        &VerbCall::GetFile(get("/etc/hosts", None, None)),
    );
    let content = Some("hello\n".into());
    let put_text = PutFile {
        content,
        mode: Some(0o644),
        overwrite: Some(false),
        ..put("/etc/motd")
    };
    golden.both_ways("put_file, text", &VerbCall::PutFile(put_text));
    let put_bytes = PutFile {
        content_b64: Some("AAEC".into()),
        ..put("/tmp/x")
    };
    golden.both_ways("put_file, bytes", &VerbCall::PutFile(put_bytes));
    let put_artifact = PutFile {
        artifact: Some(hash()),
        ..put("/tmp/x")
    };
    golden.both_ways("put_file, artifact", &VerbCall::PutFile(put_artifact));
    golden.both_ways(
        "delete_file",
        &VerbCall::DeleteFile(PathOnly {
            path: no_utf8(b"/tmp/\xff"),
        }),
    );
    golden.both_ways(
        "list_directory",
        &VerbCall::ListDirectory(PathOnly { path: "/tmp".into() }),
    );
    let directory = |path: &str, parents| {
        VerbCall::CreateDirectory(CreateDirectory {
            path: path.into(),
            parents,
        })
    };
    golden.both_ways("create_directory", &directory("/tmp/a/b", true));
    golden.both_ways("create_directory, plain", &directory("/tmp/a", false));
    golden.both_ways(
        "walk",
        &VerbCall::Walk(Walk {
            path: "/etc".into(),
            depth_max: Some(2),
        }),
    );
    golden.both_ways("list_processes", &VerbCall::ListProcesses(NoArguments {}));
    let kill = KillProcess {
        pid: 4711,
        start_time: Some(1_795_183_200),
        wait: Some(p("5s")),
    };
    golden.both_ways("kill_process", &VerbCall::KillProcess(kill));
    let argv = CreateProcess {
        argv: Some(vec!["/usr/bin/grep".into(), "".into(), no_utf8(b"\xff")]),
        working_directory: Some("/tmp".into()),
        environment: BTreeMap::from([("LANG".into(), "C".into())]),
        wait: Some(true),
        timeout: Some(p("30s")),
        output_path: Some("/tmp/output".into()),
        output_bytes_max: Some(1024),
        ..Default::default()
    };
    golden.both_ways("create_process, argv", &VerbCall::CreateProcess(argv));
    let command = CreateProcess {
        command: Some("uname -a".into()),
        wait: Some(false),
        ..Default::default()
    };
    golden.both_ways("create_process, command", &VerbCall::CreateProcess(command));
    golden.both_ways(
        "get_raw_file",
        &VerbCall::GetRawFile(get("C:\\pagefile.sys", None, Some(1))),
    );
    let dump = Memdump {
        path: "C:\\dump".into(),
        pid: Some(4),
        compress: true,
    };
    golden.both_ways("memdump", &VerbCall::Memdump(dump));
    let isolate = Isolate {
        lasts: Some(p("8h")),
        persist: true,
        allow: vec![p("10.0.0.0/8"), p("2001:db8::1")],
    };
    golden.both_ways("isolate", &VerbCall::Isolate(isolate));
    golden.both_ways("isolate, nothing given", &VerbCall::Isolate(Isolate::default()));
    golden.both_ways("unisolate", &VerbCall::Unisolate(NoArguments {}));
    registry(&mut golden);
}

fn registry(golden: &mut Golden) {
    golden.both_ways(
        "list_registry_keys_and_values",
        &VerbCall::ListRegistryKeysAndValues(key("HKLM\\SOFTWARE")),
    );
    golden.both_ways(
        "list_registry_keys",
        &VerbCall::ListRegistryKeys(key("HKLM\\SOFTWARE")),
    );
    golden.both_ways(
        "get_registry_value",
        &VerbCall::GetRegistryValue(key("HKLM\\SOFTWARE\\A\\v")),
    );
    let set = SetRegistryValue {
        path: "HKLM\\SOFTWARE\\A\\v".into(),
        value: json!(["a", "b"]),
        value_type: Some("REG_MULTI_SZ".into()),
        overwrite: Some(true),
    };
    golden.both_ways("set_registry_value", &VerbCall::SetRegistryValue(set));
    golden.both_ways(
        "create_registry_key",
        &VerbCall::CreateRegistryKey(key("HKLM\\SOFTWARE\\A")),
    );
    golden.both_ways(
        "delete_registry_key",
        &VerbCall::DeleteRegistryKey(key("HKLM\\SOFTWARE\\A")),
    );
    golden.both_ways(
        "delete_registry_value",
        &VerbCall::DeleteRegistryValue(key("HKLM\\SOFTWARE\\A\\v")),
    );
}

#[test]
fn every_verb_has_a_golden_call_and_its_words_agree() {
    let calls: BTreeMap<String, VerbCall> = serde_json::from_str(&text("verbs.json")).unwrap();
    let covered: BTreeSet<Verb> = calls.values().map(VerbCall::verb).collect();
    assert_eq!(covered, Verb::ALL.iter().copied().collect());
    assert_eq!(Verb::ALL.len(), 20);
    for verb in Verb::ALL {
        assert_eq!(serde_json::to_value(verb).unwrap(), verb.as_str());
        assert_eq!(verb.as_str().parse::<Verb>().unwrap(), *verb);
    }
    for call in calls.into_values() {
        assert_eq!(VerbCall::parse(call.verb(), call.to_args()).unwrap(), call);
        assert_eq!(
            serde_json::to_value(&call).unwrap(),
            json!({call.verb().as_str(): call.to_args()})
        );
    }
}

#[test]
fn only_verbs_that_change_nothing_may_be_repeated_freely() {
    let reads: Vec<&str> = Verb::ALL
        .iter()
        .filter(|verb| verb.effect() == Effect::Reads)
        .map(|verb| verb.as_str())
        .collect();
    assert_eq!(
        reads,
        [
            "get_file",
            "list_directory",
            "walk",
            "list_processes",
            "get_raw_file",
            "list_registry_keys_and_values",
            "list_registry_keys",
            "get_registry_value",
        ]
    );
}

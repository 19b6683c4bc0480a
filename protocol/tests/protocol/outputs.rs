//! Every verb's output.

use crate::golden::Golden;
use crate::samples::{at, hash, p};
use serde_json::{Value, json};
use tripline_protocol::verb::*;

#[test]
fn the_output_of_every_verb_is_as_the_golden_file_has_it() {
    let mut golden = Golden::open("outputs.json");
    golden.both_ways("nothing", &NoOutput {});
    golden.both_ways(
        "file fetched",
        &FileFetched {
            sha256: hash(),
            bytes: 0,
        },
    );
    golden.both_ways(
        "file written",
        &FileWritten {
            sha256: hash(),
            bytes: 0,
        },
    );
    golden.both_ways("listing", &listing());
    golden.both_ways("processes", &processes());
    let none = || Some(Captured::default());
    let ended = ProcessOutcome {
        pid: 4711,
        exit_code: Some(3),
        signal: None,
        stdout: Some(Captured {
            text: Some("ok\n".into()),
            ..Captured::default()
        }),
        stderr: Some(Captured {
            b64: Some("/w==".into()),
            truncated_bytes: 70_000,
            ..Captured::default()
        }),
    };
    golden.both_ways("process that ended", &ended);
    let killed = ProcessOutcome {
        exit_code: None,
        signal: Some(9),
        stdout: none(),
        stderr: none(),
        ..ended
    };
    golden.both_ways("process ended by a signal", &killed);
    let alone = ProcessOutcome {
        signal: None,
        stdout: None,
        stderr: None,
        ..killed
    };
    golden.both_ways("process that goes on by itself", &alone);
    let value = |kind: &str, data: Value| RegistryValue {
        value_name: "v".into(),
        value_type: kind.into(),
        value_data: data,
    };
    golden.both_ways("registry value", &value("REG_DWORD", json!(7)));
    let listing = RegistryListing {
        values: vec![value("REG_SZ", json!("x"))],
        sub_keys: vec!["A".into(), "B".into()],
    };
    golden.both_ways("registry listing", &listing);
    let isolated = Isolated {
        until: at("18:00:00"),
        persist: true,
        server: vec![p("192.0.2.1:7443"), p("[2001:db8::2]:7443")],
        name_servers: vec![p("192.0.2.53")],
        allow: vec![p("10.0.0.0/8")],
    };
    golden.both_ways("isolated", &isolated);
    golden.both_ways("unisolated", &Unisolated { was_isolated: true });
}

fn listing() -> DirectoryListing {
    let file = DirectoryEntry {
        filename: "hosts".into(),
        attributes: vec!["ARCHIVE".into(), "READONLY".into()],
        size: 181,
        create_time: 1_795_183_200,
        last_access_time: 1_795_183_201,
        last_write_time: -1,
        mode: Some(0o444),
        owner: Some("root".into()),
        link_target: None,
    };
    let link = DirectoryEntry {
        filename: vec![0xff].into(),
        attributes: vec!["REPARSE_POINT".into()],
        size: 0,
        create_time: 0,
        last_access_time: 0,
        last_write_time: 0,
        mode: None,
        owner: None,
        link_target: Some("/etc".into()),
    };
    DirectoryListing {
        files: vec![file, link],
        omitted: 3,
    }
}

fn processes() -> ProcessListing {
    let kthreadd = ProcessEntry {
        pid: 2,
        parent: 0,
        path: "[kthreadd]".into(),
        command_line: "[kthreadd]".into(),
        username: "root".into(),
        sid: "0".into(),
        create_time: 1_795_183_200,
        proc_guid: "1d1c257b-2511-59fa-8b8d-fd9323d41812".into(),
        parent_guid: "00000000-0000-0000-0000-000000000000".into(),
    };
    ProcessListing {
        processes: vec![kthreadd],
        omitted: 0,
    }
}

//! What is said of an explanation, and of what cannot be explained.

use super::*;
use clap::Parser;
use serde_json::{Value, json};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    explain: Explain,
}

fn id(line: &str) -> Result<String, Failure> {
    let line = format!("tripline {line}");
    Line::try_parse_from(line.split_whitespace())
        .unwrap()
        .explain
        .id()
}

fn explained() -> Value {
    json!({
        "asked": "6a476cc7-fafe-5985-9fb8-67233a7efb39",
        "key": "6a476cc7-fafe-5985-9fb8-67233a7efb39",
        "event": {
            "id": "e-1\u{1b}[2J", "source": "siem", "org": "default", "etype": "acme.alert",
            "stored_at": "2026-11-20T14:00:00Z", "sequence": 12, "handled_at": "2026-11-20T14:00:00.25Z",
        },
        "lookup": {"state": "read"},
        "rules": {"version": "ab".repeat(32), "loaded_at": "2026-11-20T13:00:00Z"},
        "pipelines": [
            {"pipeline": "look", "verdict": "acted", "recorded": true, "text": "it made a job on web01",
             "version": "ab".repeat(32), "decided_by": "cd".repeat(32),
             "jobs": ["7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11"]},
            {"pipeline": "once", "verdict": "withheld", "recorded": true, "reason": "suppressed", "key": "a",
             "text": "it acted once within the last 1h, as often as suppress.max allows",
             "version": "ab".repeat(32), "decided_by": "ab".repeat(32)},
        ],
        "pipelines_more": 3, "not_listening": 2,
        "jobs": [{
            "job": {
                "job_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11", "org": "default", "name": "look",
                "state": "succeeded", "reason": {"code": "completed", "text": "all steps are done"},
                "host": {"host_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11", "hostname": "web01"},
                "priority": "normal", "run": 0, "attempt": 2,
                "queued_at": "2026-11-20T14:00:00.25Z", "expires_at": "2026-11-21T14:00:00Z",
                "started_at": "2026-11-20T14:00:01Z", "finished_at": "2026-11-20T14:00:04Z",
                "steps": [{
                    "id": "look", "verb": "get_file", "status": "failed",
                    "error": {"class": "live_response", "code": "ENOENT", "text": "x".repeat(500)},
                }, {
                    "id": "fetch", "verb": "get_file", "status": "succeeded", "tries": 2,
                    "artifact": {"sha256": "ef".repeat(32), "bytes": 7, "name": "hosts"},
                    "started_at": "2026-11-20T14:00:01Z", "finished_at": "2026-11-20T14:00:03Z",
                }],
            },
            "last_session_at": "2026-11-20T14:00:02Z", "resumed": 1,
            "result": {
                "subject": "tripline.results.default.look.succeeded.7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11",
                "staged_at": "2026-11-20T14:00:04Z", "published_at": "2026-11-20T14:00:05Z", "sequence": 17,
            },
        }],
        "notes": ["other rules decided about the event than those in force now"],
    })
}

fn read(value: Value) -> Explanation {
    serde_json::from_value(value).expect("an explanation")
}

#[test]
fn an_event_is_named_by_its_key_or_by_id_and_source() {
    let key = EventKey::derive(&Org::default_org(), "siem", "e-1").to_string();
    assert_eq!(id("e-1 --source siem").unwrap(), key);
    assert_eq!(id(&key).unwrap(), key);
    let other = id("e-1 --source siem --org acme").unwrap();
    assert_ne!(other, key);
    let wrong = id("e-1").unwrap_err();
    assert_eq!(wrong.code(), 2);
    assert!(wrong.lines()[0].contains("--source"), "{wrong:?}");
}

#[test]
fn verdicts_are_a_table_with_what_is_left_out_and_what_changed() {
    let text = table::show(&read(explained()));
    let line = |word: &str| {
        text.lines()
            .find(|line| line.contains(word))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        line(" look ").contains("it made a job on web01; another version of it is in force now"),
        "{text}"
    );
    assert!(
        line(" once ").contains("suppressed: it acted once") && line(" once ").contains("(key a)"),
        "{text}"
    );
    assert!(
        text.contains("2 pipelines do not listen to acme.alert; 3 more listen and did not act"),
        "{text}"
    );
    assert!(text.contains("note: other rules decided"), "{text}");
    assert!(
        !text.contains('\u{1b}'),
        "what publishers wrote does not reach the terminal"
    );
}

#[test]
fn what_an_event_led_to_is_a_tree_with_times() {
    let text = chain::show(&read(explained()));
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        " ├─ handled 2026-11-20T14:00:00.25Z (+250ms)",
        " └─ job 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11 look on web01: succeeded",
        "    ├─ queued 2026-11-20T14:00:00.25Z (+250ms)",
        "    ├─ started 2026-11-20T14:00:01Z (+1s), 2 sessions, went on after a wait or a cut once, the last at \
         2026-11-20T14:00:02Z (+2s)",
        "    ├─ step look get_file failed",
        "    │  └─ ",
        "    ├─ step fetch get_file succeeded at try 2, 2026-11-20T14:00:01Z (+1s) for 2s",
        "    │  └─ artifact hosts 7 bytes, SHA-256 ",
        "    ├─ succeeded 2026-11-20T14:00:04Z (+4s): all steps are done",
        "    └─ result published 2026-11-20T14:00:05Z (+5s) as 17 on tripline.results.default.look.succeeded.",
    ];
    assert_eq!(lines.len(), expected.len() + 1, "{text}");
    for (line, expected) in lines[1..].iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
    let detail = lines.iter().find(|line| line.contains("xxx")).unwrap();
    assert_eq!(
        detail.trim_start_matches([' ', '│', '└', '─']).chars().count(),
        200,
        "{detail}"
    );
}

#[test]
fn what_was_searched_in_vain_is_said() {
    let mut nothing = explained();
    nothing["event"] = Value::Null;
    nothing["jobs"] = json!([]);
    let said = |lookup: Value| {
        let mut nothing = nothing.clone();
        nothing["lookup"] = lookup;
        let explained = read(nothing);
        assert!(explained.is_empty());
        unknown(&explained)
    };
    let search = |messages: u64, complete: bool| {
        json!({"state": "not_found", "searched": {
            "since": "2026-11-20T13:00:00Z", "messages": messages, "first_sequence": 5, "last_sequence": 9,
            "complete": complete,
        }})
    };
    let whole = said(search(5, true));
    assert!(
        whole.contains("not among the 5 events since 2026-11-20T13:00:00Z"),
        "{whole}"
    );
    assert!(whole.ends_with("sequences 5 to 9"), "{whole}");
    assert!(said(search(5, false)).ends_with("as far as one search goes"));
    assert!(said(search(0, true)).contains("which has none since"));
    assert!(said(json!({"state": "broker_away"})).contains("the broker did not answer"));
}

//! Messages and answers of the real little-brother 0.5.8, as they went over the wire.

use super::now;
use crate::samples::p;
use serde_json::{Value, json};
use std::path::PathBuf;
use tripline_protocol::littlebrother::*;

/// A message and its answer.
struct Capture {
    request: Value,
    response: Value,
}

fn capture(name: &str) -> Capture {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/captures/littlebrother", name]
        .iter()
        .collect();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut whole: Value = serde_json::from_str(&text).unwrap();
    Capture {
        request: whole["request"].take(),
        response: whole["response"].take(),
    }
}

fn names() -> Vec<String> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/captures/littlebrother"]
        .iter()
        .collect();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let names: Vec<String> = std::fs::read_dir(folder).unwrap().map(name).collect();
    assert_eq!(names.len(), 11);
    names
}

fn event(kind: EventType, at: &str) -> WireEvent {
    WireEvent::new(kind, "beethoven", p(&format!("2026-11-20 {at}")))
}

fn of_process(kind: EventType, at: &str, pid: u32, started: &str) -> WireEvent {
    WireEvent {
        pid: Some(pid),
        process_start_time: Some(p(&format!("2026-11-20 {started}"))),
        processhandler: Some(PROCESS_HANDLER.into()),
        username: Some("amelie".into()),
        ..event(kind, at)
    }
}

fn read(name: &str) -> ReadMessage {
    ReadMessage::read(capture(name).request.to_string().as_bytes(), now()).unwrap()
}

#[test]
fn every_captured_message_is_read_field_for_field() {
    for name in names() {
        let request = capture(&name).request;
        let read = ReadMessage::read(request.to_string().as_bytes(), now()).unwrap();
        assert_eq!(read.ignored, [], "{name}");
        assert_eq!(read.secret.as_deref(), request["secret"].as_str(), "{name}");
        let mut written = serde_json::to_value(&read.message).unwrap();
        written["secret"] = request["secret"].clone();
        assert_eq!(written, request, "{name}");
    }
}

#[test]
fn the_first_message_of_a_client_is_start_client_with_nine_statistics() {
    let message = read("01_first_contact_start_client.json").message;
    assert_eq!(message.hostname, "beethoven");
    assert_eq!(message.events, [event(EventType::StartClient, "20:21:17")]);
    let stats = ClientStats {
        version: Some(VERSION.into()),
        revision: Some("209".into()),
        python_version: Some("3.11.7".into()),
        running_in_docker: false,
        running_in_snap: false,
        linux_distribution: Some("Debian GNU/Linux 12 (bookworm)".into()),
        resident_memory_bytes: Some(85_630_976.0),
        start_time_seconds: Some(1_795_206_074.46),
        cpu_seconds_total: Some(0.76),
    };
    assert_eq!(message.client_stats, Some(stats));
}

#[test]
fn each_type_of_a_client_is_read_as_what_it_is() {
    let start = WireEvent {
        processname: Some("lbgame".into()),
        ..of_process(EventType::ProcessStart, "20:21:45", 21505, "20:21:43")
    };
    assert_eq!(read("02_process_start.json").message.events, [start]);
    let prohibited = WireEvent {
        processname: Some("lbbad".into()),
        ..of_process(EventType::ProhibitedProcess, "20:21:51", 21751, "20:21:50")
    };
    assert_eq!(read("03_prohibited_process.json").message.events, [prohibited]);
    let downtime = WireEvent {
        downtime: 25,
        ..of_process(EventType::ProcessDowntime, "20:22:51", 21505, "20:21:43")
    };
    assert_eq!(read("05_process_downtime.json").message.events, [downtime]);
    let end = of_process(EventType::ProcessEnd, "20:24:22", 26335, "20:24:17");
    assert_eq!(read("10_clean_stop_process_end.json").message.events, [end]);
}

#[test]
fn a_message_with_a_wrong_secret_is_read_as_any_other() {
    assert_eq!(read("11_wrong_secret.json").secret.as_deref(), Some("WRONG"));
}

fn users() -> [UserConfig; 2] {
    let user = |login: &str, prohibited: Option<&str>| UserConfig {
        login: login.into(),
        active: true,
        process_name_pattern: "lbgame".into(),
        prohibited_process_name_pattern: prohibited.map(str::to_owned),
    };
    [user("amelie", Some("lbbad")), user("leon", None)]
}

fn mappings() -> [LoginMapping; 1] {
    [LoginMapping {
        server_group: DEFAULT_GROUP.into(),
        entries: vec![("amelie".into(), 4242), ("leon".into(), 4243)],
    }]
}

#[test]
fn the_first_answer_is_what_the_real_server_wrote() {
    let at = p("2026-11-20 20:21:17");
    let ours = [
        config_event("beethoven", at, &users(), 20),
        mapping_event("beethoven", at, &mappings()),
        event(EventType::StartMaster, "20:21:17"),
    ];
    assert_eq!(
        json!(ours),
        capture("01_first_contact_start_client.json").response
    );
}

#[test]
fn kills_are_what_the_real_server_wrote() {
    let ours = [of_process(EventType::KillProcess, "20:21:51", 21751, "20:21:50")];
    assert_eq!(json!(ours), capture("04_answer_kill_prohibited.json").response);
    let delayed = |at, pid, started| WireEvent {
        delay: 2,
        ..of_process(EventType::KillProcess, at, pid, started)
    };
    let ours = [
        delayed("20:23:40", 21505, "20:21:43"),
        delayed("20:23:40", 25134, "20:23:34"),
    ];
    assert_eq!(json!(ours), capture("08_rule_kill_delay.json").response);
}

/// The real server leaves the handler out, and the real client throws such an event away.
#[test]
fn a_replay_is_what_the_real_server_wrote_with_the_handler_filled_in() {
    let at = p("2026-11-20 20:22:57");
    let ours = [
        config_event("beethoven", at, &users(), 20),
        mapping_event("beethoven", at, &mappings()),
        of_process(EventType::ProcessStart, "20:22:57", 21505, "20:21:43"),
    ];
    let mut real = capture("07_restart_answer_with_replay.json").response;
    assert_eq!(real[2]["processhandler"], Value::Null);
    real[2]["processhandler"] = json!(PROCESS_HANDLER);
    assert_eq!(json!(ours), real);
}

#[test]
fn every_captured_answer_is_read_field_for_field() {
    for name in names() {
        let Value::Array(events) = capture(&name).response else {
            continue;
        };
        for event in events {
            let kind = p_kind(&event);
            let read = WireEvent::read(kind, event.as_object().unwrap(), "elsewhere", now()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), event, "{name}");
            assert_eq!(
                serde_json::from_value::<WireEvent>(event).unwrap(),
                read,
                "{name}"
            );
        }
    }
}

fn p_kind(event: &Value) -> EventType {
    event["event_type"].as_str().unwrap().parse().unwrap()
}

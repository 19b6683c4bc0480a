//! What the real client sent, and what the real server answered.

use super::*;
use serde_json::Value;
use std::path::Path;
use tripline_protocol::littlebrother::{LocalTime, ReadMessage, WireEvent};
use tripline_protocol::{Span, Timestamp};

fn capture(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/tests/captures/littlebrother");
    let text = std::fs::read(folder.join(name)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// A server as the captured one was configured.
fn server() -> Server {
    let mut server = Server::new();
    server.configure(|settings| {
        settings.users[0].prohibited_process_name_pattern = Some("lbbad".into());
        settings.users[1].prohibited_process_name_pattern = None;
        settings.users[1].active = true;
        settings.maximum_time_without_send = Span::from_secs(20);
    });
    server
}

/// Posts the captured message at its time; the answer, and the captured answer.
fn replay(server: &mut Server, name: &str) -> (super::super::Outcome, Vec<WireEvent>) {
    let capture = capture(name);
    // A message without events came in the second of the events that answer it, or in the next.
    let asked = capture["request"].pointer("/events/0/event_time");
    let said = asked
        .or_else(|| capture.pointer("/response/0/event_time"))
        .unwrap();
    let time: LocalTime = serde_json::from_value(said.clone()).unwrap();
    server.now = Timestamp::from_micros(time.naive_seconds() * 1_000_000);
    let body = serde_json::to_vec(&capture["request"]).unwrap();
    let read = ReadMessage::read(&body, time).unwrap();
    let outcome = server.post_message(read.message);
    server.state.written(outcome.ticket);
    let answered = serde_json::from_value(capture["response"].clone()).unwrap();
    (outcome, answered)
}

#[test]
fn the_first_contact_is_answered_as_the_real_server_does() {
    let mut server = server();
    let (outcome, answered) = replay(&mut server, "01_first_contact_start_client.json");
    assert_eq!(outcome.answer, answered);
    let view = server.state.view(server.now).unwrap();
    assert_eq!((view.active, view.outdated), (true, Some(false)));
}

#[test]
fn the_captured_session_ends_where_it_ended() {
    let mut server = server();
    replay(&mut server, "01_first_contact_start_client.json");
    replay(&mut server, "02_process_start.json");
    assert_eq!(server.open(), [21505]);

    let (outcome, _) = replay(&mut server, "03_prohibited_process.json");
    let mut killed = outcome.answer;
    // Two configurations are still under way where the real server sends one.
    killed.retain(|event| event.event_type == EventType::KillProcess);
    let mut expected = serde_json::from_value::<Vec<WireEvent>>(
        capture("04_answer_kill_prohibited.json")["response"].clone(),
    );
    assert_eq!(killed, *expected.as_mut().unwrap());

    replay(&mut server, "05_process_downtime.json");
    let (outcome, _) = replay(&mut server, "06_restart_start_client.json");
    let mut replayed = capture("07_restart_answer_with_replay.json")["response"].clone();
    replayed[2]["processhandler"] = "ClientProcessHandler".into();
    let expected: Vec<WireEvent> = serde_json::from_value(replayed).unwrap();
    assert_eq!(outcome.answer, expected, "in the same answer, and with a handler");

    server.kill(1, 21505, None).unwrap();
    let (outcome, captured) = replay(&mut server, "08_rule_kill_delay.json");
    let mut expected = captured[0].clone();
    expected.delay = 0;
    assert_eq!(outcome.answer.last(), Some(&expected));
    let (outcome, _) = replay(&mut server, "09_process_end_after_kill.json");
    assert_eq!(outcome.killed.len(), 1);
    assert!(server.open().is_empty());
    let downtime_s: Vec<u64> = server.rows.values().map(|process| process.downtime_s).collect();
    assert_eq!(downtime_s, [25]);

    replay(&mut server, "10_clean_stop_process_end.json");
    assert!(server.open().is_empty());
    assert_eq!(server.rows.len(), 1, "an unknown process ended");
}

#[test]
fn what_the_real_client_says_of_itself_is_kept() {
    let mut server = server();
    replay(&mut server, "02_process_start.json");
    let stats = server.state.view(server.now).unwrap().client_stats.unwrap();
    assert_eq!(stats.version.as_deref(), Some("0.5.8"));
    assert_eq!(stats.resident_memory_bytes, Some(86_548_480.0));
}

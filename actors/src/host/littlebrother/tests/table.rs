//! The process table.

use super::super::{Key, Oddity};
use super::*;

#[test]
fn a_process_is_open_from_its_start_to_its_end() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 1)]);
    let process = server.process(7).clone();
    assert_eq!(process.username.as_deref(), Some("amelie"));
    assert_eq!(process.name.as_deref(), Some("lbgame"));
    assert!(process.is_open() && process.extras.is_none());
    server.later(5).post(vec![end(7, 4)]);
    let ended_at = server.process(7).ended_at.unwrap();
    assert_eq!(ended_at.as_micros(), (NOON + 4) * 1_000_000);
    assert!(server.open().is_empty());
}

#[test]
fn one_pid_with_two_start_times_is_two_processes() {
    let mut server = Server::introduced();
    let mut other = start(7, 1);
    other.process_start_time = Some(at(1));
    server.post(vec![start(7, 1), other]);
    assert_eq!(server.open(), [7, 7]);
}

#[test]
fn an_announced_process_stays_as_it_is() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 1)]);
    let mut again = start(7, 2);
    again.processname = None;
    let outcome = server.post(vec![again]);
    assert!(outcome.changes.rows.is_empty());
    assert_eq!(outcome.events.len(), 1, "it is an event all the same");
    assert_eq!(server.process(7).name.as_deref(), Some("lbgame"));
}

#[test]
fn a_name_that_was_missing_is_filled_in() {
    let mut server = Server::introduced();
    let mut nameless = start(7, 1);
    nameless.processname = None;
    server.post(vec![nameless]);
    server.post(vec![start(7, 2)]);
    assert_eq!(server.process(7).name.as_deref(), Some("lbgame"));
}

#[test]
fn an_ended_process_that_is_announced_again_is_open_again() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 1), downtime(7, 2, 25), end(7, 3)]);
    let mut again = start(7, 5);
    again.processname = None;
    server.post(vec![again]);
    let process = server.process(7);
    assert!(process.is_open());
    assert_eq!(
        (process.name.as_deref(), process.downtime_s),
        (Some("lbgame"), 25)
    );
}

#[test]
fn the_last_end_counts() {
    let mut server = Server::introduced();
    server.later(20).post(vec![start(7, 1), end(7, 3)]);
    server.later(5).post(vec![end(7, 23)]);
    let ended_at = server.process(7).ended_at.unwrap();
    assert_eq!(ended_at.as_micros(), (NOON + 23) * 1_000_000);
}

#[test]
fn downtime_is_set_and_not_added() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 1), downtime(7, 2, 25), downtime(7, 3, 10)]);
    assert_eq!(server.process(7).downtime_s, 10);
}

#[test]
fn ends_and_downtimes_of_unknown_processes_change_nothing_and_are_counted() {
    let mut server = Server::introduced();
    let outcome = server.post(vec![end(7, 1), downtime(8, 1, 5)]);
    assert!(server.rows.is_empty());
    assert_eq!(outcome.odd[&Oddity::UnknownProcess], 2);
    assert_eq!(outcome.events.len(), 2, "they are events all the same");
}

#[test]
fn a_process_with_another_handler_is_passed_on_and_not_tabled() {
    let mut server = Server::introduced();
    let mut events = vec![start(7, 1), prohibited(8, 1), end(9, 1)];
    events[0].processhandler = Some("ClientDeviceHandler".into());
    events[1].processhandler = None;
    events[2].processhandler = Some("x".into());
    let outcome = server.post(events);
    assert!(server.rows.is_empty() && outcome.answer.is_empty());
    assert_eq!(outcome.events.len(), 3);
    assert_eq!(outcome.odd[&Oddity::OtherHandler], 3);
}

#[test]
fn attributes_that_clients_leave_empty_are_kept_when_filled() {
    let mut server = Server::introduced();
    let mut full = start(7, 1);
    (full.text, full.locale) = (Some("t".into()), Some("de".into()));
    (full.hostlabel, full.percent) = (Some("h".into()), 50);
    server.post(vec![full]);
    let extras = server.process(7).extras.clone().unwrap();
    assert_eq!(
        (extras.text.as_deref(), extras.locale.as_deref()),
        (Some("t"), Some("de"))
    );
    assert_eq!((extras.hostlabel.as_deref(), extras.percent), (Some("h"), 50));
}

#[test]
fn a_message_that_comes_again_changes_nothing_and_publishes_nothing() {
    let mut server = Server::introduced();
    let message = vec![start(7, 1), downtime(7, 2, 5), end(7, 3)];
    let first = server.post(message.clone());
    let again = server.post([message, vec![start(8, 4)]].concat());
    assert_eq!(first.events.len(), 3);
    assert_eq!(again.events.len(), 1, "only what is new");
    assert_eq!(again.odd[&Oddity::Repeated], 3);
    assert_eq!(server.open(), [8]);
}

#[test]
fn a_message_that_is_overtaken_by_its_repetition_opens_nothing_again() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 1), end(7, 3)]);
    let late = server.post(vec![start(7, 1)]);
    assert!(late.events.is_empty() && server.open().is_empty());
}

#[test]
fn a_message_that_comes_again_after_a_restart_has_the_same_event_ids() {
    let mut server = Server::introduced();
    let first = server.post(vec![start(7, 1), end(7, 3)]);
    server.restart();
    let again = server.post(vec![start(7, 1), end(7, 3)]);
    let ids = |outcome: &super::super::Outcome| -> Vec<String> {
        outcome.events.iter().map(|event| event.id.clone()).collect()
    };
    assert_eq!(ids(&first), ids(&again));
    assert!(ids(&first)[0] != ids(&first)[1]);
    assert!(server.open().is_empty());
}

#[test]
fn the_table_survives_a_restart() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 1), start(8, 1), end(8, 2)]);
    server.restart();
    server.post(vec![end(7, 5)]);
    assert!(server.open().is_empty());
    assert_eq!(server.process(7).name.as_deref(), Some("lbgame"));
}

#[test]
fn keys_sort_by_pid_and_read_back() {
    let key = |pid, seconds| Key {
        pid,
        start: at(seconds),
    };
    let keys = [key(1, 5), key(2, 0), key(2, 1), key(70_000, 0)];
    let bytes: Vec<[u8; 23]> = keys.iter().map(|key| key.to_bytes()).collect();
    assert!(bytes.is_sorted());
    for (key, bytes) in keys.iter().zip(&bytes) {
        assert_eq!(Key::from_bytes(bytes), Some(*key));
    }
    assert_eq!(Key::from_bytes(&bytes[0][1..]), None);
    assert_eq!(Key::from_bytes(b"abc"), None);
}

//! Limits.

use super::super::kills::REPORTS_MAX;
use super::super::sound::PAYLOAD_BYTES_MAX;
use super::super::{ENDED_MAX, OPEN_MAX, OUTGOING_MAX, Oddity, State};
use super::*;
use std::collections::BTreeSet;
use tripline_protocol::littlebrother::TEXT_BYTES_MAX;

const PID_MAX: u32 = OPEN_MAX as u32;

#[test]
fn processes_beyond_the_limit_are_passed_on_and_not_tabled() {
    let mut server = Server::introduced();
    let outcome = server.post((0..PID_MAX + 5).map(|pid| start(pid, 0)).collect());
    assert_eq!(outcome.events.len(), OPEN_MAX + 5);
    assert_eq!(outcome.odd[&Oddity::TableFull], 5);
    assert_eq!(server.open().len(), OPEN_MAX);
    server.post(vec![end(0, 1)]);
    server.post(vec![start(PID_MAX + 1, 2)]);
    assert_eq!(server.open().len(), OPEN_MAX, "there was room again");
    assert_eq!(
        server.post(vec![start(0, 3)]).odd[&Oddity::TableFull],
        1,
        "neither is an ended one opened"
    );
}

#[test]
fn a_replay_of_all_goes_out_in_portions_and_loses_nothing() {
    let mut server = Server::introduced();
    server.post((0..PID_MAX).map(|pid| start(pid, 0)).collect());
    let mut seen: BTreeSet<u32> = BTreeSet::new();
    let mut outcome = server.post(vec![start_client(1)]);
    for round in 0.. {
        assert!(outcome.answer.len() <= 1_002, "a portion");
        let replayed = outcome.answer.iter().filter_map(|event| event.pid);
        if round == 3 {
            server.lose(outcome.ticket);
        } else {
            server.state.written(outcome.ticket);
            let before = seen.len();
            let replayed: Vec<u32> = replayed.collect();
            seen.extend(&replayed);
            let count = replayed.len();
            assert_eq!(seen.len(), before + count, "each once");
            if count == 0 {
                break;
            }
        }
        outcome = server.post(vec![]);
    }
    assert_eq!(seen.len(), OPEN_MAX);
}

#[test]
fn an_answer_is_bounded_in_bytes_and_still_gets_on() {
    let mut server = Server::introduced();
    let wide = |pid| {
        let mut event = start(pid, 0);
        event.username = Some("x".repeat(4096));
        event
    };
    server.post((0..300).map(wide).collect());
    let mut pids = BTreeSet::new();
    let mut outcome = server.post(vec![start_client(1)]);
    while pids.len() < 300 {
        let answer = serde_json::to_vec(&outcome.answer).unwrap();
        assert!(answer.len() < 640 * 1024, "{}", answer.len());
        let new: Vec<u32> = outcome.answer.iter().filter_map(|event| event.pid).collect();
        assert!(!new.is_empty());
        pids.extend(new);
        outcome = server.post(vec![]);
    }
}

#[test]
fn the_oldest_ended_processes_are_forgotten_when_there_are_too_many() {
    let mut server = Server::introduced();
    let ended = ENDED_MAX as u32 + 10;
    server.post((0..ended).map(|pid| start(pid, 0)).collect());
    let ends = (0..ended).rev().map(|pid| end(pid, i64::from(pid) / 100 - 100));
    let outcome = server.post(ends.collect());
    assert_eq!(outcome.odd[&Oddity::EndedDropped], 10);
    assert_eq!(server.rows.len(), ENDED_MAX);
    server.post(vec![start(0, 1), start(ended - 1, 1)]);
    assert_eq!(
        server.rows.len(),
        ENDED_MAX + 1,
        "0 was forgotten, the last was not"
    );
}

#[test]
fn ended_processes_are_forgotten_after_a_week() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 0), start(8, 0), end(7, 0)]);
    server.later(7 * 24 * 3600);
    server.tick();
    assert_eq!(server.rows.len(), 2);
    server.later(1).tick();
    assert_eq!(server.rows.len(), 1);
    assert_eq!(server.open(), [8]);
}

#[test]
fn prohibited_processes_that_wait_are_bounded_and_go_out_in_portions() {
    let mut server = Server::introduced();
    let reports = 0..OUTGOING_MAX as u32 + 7;
    let mut outcome = server.post(reports.map(|pid| prohibited(pid, 0)).collect());
    assert_eq!(outcome.odd[&Oddity::QueueFull], 7);
    let mut killed = 0;
    while !outcome.answer.is_empty() {
        assert!(outcome.answer.len() <= 1_000);
        killed += outcome.answer.len();
        server.state.written(outcome.ticket);
        outcome = server.post(vec![]);
    }
    assert_eq!(killed, OUTGOING_MAX);
}

#[test]
fn answers_without_receipts_are_bounded_and_the_oldest_counts_as_lost() {
    let mut server = Server::introduced();
    server.configure(|settings| settings.kill_prohibited = false);
    server.post(vec![start(7, 0)]);
    let first = server.post(vec![start_client(1)]);
    for seconds in 2..40 {
        // Each has something in it.
        server.post(vec![start_client(seconds)]);
    }
    server.state.written(first.ticket);
    assert!(server.state.under_way_len() <= 32);
}

#[test]
fn an_idle_client_takes_little_memory() {
    assert!(size_of::<State>() <= 768, "{}", size_of::<State>());
}

#[test]
fn a_long_message_that_comes_again_is_handled_again_as_a_whole() {
    let mut server = Server::introduced();
    let mut message = vec![start(7, 0)];
    message.extend((0..600).map(|seconds| start(8, seconds)));
    message.push(end(7, 600));
    server.later(600).post(message.clone());
    assert_eq!(server.state.recent_len(), 512);
    server.post(message);
    assert_eq!(server.open(), [8], "its end is known still, its start is not");
}

#[test]
fn a_payload_is_passed_on_up_to_its_bound() {
    let mut server = Server::introduced();
    let laden = |pid, bytes| {
        let mut event = start(pid, 0);
        event.payload = Some(serde_json::json!("x".repeat(bytes)));
        event
    };
    // Two are the quotes.
    let outcome = server.post(vec![
        laden(1, PAYLOAD_BYTES_MAX - 2),
        laden(2, PAYLOAD_BYTES_MAX - 1),
    ]);
    let kept: Vec<bool> = outcome
        .events
        .iter()
        .map(|event| event.event.payload.is_some())
        .collect();
    assert_eq!(kept, [true, false]);
    assert_eq!(outcome.odd[&Oddity::PayloadDropped], 1);
}

#[test]
fn a_text_of_a_watchers_event_is_taken_up_to_its_bound() {
    let mut server = Server::introduced();
    let wide = |pid, bytes| {
        let mut event = start(pid, 0);
        event.text = Some("x".repeat(bytes));
        event
    };
    let outcome = server.post(vec![wide(1, TEXT_BYTES_MAX), wide(2, TEXT_BYTES_MAX + 1)]);
    assert_eq!(server.open(), [1]);
    assert_eq!(outcome.odd[&Oddity::Unsound], 1);
}

#[test]
fn the_latest_prohibited_processes_are_remembered_up_to_a_bound() {
    let mut server = Server::introduced();
    server.configure(|settings| settings.kill_prohibited = false);
    let most = u32::try_from(REPORTS_MAX).unwrap();
    server.post((1..=most).map(|pid| prohibited(pid, 0)).collect());
    // Only what is remembered can be ended, for none of them has an entry.
    server.kill(1, 1, None).unwrap();
    server.kill(2, 2, None).unwrap();
    server.post(vec![prohibited(1, 1), prohibited(most + 1, 1)]);
    server.kill(3, 1, None).expect("it was reported again since");
    server.kill(4, most + 1, None).unwrap();
    assert_eq!(server.kill(5, 2, None).unwrap_err().code, "ESRCH", "the oldest");
    server.kill(6, 3, None).unwrap();
}

//! The order of what is published, against a broker that is slow, away, or refuses.

mod model;

use super::codec;
use super::state::{IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MAX, RUN_BYTES_MAX, RUN_MAX, Ready, State};
use super::{Load, RETRY_MAX};
use crate::clock::SystemClock;
use crate::ports::{OutMessage, PublishError};
use std::sync::Arc;
use tripline_protocol::{Span, Timestamp};

const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn message(subject: &str, bytes: usize) -> OutMessage {
    OutMessage {
        subject: subject.into(),
        message_id: "id".into(),
        headers: vec![("a".into(), "b".into())],
        payload: vec![7; bytes],
    }
}

fn away() -> Result<(), PublishError> {
    Err(PublishError::Transient("away".into()))
}

fn refused() -> Result<(), PublishError> {
    Err(PublishError::Permanent("too large".into()))
}

/// The runs that may go out now, as numbers.
fn ready(state: &mut State, now: Timestamp) -> Vec<Vec<u64>> {
    let run = |run: Vec<Ready>| run.into_iter().map(|ready| ready.seq).collect();
    std::iter::from_fn(|| state.next(now).map(run)).collect()
}

/// The broker answers to a run of one.
fn published(state: &mut State, seq: u64, result: Result<(), PublishError>, now: Timestamp) {
    state.published(vec![(seq, result)], now);
}

fn with(subjects: &[&str]) -> State {
    let mut state = State::new();
    for (seq, subject) in (1..).zip(subjects) {
        state.enqueue(seq, message(subject, 1));
    }
    state
}

const NOTHING: [[u64; 0]; 0] = [];

#[test]
fn messages_of_one_subject_go_out_in_runs_one_after_the_other() {
    let mut state = with(&["a", "a", "b"]);
    assert_eq!(ready(&mut state, START), [vec![1, 2], vec![3]]);
    state.enqueue(4, message("a", 1));
    assert_eq!(ready(&mut state, START), NOTHING);
    state.published(vec![(1, Ok(())), (2, Ok(()))], START);
    assert_eq!(ready(&mut state, START), [[4]]);
}

#[test]
fn a_failed_message_holds_its_subject_back_until_it_went_out() {
    let mut state = with(&["a", "a", "a"]);
    ready(&mut state, START);
    let (ok, behind) = (Ok(()), Err(PublishError::OutOfTurn));
    state.published(vec![(1, ok), (2, away()), (3, behind)], START);
    assert_eq!(ready(&mut state, START), NOTHING);
    let later = START.after(Span::from_millis(50));
    assert_eq!(ready(&mut state, later), [[2, 3]], "the same message first");
}

#[test]
fn what_went_in_vain_goes_again_at_once_and_in_shorter_runs() {
    let mut state = State::new();
    for seq in 1..=RUN_MAX as u64 + 1 {
        state.enqueue(seq, message("a", 1));
    }
    assert_eq!(
        ready(&mut state, START),
        [(1..=RUN_MAX as u64).collect::<Vec<_>>()]
    );
    let answer = |seq| match seq {
        1 => Ok(()),
        _ => Err(PublishError::OutOfTurn),
    };
    state.published(
        (1..=RUN_MAX as u64).map(|seq| (seq, answer(seq))).collect(),
        START,
    );
    for half in [RUN_MAX / 2, RUN_MAX] {
        let runs = ready(&mut state, START);
        assert_eq!(runs.len(), 1);
        let (first, last) = (runs[0][0], *runs[0].last().unwrap());
        let expected: Vec<u64> = (first..first + half as u64).filter(|seq| *seq <= 129).collect();
        assert_eq!(runs[0], expected, "{first} to {last}");
        state.published(runs[0].iter().map(|seq| (*seq, Ok(()))).collect(), START);
    }
    assert_eq!((state.waiting_len(), state.in_flight()), (0, 0));
}

#[test]
fn a_run_has_no_more_bytes_than_a_bound_but_for_its_last_message() {
    let mut state = State::new();
    for seq in 1..=5 {
        state.enqueue(seq, message("a", RUN_BYTES_MAX / 2));
    }
    assert_eq!(ready(&mut state, START), [[1, 2]]);
    state.enqueue(6, message("b", 2 * RUN_BYTES_MAX));
    state.enqueue(7, message("b", 1));
    assert_eq!(ready(&mut state, START), [[6]]);
}

#[test]
fn the_pause_doubles_up_to_a_bound() {
    let mut state = with(&["a"]);
    let mut now = START;
    for expected in [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        assert_eq!(ready(&mut state, now), [[1]]);
        published(&mut state, 1, away(), now);
        let due = now.after(Span::from_millis(expected));
        assert_eq!(
            ready(&mut state, due.before(Span::from_millis(1))),
            NOTHING,
            "before {expected} ms"
        );
        now = due;
    }
    assert_eq!(RETRY_MAX, Span::from_secs(5));
}

#[test]
fn when_the_broker_is_back_nothing_waits_for_its_retry() {
    let mut state = with(&["a", "b"]);
    for run in ready(&mut state, START) {
        published(&mut state, run[0], away(), START);
    }
    assert_eq!(ready(&mut state, START), NOTHING);
    state.retry_now();
    assert_eq!(ready(&mut state, START), [[1], [2]]);
    published(&mut state, 1, away(), START);
    assert_eq!(
        ready(&mut state, START.after(Span::from_millis(50))),
        [[1]],
        "the pause begins anew"
    );
}

#[test]
fn what_the_broker_refuses_for_good_lets_the_rest_pass() {
    let mut state = with(&["a", "a"]);
    ready(&mut state, START);
    state.published(vec![(1, refused()), (2, Err(PublishError::OutOfTurn))], START);
    assert_eq!(ready(&mut state, START), [[2]]);
    let settled = state.take_settled();
    assert_eq!(settled.refused, [(1, "too large".to_owned())]);
    assert_eq!((settled.sent, settled.waiting), (vec![], 1));
}

#[test]
fn an_acknowledged_message_is_kept_until_the_broker_has_surely_synced_it() {
    let mut state = with(&["a", "b"]);
    ready(&mut state, START);
    let later = START.after(Span::from_secs(1));
    published(&mut state, 1, Ok(()), START);
    published(&mut state, 2, Ok(()), later);
    assert_eq!(state.take_settled().sent, [1, 2]);
    assert_eq!(state.take_synced(START), [0_u64; 0]);
    assert_eq!(state.take_synced(later), [1]);
    assert_eq!(state.take_synced(later), [0_u64; 0], "it is forgotten once");
}

#[test]
fn what_was_acknowledged_before_a_restart_goes_out_again_without_counting_as_waiting() {
    let mut state = State::new();
    state.restore(4, Some(message("a", 1)), Some(START));
    state.restore(7, Some(message("a", 1)), None);
    assert_eq!((state.waiting_len(), state.seq_last()), (1, 7));
    assert_eq!(ready(&mut state, START), [[4, 7]]);
    state.published(vec![(4, Ok(())), (7, Ok(()))], START);
    let settled = state.take_settled();
    assert_eq!(
        (settled.sent, settled.waiting),
        (vec![7], 1),
        "the first is marked already"
    );
}

#[test]
fn an_entry_that_cannot_be_read_is_quarantined_at_once() {
    let mut state = State::new();
    state.restore(3, None, None);
    let settled = state.take_settled();
    assert_eq!(settled.refused.len(), 1);
    assert_eq!(
        (settled.waiting, state.waiting_len()),
        (0, 0),
        "it was never counted"
    );
}

#[test]
fn messages_beyond_the_bound_on_memory_are_read_again_when_their_turn_comes() {
    let mut state = State::new();
    for seq in 1..=40 {
        state.enqueue(seq, message(&format!("s{seq}"), 1024 * 1024));
    }
    let held: Vec<bool> =
        std::iter::from_fn(|| state.next(START).map(|run| run[0].message.is_some())).collect();
    assert_eq!(held.iter().filter(|held| **held).count(), 32);
    state.enqueue(41, message("new", 1024 * 1024));
    let next = state.next(START).unwrap();
    assert!(next[0].message.is_some(), "there is room again");
    published(&mut state, 1, away(), START);
    state.retry_now();
    let again = state.next(START).unwrap();
    assert!(again[0].message.is_none(), "it is read again, too");
}

#[test]
fn no_more_than_a_bound_are_with_the_broker_at_once() {
    let mut state = State::new();
    for seq in 1..=(IN_FLIGHT_MAX as u64 + 1) {
        state.enqueue(seq, message(&format!("s{seq}"), 1));
    }
    assert_eq!(ready(&mut state, START).len(), IN_FLIGHT_MAX);
    published(&mut state, 1, away(), START);
    assert_eq!(ready(&mut state, START).len(), 1);
    let mut state = State::new();
    for seq in 1..=(IN_FLIGHT_MAX + RUN_MAX) as u64 {
        state.enqueue(seq, message(&format!("s{}", seq % 12), 1));
    }
    let runs = ready(&mut state, START);
    assert_eq!(runs.iter().map(Vec::len).sum::<usize>(), IN_FLIGHT_MAX, "in runs");
}

#[test]
fn no_more_bytes_than_a_bound_are_with_the_broker_at_once() {
    let (mut state, each) = (State::new(), IN_FLIGHT_BYTES_MAX / 8);
    for seq in 1..=10 {
        state.enqueue(seq, message(&format!("s{seq}"), each));
    }
    assert_eq!(ready(&mut state, START).len(), 8);
    published(&mut state, 1, away(), START);
    assert_eq!(ready(&mut state, START), [[9]]);
    published(&mut state, 2, Ok(()), START);
    assert_eq!(ready(&mut state, START), [[10]]);
}

#[test]
fn an_entry_reads_back_as_it_was_written() {
    let load = Load::new(10, Arc::new(SystemClock::default()));
    let mut batch = crate::store::Batch::new();
    let outgoing = codec::stage(&load, &mut batch, message("a", 3));
    assert_eq!((outgoing.seq, load.waiting(), batch.len()), (1, 1, 1));
    let kept = codec::with_reason(b"no entry", "why");
    assert_eq!(kept, b"no entry", "what cannot be read is kept as it is");
    assert_eq!(codec::decode(b"\0\0\0\x09short"), None);
    assert_eq!(codec::decode_time(&codec::encode_time(START)), Some(START));
}

#[test]
fn new_work_is_taken_up_to_four_fifths() {
    let load = Load::new(10, Arc::new(SystemClock::default()));
    for _ in 0..4 {
        load.reserve();
        load.take_seq();
    }
    assert!(!load.admits());
    load.release();
    assert!(load.admits(), "7 of 10");
    load.settled(4);
    assert_eq!(load.waiting(), 0);
}

#[test]
fn what_is_in_quarantine_takes_its_place_until_it_is_put_back_and_published_or_dropped() {
    let load = Load::new(10, Arc::new(SystemClock::default()));
    for _ in 0..7 {
        load.quarantine();
    }
    assert!(load.admits(), "7 of 10");
    load.take_seq();
    assert!(!load.admits());
    load.put_back(7);
    assert_eq!((load.waiting(), load.quarantined()), (8, 0));
    assert!(!load.admits(), "they wait now");
    load.settled(8);
    assert!(load.admits());
}

#[test]
fn what_is_withdrawn_goes_out_no_more_and_holds_nothing_back() {
    let mut state = with(&["a", "b"]);
    assert_eq!(ready(&mut state, START), [[1], [2]]);
    state.enqueue(3, message("a", 1));
    state.enqueue(4, message("a", 1));
    state.withdraw(1);
    state.withdraw(3);
    state.withdraw(3);
    assert_eq!(
        state.parting().collect::<Vec<_>>(),
        ["a"],
        "the broker may still take it"
    );
    assert_eq!((state.waiting_len(), state.take_settled().waiting), (2, 2));
    published(&mut state, 1, Ok(()), START);
    assert_eq!(state.parting().count(), 0);
    assert_eq!(ready(&mut state, START), [[4]], "the next of the subject");
    let settled = state.take_settled();
    assert_eq!(
        (settled.sent.len(), settled.waiting),
        (0, 0),
        "nothing is written of it"
    );
    published(&mut state, 2, away(), START);
    state.withdraw(2);
    assert_eq!(state.parting().count(), 0, "nobody has it");
    let later = START.after(Span::from_secs(6));
    assert_eq!(ready(&mut state, later), NOTHING);
    assert!(!state.has(2));
    published(&mut state, 4, Ok(()), later);
    assert_eq!((state.waiting_len(), state.in_flight()), (0, 0));
}

#[test]
fn what_is_withdrawn_while_it_is_with_the_broker_ends_however_that_answers() {
    for answer in [Ok(()), away(), refused()] {
        let mut state = with(&["a", "a"]);
        ready(&mut state, START);
        state.withdraw(1);
        let behind = match answer {
            Ok(()) => away(),
            _ => Err(PublishError::OutOfTurn),
        };
        state.published(vec![(1, answer), (2, behind)], START);
        let settled = state.take_settled();
        assert!(
            settled.sent.is_empty() && settled.refused.is_empty(),
            "{settled:?}"
        );
        assert!(!state.has(1));
        state.retry_now();
        assert_eq!((settled.waiting, ready(&mut state, START)), (1, vec![vec![2]]));
    }
}

#[test]
fn what_is_over_is_forgotten_in_parts_and_all_of_it() {
    let forgetting = |count: usize| {
        let seqs: Vec<u64> = (1..).take(count).collect();
        codec::forgetting(&seqs)
            .map(|batch| batch.len())
            .collect::<Vec<_>>()
    };
    let most = codec::FORGOTTEN_MAX;
    assert_eq!(forgetting(0), [0_usize; 0]);
    assert_eq!(forgetting(most), [2 * most], "an entry and its mark");
    assert_eq!(forgetting(2 * most + 1), [2 * most, 2 * most, 2]);
}

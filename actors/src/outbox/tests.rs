//! The order of what is published, against a broker that is slow, away, or refuses.

use super::codec;
use super::state::{IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MAX, State};
use super::{Load, RETRY_MAX};
use crate::clock::SystemClock;
use crate::ports::{OutMessage, PublishError};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
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

/// The numbers that may go out now.
fn ready(state: &mut State, now: Timestamp) -> Vec<u64> {
    std::iter::from_fn(|| state.next(now).map(|ready| ready.seq)).collect()
}

fn with(subjects: &[&str]) -> State {
    let mut state = State::new();
    for (seq, subject) in (1..).zip(subjects) {
        state.enqueue(seq, message(subject, 1));
    }
    state
}

#[test]
fn messages_of_one_subject_go_out_one_after_the_other() {
    let mut state = with(&["a", "a", "b"]);
    assert_eq!(ready(&mut state, START), [1, 3]);
    state.published(1, Ok(()), START);
    assert_eq!(ready(&mut state, START), [2]);
}

#[test]
fn a_failed_message_holds_its_subject_back_until_it_went_out() {
    let mut state = with(&["a", "a"]);
    ready(&mut state, START);
    state.published(1, away(), START);
    assert_eq!(ready(&mut state, START), [0_u64; 0]);
    let later = START.after(Span::from_millis(50));
    assert_eq!(ready(&mut state, later), [1], "the same message, not the next");
}

#[test]
fn the_pause_doubles_up_to_a_bound() {
    let mut state = with(&["a"]);
    let mut now = START;
    for expected in [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        assert_eq!(ready(&mut state, now), [1]);
        state.published(1, away(), now);
        let due = now.after(Span::from_millis(expected));
        assert_eq!(
            ready(&mut state, due.before(Span::from_millis(1))),
            [0_u64; 0],
            "before {expected} ms"
        );
        now = due;
    }
    assert_eq!(RETRY_MAX, Span::from_secs(5));
}

#[test]
fn when_the_broker_is_back_nothing_waits_for_its_retry() {
    let mut state = with(&["a", "b"]);
    for seq in ready(&mut state, START) {
        state.published(seq, away(), START);
    }
    assert_eq!(ready(&mut state, START), [0_u64; 0]);
    state.retry_now();
    assert_eq!(ready(&mut state, START), [1, 2]);
    state.published(1, away(), START);
    assert_eq!(
        ready(&mut state, START.after(Span::from_millis(50))),
        [1],
        "the pause begins anew"
    );
}

#[test]
fn what_the_broker_refuses_for_good_lets_the_rest_pass() {
    let mut state = with(&["a", "a"]);
    ready(&mut state, START);
    state.published(1, refused(), START);
    assert_eq!(ready(&mut state, START), [2]);
    let settled = state.take_settled();
    assert_eq!(settled.refused, [(1, "too large".to_owned())]);
    assert_eq!((settled.sent, settled.waiting), (vec![], 1));
}

#[test]
fn an_acknowledged_message_is_kept_until_the_broker_has_surely_synced_it() {
    let mut state = with(&["a", "b"]);
    ready(&mut state, START);
    let later = START.after(Span::from_secs(1));
    state.published(1, Ok(()), START);
    state.published(2, Ok(()), later);
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
    assert_eq!(ready(&mut state, START), [4]);
    state.published(4, Ok(()), START);
    assert_eq!(ready(&mut state, START), [7]);
    state.published(7, Ok(()), START);
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
        std::iter::from_fn(|| state.next(START).map(|ready| ready.message.is_some())).collect();
    assert_eq!(held.iter().filter(|held| **held).count(), 32);
    state.published(1, Ok(()), START);
    state.enqueue(41, message("new", 1024 * 1024));
    let next = state.next(START).unwrap();
    assert!(next.message.is_some(), "there is room again");
}

#[test]
fn no_more_than_a_bound_are_with_the_broker_at_once() {
    let mut state = State::new();
    for seq in 1..=(IN_FLIGHT_MAX as u64 + 1) {
        state.enqueue(seq, message(&format!("s{seq}"), 1));
    }
    assert_eq!(ready(&mut state, START).len(), IN_FLIGHT_MAX);
    state.published(1, away(), START);
    assert_eq!(ready(&mut state, START).len(), 1);
}

#[test]
fn no_more_bytes_than_a_bound_are_with_the_broker_at_once() {
    let (mut state, each) = (State::new(), IN_FLIGHT_BYTES_MAX / 8);
    for seq in 1..=10 {
        state.enqueue(seq, message(&format!("s{seq}"), each));
    }
    assert_eq!(ready(&mut state, START).len(), 8);
    state.published(1, away(), START);
    assert_eq!(ready(&mut state, START), [9]);
    state.published(2, Ok(()), START);
    assert_eq!(ready(&mut state, START), [10]);
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
    let mut state = with(&["a", "a", "a", "b"]);
    assert_eq!(ready(&mut state, START), [1, 4]);
    state.withdraw(1);
    state.withdraw(2);
    state.withdraw(2);
    assert_eq!(
        state.parting().collect::<Vec<_>>(),
        ["a"],
        "the broker may still take it"
    );
    assert_eq!((state.waiting_len(), state.take_settled().waiting), (2, 2));
    state.published(1, Ok(()), START);
    assert_eq!(state.parting().count(), 0);
    assert_eq!(ready(&mut state, START), [3], "the next of the subject");
    let settled = state.take_settled();
    assert_eq!(
        (settled.sent.len(), settled.waiting),
        (0, 0),
        "nothing is written of it"
    );
    state.published(4, away(), START);
    state.withdraw(4);
    assert_eq!(state.parting().count(), 0, "nobody has it");
    let later = START.after(Span::from_secs(6));
    assert_eq!(ready(&mut state, later), [0_u64; 0]);
    assert!(!state.has(4));
    state.published(3, Ok(()), later);
    assert_eq!((state.waiting_len(), state.in_flight()), (0, 0));
}

#[test]
fn what_is_withdrawn_while_it_is_with_the_broker_ends_however_that_answers() {
    for answer in [Ok(()), away(), refused()] {
        let mut state = with(&["a", "a"]);
        ready(&mut state, START);
        state.withdraw(1);
        state.published(1, answer, START);
        let settled = state.take_settled();
        assert!(
            settled.sent.is_empty() && settled.refused.is_empty(),
            "{settled:?}"
        );
        assert!(!state.has(1));
        assert_eq!((settled.waiting, ready(&mut state, START)), (1, vec![2]));
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// Everything of a subject that was staged until then.
    Withdraw(u8),
    Enqueue(u8),
    Pump,
    Answer(prop::sample::Index, u8),
    Pass(u64),
    BrokerReturned,
    Settle,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0_u8..4).prop_map(Op::Enqueue),
        6 => Just(Op::Pump),
        8 => (any::<prop::sample::Index>(), 0_u8..6).prop_map(|(index, how)| Op::Answer(index, how)),
        3 => (0_u64..3000).prop_map(Op::Pass),
        1 => Just(Op::BrokerReturned),
        3 => Just(Op::Settle),
        1 => Just(Op::Restart),
        1 => (0_u8..4).prop_map(Op::Withdraw),
    ]
}

/// The outbox with its store, as a map: what was not yet settled is there after a restart.
struct World {
    state: State,
    load: Load,
    now: Timestamp,
    stored: BTreeMap<u64, (u8, bool)>,
    /// The subject of every number.
    subjects: HashMap<u64, u8>,
    withdrawn: Vec<u64>,
    with_broker: Vec<u64>,
    /// The order in which the broker took them, per subject.
    taken: HashMap<u8, Vec<u64>>,
    ended: Vec<u64>,
    seq: u64,
}

impl World {
    fn step(&mut self, op: Op) {
        match op {
            Op::Enqueue(subject) => {
                self.seq = self.load.take_seq();
                self.stored.insert(self.seq, (subject, false));
                self.subjects.insert(self.seq, subject);
                self.state.enqueue(self.seq, message(&subject.to_string(), 1));
            }
            Op::Pump => self.pump(),
            Op::Answer(index, how) => {
                if !self.with_broker.is_empty() {
                    let seq = self.with_broker.swap_remove(index.index(self.with_broker.len()));
                    self.answer(seq, how);
                }
            }
            Op::Pass(millis) => self.now = self.now.after(Span::from_millis(millis)),
            Op::BrokerReturned => self.state.retry_now(),
            Op::Settle => self.settle(),
            Op::Withdraw(subject) => self.withdraw(subject),
            Op::Restart => self.restart(),
        }
    }

    fn withdraw(&mut self, subject: u8) {
        self.settle();
        let of_subject = self.stored.iter().filter(|(_, (of, _))| *of == subject);
        let seqs: Vec<u64> = of_subject.map(|(seq, _)| *seq).collect();
        for seq in seqs {
            self.state.withdraw(seq);
            self.stored.remove(&seq);
            self.withdrawn.push(seq);
        }
        self.settle();
    }

    fn pump(&mut self) {
        for seq in ready(&mut self.state, self.now) {
            assert!(!self.withdrawn.contains(&seq), "{seq} was withdrawn");
            let subject = self.subjects[&seq];
            let beside = self
                .with_broker
                .iter()
                .any(|other| self.subjects[other] == subject);
            assert!(!beside, "two of one subject are with the broker");
            self.with_broker.push(seq);
        }
    }

    fn answer(&mut self, seq: u64, how: u8) {
        let result = match how {
            0 | 1 => away(),
            2 => refused(),
            _ => Ok(()),
        };
        if !matches!(result, Err(PublishError::Transient(_))) {
            let taken = self.taken.entry(self.subjects[&seq]).or_default();
            assert!(taken.last().is_none_or(|last| *last < seq), "out of order");
            taken.push(seq);
            self.ended.push(seq);
        }
        self.state.published(seq, result, self.now);
    }

    fn settle(&mut self) {
        let settled = self.state.take_settled();
        for (seq, _) in &settled.refused {
            self.stored.remove(seq);
        }
        for seq in &settled.sent {
            self.stored.get_mut(seq).unwrap().1 = true;
        }
        self.load.settled(settled.waiting);
    }

    fn restart(&mut self) {
        self.state = State::new();
        self.with_broker.clear();
        self.taken.clear();
        for (seq, (subject, sent)) in &self.stored {
            let sent = sent.then_some(self.now);
            self.state
                .restore(*seq, Some(message(&subject.to_string(), 1)), sent);
        }
        self.load
            .restart(self.state.waiting_len() as u64, 0, self.state.seq_last());
    }

    fn check(&self) {
        let unmarked = self.stored.values().filter(|(_, sent)| !sent).count();
        assert_eq!(self.load.waiting(), unmarked as u64, "the figure drifted");
    }
}

proptest! {
    #[test]
    fn order_holds_nothing_is_lost_and_the_figures_never_drift(ops in prop::collection::vec(op(), 1..150)) {
        let mut world = World {
            state: State::new(),
            load: Load::new(1000, Arc::new(SystemClock::default())),
            now: START,
            stored: BTreeMap::new(),
            subjects: HashMap::new(),
            withdrawn: Vec::new(),
            with_broker: Vec::new(),
            taken: HashMap::new(),
            ended: Vec::new(),
            seq: 0,
        };
        for op in ops {
            world.step(op);
            world.check();
        }
        for _ in 0..400 {
            world.step(Op::Pass(6000));
            world.pump();
            for seq in std::mem::take(&mut world.with_broker) {
                world.answer(seq, 5);
            }
        }
        world.settle();
        prop_assert_eq!(world.load.waiting(), 0);
        for seq in (1..=world.seq).filter(|seq| !world.withdrawn.contains(seq)) {
            prop_assert!(world.ended.contains(&seq), "{} was lost", seq);
        }
    }
}

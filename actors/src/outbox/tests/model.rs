//! Everything that may happen to the outbox, in any order, against a broker that decides as the real one.

use super::{Load, PublishError, START, State, SystemClock, away, message, ready, refused};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tripline_protocol::{Span, Timestamp};

#[derive(Debug, Clone)]
enum Op {
    /// Everything of a subject that was staged until then.
    Withdraw(u8),
    Enqueue(u8),
    Pump,
    /// To one of the runs: how it goes, and from which message on.
    Answer(prop::sample::Index, Fate, prop::sample::Index),
    Pass(u64),
    BrokerReturned,
    Settle,
    Restart,
}

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// The connection is lost: what is ahead was taken, no ack comes, and the rest comes never.
    Lost,
    /// The connection is lost, and comes back with the rest; what is ahead never came.
    Late,
    /// The broker does not take one for now.
    NotNow,
    /// It will never take one.
    Never,
    /// Somebody else publishes in between.
    Between,
    /// The ack of one is lost.
    Unheard,
    Taken,
}

fn op() -> impl Strategy<Value = Op> {
    let fate = prop_oneof![
        1 => Just(Fate::Lost),
        1 => Just(Fate::Late),
        1 => Just(Fate::NotNow),
        1 => Just(Fate::Never),
        1 => Just(Fate::Between),
        1 => Just(Fate::Unheard),
        3 => Just(Fate::Taken),
    ];
    let index = any::<prop::sample::Index>;
    prop_oneof![
        12 => (0_u8..4).prop_map(Op::Enqueue),
        4 => Just(Op::Pump),
        6 => (index(), fate, index()).prop_map(|(index, fate, at)| Op::Answer(index, fate, at)),
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
    /// Runs.
    with_broker: Vec<Vec<u64>>,
    broker: Broker,
    seq: u64,
}

/// A stream, as the real one decides.
#[derive(Default)]
struct Broker {
    stored: Vec<u64>,
    /// What came last; `None`: somebody else's.
    last: Option<u64>,
    never: Vec<u64>,
}

impl Broker {
    fn store(&mut self, seq: u64, before: Option<u64>) -> Result<(), PublishError> {
        if self.stored.contains(&seq) {
            return Ok(());
        }
        if before.is_some() && self.last != before {
            return Err(PublishError::OutOfTurn);
        }
        self.stored.push(seq);
        self.last = Some(seq);
        Ok(())
    }

    fn take(&mut self, run: &[u64], fate: Fate, at: usize) -> Vec<(u64, Result<(), PublishError>)> {
        let (mut before, mut answers) = (None, Vec::new());
        for (place, seq) in run.iter().enumerate() {
            let comes = match fate {
                Fate::Lost => place < at,
                Fate::Late => place >= at,
                _ => true,
            };
            if fate == Fate::Between && place == at {
                self.last = None;
            }
            let answer = match (fate, place == at) {
                (Fate::NotNow, true) => away(),
                _ if comes && self.never.contains(seq) => refused(),
                (Fate::Never, true) if !self.stored.contains(seq) => {
                    self.never.push(*seq);
                    refused()
                }
                _ if comes => self.store(*seq, before),
                _ => away(),
            };
            let unheard = matches!(fate, Fate::Lost | Fate::Late) || (fate == Fate::Unheard && place == at);
            answers.push((*seq, if unheard { away() } else { answer }));
            before = Some(*seq);
        }
        answers
    }
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
            Op::Answer(index, fate, at) => {
                if !self.with_broker.is_empty() {
                    let run = self.with_broker.swap_remove(index.index(self.with_broker.len()));
                    self.answer(&run, fate, at.index(run.len()));
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
        for run in ready(&mut self.state, self.now) {
            let subject = self.subjects[&run[0]];
            for seq in &run {
                assert!(!self.withdrawn.contains(seq), "{seq} was withdrawn");
                assert_eq!(self.subjects[seq], subject, "a run is of one subject");
            }
            let mut others = self.with_broker.iter();
            let beside = others.any(|other| self.subjects[&other[0]] == subject);
            assert!(!beside, "two runs of one subject are with the broker");
            self.with_broker.push(run);
        }
    }

    fn answer(&mut self, run: &[u64], fate: Fate, at: usize) {
        let answers = self.broker.take(run, fate, at);
        self.state.published(answers, self.now);
        let subject = self.subjects[&run[0]];
        let of_subject = self
            .broker
            .stored
            .iter()
            .filter(|seq| self.subjects[seq] == subject);
        assert!(of_subject.is_sorted(), "out of order");
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
            broker: Broker::default(),
            seq: 0,
        };
        for op in ops {
            world.step(op);
            world.check();
        }
        for _ in 0..400 {
            world.step(Op::Pass(6000));
            world.pump();
            for run in std::mem::take(&mut world.with_broker) {
                world.answer(&run, Fate::Taken, 0);
            }
        }
        world.settle();
        prop_assert_eq!(world.load.waiting(), 0);
        for seq in (1..=world.seq).filter(|seq| !world.withdrawn.contains(seq)) {
            let ended = world.broker.stored.contains(&seq) || world.broker.never.contains(&seq);
            prop_assert!(ended, "{} was lost", seq);
        }
    }
}

//! The outbox's order: what may go out now, what waits for its subject, for a retry, or for the sync.
//!
//! What waits of one subject goes out in runs: one at a time, in order, and the broker stores none of a run before those
//! ahead of it. What was not stored is tried again before anything that follows it.

use super::RETRY_MAX;
use crate::ports::{OutMessage, PublishError};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use tripline_protocol::{Span, Timestamp};

/// Messages with the broker and not acknowledged.
pub(super) const IN_FLIGHT_MAX: usize = 1000;
/// Their payload bytes at which no further one is sent.
pub(super) const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Payload bytes kept in memory; beyond, entries are read again from the store when their turn comes.
const MEMORY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The most entries of a run. Larger ones cost the broker nothing less.
pub(super) const RUN_MAX: usize = 128;
/// Payload bytes of a run at which nothing is added to it.
pub(super) const RUN_BYTES_MAX: usize = 1024 * 1024;

/// An entry whose turn it is. Without `message` the caller reads it from the store.
#[derive(Debug, PartialEq)]
pub(super) struct Ready {
    pub(super) seq: u64,
    pub(super) message: Option<OutMessage>,
}

#[derive(Debug)]
struct Entry {
    subject: Arc<str>,
    /// `None`: it is, or was, with the broker, or there was no room for it.
    message: Option<OutMessage>,
    /// Of its payload.
    bytes: usize,
    /// How often it was the first of a run that failed.
    failures: u32,
    /// It was acknowledged by an earlier broker process and goes out only to be sure.
    again: bool,
    /// It is with the broker.
    flying: bool,
    /// It goes out no more, and leaves when its turn comes.
    withdrawn: bool,
}

impl Entry {
    /// Bytes of its payload that are in memory for it.
    fn held(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.payload.len())
    }

    /// Whether it counts as waiting.
    fn waits(&self) -> bool {
        !self.again && !self.withdrawn
    }
}

/// What waits for the broker.
#[derive(Debug, PartialEq)]
pub(super) struct WaitingEntries {
    /// The one that was staged first.
    pub(super) oldest: Option<u64>,
    /// How many of each subject, the most first.
    pub(super) subjects: Vec<(Arc<str>, u64)>,
    pub(super) subjects_total: u64,
}

/// What was decided since the last [`State::take_settled`].
#[derive(Debug, Default, PartialEq)]
pub(super) struct Settled {
    pub(super) sent: Vec<u64>,
    pub(super) refused: Vec<(u64, String)>,
    /// How many of them counted as waiting: those an earlier process had not yet marked.
    pub(super) waiting: u64,
}

/// What is with the broker.
#[derive(Debug, Default)]
struct Flight {
    entries: usize,
    bytes: usize,
}

impl Flight {
    fn has_room(&self) -> bool {
        self.entries < IN_FLIGHT_MAX && self.bytes < IN_FLIGHT_BYTES_MAX
    }
}

#[derive(Debug)]
pub(super) struct State {
    entries: HashMap<u64, Entry>,
    /// Entries of each subject that are not with the broker, in order. Present while one is, waits, or both.
    subjects: HashMap<Arc<str>, VecDeque<u64>>,
    /// Subjects whose turn it is: something waits, and nothing is with the broker.
    runnable: VecDeque<Arc<str>>,
    /// Subjects that wait for a retry, with the number of their first entry.
    retries: BTreeMap<(Timestamp, u64), Arc<str>>,
    /// How many entries a run may have. Halved when somebody else published in the middle of one, because all behind that
    /// went in vain; doubled when a whole one arrived.
    run_len: usize,
    flight: Flight,
    memory_bytes: usize,
    settled: Settled,
    /// Acknowledged, oldest first, until the broker has surely synced them.
    sent: VecDeque<(Timestamp, u64)>,
    /// Withdrawn while they were with the broker, which has not answered yet, with their subjects.
    parting: HashMap<u64, Arc<str>>,
    seq_last: u64,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            entries: HashMap::new(),
            subjects: HashMap::new(),
            runnable: VecDeque::new(),
            retries: BTreeMap::new(),
            run_len: RUN_MAX,
            flight: Flight::default(),
            memory_bytes: 0,
            settled: Settled::default(),
            sent: VecDeque::new(),
            parting: HashMap::new(),
            seq_last: 0,
        }
    }

    /// Entries not yet acknowledged in this or an earlier process.
    pub(super) fn waiting_len(&self) -> usize {
        self.entries.values().filter(|entry| entry.waits()).count()
    }

    /// Sent to the broker and not acknowledged.
    pub(super) fn in_flight(&self) -> usize {
        self.flight.entries
    }

    /// What waits, looked at entry by entry: for people, not for the way of a message.
    pub(super) fn waiting(&self) -> WaitingEntries {
        let waiting = || self.entries.iter().filter(|(_, entry)| entry.waits());
        let mut counts: HashMap<&Arc<str>, u64> = HashMap::new();
        for (_, entry) in waiting() {
            *counts.entry(&entry.subject).or_default() += 1;
        }
        let mut subjects: Vec<(Arc<str>, u64)> = counts
            .into_iter()
            .map(|(subject, count)| (Arc::clone(subject), count))
            .collect();
        subjects.sort_unstable_by(|(a, many), (b, more)| more.cmp(many).then_with(|| a.cmp(b)));
        WaitingEntries {
            oldest: waiting().map(|(seq, _)| *seq).min(),
            subjects_total: subjects.len() as u64,
            subjects,
        }
    }

    pub(super) fn seq_last(&self) -> u64 {
        self.seq_last
    }

    /// This number was given away by an earlier process.
    pub(super) fn taken(&mut self, seq: u64) {
        self.seq_last = self.seq_last.max(seq);
    }

    pub(super) fn settled_len(&self) -> usize {
        self.settled.sent.len()
    }

    /// Takes an entry found in the store at start; `sent` when it was acknowledged then.
    pub(super) fn restore(&mut self, seq: u64, message: Option<OutMessage>, sent: Option<Timestamp>) {
        self.taken(seq);
        match message {
            Some(message) => self.add(seq, message, sent.is_some()),
            None => self
                .settled
                .refused
                .push((seq, "the stored entry is unreadable".into())),
        }
    }

    pub(super) fn enqueue(&mut self, seq: u64, message: OutMessage) {
        self.taken(seq);
        self.add(seq, message, false);
    }

    fn add(&mut self, seq: u64, message: OutMessage, again: bool) {
        let subject = self.place(&message.subject, seq);
        let bytes = message.payload.len();
        let message = (self.memory_bytes + bytes <= MEMORY_BYTES_MAX).then_some(message);
        if message.is_some() {
            self.memory_bytes += bytes;
        }
        self.entries.insert(
            seq,
            Entry {
                subject,
                message,
                bytes,
                failures: 0,
                again,
                flying: false,
                withdrawn: false,
            },
        );
    }

    /// Puts an entry behind those of its subject.
    fn place(&mut self, subject: &str, seq: u64) -> Arc<str> {
        if let Some((subject, _)) = self.subjects.get_key_value(subject) {
            let subject = Arc::clone(subject);
            if let Some(waiting) = self.subjects.get_mut(&subject) {
                waiting.push_back(seq);
            }
            return subject;
        }
        let subject: Arc<str> = subject.into();
        self.subjects.insert(Arc::clone(&subject), VecDeque::from([seq]));
        self.runnable.push_back(Arc::clone(&subject));
        subject
    }

    /// The next run to publish, if the window has room: entries of one subject, in order.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Vec<Ready>> {
        self.retries_due(now);
        while self.flight.has_room() {
            let subject = self.runnable.pop_front()?;
            let run = self.take_run(&subject);
            if !run.is_empty() {
                return Some(run);
            }
            // All of it was withdrawn.
            self.subjects.remove(&subject);
        }
        None
    }

    fn take_run(&mut self, subject: &str) -> Vec<Ready> {
        let (mut run, mut bytes) = (Vec::new(), 0);
        let Some(waiting) = self.subjects.get_mut(subject) else {
            return run;
        };
        while run.len() < self.run_len && bytes < RUN_BYTES_MAX && self.flight.has_room() {
            let Some(seq) = waiting.pop_front() else { break };
            let Some(entry) = self.entries.get_mut(&seq).filter(|entry| !entry.withdrawn) else {
                self.memory_bytes -= self.entries.remove(&seq).map_or(0, |entry| entry.held());
                continue;
            };
            self.memory_bytes -= entry.held();
            bytes += entry.bytes;
            self.flight.entries += 1;
            self.flight.bytes += entry.bytes;
            entry.flying = true;
            let message = entry.message.take();
            run.push(Ready { seq, message });
        }
        run
    }

    /// Whether it has not settled.
    pub(super) fn has(&self, seq: u64) -> bool {
        self.entries.contains_key(&seq)
    }

    /// Nobody is to get this one any more: it goes out no more, and what becomes of it if it is with the broker is not written
    /// down.
    pub(super) fn withdraw(&mut self, seq: u64) {
        let Some(entry) = self.entries.get_mut(&seq).filter(|entry| !entry.withdrawn) else {
            return;
        };
        self.settled.waiting += u64::from(!entry.again);
        entry.withdrawn = true;
        if entry.flying {
            self.parting.insert(seq, Arc::clone(&entry.subject));
        }
    }

    /// Subjects of those that are with the broker though they were withdrawn.
    pub(super) fn parting(&self) -> impl Iterator<Item = &str> {
        self.parting.values().map(AsRef::as_ref)
    }

    fn retries_due(&mut self, now: Timestamp) {
        while let Some(first) = self.retries.first_entry().filter(|first| first.key().0 <= now) {
            self.runnable.push_back(first.remove());
        }
    }

    /// The broker is back: nothing waits for a retry any more.
    pub(super) fn retry_now(&mut self) {
        for ((_, seq), subject) in std::mem::take(&mut self.retries) {
            if let Some(entry) = self.entries.get_mut(&seq) {
                entry.failures = 0;
            }
            self.runnable.push_back(subject);
        }
    }

    /// The broker answered to a run, or did not.
    pub(super) fn published(&mut self, run: Vec<(u64, Result<(), PublishError>)>, now: Timestamp) {
        let subject = run.iter().find_map(|(seq, _)| self.entries.get(seq));
        let Some(subject) = subject.map(|entry| Arc::clone(&entry.subject)) else {
            return;
        };
        self.adapt(&run);
        let mut again = Vec::new();
        for (seq, result) in run {
            self.landed(seq);
            if self.parting.remove(&seq).is_some() {
                drop(self.remove(seq));
                continue;
            }
            match result {
                Ok(()) => self.done(seq, now, None),
                Err(PublishError::Permanent(why)) => self.done(seq, now, Some(why)),
                Err(error) => again.push((seq, error)),
            }
        }
        self.go_on(subject, &again, now);
    }

    /// How long the next runs are follows from how this one went.
    fn adapt(&mut self, run: &[(u64, Result<(), PublishError>)]) {
        if run
            .iter()
            .any(|(_, result)| result == &Err(PublishError::OutOfTurn))
        {
            self.run_len = (self.run_len / 2).max(1);
        } else if run.len() == self.run_len && run.iter().all(|(_, result)| result.is_ok()) {
            self.run_len = (self.run_len * 2).min(RUN_MAX);
        }
    }

    /// It is no longer with the broker.
    fn landed(&mut self, seq: u64) {
        self.flight.entries = self.flight.entries.saturating_sub(1);
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.flying = false;
            self.flight.bytes = self.flight.bytes.saturating_sub(entry.bytes);
        }
    }

    /// A subject's next turn, first for those of its last run that were not stored: at once, or after a pause when the
    /// first of them failed.
    fn go_on(&mut self, subject: Arc<str>, again: &[(u64, PublishError)], now: Timestamp) {
        let Some(waiting) = self.subjects.get_mut(&subject) else {
            return;
        };
        for (seq, _) in again.iter().rev() {
            waiting.push_front(*seq);
        }
        if waiting.is_empty() {
            self.subjects.remove(&subject);
            return;
        }
        match again.first() {
            Some((seq, PublishError::Transient(_))) => {
                let failures = self.entries.get_mut(seq).map_or(1, |entry| {
                    entry.failures += 1;
                    entry.failures
                });
                self.retries.insert((now.after(pause(failures)), *seq), subject);
            }
            _ => self.runnable.push_back(subject),
        }
    }

    fn done(&mut self, seq: u64, now: Timestamp, refused: Option<String>) {
        let Some(entry) = self.remove(seq) else {
            return;
        };
        self.settled.waiting += u64::from(!entry.again);
        match refused {
            Some(why) => self.settled.refused.push((seq, why)),
            None => {
                self.sent.push_back((now, seq));
                if !entry.again {
                    self.settled.sent.push(seq);
                }
            }
        }
    }

    fn remove(&mut self, seq: u64) -> Option<Entry> {
        let entry = self.entries.remove(&seq)?;
        self.memory_bytes -= entry.held();
        Some(entry)
    }

    pub(super) fn take_settled(&mut self) -> Settled {
        std::mem::take(&mut self.settled)
    }

    /// Entries acknowledged before `horizon`.
    pub(super) fn take_synced(&mut self, horizon: Timestamp) -> Vec<u64> {
        let synced = self.sent.iter().take_while(|(at, _)| *at < horizon).count();
        self.sent.drain(..synced).map(|(_, seq)| seq).collect()
    }
}

/// 50 ms, doubled with each failure, at most [`RETRY_MAX`].
fn pause(failures: u32) -> Span {
    let doubled = 50_u64.saturating_mul(1 << failures.saturating_sub(1).min(16));
    Span::from_millis(doubled).min(RETRY_MAX)
}

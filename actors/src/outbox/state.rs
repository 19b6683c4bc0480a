//! The outbox's order: what may go out now, what waits for its subject, for a retry, or for the sync.

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

/// An entry whose turn it is. Without `message` the caller reads it from the store.
#[derive(Debug, PartialEq)]
pub(super) struct Ready {
    pub(super) seq: u64,
    pub(super) message: Option<OutMessage>,
}

#[derive(Debug)]
struct Entry {
    subject: Arc<str>,
    message: Option<OutMessage>,
    /// Of its payload.
    bytes: usize,
    attempts: u32,
    /// It was acknowledged by an earlier broker process and goes out only to be sure.
    again: bool,
    /// It is with the broker.
    flying: bool,
    /// It goes out no more, and leaves when its turn comes.
    withdrawn: bool,
}

impl Entry {
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

#[derive(Debug, Default)]
pub(super) struct State {
    entries: HashMap<u64, Entry>,
    /// Entries that no other entry of their subject holds back.
    runnable: VecDeque<u64>,
    /// Entries behind another one of their subject, in order. Present while one of it is under way.
    subjects: HashMap<Arc<str>, VecDeque<u64>>,
    retries: BTreeMap<(Timestamp, u64), ()>,
    in_flight: usize,
    in_flight_bytes: usize,
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
        Self::default()
    }

    /// Entries not yet acknowledged in this or an earlier process.
    pub(super) fn waiting_len(&self) -> usize {
        self.entries.values().filter(|entry| entry.waits()).count()
    }

    /// Sent to the broker and not acknowledged.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
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

    pub(super) fn settled_len(&self) -> usize {
        self.settled.sent.len()
    }

    /// Takes an entry found in the store at start; `sent` when it was acknowledged then.
    pub(super) fn restore(&mut self, seq: u64, message: Option<OutMessage>, sent: Option<Timestamp>) {
        self.seq_last = self.seq_last.max(seq);
        match message {
            Some(message) => self.add(seq, message, sent.is_some()),
            None => self
                .settled
                .refused
                .push((seq, "the stored entry is unreadable".into())),
        }
    }

    pub(super) fn enqueue(&mut self, seq: u64, message: OutMessage) {
        self.seq_last = self.seq_last.max(seq);
        self.add(seq, message, false);
    }

    fn add(&mut self, seq: u64, message: OutMessage, again: bool) {
        let subject: Arc<str> = message.subject.as_str().into();
        let bytes = message.payload.len();
        let message = (self.memory_bytes + bytes <= MEMORY_BYTES_MAX).then_some(message);
        if message.is_some() {
            self.memory_bytes += bytes;
        }
        match self.subjects.get_mut(&subject) {
            Some(behind) => behind.push_back(seq),
            None => {
                self.subjects.insert(Arc::clone(&subject), VecDeque::new());
                self.runnable.push_back(seq);
            }
        }
        self.entries.insert(
            seq,
            Entry {
                subject,
                message,
                bytes,
                attempts: 0,
                again,
                flying: false,
                withdrawn: false,
            },
        );
    }

    /// The next entry to publish, if the window has room.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Ready> {
        if self.in_flight >= IN_FLIGHT_MAX || self.in_flight_bytes >= IN_FLIGHT_BYTES_MAX {
            return None;
        }
        self.retries_due(now);
        loop {
            let seq = self.runnable.pop_front()?;
            let Some(entry) = self.entries.get_mut(&seq).filter(|entry| !entry.withdrawn) else {
                self.remove(seq);
                continue;
            };
            self.in_flight += 1;
            self.in_flight_bytes += entry.bytes;
            entry.attempts += 1;
            entry.flying = true;
            return Some(Ready {
                seq,
                message: entry.message.clone(),
            });
        }
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
        while let Some(((at, seq), ())) = self.retries.first_key_value().map(|(key, ())| (*key, ())) {
            if at > now {
                break;
            }
            self.retries.remove(&(at, seq));
            self.runnable.push_back(seq);
        }
    }

    /// The broker is back: nothing waits for a retry any more.
    pub(super) fn retry_now(&mut self) {
        let waiting: Vec<u64> = std::mem::take(&mut self.retries)
            .into_keys()
            .map(|(_, seq)| seq)
            .collect();
        for seq in waiting {
            if let Some(entry) = self.entries.get_mut(&seq) {
                entry.attempts = 0;
            }
            self.runnable.push_back(seq);
        }
    }

    /// The broker answered, or did not.
    pub(super) fn published(&mut self, seq: u64, result: Result<(), PublishError>, now: Timestamp) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let bytes = self.entries.get(&seq).map_or(0, |entry| entry.bytes);
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
        if self.parting.remove(&seq).is_some() {
            return drop(self.remove(seq));
        }
        match result {
            Ok(()) => self.done(seq, now, None),
            Err(PublishError::Permanent(why)) => self.done(seq, now, Some(why)),
            Err(PublishError::Transient(_)) => {
                let entry = self.entries.get_mut(&seq);
                let attempts = entry.map_or(1, |entry| {
                    entry.flying = false;
                    entry.attempts
                });
                self.retries.insert((now.after(pause(attempts)), seq), ());
            }
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

    /// It holds its subject back no longer.
    fn remove(&mut self, seq: u64) -> Option<Entry> {
        let entry = self.entries.remove(&seq)?;
        self.memory_bytes -= entry.message.as_ref().map_or(0, |message| message.payload.len());
        let next = self
            .subjects
            .get_mut(&entry.subject)
            .and_then(VecDeque::pop_front);
        match next {
            Some(next) => self.runnable.push_back(next),
            None => drop(self.subjects.remove(&entry.subject)),
        }
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

/// 50 ms, doubled with each attempt, at most [`RETRY_MAX`].
fn pause(attempts: u32) -> Span {
    let doubled = 50_u64.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    Span::from_millis(doubled).min(RETRY_MAX)
}

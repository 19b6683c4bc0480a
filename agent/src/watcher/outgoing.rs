//! Events on their way to the server, in order, until a message with them was delivered.
//!
//! What waits has a bound. Beyond it goes first what loses least: repeats of `PROHIBITED_PROCESS`, downtimes that
//! a later one replaces, starts that are announced again anyway; then single `PROHIBITED_PROCESS`; then processes
//! that began and ended unreported; ends only at the very last, for nothing else tells the server of an end.

use super::ProcessKey;
use super::open::{Entry, Open, Told};
use std::collections::{HashMap, HashSet, VecDeque};
use tripline_protocol::littlebrother::{EventType, LocalTime, PROCESS_HANDLER, WireEvent};

/// Most events of a message.
pub(super) const MESSAGE_EVENTS_MAX: usize = 1_000;
/// Most bytes of a message's events, so that a frame stays below a megabyte.
pub(super) const MESSAGE_BYTES_MAX: usize = 768 * 1024;
/// Most events that wait.
pub(super) const WAITING_MAX: usize = 10_000;

#[derive(Debug)]
struct Waiting {
    event: WireEvent,
    /// It was in a message that may have been handled.
    tried: bool,
}

#[derive(Debug, Default)]
struct UnderWay {
    /// From the queue, in order.
    events: Vec<WireEvent>,
    /// Announced, besides.
    announced: Vec<ProcessKey>,
}

impl UnderWay {
    fn is_single(&self) -> bool {
        self.events.len() + self.announced.len() == 1
    }

    fn is_start_of_client(&self) -> bool {
        self.events
            .iter()
            .any(|event| event.event_type == EventType::StartClient)
    }
}

#[derive(Debug)]
pub(super) struct Outgoing {
    hostname: String,
    waiting: VecDeque<Waiting>,
    /// Processes whose `PROCESS_END` waits.
    ends: HashSet<ProcessKey>,
    under_way: Option<UnderWay>,
    /// Most events of the next message: fewer after one was refused.
    events_max: usize,
    dropped: u64,
}

pub(super) fn key_of(event: &WireEvent) -> Option<ProcessKey> {
    Some(ProcessKey {
        pid: event.pid?,
        start: event.process_start_time?,
    })
}

impl Outgoing {
    pub(super) fn new(hostname: &str) -> Self {
        Self {
            hostname: hostname.to_owned(),
            waiting: VecDeque::new(),
            ends: HashSet::new(),
            under_way: None,
            events_max: MESSAGE_EVENTS_MAX,
            dropped: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// A start that was given up for later is never told: its process has ended.
    pub(super) fn start_is_lost(&mut self) {
        self.dropped += 1;
    }

    pub(super) fn start_client(&mut self, now: LocalTime) {
        let event = WireEvent::new(EventType::StartClient, &self.hostname, now);
        self.push(event);
    }

    pub(super) fn process_start(&mut self, key: ProcessKey, login: &str, name: &str, now: LocalTime) {
        let mut event = self.of_process(EventType::ProcessStart, key, Some(login), now);
        event.processname = Some(name.to_owned());
        self.push(event);
    }

    pub(super) fn prohibited(&mut self, key: ProcessKey, login: &str, name: &str, now: LocalTime) {
        let mut event = self.of_process(EventType::ProhibitedProcess, key, Some(login), now);
        event.processname = Some(name.to_owned());
        self.push(event);
    }

    pub(super) fn downtime(&mut self, key: ProcessKey, entry: &Entry, now: LocalTime) {
        let event = self.downtime_event(key, entry, now);
        self.push(event);
    }

    pub(super) fn process_end(&mut self, key: ProcessKey, login: Option<&str>, now: LocalTime) {
        let event = self.of_process(EventType::ProcessEnd, key, login, now);
        self.ends.insert(key);
        self.push(event);
    }

    /// Says that there is no such process, unless that waits to be said.
    pub(super) fn no_such_process(&mut self, key: ProcessKey, login: &str, now: LocalTime) {
        if !self.ends.contains(&key) {
            self.process_end(key, Some(login), now);
        }
    }

    fn push(&mut self, event: WireEvent) {
        self.waiting.push_back(Waiting { event, tried: false });
    }

    fn of_process(&self, kind: EventType, key: ProcessKey, login: Option<&str>, now: LocalTime) -> WireEvent {
        let mut event = WireEvent::new(kind, &self.hostname, now);
        event.pid = Some(key.pid);
        event.process_start_time = Some(key.start);
        event.processhandler = Some(PROCESS_HANDLER.to_owned());
        event.username = login.map(str::to_owned);
        event
    }

    fn downtime_event(&self, key: ProcessKey, entry: &Entry, now: LocalTime) -> WireEvent {
        let mut event = self.of_process(EventType::ProcessDowntime, key, entry.username.as_deref(), now);
        event.downtime = entry.downtime.as_secs();
        event
    }

    /// The events of the next message: what waits, and then, when nothing more waits, what is to be announced.
    pub(super) fn take(&mut self, open: &mut Open, now: LocalTime) -> Vec<WireEvent> {
        let mut room = Room::new(self.events_max);
        let mut taken = UnderWay::default();
        while let Some(waiting) = self.waiting.pop_front() {
            if !room.takes(std::slice::from_ref(&waiting.event)) {
                self.waiting.push_front(waiting);
                break;
            }
            self.goes_out(&waiting.event, open);
            taken.events.push(waiting.event);
        }
        let mut events = taken.events.clone();
        if self.waiting.is_empty() {
            for (key, entry) in open.0.iter_mut().filter(|(_, entry)| entry.announce) {
                let announcement = self.announcement(*key, entry, now);
                if !room.takes(&announcement) {
                    break;
                }
                entry.announce = false;
                entry.told = Told::Perhaps;
                taken.announced.push(*key);
                events.extend(announcement);
            }
        }
        self.under_way = Some(taken);
        events
    }

    fn goes_out(&mut self, event: &WireEvent, open: &mut Open) {
        let Some(key) = key_of(event) else { return };
        match event.event_type {
            EventType::ProcessStart => open.is_told(key),
            EventType::ProcessEnd => {
                self.ends.remove(&key);
            }
            _ => {}
        }
    }

    /// The name goes along only if the server never heard it. A downtime may have been lost as well.
    fn announcement(&self, key: ProcessKey, entry: &Entry, now: LocalTime) -> Vec<WireEvent> {
        let mut start = self.of_process(EventType::ProcessStart, key, entry.username.as_deref(), now);
        if entry.told == Told::Nothing {
            start.processname.clone_from(&entry.name);
        }
        let downtime = entry.downtime.as_secs() > 0;
        let downtime = downtime.then(|| self.downtime_event(key, entry, now));
        std::iter::once(start).chain(downtime).collect()
    }

    /// The message was delivered; returns the processes whose start or announcement was in it.
    pub(super) fn delivered(&mut self) -> HashSet<ProcessKey> {
        self.events_max = self.events_max.saturating_mul(2).min(MESSAGE_EVENTS_MAX);
        let Some(under_way) = self.under_way.take() else {
            return HashSet::new();
        };
        let started = |event: &&WireEvent| event.event_type == EventType::ProcessStart;
        let started = under_way.events.iter().filter(started).filter_map(key_of);
        started.chain(under_way.announced.iter().copied()).collect()
    }

    /// The message was not delivered: everything of it waits again, before the rest.
    pub(super) fn put_back(&mut self, open: &mut Open) {
        let Some(under_way) = self.under_way.take() else {
            return;
        };
        for event in under_way.events.into_iter().rev() {
            self.waiting.push_front(Waiting { event, tried: true });
        }
        open.announce(&under_way.announced);
        self.count_ends();
    }

    /// The message was refused: half of it is tried next. An event that is refused alone is given up; not the
    /// start of the client, for then it is not about the event.
    pub(super) fn refused(&mut self, open: &mut Open) {
        let Some(under_way) = &self.under_way else {
            return;
        };
        let size = under_way.events.len() + under_way.announced.len();
        if under_way.is_single() && !under_way.is_start_of_client() {
            self.under_way = None;
            self.dropped += 1;
        } else {
            self.events_max = (size / 2).max(1);
            self.put_back(open);
        }
    }

    /// Gives up what is too much.
    pub(super) fn trim(&mut self, open: &mut Open) {
        let excess = self.waiting.len().saturating_sub(WAITING_MAX);
        if excess == 0 {
            return;
        }
        let doomed = Doomed::choose(&self.waiting, excess);
        for (waiting, doomed) in std::mem::take(&mut self.waiting).into_iter().zip(doomed.0) {
            match (doomed, key_of(&waiting.event)) {
                (None, _) => self.waiting.push_back(waiting),
                // It is announced again, so nothing is lost.
                (Some(Rank::StartOfOpen), Some(key)) if open.start_was_dropped(key) => {}
                _ => self.dropped += 1,
            }
        }
        self.count_ends();
    }

    fn count_ends(&mut self) {
        let is_end = |waiting: &&Waiting| waiting.event.event_type == EventType::ProcessEnd;
        let ends = self.waiting.iter().filter(is_end);
        self.ends = ends.filter_map(|waiting| key_of(&waiting.event)).collect();
    }

    /// Nothing waits any more and nothing is under way.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.ends.clear();
        self.under_way = None;
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// What fits into a message.
struct Room {
    events: usize,
    bytes: usize,
    empty: bool,
}

impl Room {
    fn new(events: usize) -> Self {
        Self {
            events,
            bytes: MESSAGE_BYTES_MAX,
            empty: true,
        }
    }

    /// Takes these if they fit. The first always do: otherwise they would wait for ever.
    fn takes(&mut self, events: &[WireEvent]) -> bool {
        let bytes = events
            .iter()
            .map(|event| event.to_canonical_json().len() + 1)
            .sum();
        if !self.empty && (events.len() > self.events || bytes > self.bytes) {
            return false;
        }
        self.events = self.events.saturating_sub(events.len());
        self.bytes = self.bytes.saturating_sub(bytes);
        self.empty = false;
        true
    }
}

/// In which order events are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A later one says the same.
    ProhibitedRepeat,
    /// A later one replaces it.
    DowntimeReplaced,
    /// Its process is open and is announced again.
    StartOfOpen,
    Prohibited,
    /// Its process has ended, and nothing of it was in a message: all of it goes.
    StartOfUnheard,
    /// Its process has ended.
    StartOfEnded,
    Downtime,
    End,
}

const RANKS: [Rank; 8] = [
    Rank::ProhibitedRepeat,
    Rank::DowntimeReplaced,
    Rank::StartOfOpen,
    Rank::Prohibited,
    Rank::StartOfUnheard,
    Rank::StartOfEnded,
    Rank::Downtime,
    Rank::End,
];

/// Which of the waiting events are given up, and as what.
struct Doomed(Vec<Option<Rank>>);

impl Doomed {
    fn choose(waiting: &VecDeque<Waiting>, mut excess: usize) -> Self {
        let ranks = ranks(waiting);
        let mut doomed = vec![None; waiting.len()];
        for wanted in RANKS {
            // Of unheard processes that go, up to their ends.
            let mut going = HashSet::new();
            for ((waiting, rank), doomed) in waiting.iter().zip(&ranks).zip(&mut doomed) {
                let key = key_of(&waiting.event);
                let goes_along = key.is_some_and(|key| going.contains(&key));
                if doomed.is_some() || !(goes_along || (excess > 0 && *rank == Some(wanted))) {
                    continue;
                }
                *doomed = Some(wanted);
                excess = excess.saturating_sub(1);
                if let (Rank::StartOfUnheard, Some(key)) = (wanted, key) {
                    match waiting.event.event_type {
                        EventType::ProcessEnd => going.remove(&key),
                        _ => going.insert(key),
                    };
                }
            }
        }
        Self(doomed)
    }
}

fn ranks(waiting: &VecDeque<Waiting>) -> Vec<Option<Rank>> {
    // The next event of a process and type, and whether a process' next start or end is an end.
    let mut later: HashSet<(ProcessKey, EventType)> = HashSet::new();
    let mut ends: HashMap<ProcessKey, bool> = HashMap::new();
    let mut ranks = VecDeque::with_capacity(waiting.len());
    for Waiting { event, tried } in waiting.iter().rev() {
        let kind = event.event_type;
        let rank = key_of(event).and_then(|key| {
            let repeated = !later.insert((key, kind));
            match kind {
                EventType::ProhibitedProcess if repeated => Some(Rank::ProhibitedRepeat),
                EventType::ProhibitedProcess => Some(Rank::Prohibited),
                EventType::ProcessDowntime if repeated => Some(Rank::DowntimeReplaced),
                EventType::ProcessDowntime => Some(Rank::Downtime),
                EventType::ProcessEnd => {
                    ends.insert(key, true);
                    Some(Rank::End)
                }
                EventType::ProcessStart => Some(match (ends.insert(key, false), tried) {
                    (Some(true), false) => Rank::StartOfUnheard,
                    (Some(true), true) => Rank::StartOfEnded,
                    _ => Rank::StartOfOpen,
                }),
                _ => None,
            }
        });
        ranks.push_front(rank);
    }
    ranks.into()
}

//! Which events are given up when too many wait: first what loses least.
//!
//! Repeats of `PROHIBITED_PROCESS`, downtimes that a later one replaces, starts that are announced again anyway;
//! then single `PROHIBITED_PROCESS`; then processes that began and ended unreported; ends only at the very last, for
//! nothing else tells the server of an end. Never the start of the client.

use super::ProcessKey;
use super::outgoing::{Waiting, key_of};
use std::collections::{HashMap, HashSet, VecDeque};
use tripline_protocol::littlebrother::EventType;

/// In which order events are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
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
pub(super) struct Surplus(pub(super) Vec<Option<Rank>>);

impl Surplus {
    pub(super) fn choose(waiting: &VecDeque<Waiting>, mut excess: usize) -> Self {
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

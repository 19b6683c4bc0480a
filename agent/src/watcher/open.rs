//! The processes that count and live, as the server should know them.

use super::ProcessKey;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// Most entries kept; the server's table of a host has as many.
pub(super) const OPEN_MAX: usize = 10_000;

/// What the server can know of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Its `PROCESS_START` waits and was never in a message.
    Waiting,
    /// Nothing: its `PROCESS_START` was given up before it was in a message.
    Nothing,
    /// It was in a message, or the server named it. Whether a lost message was handled nobody knows.
    Perhaps,
}

/// An open entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The owner's login, unless a replay did not say.
    pub(super) username: Option<String>,
    /// Its name, unless it came with a replay.
    pub(super) name: Option<String>,
    /// How long it slept in this run of the agent.
    pub(super) downtime: Duration,
    pub(super) told: Told,
    /// It is to be announced when nothing else waits.
    pub(super) announce: bool,
}

/// All open entries.
#[derive(Debug, Default)]
pub(super) struct Open(pub(super) BTreeMap<ProcessKey, Entry>);

impl Open {
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= OPEN_MAX
    }

    /// All entries are announced again but those whose `PROCESS_START` waits and those in `fresh`.
    pub(super) fn announce_all(&mut self, fresh: &HashSet<ProcessKey>) {
        for (key, entry) in &mut self.0 {
            entry.announce |= entry.told != Told::Waiting && !fresh.contains(key);
        }
    }

    /// These were announced by a message that was not delivered.
    pub(super) fn announce(&mut self, keys: &[ProcessKey]) {
        for key in keys {
            if let Some(entry) = self.0.get_mut(key) {
                entry.announce = true;
            }
        }
    }

    /// Its `PROCESS_START` goes out.
    pub(super) fn is_told(&mut self, key: ProcessKey) {
        if let Some(entry) = self.0.get_mut(&key) {
            entry.told = Told::Perhaps;
        }
    }

    /// Its waiting `PROCESS_START` was given up: it is announced when there is room. `false` if it is not open.
    pub(super) fn start_was_dropped(&mut self, key: ProcessKey) -> bool {
        let Some(entry) = self.0.get_mut(&key) else {
            return false;
        };
        if entry.told == Told::Waiting {
            entry.told = Told::Nothing;
        }
        entry.announce = true;
        true
    }
}

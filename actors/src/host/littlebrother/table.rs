//! The process table of a client.
//!
//! An entry is open from its first announcement until its end; a later announcement opens it again and changes
//! nothing else. Ended entries are kept for a while, so that a name survives a restarted client.

use super::{ENDED_KEPT, ENDED_MAX, Key, OPEN_MAX, Process, Row};
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::Timestamp;
use tripline_protocol::littlebrother::WireEvent;

#[derive(Debug, Default)]
pub(super) struct Table {
    processes: BTreeMap<Key, Process>,
    open: usize,
    /// No process ended before this. `None`: none ended.
    oldest_end: Option<Timestamp>,
    /// Changed since the rows were taken.
    touched: BTreeSet<Key>,
}

impl Table {
    pub(super) fn load(processes: impl IntoIterator<Item = (Key, Process)>) -> Self {
        let processes: BTreeMap<Key, Process> = processes.into_iter().collect();
        let mut table = Self {
            open: processes.values().filter(|process| process.is_open()).count(),
            processes,
            ..Self::default()
        };
        table.find_oldest_end();
        table
    }

    pub(super) fn open_count(&self) -> usize {
        self.open
    }

    pub(super) fn is_open(&self, key: &Key) -> bool {
        self.processes.get(key).is_some_and(Process::is_open)
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Process> {
        self.processes.get(key)
    }

    /// The open ones, in order of pid and start.
    pub(super) fn open(&self) -> impl Iterator<Item = (&Key, &Process)> {
        self.processes.iter().filter(|(_, process)| process.is_open())
    }

    /// It was announced. `false`: there is no room for it.
    pub(super) fn start(&mut self, key: Key, event: &WireEvent, now: Timestamp) -> bool {
        if self.is_open(&key) {
            self.complete(key, event);
            return true;
        }
        if self.open >= OPEN_MAX {
            return false;
        }
        match self.processes.get_mut(&key) {
            Some(process) => process.ended_at = None,
            None => drop(self.processes.insert(key, Process::announced(event, now))),
        }
        self.open += 1;
        self.touched.insert(key);
        self.complete(key, event);
        true
    }

    /// Fills in what no announcement had so far.
    fn complete(&mut self, key: Key, event: &WireEvent) {
        if let Some(process) = self.processes.get_mut(&key)
            && process.complete(event)
        {
            self.touched.insert(key);
        }
    }

    /// It ended; said again, the later time counts. `false`: it is not known.
    pub(super) fn end(&mut self, key: Key, at: Timestamp) -> bool {
        let Some(process) = self.processes.get_mut(&key) else {
            return false;
        };
        if process.is_open() {
            self.open -= 1;
        }
        process.ended_at = Some(at);
        self.oldest_end = Some(self.oldest_end.map_or(at, |oldest| oldest.min(at)));
        self.touched.insert(key);
        true
    }

    /// It slept this long in all. `false`: it is not known.
    pub(super) fn set_downtime(&mut self, key: Key, downtime_s: u64) -> bool {
        let Some(process) = self.processes.get_mut(&key) else {
            return false;
        };
        if process.downtime_s != downtime_s {
            process.downtime_s = downtime_s;
            self.touched.insert(key);
        }
        true
    }

    /// Forgets ended processes that are old or too many, the oldest first; how many were too many.
    pub(super) fn prune(&mut self, now: Timestamp) -> u64 {
        let too_old = now.before(ENDED_KEPT);
        let ended = self.processes.len() - self.open;
        if ended <= ENDED_MAX && self.oldest_end.is_none_or(|oldest| oldest >= too_old) {
            return 0;
        }
        let mut ends: Vec<(Timestamp, Key)> = self
            .processes
            .iter()
            .filter_map(|(key, process)| Some((process.ended_at?, *key)))
            .collect();
        ends.sort_unstable();
        let old = ends.partition_point(|(at, _)| *at < too_old);
        let too_many = (ended - old).saturating_sub(ENDED_MAX);
        for (_, key) in ends.into_iter().take(old + too_many) {
            self.processes.remove(&key);
            self.touched.insert(key);
        }
        self.find_oldest_end();
        too_many as u64
    }

    fn find_oldest_end(&mut self) {
        self.oldest_end = self
            .processes
            .values()
            .filter_map(|process| process.ended_at)
            .min();
    }

    /// What changed since the last call, as rows to be stored.
    pub(super) fn take_rows(&mut self) -> Vec<Row> {
        let touched = std::mem::take(&mut self.touched);
        let row = |key: Key| match self.processes.get(&key) {
            Some(process) => Row::Put(key, process.clone()),
            None => Row::Delete(key),
        };
        touched.into_iter().map(row).collect()
    }
}

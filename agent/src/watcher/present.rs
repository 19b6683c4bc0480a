//! What the last scan found: which processes there are, whether they count or not.

use super::knowledge::Knowledge;
use super::{ProcessKey, Seen};
use std::collections::HashMap;
use tripline_protocol::littlebrother::LocalTime;

/// A process of the last scan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Living {
    start: LocalTime,
    pub(super) start_exact: u64,
    pub(super) uid: u32,
}

/// Whether a process may be ended.
#[derive(Debug)]
pub(super) enum Target {
    /// Nobody has looked yet.
    Unknown,
    /// There is none with this pid and start.
    Gone,
    /// There is, but it is not one to end.
    Spared(&'static str),
    /// It may.
    Found(Living),
}

/// All processes of the last scan; `None` before the first.
#[derive(Debug, Default)]
pub(super) struct Present {
    processes: Option<HashMap<u32, Living>>,
    own_pid: Option<u32>,
}

impl Present {
    pub(super) fn new(own_pid: Option<u32>) -> Self {
        Self {
            processes: None,
            own_pid,
        }
    }

    pub(super) fn replace(&mut self, seen: &[Seen]) {
        let living = |seen: &Seen| {
            let living = Living {
                start: seen.start,
                start_exact: seen.start_exact,
                uid: seen.uid,
            };
            (seen.pid, living)
        };
        self.processes = Some(seen.iter().map(living).collect());
    }

    /// The first process, the agent itself, and 0, which would mean a whole group.
    pub(super) fn is_protected(&self, pid: u32) -> bool {
        pid <= 1 || self.own_pid == Some(pid)
    }

    pub(super) fn get(&self, key: ProcessKey) -> Option<Living> {
        let living = self.processes.as_ref()?.get(&key.pid)?;
        (living.start == key.start).then_some(*living)
    }

    /// It ended since the scan.
    pub(super) fn remove(&mut self, key: ProcessKey) {
        if self.get(key).is_some()
            && let Some(processes) = &mut self.processes
        {
            processes.remove(&key.pid);
        }
    }

    /// Whether this process may be ended as one of `username`.
    pub(super) fn target(&self, key: ProcessKey, username: &str, knowledge: &Knowledge) -> Target {
        if self.processes.is_none() {
            return Target::Unknown;
        }
        let Some(living) = self.get(key) else {
            return Target::Gone;
        };
        match knowledge.watched(living.uid) {
            _ if self.is_protected(key.pid) => Target::Spared("this process is never ended"),
            Some(login) if login == username => Target::Found(living),
            Some(_) => Target::Spared("the process belongs to another user"),
            None => Target::Spared("the process belongs to nobody who is watched"),
        }
    }
}

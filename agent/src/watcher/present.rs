//! What the last scan found: which processes of watched users there are, whether they count or not.
//!
//! A scan looks only at some users, those watched when it began. Of the others it says nothing, least of all that
//! a process of theirs is gone.

use super::knowledge::Knowledge;
use super::{ProcessKey, Seen};
use std::collections::{HashMap, HashSet};
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
    /// Its user's processes have not been looked at yet.
    Unknown,
    /// There is none with this pid and start.
    Gone,
    /// It is not one to end.
    Spared(&'static str),
    /// It may.
    Found(Living),
}

/// The last scan.
#[derive(Debug, Default)]
pub(super) struct Present {
    processes: HashMap<u32, Living>,
    /// Uids that were looked at.
    looked_at: HashSet<u32>,
    own_pid: Option<u32>,
}

impl Present {
    pub(super) fn new(own_pid: Option<u32>) -> Self {
        Self {
            own_pid,
            ..Self::default()
        }
    }

    pub(super) fn replace(&mut self, seen: &[Seen], looked_at: HashSet<u32>) {
        let living = |seen: &Seen| {
            let living = Living {
                start: seen.start,
                start_exact: seen.start_exact,
                uid: seen.uid,
            };
            (seen.pid, living)
        };
        self.processes = seen.iter().map(living).collect();
        self.looked_at = looked_at;
    }

    pub(super) fn has_looked_at(&self, uid: u32) -> bool {
        self.looked_at.contains(&uid)
    }

    /// The first process, the agent itself, and 0, which would mean a whole group.
    pub(super) fn is_protected(&self, pid: u32) -> bool {
        pid <= 1 || self.own_pid == Some(pid)
    }

    pub(super) fn get(&self, key: ProcessKey) -> Option<Living> {
        let living = self.processes.get(&key.pid)?;
        (living.start == key.start).then_some(*living)
    }

    /// It ended since the scan.
    pub(super) fn remove(&mut self, key: ProcessKey) {
        if self.get(key).is_some() {
            self.processes.remove(&key.pid);
        }
    }

    /// Whether this process may be ended as one of `username`.
    pub(super) fn target(&self, key: ProcessKey, username: &str, knowledge: &Knowledge) -> Target {
        let mut uids = knowledge.watched_uids_of(username).peekable();
        if uids.peek().is_none() {
            return Target::Spared("nobody is watched under this login");
        }
        let Some(living) = self.get(key) else {
            return match uids.all(|uid| self.has_looked_at(uid)) {
                true => Target::Gone,
                false => Target::Unknown,
            };
        };
        if self.is_protected(key.pid) {
            return Target::Spared("this process is never ended");
        }
        match knowledge.watched(living.uid) {
            Some(login) if login == username => Target::Found(living),
            _ => Target::Spared("the process is another user's"),
        }
    }
}

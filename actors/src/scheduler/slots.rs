//! The slots, and how many of them jobs and interactive sessions may use: each leaves the other its reserve.

use std::collections::BTreeSet;

/// What a slot is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Job,
    Session,
}

impl Kind {
    fn other(self) -> Self {
        match self {
            Self::Job => Self::Session,
            Self::Session => Self::Job,
        }
    }
}

#[derive(Debug)]
struct Share {
    used: u32,
    most: u32,
}

#[derive(Debug)]
pub(super) struct Slots {
    #[cfg(test)]
    total: u32,
    free: BTreeSet<u32>,
    jobs: Share,
    sessions: Share,
    /// Who got the last slot that both wanted.
    last: Kind,
}

impl Slots {
    pub(super) fn new(total: u32, jobs_most: u32, sessions_most: u32) -> Self {
        Self {
            #[cfg(test)]
            total,
            free: (0..total).collect(),
            jobs: Share {
                used: 0,
                most: jobs_most,
            },
            sessions: Share {
                used: 0,
                most: sessions_most,
            },
            last: Kind::Job,
        }
    }

    fn share(&self, kind: Kind) -> &Share {
        match kind {
            Kind::Job => &self.jobs,
            Kind::Session => &self.sessions,
        }
    }

    fn share_mut(&mut self, kind: Kind) -> &mut Share {
        match kind {
            Kind::Job => &mut self.jobs,
            Kind::Session => &mut self.sessions,
        }
    }

    pub(super) fn used(&self, kind: Kind) -> u32 {
        self.share(kind).used
    }

    /// Shows who has how many, in metrics.
    pub(super) fn show(&self) {
        let (jobs, sessions) = (f64::from(self.jobs.used), f64::from(self.sessions.used));
        metrics::gauge!("tripline_scheduler_slots", "held_by" => "job").set(jobs);
        metrics::gauge!("tripline_scheduler_slots", "held_by" => "session").set(sessions);
        metrics::gauge!("tripline_scheduler_slots", "held_by" => "nobody").set(self.free.len() as f64);
    }

    /// Whether it uses fewer than it may.
    pub(super) fn is_below_share(&self, kind: Kind) -> bool {
        let share = self.share(kind);
        share.used < share.most
    }

    /// Whether it may have one now.
    pub(super) fn able(&self, kind: Kind) -> bool {
        !self.free.is_empty() && self.is_below_share(kind)
    }

    /// A free slot, even beyond the share: what ran when the server stopped goes on.
    pub(super) fn take(&mut self, kind: Kind) -> Option<u32> {
        let slot = self.free.pop_first()?;
        self.share_mut(kind).used += 1;
        Some(slot)
    }

    pub(super) fn give_back(&mut self, kind: Kind, slot: u32) {
        if self.free.insert(slot) {
            let share = self.share_mut(kind);
            share.used = share.used.saturating_sub(1);
        }
    }

    /// Who gets the next slot: where both want it and may have it, they take turns.
    pub(super) fn choose(&mut self, job_waits: bool, session_waits: bool) -> Option<Kind> {
        let job = job_waits && self.able(Kind::Job);
        let session = session_waits && self.able(Kind::Session);
        match (job, session) {
            (true, true) => {
                self.last = self.last.other();
                Some(self.last)
            }
            (true, false) => Some(Kind::Job),
            (false, true) => Some(Kind::Session),
            (false, false) => None,
        }
    }

    #[cfg(test)]
    pub(super) fn is_free(&self, slot: u32) -> bool {
        self.free.contains(&slot)
    }

    /// Checks what must always hold; tests call it after every step.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        let used = self.jobs.used + self.sessions.used;
        assert_eq!(used + self.free.len() as u32, self.total, "a slot leaked");
        assert!(self.free.iter().all(|slot| *slot < self.total));
        assert!(self.jobs.used <= self.jobs.most);
        assert!(self.sessions.used <= self.sessions.most);
    }
}

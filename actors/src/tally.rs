//! What was counted since the server started, for people who look at its rates. The same is counted by metrics; those
//! are for programs that scrape, and cannot be read here.

use std::sync::atomic::{AtomicU64, Ordering};
use tripline_protocol::api::Totals;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts. They outlive a generation of actors.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) events: Count,
    pub(crate) jobs_accepted: Count,
    pub(crate) jobs_ended: Count,
    pub(crate) published: Count,
}

impl Tally {
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            events: self.events.get(),
            jobs_accepted: self.jobs_accepted.get(),
            jobs_ended: self.jobs_ended.get(),
            published: self.published.get(),
        }
    }
}

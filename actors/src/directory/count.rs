//! How many hosts are known, and how many may be.

use crate::refusal::Refusal;
use crate::store::{Error, Store, Table};
use std::sync::atomic::{AtomicU64, Ordering};
use tripline_protocol::Span;

/// Hosts with a record, those of LittleBrother clients included.
#[derive(Debug)]
pub(crate) struct HostCount {
    known: AtomicU64,
    max: u64,
}

impl HostCount {
    pub(crate) fn new(max: u32) -> Self {
        Self {
            known: AtomicU64::new(0),
            max: max.into(),
        }
    }

    /// A new generation of actors counts anew.
    pub(super) fn restart(&self, store: &Store) -> Result<(), Error> {
        self.set(store.count(Table::HostBySensor)?);
        Ok(())
    }

    pub(crate) fn known(&self) -> u64 {
        self.known.load(Ordering::Relaxed)
    }

    /// Refuses with `Busy` when there are as many as may be.
    pub(crate) fn admit(&self) -> Result<(), Refusal> {
        if self.known() < self.max {
            return Ok(());
        }
        metrics::counter!("tripline_admission_refused_total", "reason" => "hosts").increment(1);
        Err(Refusal::Busy {
            what: "table of hosts",
            retry_after: Span::from_secs(60),
        })
    }

    pub(super) fn added(&self) {
        self.set(self.known() + 1);
    }

    pub(super) fn forgotten(&self) {
        self.set(self.known().saturating_sub(1));
    }

    /// All actors are on one thread.
    fn set(&self, known: u64) {
        self.known.store(known, Ordering::Relaxed);
        metrics::gauge!("tripline_directory_hosts_known").set(known as f64);
    }
}

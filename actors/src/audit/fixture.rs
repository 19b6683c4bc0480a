//! Chains for the tests of who reads and who publishes them.

use super::{By, Entry};
use crate::store::{Batch, Options, Store};
use std::sync::mpsc::channel;
use tempfile::TempDir;
use tripline_protocol::Timestamp;
use tripline_protocol::audit::Action;

/// When everything happened.
pub(super) const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// A store that has chains only.
pub(super) struct Chains {
    pub(super) dir: TempDir,
    pub(super) store: Store,
}

impl Chains {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        Self { dir, store }
    }

    /// Adds `count` records of an action to the chain of an org, and waits until they are durable.
    pub(super) fn add(&self, org: &str, action: Action, count: usize) {
        let org = org.parse().unwrap();
        let mut batch = Batch::new();
        for _ in 0..count {
            batch.audit(Entry::new(action, &By::system(), Some(&org), NOW));
        }
        self.commit(batch);
    }

    /// As many chains as that, of one record each.
    pub(super) fn add_chains(&self, names: impl IntoIterator<Item = usize>) {
        for name in names {
            self.add(&format!("org-{name}"), Action::HostLabel, 1);
        }
    }

    pub(super) fn commit(&self, batch: Batch) {
        let (done, wait) = channel();
        self.store.commit(batch, move || done.send(()).unwrap());
        wait.recv().unwrap();
    }
}

//! Hosts that are new, and those that were forgotten, for the Timekeeper to hear of: whoever makes or removes one notes it here.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use tripline_protocol::{HostId, Org};

/// What was noted since the Timekeeper looked last.
#[derive(Debug, Default)]
pub(crate) struct Newcomers(Mutex<Noted>);

/// At most as many hosts as there may be, and those that were forgotten within a second.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) come: BTreeSet<HostId>,
    /// The orgs of those that came.
    pub(super) orgs: BTreeSet<Org>,
    pub(super) gone: BTreeSet<HostId>,
}

impl Noted {
    pub(super) fn come(&mut self, host_id: HostId, org: &Org) {
        self.gone.remove(&host_id);
        self.come.insert(host_id);
        if !self.orgs.contains(org) {
            self.orgs.insert(org.clone());
        }
    }
}

impl Newcomers {
    pub(crate) fn come(&self, host_id: HostId, org: &Org) {
        self.0.lock().come(host_id, org);
    }

    pub(crate) fn gone(&self, host_id: HostId) {
        let mut noted = self.0.lock();
        noted.come.remove(&host_id);
        noted.gone.insert(host_id);
    }

    pub(super) fn take(&self) -> Noted {
        std::mem::take(&mut *self.0.lock())
    }
}

//! What everybody may know of LimaCharlie: which orgs are subscribed, and what there is to tell of their jobs.

use super::messages::JobEnded;
use super::news::{self, News};
use super::record::{CallKey, Installed, OrgState, Removal, load_orgs};
use super::{Carried, ServiceRole};
use crate::ground::Ground;
use crate::record::JobRecord;
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use actix::prelude::*;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::{Event, Org, Timestamp};

/// Shared by all actors and edges. The role alone writes the orgs.
#[derive(Default)]
pub(crate) struct Limacharlie {
    orgs: RwLock<HashMap<Org, OrgState>>,
    pub(super) news: News,
    role: Mutex<Option<Addr<ServiceRole>>>,
}

impl Limacharlie {
    /// With what the store holds.
    pub(super) fn restart(&self, store: &Store) -> Result<(), Refusal> {
        *self.orgs.write() = load_orgs(store)?;
        self.news.restart(store)
    }

    pub(super) fn set_role(&self, role: Addr<ServiceRole>) {
        *self.role.lock() = Some(role);
    }

    pub(super) fn set(&self, org: &Org, state: Option<OrgState>) {
        let mut orgs = self.orgs.write();
        match state {
            Some(state) => drop(orgs.insert(org.clone(), state)),
            None => drop(orgs.remove(org)),
        }
    }

    /// Whether LimaCharlie has subscribed the org.
    pub(crate) fn is_installed(&self, org: &Org) -> bool {
        matches!(self.orgs.read().get(org), Some(OrgState::Installed(_)))
    }

    /// Whether it said so.
    pub(super) fn is_told(&self, org: &Org) -> bool {
        let told = |state: &OrgState| matches!(state, OrgState::Installed(Installed { told: true, .. }));
        self.orgs.read().get(org).is_some_and(told)
    }

    /// Whether the org has ended its subscription.
    pub(crate) fn is_leaving(&self, org: &Org) -> bool {
        matches!(self.orgs.read().get(org), Some(OrgState::Leaving(_)))
    }

    /// Whether an event is from before its org left: whatever brings it now, nobody acts on it any more.
    pub(crate) fn is_over(&self, event: &Event, now: Timestamp) -> bool {
        let orgs = self.orgs.read();
        let left = orgs.get(&event.org).and_then(OrgState::left);
        left.is_some_and(|removal| event.time <= removal.asked_at && !removal.is_past(now))
    }

    /// How the org left, if it did, whether or not it came back.
    pub(super) fn left(&self, org: &Org) -> Option<Removal> {
        self.orgs.read().get(org).and_then(OrgState::left).cloned()
    }

    /// How far the removal of an org has come that has not ended.
    pub(super) fn removal(&self, org: &Org) -> Option<Removal> {
        match self.orgs.read().get(org) {
            Some(OrgState::Leaving(removal)) if removal.done_at.is_none() => Some(removal.clone()),
            _ => None,
        }
    }

    /// Whether something of it may be left.
    pub(super) fn is_being_removed(&self, org: &Org) -> bool {
        self.removal(org).is_some()
    }

    /// How many orgs are being removed.
    pub(super) fn removals(&self) -> usize {
        let orgs = self.orgs.read();
        let under_way =
            |state: &&OrgState| matches!(state, OrgState::Leaving(removal) if removal.done_at.is_none());
        orgs.values().filter(under_way).count()
    }

    /// The orgs that have ended their subscriptions.
    pub(super) fn leaving(&self) -> Vec<(Org, Removal)> {
        let orgs = self.orgs.read();
        let leaving = orgs.iter().filter_map(|(org, state)| match state {
            OrgState::Leaving(removal) => Some((org.clone(), removal.clone())),
            OrgState::Installed(_) => None,
        });
        leaving.collect()
    }

    /// How many are subscribed.
    pub(super) fn len(&self) -> usize {
        let orgs = self.orgs.read();
        let there = |state: &&OrgState| matches!(state, OrgState::Installed(_));
        orgs.values().filter(there).count()
    }

    /// Whether a call is remembered.
    pub(crate) fn has_note(&self, store: &Store, key: &CallKey) -> Result<bool, Refusal> {
        Ok(store.get(Table::LcCall, &key.row())?.is_some())
    }

    /// What goes into the next answer to a call of this org.
    pub(crate) fn take_news(&self, store: &Store, org: &Org) -> Result<Carried, Refusal> {
        self.news.take(store, org)
    }
}

/// A job is accepted with this batch. `then` of it is to run [`tell`].
pub(crate) fn job_accepted(ground: &Ground, batch: &mut Batch, record: &JobRecord) {
    if ground.limacharlie.is_installed(&record.org) {
        news::accepted(ground, batch, record);
    }
}

/// Steps of a job may end with this batch; whether there is something to tell, for which `then` of it is to run [`tell`].
pub(crate) fn job_stepped(ground: &Ground, batch: &mut Batch, record: &JobRecord) -> bool {
    ground.limacharlie.is_installed(&record.org) && news::stepped(ground, batch, record)
}

/// A job ends with this batch. `then` of it is to run [`tell`].
pub(crate) fn job_ended(ground: &Ground, batch: &mut Batch, record: &JobRecord) {
    if ground.limacharlie.is_installed(&record.org) {
        news::ended(ground, batch, record);
    }
}

/// A closure that tells what became of a job, to be run once that is durable.
pub(crate) fn tell(ground: &Arc<Ground>, record: &JobRecord) -> impl FnOnce() + Send + 'static + use<> {
    let (ground, org, job_id) = (Arc::clone(ground), record.org.clone(), record.job_id);
    let has_ended = record.state.outcome().is_some();
    move || {
        let limacharlie = &ground.limacharlie;
        if limacharlie.is_installed(&org) {
            limacharlie.news.push(&org, job_id);
        }
        // A call may wait for it, whether or not its org is still subscribed.
        if has_ended && let Some(role) = limacharlie.role.lock().as_ref() {
            role.do_send(JobEnded(job_id));
        }
    }
}

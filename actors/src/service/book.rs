//! The services as everybody may see them: what each wants, for the router; what tokens of each are worth, for edges. Their
//! actors write it.

use super::data;
use super::messages::Registration;
use super::record::{ServiceRecord, last_seq};
use super::ticks::ticks_of;
use crate::ports::{ServiceCaller, ServiceTokens};
use crate::refusal::Refusal;
use crate::store::Store;
use crate::timekeeper::{ServiceTicks, service_of};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tripline_protocol::api::{Role, ServiceSpec};
use tripline_protocol::limacharlie::{Mtd, ServiceEtype, TickScope};
use tripline_protocol::{Event, Name, Org, Timestamp};

/// Numbers up to this one are for messages that go before all that wait.
pub(super) const FRONT_SEQS: u64 = 1 << 20;

/// What calls services.
pub(crate) struct Edge {
    pub(crate) caller: Arc<dyn ServiceCaller>,
    pub(crate) tokens: Arc<dyn ServiceTokens>,
}

/// What a service wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    etypes: HashSet<ServiceEtype>,
    cats: HashSet<String>,
}

impl From<&Mtd> for Interest {
    fn from(mtd: &Mtd) -> Self {
        let etypes = mtd.callbacks.iter();
        Self {
            etypes: etypes.filter_map(|etype| etype.parse().ok()).collect(),
            cats: mtd.detect_subscriptions.iter().cloned().collect(),
        }
    }
}

/// A service, to the router.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) spec: Arc<ServiceSpec>,
    interest: Interest,
    /// Those of its orgs that are installed or about to be, and since when they are subscribed.
    orgs: BTreeMap<Org, Timestamp>,
    /// Messages that wait for it, those with them that are on their way to its actor. It outlives changes.
    waiting: Arc<AtomicU64>,
}

impl Entry {
    /// Whether it wants an event that is this to services.
    fn wants(&self, event: &Event, etype: ServiceEtype) -> bool {
        if !self.interest.etypes.contains(&etype) {
            return false;
        }
        match etype {
            ServiceEtype::Tick(TickScope::Once, _) => is_own(event, &self.spec.name),
            ServiceEtype::Detection => self.has_org(event) && self.interest.cats.contains(data::cat(event)),
            _ => self.has_org(event),
        }
    }

    fn has_org(&self, event: &Event) -> bool {
        self.orgs.contains_key(&event.org)
    }

    /// Takes a place in its queue. `false`: it is full.
    pub(crate) fn take_place(&self) -> bool {
        let max = u64::from(self.spec.queue_max);
        let taken = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < max).then_some(n + 1)
            });
        taken.is_ok()
    }
}

/// Whether a tick that is about no org is this service's, and the clock's.
fn is_own(event: &Event, service: &Name) -> bool {
    event.org == Org::default_org() && service_of(event).as_ref() == Some(service)
}

/// The services that want an event, and as what.
pub(crate) type Listeners = (ServiceEtype, Vec<Arc<Entry>>);

/// All services.
pub(crate) struct Book {
    edge: OnceLock<Edge>,
    /// The number of the last message. It never goes back while the process lives: what is on its way has one.
    seq: AtomicU64,
    entries: ArcSwap<BTreeMap<Name, Arc<Entry>>>,
    /// One more with each change of these, and of whether they are whole.
    changes: AtomicU64,
    /// The services of the configuration, once they are known.
    configured: Mutex<Option<Vec<Registration>>>,
}

impl Book {
    pub(crate) fn load(store: &Store) -> Result<Self, Refusal> {
        let last = last_seq(store)?;
        Ok(Self {
            edge: OnceLock::new(),
            seq: AtomicU64::new(last.max(FRONT_SEQS)),
            entries: ArcSwap::default(),
            changes: AtomicU64::new(1),
            configured: Mutex::default(),
        })
    }

    pub(crate) fn set_edge(&self, edge: Edge) {
        if self.edge.set(edge).is_err() {
            tracing::warn!("services have somebody who calls them already");
        }
    }

    pub(crate) fn edge(&self) -> Option<&Edge> {
        self.edge.get()
    }

    /// The number of a new message.
    pub(crate) fn take_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The services that want an event, and as what.
    pub(crate) fn listeners(&self, event: &Event) -> Option<Listeners> {
        let entries = self.entries.load();
        if entries.is_empty() {
            return None;
        }
        let etype = data::etype(event)?;
        let wanting = entries.values().filter(|entry| entry.wants(event, etype));
        let wanting: Vec<_> = wanting.cloned().collect();
        (!wanting.is_empty()).then_some((etype, wanting))
    }

    /// What a token of a service may do in an org.
    /// One of an earlier subscription may do nothing.
    pub(crate) fn rights(&self, service: &Name, org: &Org, joined: Timestamp) -> Option<Role> {
        let entries = self.entries.load();
        let entry = entries.get(service)?;
        (*entry.orgs.get(org)? == joined).then_some(entry.spec.rights)
    }

    /// The ticks that services want, if that may have changed since `known`, which is told anew.
    pub(crate) fn ticks_since(&self, known: &mut u64) -> Option<BTreeMap<Name, ServiceTicks>> {
        let changes = self.changes.load(Ordering::Acquire);
        if std::mem::replace(known, changes) == changes {
            return None;
        }
        let ticks = |(name, entry): (&Name, &Arc<Entry>)| {
            let of_service = ServiceTicks {
                ticks: ticks_of(entry.interest.etypes.iter().copied()),
                orgs: entry.orgs.keys().cloned().collect(),
            };
            (name.clone(), of_service)
        };
        Some(self.entries.load().iter().map(ticks).collect())
    }

    /// Whether the services of the configuration are among them.
    pub(crate) fn is_whole(&self) -> bool {
        self.configured.lock().is_some()
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// A service is this from now on.
    pub(super) fn put(
        &self,
        record: &ServiceRecord,
        orgs: BTreeMap<Org, Timestamp>,
        waiting: &Arc<AtomicU64>,
    ) {
        let entry = Entry {
            spec: Arc::new(record.spec.clone()),
            interest: record.wants.as_ref().map(Interest::from).unwrap_or_default(),
            orgs,
            waiting: Arc::clone(waiting),
        };
        let mut entries = BTreeMap::clone(&self.entries.load());
        entries.insert(record.spec.name.clone(), Arc::new(entry));
        self.entries.store(Arc::new(entries));
        self.changed();
    }

    /// A service is no more.
    pub(super) fn remove(&self, service: &Name) {
        let mut entries = BTreeMap::clone(&self.entries.load());
        entries.remove(service);
        self.entries.store(Arc::new(entries));
        self.changed();
    }

    /// What the configuration says; `None`: nobody said it yet.
    pub(super) fn configured(&self) -> Option<Vec<Registration>> {
        self.configured.lock().clone()
    }

    pub(super) fn set_configured(&self, services: Vec<Registration>) {
        *self.configured.lock() = Some(services);
        self.changed();
    }

    /// A generation of actors begins: its services are put in again one by one.
    pub(super) fn clear(&self) {
        self.entries.store(Arc::default());
    }
}

//! `max_hosts`: on which hosts a pipeline acted lately.
//!
//! A host counts from when the pipeline last acted on it until `per` later. Everything is in memory and in the store,
//! a row each, written with the decision; at the bound of all pipelines together none gets another host.

use crate::ground::{rows, unreadable_key};
use crate::pipeline::MaxHosts;
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::key::Key;
use crate::store::{Batch, Store, Table};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};
use tripline_protocol::{HostId, Name, Span, Timestamp};
use uuid::Uuid;

/// Hosts of all pipelines that are counted.
const TOUCHED_MAX: usize = 200_000;

/// A host of a pipeline, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TouchedRecord {
    /// When the pipeline last acted on it.
    at: Timestamp,
    /// How long it counts from then on.
    per: Span,
}

/// The hosts of one pipeline, and the same in the order in which they stop to count.
#[derive(Debug, Default)]
struct Hosts {
    at: HashMap<HostId, TouchedRecord>,
    order: BTreeSet<(Timestamp, HostId)>,
}

impl Hosts {
    fn put(&mut self, host: HostId, record: TouchedRecord) -> Option<TouchedRecord> {
        let old = self.take(host);
        self.order.insert((record.over_at(), host));
        self.at.insert(host, record);
        old
    }

    fn take(&mut self, host: HostId) -> Option<TouchedRecord> {
        let old = self.at.remove(&host)?;
        self.order.remove(&(old.over_at(), host));
        Some(old)
    }

    fn over(&self, now: Timestamp) -> Vec<HostId> {
        let over = self.order.iter().take_while(|(at, _)| *at <= now);
        over.map(|(_, host)| *host).collect()
    }
}

impl TouchedRecord {
    fn over_at(&self) -> Timestamp {
        self.at.after(self.per)
    }
}

/// A host of a pipeline.
type Which = (Name, HostId);

/// The hosts of all pipelines that have the guard.
#[derive(Debug)]
pub(super) struct Touched {
    of: HashMap<Name, Hosts>,
    total: usize,
    total_max: usize,
    /// What the decisions under way changed, as it was before.
    before: HashMap<Which, Option<TouchedRecord>>,
    /// What counts no more and may still have a row.
    gone: HashSet<Which>,
}

impl Default for Touched {
    fn default() -> Self {
        Self {
            of: HashMap::new(),
            total: 0,
            total_max: TOUCHED_MAX,
            before: HashMap::new(),
            gone: HashSet::new(),
        }
    }
}

impl Touched {
    /// Those in the store.
    pub(super) fn load(store: &Store, now: Timestamp) -> Result<Self, Refusal> {
        let mut touched = Self::default();
        rows(store, Table::TouchedHost, "touched host", |key, record| {
            let which = which(key).ok_or_else(|| unreadable_key("a touched host"))?;
            let mut record: TouchedRecord = record?;
            // The machine's clock may have been set back while the server was down.
            record.at = record.at.min(now);
            touched.put(&which, record);
            Ok(())
        })?;
        Ok(touched)
    }

    /// Whether the pipeline may act on this host.
    pub(super) fn admits(&mut self, pipeline: &Name, guard: MaxHosts, host: HostId, now: Timestamp) -> bool {
        self.sweep_one(pipeline, now);
        let hosts = self.of.get(pipeline);
        if hosts.is_some_and(|hosts| hosts.at.contains_key(&host)) {
            return true;
        }
        let count = hosts.map_or(0, |hosts| hosts.at.len());
        count < guard.count as usize && !self.is_full()
    }

    /// Whether no pipeline gets another host.
    pub(super) fn is_full(&self) -> bool {
        self.total >= self.total_max
    }

    /// It acts on it.
    pub(super) fn touch(&mut self, pipeline: &Name, guard: MaxHosts, host: HostId, now: Timestamp) {
        let record = TouchedRecord {
            at: now,
            per: guard.per,
        };
        let which = (pipeline.clone(), host);
        let old = self.put(&which, record);
        self.before.entry(which).or_insert(old);
    }

    fn put(&mut self, (pipeline, host): &Which, record: TouchedRecord) -> Option<TouchedRecord> {
        let hosts = self.of.entry(pipeline.clone()).or_default();
        let old = hosts.put(*host, record);
        self.total += usize::from(old.is_none());
        old
    }

    fn take(&mut self, (pipeline, host): &Which) -> bool {
        let Some(hosts) = self.of.get_mut(pipeline) else {
            return false;
        };
        let was_there = hosts.take(*host).is_some();
        self.total -= usize::from(was_there);
        if hosts.at.is_empty() {
            self.of.remove(pipeline);
        }
        was_there
    }

    fn sweep_one(&mut self, pipeline: &Name, now: Timestamp) {
        let over = self.of.get(pipeline).map(|hosts| hosts.over(now));
        for host in over.unwrap_or_default() {
            self.let_go((pipeline.clone(), host));
        }
    }

    /// Lets go of what counts no more.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        let pipelines: Vec<Name> = self.of.keys().cloned().collect();
        for pipeline in pipelines {
            self.sweep_one(&pipeline, now);
        }
    }

    /// Goes by the guards that hold now. `guard` says which one a pipeline has; `None`: it is not there, and its hosts count
    /// as long as they did, in case that it comes back.
    pub(super) fn keep(&mut self, guard: impl Fn(&Name) -> Option<Option<MaxHosts>>) {
        let mut changed = Vec::new();
        for (pipeline, hosts) in &self.of {
            let Some(guard) = guard(pipeline) else { continue };
            let per = guard.map(|guard| guard.per);
            let others = hosts.at.iter().filter(|(_, record)| Some(record.per) != per);
            changed.extend(others.map(|(host, record)| ((pipeline.clone(), *host), *record, per)));
        }
        for (which, record, per) in changed {
            match per {
                Some(per) => {
                    self.put(&which, TouchedRecord { per, ..record });
                    self.before.entry(which).or_insert(Some(record));
                }
                None => self.let_go(which),
            }
        }
    }

    fn let_go(&mut self, which: Which) {
        if self.take(&which) {
            self.gone.insert(which);
        }
    }

    /// Adds what the decisions under way changed, and what counts no more, to their batch.
    pub(super) fn stage(&mut self, batch: &mut Batch) {
        let changed = self.before.drain().map(|(which, _)| which);
        let changed: HashSet<Which> = changed.chain(self.gone.drain()).collect();
        for (pipeline, host) in changed {
            let record = self.of.get(&pipeline).and_then(|hosts| hosts.at.get(&host));
            let key = row(&pipeline, host);
            match record {
                Some(record) => batch.put(Table::TouchedHost, key, encode(record)),
                None => batch.delete(Table::TouchedHost, key),
            }
        }
    }

    /// The decisions under way are refused.
    pub(super) fn roll_back(&mut self) {
        for (which, before) in std::mem::take(&mut self.before) {
            self.take(&which);
            if let Some(before) = before {
                self.put(&which, before);
            }
        }
    }
}

fn row(pipeline: &Name, host: HostId) -> Key {
    Key::new().text(pipeline.as_str()).bytes(host.as_bytes())
}

/// The pipeline and host that a row's key names.
pub(crate) fn which(key: &[u8]) -> Option<Which> {
    let (name, host) = key.split_last_chunk::<16>()?;
    let name = std::str::from_utf8(name.strip_suffix(&[0])?).ok()?;
    Some((name.parse().ok()?, HostId(Uuid::from_bytes(*host))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;
    use proptest::prelude::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000).after(Span::from_millis(millis))
    }

    fn guard(count: u32, millis: u64) -> MaxHosts {
        MaxHosts {
            count,
            per: Span::from_millis(millis),
        }
    }

    fn name(name: &str) -> Name {
        name.parse().unwrap()
    }

    fn host(n: u128) -> HostId {
        HostId(Uuid::from_u128(n))
    }

    #[derive(Debug, Clone)]
    enum Op {
        Act { host: u128, later: u64 },
        Stage,
        RollBack,
        Sweep,
        Crash,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            10 => (0..6_u128, 0..20_u64).prop_map(|(host, later)| Op::Act { host, later }),
            4 => Just(Op::Stage),
            1 => Just(Op::RollBack),
            1 => Just(Op::Sweep),
            1 => Just(Op::Crash),
        ]
    }

    /// Whether the definition allows it, over all acts there ever were.
    fn allowed(acts: &[(Timestamp, u128)], guard: MaxHosts, wanted: u128, now: Timestamp) -> bool {
        let inside = acts.iter().filter(|(at, _)| at.after(guard.per) > now);
        let mut hosts: HashSet<u128> = inside.map(|(_, host)| *host).collect();
        hosts.insert(wanted);
        hosts.len() <= guard.count as usize
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn hosts_are_counted_as_if_every_act_were_remembered(
            count in 1..4_u32,
            per in 1..80_u64,
            ops in prop::collection::vec(op(), 1..60),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&Options::new(dir.path())).unwrap();
            let (guard, pipeline) = (guard(count, per), name("p"));
            let (mut touched, mut acts, mut durable) = (Touched::default(), Vec::new(), Vec::new());
            let mut now = at(0);
            for op in ops {
                match op {
                    Op::Act { host: wanted, later } => {
                        now = now.after(Span::from_millis(later));
                        let admits = touched.admits(&pipeline, guard, host(wanted), now);
                        prop_assert_eq!(admits, allowed(&acts, guard, wanted, now));
                        if admits {
                            touched.touch(&pipeline, guard, host(wanted), now);
                            acts.push((now, wanted));
                        }
                    }
                    Op::Stage => {
                        stage(&mut touched, &store);
                        durable = acts.clone();
                    }
                    Op::RollBack => {
                        touched.roll_back();
                        acts = durable.clone();
                    }
                    Op::Sweep => touched.sweep(now),
                    Op::Crash => {
                        touched = Touched::load(&store, now).unwrap();
                        acts = durable.clone();
                    }
                }
                prop_assert_eq!(touched.total, touched.of.values().map(|hosts| hosts.at.len()).sum::<usize>());
            }
        }
    }

    fn stage(touched: &mut Touched, store: &Store) {
        let mut batch = Batch::new();
        touched.stage(&mut batch);
        store.commit(batch, || {});
    }

    #[test]
    fn at_the_bound_of_all_pipelines_none_gets_another_host() {
        let mut touched = Touched {
            total_max: 2,
            ..Touched::default()
        };
        let guard = guard(5, 1_000);
        for pipeline in ["p", "q"] {
            assert!(touched.admits(&name(pipeline), guard, host(1), at(0)));
            touched.touch(&name(pipeline), guard, host(1), at(0));
        }
        assert!(!touched.admits(&name("r"), guard, host(1), at(0)) && touched.is_full());
        assert!(
            touched.admits(&name("p"), guard, host(1), at(0)),
            "it has this one"
        );
        assert_eq!(Touched::default().total_max, 200_000);
    }

    #[test]
    fn a_changed_span_holds_for_hosts_that_count_already() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let (mut touched, p) = (Touched::default(), name("p"));
        touched.touch(&p, guard(1, 1_000), host(1), at(0));
        stage(&mut touched, &store);
        // A longer one: it counts for longer, over a restart too.
        let (longer, shorter) = (guard(1, 5_000), guard(1, 100));
        touched.keep(|_| Some(Some(longer)));
        stage(&mut touched, &store);
        let mut touched = Touched::load(&store, at(0)).unwrap();
        assert!(!touched.admits(&p, longer, host(2), at(4_999)));
        // A shorter one: it counts no more.
        touched.keep(|_| Some(Some(shorter)));
        assert!(!touched.admits(&p, shorter, host(2), at(99)));
        assert!(touched.admits(&p, shorter, host(2), at(100)));
        // While the pipeline is away they count as long as they did.
        touched.touch(&p, shorter, host(2), at(100));
        touched.keep(|_| None);
        assert!(!touched.admits(&p, shorter, host(3), at(199)));
        assert!(touched.admits(&p, shorter, host(3), at(200)));
    }

    #[test]
    fn hosts_that_count_no_more_leave_no_row() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let mut touched = Touched::default();
        for pipeline in ["p", "q"] {
            touched.touch(&name(pipeline), guard(5, 1_000), host(1), at(0));
        }
        stage(&mut touched, &store);
        touched.keep(|name| (name.as_str() == "p").then_some(None));
        stage(&mut touched, &store);
        assert_eq!(store.count(Table::TouchedHost).unwrap(), 1);
        touched.sweep(at(1_000));
        stage(&mut touched, &store);
        assert_eq!(store.count(Table::TouchedHost).unwrap(), 0);
    }
}

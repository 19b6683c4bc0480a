//! The messages that wait for a service: those of one sensor one after the other in the order they came, others beside
//! them, and none of an org while `org_install` of that org is before it. Pure: it is told what time it is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use tripline_protocol::{HostId, Org, Timestamp};
use uuid::Uuid;

/// What is kept in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// What concerns a sensor.
    Sensor(HostId),
    /// What concerns an org and no sensor that is known.
    Org(Org),
    /// What concerns the service alone.
    Service,
    /// What has no order.
    Request(Uuid),
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) lane: Lane,
    pub(crate) org: Option<Org>,
    /// The others of the org wait behind it.
    pub(crate) is_barrier: bool,
    /// How often it was tried.
    pub(crate) attempts: u32,
    pub(crate) queued_at: Timestamp,
    pub(crate) not_before: Timestamp,
}

/// The queue of a service. Numbers order it; what waits longest goes first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    items: BTreeMap<u64, Item>,
    lanes: HashMap<Lane, BTreeSet<u64>>,
    /// The first of their lanes that may go now,
    ready: BTreeSet<u64>,
    /// that wait for a time,
    resting: BTreeSet<(Timestamp, u64)>,
    /// and that wait behind a barrier.
    held: HashMap<Org, BTreeSet<u64>>,
    barriers: HashMap<Org, BTreeSet<u64>>,
    flying: HashSet<u64>,
    /// Those whose rows are not durable yet: they have their place in the order, and do not go out.
    unwritten: HashSet<u64>,
    by_age: BTreeSet<(Timestamp, u64)>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many are under way.
    pub(crate) fn flying(&self) -> usize {
        self.flying.len()
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Item> {
        self.items.get(&seq)
    }

    /// Adds a message; one that is known already changes nothing.
    pub(crate) fn add(&mut self, seq: u64, item: Item) {
        if self.items.contains_key(&seq) {
            return;
        }
        self.by_age.insert((item.queued_at, seq));
        let lane = self.lanes.entry(item.lane.clone()).or_default();
        let first = lane.first().copied();
        lane.insert(seq);
        if let (true, Some(org)) = (item.is_barrier, &item.org) {
            self.barriers.entry(org.clone()).or_default().insert(seq);
            self.hold_back(org, seq);
        }
        self.items.insert(seq, item);
        match first {
            Some(first) if first < seq => {}
            first => {
                // Only at a start do messages come in another order than they were queued in.
                first.into_iter().for_each(|first| self.unplace(first));
                self.place(seq);
            }
        }
    }

    /// The same of one whose row is not durable yet: it goes out after [`Queue::written`] at the earliest. What has to wait for
    /// it does so from now on.
    pub(crate) fn add_unwritten(&mut self, seq: u64, item: Item) {
        if !self.items.contains_key(&seq) {
            self.unwritten.insert(seq);
            self.add(seq, item);
        }
    }

    /// A message's row is durable. Nothing, if the message is gone again.
    pub(crate) fn written(&mut self, seq: u64) {
        let lane = self.items.get(&seq).and_then(|item| self.lanes.get(&item.lane));
        let is_first = lane.is_some_and(|lane| lane.first() == Some(&seq));
        if self.unwritten.remove(&seq) && is_first {
            self.place(seq);
        }
    }

    /// What is after a barrier waits behind it, also when it was here before.
    fn hold_back(&mut self, org: &Org, barrier: u64) {
        let resting = self.resting.iter().map(|(_, seq)| *seq);
        let placed = self.ready.iter().copied().chain(resting);
        let is_behind = |seq: &u64| {
            let item = self.items.get(seq);
            *seq > barrier && item.is_some_and(|item| item.org.as_ref() == Some(org))
        };
        for seq in placed.filter(is_behind).collect::<Vec<_>>() {
            self.unplace(seq);
            self.place(seq);
        }
    }

    /// The next that may be delivered now; it is under way from then on.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<u64> {
        self.wake_due(now);
        let seq = self.ready.pop_first()?;
        self.flying.insert(seq);
        Some(seq)
    }

    /// The same of the newest that may go now. Where something is wrong, it is likely with those that were tried before.
    pub(crate) fn newest(&mut self, now: Timestamp) -> Option<u64> {
        self.wake_due(now);
        let seq = self.ready.pop_last()?;
        self.flying.insert(seq);
        Some(seq)
    }

    fn wake_due(&mut self, now: Timestamp) {
        while let Some(&(at, seq)) = self.resting.first().filter(|(at, _)| *at <= now) {
            self.resting.remove(&(at, seq));
            self.ready.insert(seq);
        }
    }

    /// A message was tried, and waits until then; with `counts` that was one of its attempts. Returns how many there were.
    pub(crate) fn rest(&mut self, seq: u64, not_before: Timestamp, counts: bool) -> u32 {
        self.flying.remove(&seq);
        let Some(item) = self.items.get_mut(&seq) else {
            return 0;
        };
        item.not_before = not_before;
        item.attempts += u32::from(counts);
        let attempts = item.attempts;
        self.place(seq);
        attempts
    }

    /// A message has ended.
    pub(crate) fn remove(&mut self, seq: u64) -> Option<Item> {
        self.flying.remove(&seq);
        self.unwritten.remove(&seq);
        self.unplace(seq);
        let item = self.items.remove(&seq)?;
        self.by_age.remove(&(item.queued_at, seq));
        if let (true, Some(org)) = (item.is_barrier, &item.org) {
            self.lift(org, seq);
        }
        if let Some(lane) = self.lanes.get_mut(&item.lane) {
            let was_first = lane.first() == Some(&seq);
            lane.remove(&seq);
            let next = lane.first().copied().filter(|_| was_first);
            if lane.is_empty() {
                self.lanes.remove(&item.lane);
            }
            next.into_iter().for_each(|next| self.place(next));
        }
        Some(item)
    }

    /// Those that were queued at `horizon` or before and are not under way.
    pub(crate) fn older(&self, horizon: Timestamp) -> Vec<u64> {
        let old = self.by_age.iter().take_while(|(at, _)| *at <= horizon);
        let idle = old.filter(|(_, seq)| !self.flying.contains(seq));
        idle.map(|(_, seq)| *seq).collect()
    }

    /// Those of which this holds and that are not under way.
    pub(crate) fn which(&self, wanted: impl Fn(u64, &Item) -> bool) -> Vec<u64> {
        let items = self.items.iter();
        let found = items.filter(|(seq, item)| !self.flying.contains(seq) && wanted(**seq, item));
        found.map(|(seq, _)| *seq).collect()
    }

    /// The barriers of an org, those that are under way with them.
    pub(crate) fn barriers(&self, org: &Org) -> impl Iterator<Item = u64> + '_ {
        self.barriers.get(org).into_iter().flatten().copied()
    }

    /// Whether something tells of an org's subscription after this message does.
    pub(crate) fn has_later_barrier(&self, org: &Org, seq: u64) -> bool {
        self.barriers(org).any(|barrier| barrier > seq)
    }

    /// Whether a message is under way.
    pub(crate) fn is_flying(&self, seq: u64) -> bool {
        self.flying.contains(&seq)
    }

    /// The lowest number of all.
    pub(crate) fn first(&self) -> Option<u64> {
        self.items.first_key_value().map(|(seq, _)| *seq)
    }

    /// How many of which this holds are under way.
    pub(crate) fn flying_which(&self, wanted: impl Fn(&Item) -> bool) -> usize {
        let flying = self.flying.iter().filter_map(|seq| self.items.get(seq));
        flying.filter(|item| wanted(item)).count()
    }

    /// Nothing waits for its time any more.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        for (_, seq) in std::mem::take(&mut self.resting) {
            if let Some(item) = self.items.get_mut(&seq) {
                item.not_before = now;
            }
            self.ready.insert(seq);
        }
    }

    /// Puts the first of a lane where it belongs.
    fn place(&mut self, seq: u64) {
        let is_idle = !self.flying.contains(&seq) && !self.unwritten.contains(&seq);
        let Some(item) = self.items.get(&seq).filter(|_| is_idle) else {
            return;
        };
        let blocking = item.org.as_ref().filter(|org| {
            let barriers = self.barriers.get(org);
            barriers.is_some_and(|barriers| barriers.first().is_some_and(|first| *first < seq))
        });
        match blocking {
            Some(org) => {
                self.held.entry(org.clone()).or_default().insert(seq);
            }
            // Whether its time has come is looked at when the next is wanted.
            None => {
                self.resting.insert((item.not_before, seq));
            }
        }
    }

    fn unplace(&mut self, seq: u64) {
        self.ready.remove(&seq);
        let Some(item) = self.items.get(&seq) else {
            return;
        };
        self.resting.remove(&(item.not_before, seq));
        if let Some(org) = &item.org
            && let Some(held) = self.held.get_mut(org)
        {
            held.remove(&seq);
            if held.is_empty() {
                self.held.remove(org);
            }
        }
    }

    /// A barrier is gone: who waited behind it may go, or waits behind the next.
    fn lift(&mut self, org: &Org, seq: u64) {
        if let Some(barriers) = self.barriers.get_mut(org) {
            barriers.remove(&seq);
            if barriers.is_empty() {
                self.barriers.remove(org);
            }
        }
        for held in self.held.remove(org).unwrap_or_default() {
            self.place(held);
        }
    }
}

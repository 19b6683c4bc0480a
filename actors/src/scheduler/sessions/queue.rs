//! The order of waiting sessions: owners take turns, and the oldest of an owner is first. Sessions of a host
//! that is offline wait beside it.

use super::super::slots::{Kind, Slots};
use super::super::state::Wait;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tripline_protocol::{HostId, SessionId, Span, Timestamp};

/// Limits on waiting sessions.
#[derive(Debug, Clone, Copy)]
pub(in crate::scheduler) struct Limits {
    pub(in crate::scheduler) total: usize,
    pub(in crate::scheduler) per_owner: usize,
}

/// What the order needs to know of a session.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::scheduler) struct Entry {
    pub(in crate::scheduler) session_id: SessionId,
    /// Order of opening over all sessions.
    pub(in crate::scheduler) number: u32,
    pub(in crate::scheduler) host_id: HostId,
    /// The token's id.
    pub(in crate::scheduler) owner: Arc<str>,
    /// Since when it waits.
    pub(in crate::scheduler) since: Timestamp,
}

/// Where an open session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) enum Phase {
    Pending,
    Active { slot: u32 },
}

/// Which limit a session met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) enum Full {
    Total,
    Owner,
}

impl Full {
    pub(in crate::scheduler) fn what(self) -> &'static str {
        match self {
            Full::Total => "the queue of sessions",
            Full::Owner => "this token's queue of sessions",
        }
    }
}

#[derive(Debug)]
struct Open {
    entry: Entry,
    phase: Phase,
}

#[derive(Debug, Default)]
struct Owner {
    pending: usize,
    /// Those whose hosts can be reached.
    ready: BTreeMap<u32, SessionId>,
    /// Its place in the turns; none while nothing of it is ready.
    turn: Option<u64>,
}

#[derive(Debug, Default)]
struct Waiters {
    queue: BTreeMap<u32, SessionId>,
    offline_since: Option<Timestamp>,
}

#[derive(Debug)]
pub(in crate::scheduler) struct Queue {
    limits: Limits,
    open: HashMap<SessionId, Open>,
    pending: usize,
    owners: HashMap<Arc<str>, Owner>,
    hosts: HashMap<HostId, Waiters>,
    turns: BTreeMap<u64, Arc<str>>,
    turn_last: u64,
    ready: usize,
}

impl Queue {
    pub(in crate::scheduler) fn new(limits: Limits) -> Self {
        Self {
            limits,
            open: HashMap::new(),
            pending: 0,
            owners: HashMap::new(),
            hosts: HashMap::new(),
            turns: BTreeMap::new(),
            turn_last: 0,
            ready: 0,
        }
    }

    pub(in crate::scheduler) fn phase(&self, session_id: SessionId) -> Option<Phase> {
        self.open.get(&session_id).map(|open| open.phase)
    }

    /// How many wait.
    pub(in crate::scheduler) fn pending_len(&self) -> usize {
        self.pending
    }

    /// How many wait for nothing but a slot.
    pub(in crate::scheduler) fn ready_len(&self) -> usize {
        self.ready
    }

    /// Those that wait, in no order.
    pub(in crate::scheduler) fn pending(&self) -> impl Iterator<Item = SessionId> {
        self.hosts
            .values()
            .flat_map(|waiters| waiters.queue.values().copied())
    }

    /// Whether another one may wait.
    pub(in crate::scheduler) fn room(&self, owner: &str) -> Result<(), Full> {
        if self.pending >= self.limits.total {
            return Err(Full::Total);
        }
        match self.owners.get(owner) {
            Some(owner) if owner.pending >= self.limits.per_owner => Err(Full::Owner),
            _ => Ok(()),
        }
    }

    /// Queues a session. `attached`: whether its host can be reached now, asked only for a host that no other
    /// session waits for.
    pub(in crate::scheduler) fn add(
        &mut self,
        entry: Entry,
        attached: impl FnOnce() -> bool,
        now: Timestamp,
    ) {
        let waiters = self.hosts.entry(entry.host_id).or_insert_with(|| Waiters {
            queue: BTreeMap::new(),
            offline_since: if attached() { None } else { Some(now) },
        });
        waiters.queue.insert(entry.number, entry.session_id);
        let online = waiters.offline_since.is_none();
        self.pending += 1;
        self.owners.entry(Arc::clone(&entry.owner)).or_default().pending += 1;
        if online {
            self.make_ready(&entry);
        }
        self.open.insert(
            entry.session_id,
            Open {
                entry,
                phase: Phase::Pending,
            },
        );
    }

    fn make_ready(&mut self, entry: &Entry) {
        let owner = self.owners.entry(Arc::clone(&entry.owner)).or_default();
        if owner.ready.insert(entry.number, entry.session_id).is_none() {
            self.ready += 1;
        }
        if owner.turn.is_none() {
            self.turn_last += 1;
            owner.turn = Some(self.turn_last);
            self.turns.insert(self.turn_last, Arc::clone(&entry.owner));
        }
    }

    fn make_unready(&mut self, entry: &Entry) {
        let Some(owner) = self.owners.get_mut(&entry.owner) else {
            return;
        };
        if owner.ready.remove(&entry.number).is_some() {
            self.ready -= 1;
        }
        if owner.ready.is_empty()
            && let Some(turn) = owner.turn.take()
        {
            self.turns.remove(&turn);
        }
    }

    /// The owner had its turn: it is the last of those that still want one.
    fn end_turn(&mut self, owner_id: &Arc<str>) {
        let Some(owner) = self.owners.get_mut(owner_id) else {
            return;
        };
        if let Some(turn) = owner.turn {
            self.turns.remove(&turn);
            self.turn_last += 1;
            owner.turn = Some(self.turn_last);
            self.turns.insert(self.turn_last, Arc::clone(owner_id));
        }
    }

    fn waiters_of(&self, host_id: HostId) -> Vec<Entry> {
        let waiters = self.hosts.get(&host_id);
        let ids = waiters.into_iter().flat_map(|waiters| waiters.queue.values());
        ids.filter_map(|id| Some(self.open.get(id)?.entry.clone()))
            .collect()
    }

    pub(in crate::scheduler) fn attached(&mut self, host_id: HostId) {
        if let Some(waiters) = self.hosts.get_mut(&host_id) {
            waiters.offline_since = None;
        }
        for entry in self.waiters_of(host_id) {
            self.make_ready(&entry);
        }
    }

    pub(in crate::scheduler) fn detached(&mut self, host_id: HostId, now: Timestamp) {
        if let Some(waiters) = self.hosts.get_mut(&host_id) {
            waiters.offline_since.get_or_insert(now);
        }
        for entry in self.waiters_of(host_id) {
            self.make_unready(&entry);
        }
    }

    /// The next session to get a slot, and the slot.
    pub(in crate::scheduler) fn dispatch(&mut self, slots: &mut Slots) -> Option<(u32, SessionId)> {
        let (_, owner_id) = self.turns.first_key_value()?;
        let owner_id = Arc::clone(owner_id);
        let (_, session_id) = self.owners.get(&owner_id)?.ready.first_key_value()?;
        let session_id = *session_id;
        let slot = self.start(session_id, slots)?;
        self.end_turn(&owner_id);
        Some((slot, session_id))
    }

    /// Gives a session a slot, whatever its host's state: also for those that were active when the server
    /// stopped.
    pub(in crate::scheduler) fn start(&mut self, session_id: SessionId, slots: &mut Slots) -> Option<u32> {
        let open = self
            .open
            .get_mut(&session_id)
            .filter(|open| open.phase == Phase::Pending)?;
        if !slots.able(Kind::Session) {
            return None;
        }
        let slot = slots.take(Kind::Session)?;
        open.phase = Phase::Active { slot };
        let entry = open.entry.clone();
        self.leave_queue(&entry);
        Some(slot)
    }

    fn leave_queue(&mut self, entry: &Entry) {
        self.make_unready(entry);
        self.pending -= 1;
        if let Some(owner) = self.owners.get_mut(&entry.owner) {
            owner.pending -= 1;
            if owner.pending == 0 {
                self.owners.remove(&entry.owner);
            }
        }
        if let Some(waiters) = self.hosts.get_mut(&entry.host_id) {
            waiters.queue.remove(&entry.number);
            if waiters.queue.is_empty() {
                self.hosts.remove(&entry.host_id);
            }
        }
    }

    /// A session ended, from wherever it was.
    pub(in crate::scheduler) fn remove(&mut self, session_id: SessionId, slots: &mut Slots) -> bool {
        let Some(open) = self.open.remove(&session_id) else {
            return false;
        };
        match open.phase {
            Phase::Pending => self.leave_queue(&open.entry),
            Phase::Active { slot } => slots.give_back(Kind::Session, slot),
        }
        true
    }

    /// Sessions that have waited for a host that is offline for `limit`, at most so many.
    pub(in crate::scheduler) fn overdue(&self, limit: Span, now: Timestamp, count: usize) -> Vec<SessionId> {
        let over = |since: Timestamp, id: &SessionId| {
            let began = self.open.get(id).map_or(now, |open| open.entry.since);
            now.since(since.max(began)) >= limit
        };
        self.hosts
            .values()
            .filter_map(|waiters| Some((waiters.offline_since?, waiters)))
            .flat_map(|(since, waiters)| waiters.queue.values().map(move |id| (since, id)))
            .filter(|(since, id)| over(*since, id))
            .map(|(_, id)| *id)
            .take(count)
            .collect()
    }

    /// Why a session waits and where in the queue; `None` when it does not wait.
    pub(in crate::scheduler) fn waiting(&self, session_id: SessionId) -> Option<Wait> {
        let open = self
            .open
            .get(&session_id)
            .filter(|open| open.phase == Phase::Pending)?;
        let entry = &open.entry;
        let waiters = self.hosts.get(&entry.host_id)?;
        if let Some(since) = waiters.offline_since {
            let position = 1 + waiters.queue.range(..entry.number).count() as u64;
            return Some(Wait::HostOffline { position, since });
        }
        let position = 1 + self.before(entry)?;
        Some(Wait::NoFreeSlot { position })
    }

    /// How many get a slot before this one, as things are: of its owner's older ones each, and in each of those
    /// rounds, and in its own as far as they come first, one of every other owner that still has one.
    fn before(&self, entry: &Entry) -> Option<u64> {
        let own = self.owners.get(&entry.owner)?;
        let older = own.ready.range(..entry.number).count();
        let turn = own.turn?;
        let of_others = self.turns.iter().filter(|(_, id)| **id != entry.owner);
        let others: usize = of_others
            .filter_map(|(other_turn, id)| {
                let rounds = older + usize::from(*other_turn < turn);
                Some(self.owners.get(id)?.ready.len().min(rounds))
            })
            .sum();
        Some((older + others) as u64)
    }

    /// Checks what must always hold; tests call it after every step.
    #[cfg(test)]
    pub(in crate::scheduler) fn assert_invariants(&self, slots: &Slots) {
        slots.assert_invariants();
        let pending: Vec<&Entry> = self
            .open
            .values()
            .filter(|open| open.phase == Phase::Pending)
            .map(|open| &open.entry)
            .collect();
        assert_eq!(pending.len(), self.pending);
        assert_eq!(
            self.open.len() - pending.len(),
            slots.used(Kind::Session) as usize,
            "a slot leaked"
        );
        let queued: usize = self.hosts.values().map(|waiters| waiters.queue.len()).sum();
        assert_eq!(queued, pending.len());
        let counted: usize = self.owners.values().map(|owner| owner.pending).sum();
        assert_eq!(counted, pending.len());
        assert!(self.owners.values().all(|owner| owner.pending > 0));
        let ready: usize = self.owners.values().map(|owner| owner.ready.len()).sum();
        assert_eq!(ready, self.ready);
        for entry in pending {
            let online = self.hosts[&entry.host_id].offline_since.is_none();
            let owner = &self.owners[&entry.owner];
            assert_eq!(owner.ready.contains_key(&entry.number), online);
        }
        for (id, owner) in &self.owners {
            assert_eq!(owner.turn.is_some(), !owner.ready.is_empty());
            assert_eq!(owner.turn.map(|turn| &self.turns[&turn]), owner.turn.map(|_| id));
        }
        assert_eq!(
            self.turns.len(),
            self.owners.values().filter(|owner| owner.turn.is_some()).count()
        );
    }
}

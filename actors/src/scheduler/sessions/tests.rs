//! The order of sessions against a model that is slow and obvious.

use super::super::slots::{Kind, Slots};
use super::super::state::Wait;
use super::queue::{Entry, Full, Limits, Phase, Queue};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use tripline_protocol::{HostId, SessionId, Span, Timestamp};
use uuid::Uuid;

const LIMITS: Limits = Limits {
    total: 12,
    per_owner: 5,
};
const SLOTS: u32 = 4;
const SESSION_SLOTS: u32 = 3;
const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn host(n: u8) -> HostId {
    HostId(Uuid::from_u128(0x1000 + u128::from(n)))
}

fn id(number: u32) -> SessionId {
    SessionId(Uuid::from_u128(u128::from(number.reverse_bits())))
}

fn entry(number: u32, owner: u8, host_n: u8, since: Timestamp) -> Entry {
    Entry {
        session_id: id(number),
        number,
        host_id: host(host_n),
        owner: format!("owner-{owner}").into(),
        since,
    }
}

#[test]
fn where_both_want_a_slot_they_take_turns_and_keep_their_reserves() {
    let mut slots = Slots::new(4, 3, 2);
    let mut given = Vec::new();
    while let Some(kind) = slots.choose(true, true) {
        slots.take(kind);
        slots.assert_invariants();
        given.push(kind);
    }
    let (jobs, sessions) = (slots.used(Kind::Job), slots.used(Kind::Session));
    assert_eq!((given[0] != given[1], jobs, sessions), (true, 2, 2));
    slots.give_back(Kind::Job, 0);
    assert_eq!(slots.choose(false, true), None, "the rest is the jobs'");
    assert_eq!(slots.choose(true, true), Some(Kind::Job));
}

#[test]
fn a_slot_that_is_given_back_twice_is_counted_once() {
    let mut slots = Slots::new(2, 2, 2);
    slots.take(Kind::Session);
    slots.take(Kind::Session);
    slots.give_back(Kind::Session, 0);
    slots.give_back(Kind::Session, 0);
    slots.assert_invariants();
}

#[derive(Debug, Clone)]
enum Op {
    Add { owner: u8, host: u8 },
    Attach(u8),
    Detach(u8),
    Dispatch,
    End(prop::sample::Index),
    Leave(prop::sample::Index),
    TakeByJob,
    GiveByJob,
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        5 => (0_u8..4, 0_u8..4).prop_map(|(owner, host)| Op::Add { owner, host }),
        2 => (0_u8..4).prop_map(Op::Attach),
        1 => (0_u8..4).prop_map(Op::Detach),
        4 => Just(Op::Dispatch),
        2 => index().prop_map(Op::End),
        1 => index().prop_map(Op::Leave),
        1 => Just(Op::TakeByJob),
        1 => Just(Op::GiveByJob),
        1 => (0_u64..50).prop_map(Op::Pass),
    ]
}

/// A list of sessions, and the owners in the order of their turns.
struct Model {
    queue: Queue,
    slots: Slots,
    sessions: Vec<(Entry, Option<u32>)>,
    turns: Vec<String>,
    attached: HashSet<HostId>,
    offline_since: HashMap<HostId, Timestamp>,
    jobs: Vec<u32>,
    number: u32,
    now: Timestamp,
}

impl Model {
    fn new() -> Self {
        Self {
            queue: Queue::new(LIMITS),
            slots: Slots::new(SLOTS, SLOTS, SESSION_SLOTS),
            sessions: Vec::new(),
            turns: Vec::new(),
            attached: HashSet::new(),
            offline_since: HashMap::new(),
            jobs: Vec::new(),
            number: 0,
            now: START,
        }
    }

    fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.sessions
            .iter()
            .filter(|(_, slot)| slot.is_none())
            .map(|(entry, _)| entry)
    }

    fn is_ready(&self, entry: &Entry) -> bool {
        !self.offline_since.contains_key(&entry.host_id)
    }

    fn ready_of(&self, owner: &str) -> Vec<&Entry> {
        let mut ready: Vec<&Entry> = self
            .pending()
            .filter(|entry| &*entry.owner == owner && self.is_ready(entry))
            .collect();
        ready.sort_by_key(|entry| entry.number);
        ready
    }

    /// Owners that have nothing ready lose their turn; those that have and had none are the last, in the order
    /// of their oldest session.
    fn settle_turns(&mut self) {
        let turns = std::mem::take(&mut self.turns);
        let still = |owner: &String| !self.ready_of(owner).is_empty();
        let mut turns: Vec<String> = turns.into_iter().filter(still).collect();
        let mut ready: Vec<&Entry> = self.pending().filter(|entry| self.is_ready(entry)).collect();
        ready.sort_by_key(|entry| entry.number);
        for entry in ready {
            if !turns.contains(&entry.owner.to_string()) {
                turns.push(entry.owner.to_string());
            }
        }
        self.turns = turns;
    }

    /// All that wait for nothing but a slot, in the order in which they will get one.
    fn order(&self) -> Vec<SessionId> {
        let mut queues: Vec<Vec<&Entry>> = self.turns.iter().map(|owner| self.ready_of(owner)).collect();
        let mut order = Vec::new();
        while queues.iter().any(|queue| !queue.is_empty()) {
            for queue in queues.iter_mut().filter(|queue| !queue.is_empty()) {
                order.push(queue.remove(0).session_id);
            }
        }
        order
    }

    fn waiting(&self, entry: &Entry) -> Wait {
        if let Some(since) = self.offline_since.get(&entry.host_id) {
            let before = |other: &&Entry| other.host_id == entry.host_id && other.number < entry.number;
            return Wait::HostOffline {
                position: 1 + self.pending().filter(before).count() as u64,
                since: *since,
            };
        }
        let order = self.order();
        let place = order.iter().position(|other| *other == entry.session_id).unwrap();
        Wait::NoFreeSlot {
            position: 1 + place as u64,
        }
    }

    fn free(&self) -> Option<u32> {
        let held: Vec<u32> = self.sessions.iter().filter_map(|(_, slot)| *slot).collect();
        (0..SLOTS).find(|slot| !held.contains(slot) && !self.jobs.contains(slot))
    }

    fn add(&mut self, owner: u8, host_n: u8) {
        let name = format!("owner-{owner}");
        let of_owner = self.pending().filter(|entry| *entry.owner == *name).count();
        let expected = if self.pending().count() >= LIMITS.total {
            Err(Full::Total)
        } else if of_owner >= LIMITS.per_owner {
            Err(Full::Owner)
        } else {
            Ok(())
        };
        assert_eq!(self.queue.room(&name), expected);
        if expected.is_err() {
            return;
        }
        self.number += 1;
        let entry = entry(self.number, owner, host_n, self.now);
        let attached = self.attached.contains(&entry.host_id);
        if !attached {
            self.offline_since.entry(entry.host_id).or_insert(self.now);
        }
        self.queue.add(entry.clone(), || attached, self.now);
        self.sessions.push((entry, None));
    }

    fn dispatch(&mut self) {
        let active = self.sessions.iter().filter(|(_, slot)| slot.is_some()).count();
        let able = active < SESSION_SLOTS as usize;
        let expected = self.free().filter(|_| able).zip(self.order().first().copied());
        assert_eq!(self.queue.dispatch(&mut self.slots), expected);
        if let Some((slot, session_id)) = expected {
            let found = |(entry, _): &&mut (Entry, Option<u32>)| entry.session_id == session_id;
            let served = self.sessions.iter_mut().find(found).unwrap();
            served.1 = Some(slot);
            let owner = self.turns.remove(0);
            self.turns.push(owner);
        }
    }

    fn remove(&mut self, index: prop::sample::Index, active: bool) {
        let fits = |(_, slot): &&(Entry, Option<u32>)| slot.is_some() == active;
        let found: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(fits)
            .map(|(entry, _)| entry.session_id)
            .collect();
        if found.is_empty() {
            return;
        }
        let session_id = *index.get(&found);
        assert!(self.queue.remove(session_id, &mut self.slots));
        assert!(
            !self.queue.remove(session_id, &mut self.slots),
            "it was removed twice"
        );
        self.sessions.retain(|(entry, _)| entry.session_id != session_id);
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Add { owner, host } => self.add(owner, host),
            Op::Attach(n) => {
                self.attached.insert(host(n));
                self.offline_since.remove(&host(n));
                self.queue.attached(host(n));
            }
            Op::Detach(n) => {
                self.attached.remove(&host(n));
                if self.pending().any(|entry| entry.host_id == host(n)) {
                    self.offline_since.entry(host(n)).or_insert(self.now);
                }
                self.queue.detached(host(n), self.now);
            }
            Op::Dispatch => self.dispatch(),
            Op::End(index) => self.remove(index, true),
            Op::Leave(index) => self.remove(index, false),
            Op::TakeByJob => self.jobs.extend(self.slots.take(Kind::Job)),
            Op::GiveByJob => {
                if let Some(slot) = self.jobs.pop() {
                    self.slots.give_back(Kind::Job, slot);
                }
            }
            Op::Pass(seconds) => self.now = self.now.after(Span::from_secs(seconds)),
        }
        let waited: HashSet<HostId> = self.pending().map(|entry| entry.host_id).collect();
        self.offline_since.retain(|host_id, _| waited.contains(host_id));
        self.settle_turns();
    }

    fn check(&self) {
        self.queue.assert_invariants(&self.slots);
        assert_eq!(self.queue.pending_len(), self.pending().count());
        assert_eq!(self.queue.ready_len(), self.order().len());
        let pending: HashSet<SessionId> = self.queue.pending().collect();
        let limit = Span::from_secs(60);
        let mut overdue = HashSet::new();
        for (entry, slot) in &self.sessions {
            let expected = slot.is_none().then(|| self.waiting(entry));
            assert_eq!(self.queue.waiting(entry.session_id), expected);
            assert_eq!(pending.contains(&entry.session_id), slot.is_none());
            let phase = slot.map_or(Phase::Pending, |slot| Phase::Active { slot });
            assert_eq!(self.queue.phase(entry.session_id), Some(phase));
            if let (None, Some(since)) = (slot, self.offline_since.get(&entry.host_id))
                && self.now.since((*since).max(entry.since)) >= limit
            {
                overdue.insert(entry.session_id);
            }
        }
        let found: HashSet<SessionId> = self.queue.overdue(limit, self.now, 100).into_iter().collect();
        assert_eq!(found, overdue);
    }
}

proptest! {
    #[test]
    fn the_order_of_sessions_is_that_of_the_model(ops in prop::collection::vec(op(), 1..120)) {
        let mut model = Model::new();
        for op in ops {
            model.step(op);
            model.check();
        }
    }
}

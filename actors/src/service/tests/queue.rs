//! The queue beside a list that is searched from its beginning every time.

use crate::service::queue::{Item, Lane, Queue};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::{HostId, Org, Timestamp};
use uuid::Uuid;

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn org(n: u8) -> Org {
    format!("o{n}").parse().unwrap()
}

/// Two orgs with two sensors each, and messages about the org or about the service.
fn item(kind: u8, now: i64) -> Item {
    let of = org(kind % 2);
    let sensor = HostId(Uuid::from_u128(u128::from(kind % 4)));
    let (lane, org, is_barrier) = match kind {
        0..8 => (Lane::Sensor(sensor), Some(of), false),
        8..10 => (Lane::Org(of.clone()), Some(of), false),
        10..12 => (Lane::Org(of.clone()), Some(of), true),
        _ => (Lane::Service, None, false),
    };
    Item {
        lane,
        org,
        is_barrier,
        attempts: 0,
        queued_at: at(now),
        not_before: at(now),
    }
}

#[derive(Default)]
struct Model {
    items: BTreeMap<u64, (Item, bool)>,
    unwritten: BTreeSet<u64>,
}

impl Model {
    fn next(&mut self, now: Timestamp, newest: bool) -> Option<u64> {
        let may = |(seq, (item, flying)): &(&u64, &(Item, bool))| {
            let mut earlier = self.items.range(..**seq).map(|(_, (item, _))| item);
            let blocks = |other: &Item| {
                other.lane == item.lane || (other.is_barrier && other.org.is_some() && other.org == item.org)
            };
            !flying && !self.unwritten.contains(seq) && item.not_before <= now && !earlier.any(blocks)
        };
        let mut those = self.items.iter().filter(may).map(|(seq, _)| *seq);
        let seq = if newest { those.next_back() } else { those.next() }?;
        self.items.get_mut(&seq).unwrap().1 = true;
        Some(seq)
    }
}

#[derive(Debug, Clone)]
enum Act {
    Add(u8),
    AddUnwritten(u8),
    Written(usize),
    Next,
    Newest,
    Rest(usize, i64, bool),
    End(usize),
    Drop(usize),
    Later(i64),
    Wake,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0_u8..14).prop_map(Act::Add),
        2 => (8_u8..12).prop_map(Act::AddUnwritten),
        2 => any::<usize>().prop_map(Act::Written),
        6 => Just(Act::Next),
        1 => Just(Act::Newest),
        2 => (any::<usize>(), 0_i64..6, any::<bool>()).prop_map(|(n, wait, counts)| Act::Rest(n, wait, counts)),
        3 => any::<usize>().prop_map(Act::End),
        1 => any::<usize>().prop_map(Act::Drop),
        2 => (0_i64..4).prop_map(Act::Later),
        1 => Just(Act::Wake),
        1 => Just(Act::Restart),
    ]
}

fn nth(seqs: impl Iterator<Item = u64>, n: usize) -> Option<u64> {
    let seqs: Vec<u64> = seqs.collect();
    (!seqs.is_empty()).then(|| seqs[n % seqs.len()])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_next_message_is_the_first_that_waits_for_nothing(acts in prop::collection::vec(act(), 1..120)) {
        let (mut queue, mut model) = (Queue::default(), Model::default());
        let (mut now, mut seq) = (0_i64, 0_u64);
        for act in acts {
            let flying = |model: &Model, n| {
                nth(model.items.iter().filter(|(_, (_, flying))| *flying).map(|(seq, _)| *seq), n)
            };
            match act {
                Act::Add(kind) => {
                    seq += 1;
                    queue.add(seq, item(kind, now));
                    queue.add(seq, item(13, now));
                    model.items.insert(seq, (item(kind, now), false));
                }
                Act::AddUnwritten(kind) => {
                    seq += 1;
                    queue.add_unwritten(seq, item(kind, now));
                    model.items.insert(seq, (item(kind, now), false));
                    model.unwritten.insert(seq);
                }
                Act::Written(n) => if let Some(seq) = nth(model.unwritten.iter().copied(), n) {
                    model.unwritten.remove(&seq);
                    queue.written(seq);
                    queue.written(seq);
                },
                Act::Next => prop_assert_eq!(queue.next(at(now)), model.next(at(now), false)),
                Act::Newest => prop_assert_eq!(queue.newest(at(now)), model.next(at(now), true)),
                Act::Rest(n, wait, counts) => if let Some(seq) = flying(&model, n) {
                    let attempts = queue.rest(seq, at(now + wait), counts);
                    let (item, flying) = model.items.get_mut(&seq).unwrap();
                    *flying = false;
                    item.not_before = at(now + wait);
                    item.attempts += u32::from(counts);
                    prop_assert_eq!(attempts, item.attempts);
                },
                Act::End(n) => if let Some(seq) = flying(&model, n) {
                    prop_assert_eq!(queue.remove(seq), model.items.remove(&seq).map(|(item, _)| item));
                },
                Act::Drop(n) => {
                    let idle = model.items.iter().filter(|(_, (_, flying))| !flying);
                    if let Some(seq) = nth(idle.map(|(seq, _)| *seq), n) {
                        prop_assert_eq!(queue.remove(seq), model.items.remove(&seq).map(|(item, _)| item));
                        prop_assert_eq!(queue.remove(seq), None);
                        model.unwritten.remove(&seq);
                        queue.written(seq);
                    }
                }
                Act::Later(by) => now += by,
                Act::Wake => {
                    queue.wake(at(now));
                    // Only who is first of its lane waits for its time; the others have not had their turn.
                    let firsts: Vec<u64> = model.items.keys().copied().collect();
                    for seq in firsts {
                        let not_before = queue.get(seq).unwrap().not_before;
                        model.items.get_mut(&seq).unwrap().0.not_before = not_before;
                        prop_assert!(not_before <= at(now) || model.items[&seq].1 || is_held(&model, seq));
                    }
                }
                Act::Restart => {
                    // In any order: here from the last to the first.
                    queue = Queue::default();
                    model.unwritten.clear();
                    for (seq, (item, flying)) in model.items.iter_mut().rev() {
                        *flying = false;
                        queue.add(*seq, item.clone());
                    }
                }
            }
            prop_assert_eq!(queue.len(), model.items.len());
            prop_assert_eq!(queue.flying(), model.items.values().filter(|(_, flying)| *flying).count());
            let horizon = at(now - 3);
            let old = model.items.iter().filter(|(_, (item, flying))| !flying && item.queued_at <= horizon);
            prop_assert_eq!(queue.older(horizon), old.map(|(seq, _)| *seq).collect::<Vec<_>>());
        }
    }
}

/// Whether something else is before it than its time.
fn is_held(model: &Model, seq: u64) -> bool {
    let item = &model.items[&seq].0;
    let mut earlier = model.items.range(..seq).map(|(_, (item, _))| item);
    earlier.any(|other| other.lane == item.lane || (other.is_barrier && other.org == item.org))
}

//! The queue by itself: what it decides, and what it never does whatever happens in whatever order.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Jobs = Queue<u8, u64>;

fn push(queue: &mut Jobs, lane: u8, id: u64) -> Option<Order<u8>> {
    queue.push(lane, id, id).expect("there is room")
}

#[test]
fn a_worker_begins_for_each_lane_while_there_are_places() {
    let mut queue = Jobs::new(2, 100);
    assert_eq!(push(&mut queue, 1, 1), Some(Order::Start(1)));
    assert_eq!(push(&mut queue, 1, 2), None, "its lane has a worker");
    assert_eq!(push(&mut queue, 2, 3), Some(Order::Start(2)));
    assert_eq!(push(&mut queue, 3, 4), None, "no place");
    assert_eq!(queue.next(&1, false), Next::Prepare);
    assert_eq!(queue.next(&1, true), Next::Run(1));
    assert_eq!(queue.next(&1, true), Next::Run(2));
    assert_eq!(queue.next(&1, true), Next::Leave, "somebody waits");
    assert_eq!(queue.left(&1), Some(Order::Start(3)));
}

#[test]
fn a_worker_without_jobs_waits_and_gives_way_when_somebody_comes() {
    let mut queue = Jobs::new(1, 100);
    push(&mut queue, 1, 1);
    assert_eq!(queue.next(&1, true), Next::Run(1));
    assert_eq!(queue.next(&1, true), Next::Wait);
    assert_eq!(
        push(&mut queue, 1, 2),
        Some(Order::Wake(1)),
        "its session is used on"
    );
    assert_eq!(queue.next(&1, true), Next::Run(2));
    assert_eq!(queue.next(&1, true), Next::Wait);
    assert_eq!(push(&mut queue, 2, 3), Some(Order::Wake(1)));
    assert_eq!(queue.next(&1, true), Next::Leave);
    assert_eq!(queue.left(&1), Some(Order::Start(2)));
}

#[test]
fn a_lane_with_many_jobs_has_its_turn_and_then_others_have_theirs() {
    let mut queue = Jobs::new(1, 1_000);
    for id in 0..100 {
        push(&mut queue, 1, id);
    }
    push(&mut queue, 2, 100);
    for id in 0..u64::from(TURN_JOBS) {
        assert_eq!(queue.next(&1, true), Next::Run(id));
    }
    assert_eq!(queue.next(&1, true), Next::Leave);
    assert_eq!(queue.left(&1), Some(Order::Start(2)));
    assert_eq!(queue.next(&2, true), Next::Run(100));
    assert_eq!(queue.next(&2, true), Next::Leave);
    assert_eq!(queue.left(&2), Some(Order::Start(1)));
    for id in u64::from(TURN_JOBS)..100 {
        assert_eq!(queue.next(&1, true), Next::Run(id), "alone it goes on");
    }
}

#[test]
fn no_more_wait_than_may_and_one_that_is_taken_back_makes_room() {
    let mut queue = Jobs::new(1, 2);
    push(&mut queue, 1, 1);
    push(&mut queue, 1, 2);
    assert_eq!(queue.push(1, 3, 3), Err(3));
    assert_eq!(queue.take(2), Some((2, 1, None)));
    assert_eq!(
        queue.take(1),
        Some((1, 1, Some(Order::Wake(1)))),
        "its worker has nothing to do"
    );
    assert_eq!(queue.take(1), None);
    push(&mut queue, 1, 4);
    assert_eq!(queue.waiting(), 1);
}

#[test]
fn while_a_worker_waits_for_a_slot_those_without_jobs_give_theirs_back() {
    let mut queue = Jobs::new(3, 100);
    push(&mut queue, 1, 1);
    push(&mut queue, 2, 2);
    assert_eq!(queue.next(&1, true), Next::Run(1));
    assert_eq!(queue.next(&1, true), Next::Wait);
    assert_eq!(queue.next(&2, false), Next::Prepare);
    assert_eq!(queue.is_short(&2), [Order::Wake(1)]);
    assert_eq!(queue.is_short(&2), [], "it is known");
    assert_eq!(queue.next(&1, true), Next::Leave);
    assert_eq!(queue.left(&1), None);
    assert_eq!(queue.next(&2, true), Next::Run(2), "it has one");
    push(&mut queue, 1, 3);
    assert_eq!(queue.next(&1, true), Next::Run(3));
    assert_eq!(queue.next(&1, true), Next::Wait, "nobody wants one any more");
}

#[test]
fn a_lane_without_jobs_that_never_had_a_worker_is_forgotten() {
    let mut queue = Jobs::new(1, 100);
    push(&mut queue, 1, 1);
    push(&mut queue, 2, 2);
    assert_eq!(queue.take(2), Some((2, 2, None)));
    assert!(!queue.has(&2));
    assert_eq!(queue.next(&1, true), Next::Run(1));
    assert_eq!(queue.next(&1, true), Next::Wait, "nobody waits any more");
}

/// What happens.
#[derive(Debug, Clone)]
enum Step {
    Submit(u8),
    TakeBack(u64),
    /// A worker does the next thing.
    Work(u8),
    /// A worker has waited long enough.
    Tire(u8),
    /// A worker cannot get ready.
    Fail(u8),
    Drain(bool),
    /// A worker waits for a slot.
    Short(u8),
}

/// Lanes from here on are names: their jobs move to another lane.
const NAMES: u8 = 6;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..8_u8).prop_map(Step::Submit),
        2 => (0..80_u64).prop_map(Step::TakeBack),
        8 => (0..8_u8).prop_map(Step::Work),
        2 => (0..8_u8).prop_map(Step::Tire),
        1 => (0..8_u8).prop_map(Step::Fail),
        1 => any::<bool>().prop_map(Step::Drain),
        1 => (0..8_u8).prop_map(Step::Short),
    ]
}

/// A worker of the test.
#[derive(Debug, Default)]
struct Hand {
    ready: bool,
    waits: bool,
    /// The number of its session.
    session: u64,
}

/// The queue, and whoever carries its orders out.
struct Office {
    queue: Jobs,
    hands: BTreeMap<u8, Hand>,
    /// What became of each job.
    ran: BTreeMap<u64, u8>,
    ended: BTreeMap<u64, &'static str>,
    /// Jobs by lane in the order they ran.
    order: BTreeMap<u8, Vec<u64>>,
    came_by_name: BTreeSet<u64>,
    submitted: u64,
    workers_max: usize,
}

impl Office {
    fn new(workers_max: usize) -> Self {
        Self {
            queue: Jobs::new(workers_max, 40),
            hands: BTreeMap::new(),
            ran: BTreeMap::new(),
            ended: BTreeMap::new(),
            order: BTreeMap::new(),
            came_by_name: BTreeSet::new(),
            submitted: 0,
            workers_max,
        }
    }

    fn carry_out(&mut self, order: Option<Order<u8>>) {
        match order {
            None => {}
            Some(Order::Start(lane)) => {
                let hand = Hand::default();
                assert!(self.hands.insert(lane, hand).is_none(), "one worker for a lane");
            }
            Some(Order::Wake(lane)) => {
                self.hands.get_mut(&lane).expect("who is woken is there").waits = false;
            }
        }
        assert!(self.hands.len() <= self.workers_max, "so many workers");
    }

    fn end(&mut self, id: u64, how: &'static str) {
        assert_eq!(self.ended.insert(id, how), None, "job {id} ends once");
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Submit(lane) => {
                let id = self.submitted;
                self.submitted += 1;
                if lane >= NAMES {
                    self.came_by_name.insert(id);
                }
                match self.queue.push(lane, id, id) {
                    Ok(order) => self.carry_out(order),
                    Err(id) => self.end(id, "refused"),
                }
            }
            Step::TakeBack(id) => {
                if let Some((id, _, order)) = self.queue.take(id) {
                    self.end(id, "taken back");
                    self.carry_out(order);
                }
            }
            Step::Work(lane) => self.work(lane),
            Step::Tire(lane) => {
                if self.hands.get(&lane).is_some_and(|hand| hand.waits) && self.queue.may_leave(&lane) {
                    self.leave(lane);
                }
            }
            Step::Fail(lane) => {
                if self.hands.contains_key(&lane) {
                    for id in self.queue.take_lane(&lane) {
                        self.end(id, "failed");
                    }
                }
            }
            Step::Short(lane) => {
                if self.hands.get(&lane).is_some_and(|hand| !hand.ready) {
                    for order in self.queue.is_short(&lane) {
                        self.carry_out(Some(order));
                    }
                }
            }
            Step::Drain(draining) => {
                for order in self.queue.drain(draining) {
                    self.carry_out(Some(order));
                }
            }
        }
    }

    fn leave(&mut self, lane: u8) {
        self.hands.remove(&lane);
        let order = self.queue.left(&lane);
        self.carry_out(order);
    }

    fn work(&mut self, lane: u8) {
        let Some(hand) = self.hands.get_mut(&lane).filter(|hand| !hand.waits) else {
            return;
        };
        match self.queue.next(&lane, hand.ready) {
            Next::Prepare if lane >= NAMES => {
                let order = self.queue.move_lane(&lane, lane - NAMES);
                self.carry_out(order);
            }
            Next::Prepare => {
                hand.ready = true;
                hand.session += 1;
            }
            Next::Run(id) => {
                assert!(lane < NAMES, "a name is no host");
                self.order.entry(lane).or_default().push(id);
                assert_eq!(self.ran.insert(id, lane), None, "job {id} runs once");
                self.end(id, "ran");
            }
            Next::Wait => hand.waits = true,
            Next::Leave => self.leave(lane),
        }
    }

    /// Nobody is forgotten: where jobs wait, somebody has something to do.
    fn check(&self) {
        let at_work = self.hands.values().any(|hand| !hand.waits);
        assert!(self.queue.waiting() == 0 || at_work, "jobs wait and nobody works");
    }

    /// Goes on until nobody has anything to do.
    fn finish(&mut self) {
        self.take(&Step::Drain(true));
        while !self.hands.is_empty() {
            for lane in 0..8 {
                self.work(lane);
            }
        }
    }
}

proptest! {
    #[test]
    fn every_job_ends_once_in_order_with_one_worker_for_a_lane(
        workers_max in 1..4_usize,
        steps in vec(step(), 0..250),
    ) {
        let mut office = Office::new(workers_max);
        for step in &steps {
            office.take(step);
            office.check();
        }
        office.finish();
        prop_assert!(office.queue.is_done());
        prop_assert_eq!(office.ended.len() as u64, office.submitted);
        for order in office.order.values() {
            // Those that came by a name are behind those that were there when it was found.
            for by_name in [true, false] {
                let came_so = |id: &&u64| office.came_by_name.contains(id) == by_name;
                prop_assert!(order.iter().filter(came_so).is_sorted());
            }
        }
    }

    #[test]
    fn jobs_of_a_lane_run_in_the_order_in_which_they_came(
        workers_max in 1..4_usize,
        steps in vec(step().prop_filter("no names", |step| !matches!(step, Step::Submit(lane) if *lane >= NAMES)), 0..250),
    ) {
        let mut office = Office::new(workers_max);
        for step in &steps {
            office.take(step);
        }
        office.finish();
        for order in office.order.values() {
            prop_assert!(order.is_sorted());
        }
    }
}

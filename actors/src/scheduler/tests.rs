//! The order of jobs against a model that is slow and obvious.

use super::slots::{Kind, Slots};
use super::state::{Entry, Full, Limits, Phase, State, Wait};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use tripline_protocol::api::JobCounts;
use tripline_protocol::job::Priority;
use tripline_protocol::{HostId, JobId, Name, Span, Timestamp};
use uuid::Uuid;

const SLOTS: u32 = 4;
const JOB_SLOTS: u32 = 3;
const LIMITS: Limits = Limits {
    per_host: 4,
    per_pipeline: 5,
    total: 9,
};
const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn host(n: u8) -> HostId {
    HostId(Uuid::from_u128(0x1000 + u128::from(n)))
}

fn job(seq: u64) -> JobId {
    // Ids in another order than the numbers, so that neither passes for the other.
    JobId(Uuid::from_u128(u128::from(seq.reverse_bits())))
}

fn entry(seq: u64, host_n: u8, priority: Priority) -> Entry {
    Entry {
        job_id: job(seq),
        host_id: host(host_n),
        seq,
        priority,
        expires_at: START.after(Span::from_secs(100)),
        pipeline: None,
    }
}

fn state() -> State {
    State::new(LIMITS, Slots::new(SLOTS, JOB_SLOTS, SLOTS))
}

/// Adds a job and gives its number.
fn add(state: &mut State, host_n: u8, priority: Priority, attached: bool) -> u64 {
    let seq = state.take_seq();
    state.add(entry(seq, host_n, priority), || attached, START);
    seq
}

#[test]
fn jobs_of_one_host_start_in_the_order_they_were_accepted() {
    let mut state = state();
    let first = add(&mut state, 1, Priority::Low, true);
    let second = add(&mut state, 1, Priority::High, true);
    assert_eq!(state.dispatch(), Some((0, job(first))));
    assert_eq!(state.dispatch(), None, "two jobs of one host ran");
    assert!(state.remove(job(first)));
    assert_eq!(state.dispatch(), Some((0, job(second))));
}

#[test]
fn a_host_counts_with_its_most_urgent_waiting_job() {
    let mut state = state();
    add(&mut state, 1, Priority::Normal, true);
    let low = add(&mut state, 2, Priority::Low, true);
    add(&mut state, 2, Priority::High, true);
    assert_eq!(
        state.dispatch(),
        Some((0, job(low))),
        "the urgent job's host is first"
    );
}

#[test]
fn among_equals_the_host_with_the_oldest_job_is_first() {
    let mut state = state();
    let older = add(&mut state, 9, Priority::Normal, true);
    let newer = add(&mut state, 1, Priority::Normal, true);
    assert_eq!(state.dispatch(), Some((0, job(older))));
    assert_eq!(state.dispatch(), Some((1, job(newer))));
}

#[test]
fn a_job_that_gives_its_slot_back_keeps_its_place() {
    let mut state = state();
    let first = add(&mut state, 1, Priority::Normal, true);
    add(&mut state, 1, Priority::High, true);
    state.dispatch();
    state.give_back(job(first));
    assert_eq!(state.phase(job(first)), Some(Phase::Waiting));
    assert_eq!(state.dispatch(), Some((0, job(first))));
}

#[test]
fn a_job_that_is_given_back_after_its_time_expires_at_once() {
    let mut state = state();
    let seq = add(&mut state, 1, Priority::Normal, true);
    state.dispatch();
    let late = START.after(Span::from_secs(100));
    assert_eq!(state.expired(late, 10), [], "a running job does not expire");
    state.give_back(job(seq));
    assert_eq!(state.expired(late, 10), [job(seq)]);
}

#[test]
fn a_job_under_way_at_the_last_stop_starts_although_its_host_is_away() {
    let mut state = state();
    let seq = add(&mut state, 1, Priority::Normal, false);
    assert_eq!(state.dispatch(), None);
    assert_eq!(state.start(job(seq)), Some(0));
    assert_eq!(state.start(job(seq)), None, "it runs already");
    state.assert_invariants();
}

#[test]
fn while_paused_nothing_starts_but_what_was_under_way_at_the_last_stop() {
    let mut state = state();
    let first = add(&mut state, 1, Priority::High, true);
    let second = add(&mut state, 2, Priority::Normal, true);
    state.set_paused(true);
    assert_eq!(state.next_kind(false), None);
    assert_eq!(state.next_kind(true), Some(Kind::Session));
    assert_eq!(state.dispatch(), None);
    assert_eq!(state.start(job(second)), Some(0));
    state.set_paused(false);
    assert_eq!(state.next_kind(false), Some(Kind::Job));
    assert_eq!(state.dispatch(), Some((1, job(first))));
    state.assert_invariants();
}

#[test]
fn a_job_that_waits_for_a_time_lets_others_go_first_and_keeps_its_number() {
    let mut state = state();
    let first = add(&mut state, 1, Priority::Normal, true);
    let second = add(&mut state, 1, Priority::Low, true);
    state.dispatch();
    let (until, leaves) = (START.after(Span::from_secs(30)), START.after(Span::from_secs(50)));
    state.rest(job(first), until, leaves);
    assert_eq!(state.phase(job(first)), Some(Phase::Resting { until }));
    assert_eq!(
        state.waiting(job(first)),
        Some(Wait::Resting { position: 1, until })
    );
    assert_eq!((state.host_open_len(host(1)), state.counts().resting), (2, 1));
    assert_eq!(state.dispatch(), Some((0, job(second))), "it steps aside");
    state.give_back(job(second));
    state.wake(START.after(Span::from_secs(29)));
    assert_eq!(state.counts().resting, 1, "its time has not come");
    state.wake(until);
    assert_eq!(state.counts().resting, 0);
    assert_eq!(state.dispatch(), Some((0, job(first))), "it has its number");
    state.assert_invariants();
}

#[test]
fn a_job_that_waits_for_a_time_leaves_when_it_may_wait_no_longer() {
    let mut state = state();
    let seq = add(&mut state, 1, Priority::Normal, true);
    state.dispatch();
    let leaves = START.after(Span::from_secs(10));
    state.rest(job(seq), START.after(Span::from_secs(30)), leaves);
    assert_eq!(state.expired(START.after(Span::from_secs(9)), 10), []);
    assert_eq!(state.expired(leaves, 10), [job(seq)]);
    assert_eq!(state.waiting_of(host(1)), [job(seq)]);
    assert!(state.remove(job(seq)));
    state.wake(START.after(Span::from_secs(30)));
    assert_eq!(state.open_len(), 0);
    state.assert_invariants();
}

#[test]
fn a_job_with_only_its_last_steps_left_does_not_wait_long_for_its_host() {
    let mut state = state();
    let (first, second) = (
        add(&mut state, 1, Priority::Normal, true),
        add(&mut state, 1, Priority::Normal, true),
    );
    let grace = Span::from_secs(30);
    let late = START.after(grace);
    let deserted = |state: &State, now| state.deserted(grace, now, 10);
    state.close(job(first));
    state.detached(host(1), START);
    assert_eq!(deserted(&state, START.after(Span::from_secs(29))), []);
    assert_eq!(deserted(&state, late), [job(first)], "the other one waits on");
    assert!(state.is_away(host(1), grace, late));
    state.attached(host(1));
    assert_eq!(deserted(&state, late), []);
    assert!(state.start(job(first)).is_some());
    state.detached(host(1), START);
    assert_eq!(deserted(&state, late), [], "it does not wait");
    state.rest(job(first), late, late);
    assert_eq!(deserted(&state, late), [job(first)]);
    assert!(state.remove(job(first)));
    assert_eq!(deserted(&state, late), []);
    assert!(state.remove(job(second)));
    state.assert_invariants();
}

#[test]
fn numbers_go_on_after_those_that_were_read_from_the_store() {
    let mut state = state();
    state.add(entry(41, 1, Priority::Normal), || true, START);
    assert_eq!(state.take_seq(), 42);
}

#[test]
fn what_a_job_waits_for_is_said_with_its_position() {
    let mut state = state();
    let offline = add(&mut state, 1, Priority::Normal, false);
    let since = START;
    assert_eq!(
        state.waiting(job(offline)),
        Some(Wait::HostOffline { position: 1, since })
    );
    for n in 2..=4 {
        add(&mut state, n, Priority::Normal, true);
        state.dispatch();
    }
    let behind = add(&mut state, 2, Priority::Normal, true);
    let running = job(2);
    assert_eq!(
        state.waiting(job(behind)),
        Some(Wait::BehindJob {
            position: 1,
            job_id: running
        })
    );
    let next = add(&mut state, 5, Priority::Normal, true);
    let urgent = add(&mut state, 6, Priority::High, true);
    assert_eq!(state.waiting(job(next)), Some(Wait::NoFreeSlot { position: 2 }));
    assert_eq!(state.waiting(job(urgent)), Some(Wait::NoFreeSlot { position: 1 }));
    let second = add(&mut state, 5, Priority::Normal, true);
    assert_eq!(
        state.waiting(job(second)),
        Some(Wait::BehindJob {
            position: 2,
            job_id: job(next)
        })
    );
    assert_eq!(state.waiting(running), None, "a running job does not wait");
    let counts = JobCounts {
        open: 8,
        running: 3,
        lanes: 4,
        host_offline: 1,
        behind_job: 2,
        no_free_slot: 2,
        resting: 0,
    };
    assert_eq!(state.counts(), counts);
}

#[test]
fn each_limit_says_which_it_is() {
    let name: Name = "p".parse().unwrap();
    let mut full = state();
    for _ in 0..LIMITS.per_host {
        add(&mut full, 1, Priority::Normal, false);
    }
    assert_eq!(full.room(host(1), None), Err(Full::Host));
    assert_eq!(full.room(host(2), None), Ok(()));
    let mut full = state();
    for n in 0..LIMITS.per_pipeline {
        let seq = full.take_seq();
        let of_pipeline = Entry {
            pipeline: Some(name.clone()),
            ..entry(seq, n as u8, Priority::Normal)
        };
        full.add(of_pipeline, || false, START);
    }
    assert_eq!(full.room(host(90), Some(&name)), Err(Full::Pipeline));
    assert_eq!(full.room(host(90), None), Ok(()));
    for n in 20..24 {
        add(&mut full, n, Priority::Normal, false);
    }
    assert_eq!(full.room(host(90), None), Err(Full::Total));
}

#[derive(Debug, Clone)]
enum Op {
    Add {
        host: u8,
        priority: Priority,
        expires_in: u64,
        pipeline: Option<bool>,
    },
    Attach(u8),
    Detach(u8),
    Dispatch,
    Finish(prop::sample::Index),
    Cancel(prop::sample::Index),
    GiveBack(prop::sample::Index),
    Rest(prop::sample::Index, u64, u64),
    Pass(u64),
}

fn priority() -> impl Strategy<Value = Priority> {
    prop::sample::select(vec![Priority::Low, Priority::Normal, Priority::High])
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (0_u8..5, priority(), 0_u64..60, any::<Option<bool>>()).prop_map(|(host, priority, expires_in, pipeline)| {
            Op::Add { host, priority, expires_in, pipeline }
        }),
        2 => (0_u8..5).prop_map(Op::Attach),
        1 => (0_u8..5).prop_map(Op::Detach),
        4 => Just(Op::Dispatch),
        2 => index().prop_map(Op::Finish),
        1 => index().prop_map(Op::Cancel),
        2 => index().prop_map(Op::GiveBack),
        3 => (index(), 1_u64..30, 0_u64..60).prop_map(|(job, rests, leaves)| Op::Rest(job, rests, leaves)),
        1 => (0_u64..20).prop_map(Op::Pass),
    ]
}

/// A list of jobs, searched from the start for every question.
struct Model {
    state: State,
    jobs: Vec<(Entry, Option<u32>)>,
    /// Those that wait for a time.
    resting: HashMap<JobId, Timestamp>,
    attached: HashSet<HostId>,
    offline_since: HashMap<HostId, Timestamp>,
    now: Timestamp,
}

impl Model {
    fn new() -> Self {
        Self {
            state: state(),
            jobs: Vec::new(),
            resting: HashMap::new(),
            attached: HashSet::new(),
            offline_since: HashMap::new(),
            now: START,
        }
    }

    fn of_host(&self, host_id: HostId) -> impl Iterator<Item = &(Entry, Option<u32>)> {
        self.jobs
            .iter()
            .filter(move |(entry, _)| entry.host_id == host_id)
    }

    fn queue(&self, host_id: HostId) -> Vec<&Entry> {
        let mut queue: Vec<&Entry> = self
            .of_host(host_id)
            .filter(|(entry, slot)| slot.is_none() && !self.resting.contains_key(&entry.job_id))
            .map(|(entry, _)| entry)
            .collect();
        queue.sort_by_key(|entry| entry.seq);
        queue
    }

    fn waiting_count(&self, host_id: HostId) -> usize {
        self.of_host(host_id).filter(|(_, slot)| slot.is_none()).count()
    }

    fn running(&self, host_id: HostId) -> Option<JobId> {
        let running = self.of_host(host_id).find(|(_, slot)| slot.is_some());
        running.map(|(entry, _)| entry.job_id)
    }

    /// Hosts whose next job could start, the next first.
    fn ready(&self) -> Vec<HostId> {
        let hosts: HashSet<HostId> = self.jobs.iter().map(|(entry, _)| entry.host_id).collect();
        let mut ready: Vec<_> = hosts
            .into_iter()
            .filter(|host_id| self.attached.contains(host_id) && self.running(*host_id).is_none())
            .filter_map(|host_id| {
                let queue = self.queue(host_id);
                let urgent = queue.iter().map(|entry| entry.priority).max()?;
                Some((Reverse(urgent), queue.first()?.seq, host_id))
            })
            .collect();
        ready.sort();
        ready.into_iter().map(|(_, _, host_id)| host_id).collect()
    }

    fn room(&self, entry: &Entry) -> Result<(), Full> {
        let of_pipeline = self
            .jobs
            .iter()
            .filter(|(other, _)| other.pipeline == entry.pipeline);
        if self.jobs.len() >= LIMITS.total as usize {
            Err(Full::Total)
        } else if self.waiting_count(entry.host_id) >= LIMITS.per_host as usize {
            Err(Full::Host)
        } else if entry.pipeline.is_some() && of_pipeline.count() >= LIMITS.per_pipeline as usize {
            Err(Full::Pipeline)
        } else {
            Ok(())
        }
    }

    fn waiting(&self, entry: &Entry) -> Wait {
        let queue = self.queue(entry.host_id);
        if let Some(until) = self.resting.get(&entry.job_id) {
            let earlier = queue.iter().filter(|other| other.seq < entry.seq).count() as u64;
            return Wait::Resting {
                position: 1 + earlier,
                until: *until,
            };
        }
        let place = queue.iter().position(|other| other.seq == entry.seq).unwrap();
        let position = 1 + place as u64;
        if let Some(since) = self.offline_since.get(&entry.host_id) {
            return Wait::HostOffline {
                position,
                since: *since,
            };
        }
        let head = (place > 0).then(|| queue[0].job_id);
        match self.running(entry.host_id).or(head) {
            Some(job_id) => Wait::BehindJob { position, job_id },
            None => Wait::NoFreeSlot {
                position: 1 + self.ready().iter().position(|id| *id == entry.host_id).unwrap() as u64,
            },
        }
    }

    fn add(&mut self, entry: Entry) {
        assert_eq!(
            self.state.room(entry.host_id, entry.pipeline.as_ref()),
            self.room(&entry)
        );
        if self.room(&entry).is_err() {
            return;
        }
        let (host_id, attached) = (entry.host_id, self.attached.contains(&entry.host_id));
        if self.of_host(host_id).next().is_none() && !attached {
            self.offline_since.insert(host_id, self.now);
        }
        self.state.add(entry.clone(), || attached, self.now);
        self.jobs.push((entry, None));
    }

    fn dispatch(&mut self) {
        let used: HashSet<u32> = self.jobs.iter().filter_map(|(_, slot)| *slot).collect();
        let expected = match self.ready().first() {
            Some(next) if used.len() < JOB_SLOTS as usize => {
                let slot = (0..SLOTS).find(|slot| !used.contains(slot)).unwrap();
                Some((slot, self.queue(*next)[0].job_id))
            }
            _ => None,
        };
        assert_eq!(self.state.dispatch(), expected);
        if let Some((slot, job_id)) = expected {
            let started = self.jobs.iter_mut().find(|(entry, _)| entry.job_id == job_id);
            started.unwrap().1 = Some(slot);
        }
    }

    fn remove(&mut self, job_id: JobId) {
        assert!(self.state.remove(job_id));
        assert!(!self.state.remove(job_id), "it was removed twice");
        self.jobs.retain(|(entry, _)| entry.job_id != job_id);
        self.resting.remove(&job_id);
        self.forget_empty();
    }

    fn forget_empty(&mut self) {
        let open: HashSet<HostId> = self.jobs.iter().map(|(entry, _)| entry.host_id).collect();
        self.offline_since.retain(|host_id, _| open.contains(host_id));
    }

    fn pick(&self, index: prop::sample::Index, running: bool) -> Option<JobId> {
        let fits: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(_, slot)| slot.is_some() == running)
            .map(|(entry, _)| entry.job_id)
            .collect();
        (!fits.is_empty()).then(|| *index.get(&fits))
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Add {
                host: host_n,
                priority,
                expires_in,
                pipeline,
            } => {
                let seq = self.state.take_seq();
                let name = |first| if first { "p" } else { "q" }.parse::<Name>().unwrap();
                self.add(Entry {
                    expires_at: self.now.after(Span::from_secs(expires_in)),
                    pipeline: pipeline.map(name),
                    ..entry(seq, host_n, priority)
                });
            }
            Op::Attach(n) => {
                self.attached.insert(host(n));
                self.offline_since.remove(&host(n));
                self.state.attached(host(n));
            }
            Op::Detach(n) => {
                self.attached.remove(&host(n));
                if self.of_host(host(n)).next().is_some() {
                    self.offline_since.entry(host(n)).or_insert(self.now);
                }
                self.state.detached(host(n), self.now);
            }
            Op::Dispatch => self.dispatch(),
            Op::Finish(index) => {
                if let Some(job_id) = self.pick(index, true) {
                    self.remove(job_id);
                }
            }
            Op::Cancel(index) => {
                if let Some(job_id) = self.pick(index, false) {
                    self.remove(job_id);
                }
            }
            Op::GiveBack(index) => {
                if let Some(job_id) = self.pick(index, true) {
                    self.state.give_back(job_id);
                    let given = self.jobs.iter_mut().find(|(entry, _)| entry.job_id == job_id);
                    given.unwrap().1 = None;
                }
            }
            Op::Rest(index, rests, leaves) => {
                if let Some(job_id) = self.pick(index, true) {
                    let after = |seconds| self.now.after(Span::from_secs(seconds));
                    let (until, leaves) = (after(rests), after(leaves));
                    self.state.rest(job_id, until, leaves);
                    let rested = self.jobs.iter_mut().find(|(entry, _)| entry.job_id == job_id);
                    let rested = rested.unwrap();
                    rested.1 = None;
                    rested.0.expires_at = leaves;
                    self.resting.insert(job_id, until);
                }
            }
            Op::Pass(seconds) => {
                self.now = self.now.after(Span::from_secs(seconds));
                self.expire();
                self.state.wake(self.now);
                self.resting.retain(|_, until| *until > self.now);
            }
        }
    }

    fn expire(&mut self) {
        let over = |(entry, slot): &&(Entry, Option<u32>)| slot.is_none() && entry.expires_at <= self.now;
        let mut expected: Vec<_> = self
            .jobs
            .iter()
            .filter(over)
            .map(|(entry, _)| (entry.expires_at, entry.job_id))
            .collect();
        expected.sort();
        let expected: Vec<JobId> = expected.into_iter().map(|(_, job_id)| job_id).collect();
        assert_eq!(self.state.expired(self.now, usize::MAX), expected);
        expected.into_iter().for_each(|job_id| self.remove(job_id));
    }

    fn check(&self) {
        self.state.assert_invariants();
        assert_eq!(self.state.open_len(), self.jobs.len());
        assert_eq!(self.state.ready_len(), self.ready().len());
        for (entry, slot) in &self.jobs {
            let expected = slot.is_none().then(|| self.waiting(entry));
            assert_eq!(self.state.waiting(entry.job_id), expected);
            let open = self.of_host(entry.host_id).count();
            assert_eq!(self.state.host_open_len(entry.host_id) as usize, open);
        }
    }
}

proptest! {
    #[test]
    fn the_order_is_that_of_the_model(ops in prop::collection::vec(op(), 1..120)) {
        let mut model = Model::new();
        for op in ops {
            model.step(op);
            model.check();
        }
    }
}

//! The order of jobs against a model that is slow and obvious: a list, searched from the start for every question.

use super::super::state::{Entry, Full, State, Wait};
use super::{JOB_SLOTS, LIMITS, SLOTS, START, entry, host, name, state};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use tripline_protocol::job::Priority;
use tripline_protocol::{HostId, JobId, Name, Span, Timestamp};

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
    GiveBack(prop::sample::Index, bool),
    Rest(prop::sample::Index, u64, u64, bool),
    Hold(bool),
    LetGo(bool),
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
        2 => (index(), any::<bool>()).prop_map(|(job, begun)| Op::GiveBack(job, begun)),
        3 => (index(), 1_u64..30, 0_u64..60, any::<bool>())
            .prop_map(|(job, rests, leaves, begun)| Op::Rest(job, rests, leaves, begun)),
        2 => any::<bool>().prop_map(Op::Hold),
        2 => any::<bool>().prop_map(Op::LetGo),
        1 => (0_u64..20).prop_map(Op::Pass),
    ]
}

fn pipeline_named(first: bool) -> Name {
    name(if first { "p" } else { "q" })
}

/// A list of jobs, searched from the start for every question.
struct Model {
    state: State,
    jobs: Vec<(Entry, Option<u32>)>,
    /// Those that wait for a time.
    resting: HashMap<JobId, Timestamp>,
    paused: HashSet<Name>,
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
            paused: HashSet::new(),
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

    /// Whether it would wait for its pipeline if it waited without a time.
    fn is_held(&self, entry: &Entry) -> bool {
        let paused = |name: &Name| self.paused.contains(name);
        !entry.begun && entry.pipeline.as_ref().is_some_and(paused)
    }

    fn queue(&self, host_id: HostId) -> Vec<&Entry> {
        let mut queue: Vec<&Entry> = self
            .of_host(host_id)
            .filter(|(entry, slot)| slot.is_none() && !self.resting.contains_key(&entry.job_id))
            .filter(|(entry, _)| !self.is_held(entry))
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
        let position = 1 + queue.iter().filter(|other| other.seq < entry.seq).count() as u64;
        if let Some(until) = self.resting.get(&entry.job_id).copied() {
            return Wait::Resting { position, until };
        }
        if self.is_held(entry) {
            return Wait::PipelinePaused { position };
        }
        if let Some(since) = self.offline_since.get(&entry.host_id) {
            return Wait::HostOffline {
                position,
                since: *since,
            };
        }
        let head = (position > 1).then(|| queue[0].job_id);
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
                self.add(Entry {
                    expires_at: self.now.after(Span::from_secs(expires_in)),
                    pipeline: pipeline.map(pipeline_named),
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
            Op::GiveBack(index, begun) => {
                if let Some(job_id) = self.pick(index, true) {
                    self.state.note_begun(job_id, begun);
                    self.state.give_back(job_id);
                    let given = self.jobs.iter_mut().find(|(entry, _)| entry.job_id == job_id);
                    let given = given.unwrap();
                    given.1 = None;
                    given.0.begun = begun;
                }
            }
            Op::Rest(index, rests, leaves, begun) => {
                if let Some(job_id) = self.pick(index, true) {
                    self.state.note_begun(job_id, begun);
                    let after = |seconds| self.now.after(Span::from_secs(seconds));
                    let (until, leaves) = (after(rests), after(leaves));
                    self.state.rest(job_id, until, leaves);
                    let rested = self.jobs.iter_mut().find(|(entry, _)| entry.job_id == job_id);
                    let rested = rested.unwrap();
                    rested.1 = None;
                    rested.0.expires_at = leaves;
                    rested.0.begun = begun;
                    self.resting.insert(job_id, until);
                }
            }
            Op::Hold(first) => {
                self.state.hold(&pipeline_named(first));
                self.paused.insert(pipeline_named(first));
            }
            Op::LetGo(first) => {
                self.state.let_go(&pipeline_named(first));
                self.paused.remove(&pipeline_named(first));
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
        let held = self.jobs.iter().filter(|(entry, slot)| {
            slot.is_none() && !self.resting.contains_key(&entry.job_id) && self.is_held(entry)
        });
        assert_eq!(self.state.counts().held, held.count() as u64);
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

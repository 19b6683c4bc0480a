//! Which job runs where and when: lanes of jobs, a bounded number of workers, and turns.
//!
//! A lane has the jobs of one host in their order. A worker serves one lane; there are only so many. Lanes without a
//! worker wait in a ring, and a worker whose lane has had its turn, or has no jobs, gives way to them.
//!
//! Pure: no clock, no I/O, no tasks. Whoever calls carries the orders out.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// Jobs that a worker does for one lane while others wait.
pub(super) const TURN_JOBS: u32 = 16;

/// All lanes. `K` names a lane, `J` is a job.
#[derive(Debug)]
pub(super) struct Queue<K, J> {
    lanes: HashMap<K, Lane<J>>,
    /// Lanes that have jobs and no worker, in the order in which they get one.
    ring: VecDeque<K>,
    /// Lanes whose worker has nothing to do, the longest so first.
    idle: VecDeque<K>,
    /// The lanes of the jobs that wait.
    places: HashMap<u64, K>,
    /// Lanes whose worker waits for one of the server's slots.
    short: HashSet<K>,
    workers: usize,
    workers_max: usize,
    waiting_max: usize,
    /// Somebody waits for the end: workers without jobs go.
    draining: bool,
}

#[derive(Debug)]
struct Lane<J> {
    jobs: VecDeque<(u64, J)>,
    worker: Worker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worker {
    None,
    /// At work, or told to look for some; jobs begun in this turn.
    Busy(u32),
    Idle,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order<K> {
    /// A worker begins to serve this lane.
    Start(K),
    /// The worker of this lane is to look what is next.
    Wake(K),
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<J> {
    /// There are jobs: get ready for them.
    Prepare,
    /// This job.
    Run(J),
    /// Nothing: wait for an order, and not for ever.
    Wait,
    /// Finish, and say so.
    Leave,
}

impl<J> Lane<J> {
    fn new() -> Self {
        Self {
            jobs: VecDeque::new(),
            worker: Worker::None,
        }
    }
}

impl<K: Clone + Eq + Hash, J> Queue<K, J> {
    pub(super) fn new(workers_max: usize, waiting_max: usize) -> Self {
        Self {
            lanes: HashMap::new(),
            ring: VecDeque::new(),
            idle: VecDeque::new(),
            places: HashMap::new(),
            short: HashSet::new(),
            workers: 0,
            workers_max: workers_max.max(1),
            waiting_max,
            draining: false,
        }
    }

    /// Takes a job in, behind all of its lane. Gives it back when too many wait.
    pub(super) fn push(&mut self, lane: K, id: u64, job: J) -> Result<Option<Order<K>>, J> {
        if self.places.len() >= self.waiting_max {
            return Err(job);
        }
        Ok(self.add(lane, [(id, job)].into()))
    }

    fn add(&mut self, key: K, jobs: VecDeque<(u64, J)>) -> Option<Order<K>> {
        if jobs.is_empty() {
            return None;
        }
        for (id, _) in &jobs {
            self.places.insert(*id, key.clone());
        }
        let lane = self.lanes.entry(key.clone()).or_insert_with(Lane::new);
        let was_empty = lane.jobs.is_empty();
        lane.jobs.extend(jobs);
        match lane.worker {
            Worker::Busy(_) => None,
            Worker::Idle => Some(self.rouse(key)),
            Worker::None => {
                if was_empty {
                    self.ring.push_back(key);
                    self.place_next()
                } else {
                    None
                }
            }
        }
    }

    /// The worker that has nothing to do looks again.
    fn rouse(&mut self, key: K) -> Order<K> {
        self.idle.retain(|idle| *idle != key);
        self.set_worker(&key, Worker::Busy(0));
        Order::Wake(key)
    }

    fn set_worker(&mut self, key: &K, worker: Worker) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.worker = worker;
        }
    }

    /// A worker for the first in the ring; if there is none to spare, one that has nothing to do gives way.
    fn place_next(&mut self) -> Option<Order<K>> {
        if self.workers >= self.workers_max {
            let idle = self.idle.front().cloned()?;
            return Some(self.rouse(idle));
        }
        let key = self.ring.pop_front()?;
        self.workers += 1;
        self.set_worker(&key, Worker::Busy(0));
        Some(Order::Start(key))
    }

    /// For the worker of a lane: what it does next. `ready`: it has all that a job needs.
    pub(super) fn next(&mut self, key: &K, ready: bool) -> Next<J> {
        if ready {
            self.short.remove(key);
        }
        let others_wait = !self.ring.is_empty() || self.short.iter().any(|lane| lane != key);
        let Some(lane) = self.lanes.get_mut(key) else {
            return Next::Leave;
        };
        let served = match lane.worker {
            Worker::Busy(served) => served,
            Worker::Idle | Worker::None => 0,
        };
        if lane.jobs.is_empty() {
            if others_wait || self.draining {
                return Next::Leave;
            }
            if lane.worker != Worker::Idle {
                lane.worker = Worker::Idle;
                self.idle.push_back(key.clone());
            }
            return Next::Wait;
        }
        if served >= TURN_JOBS && others_wait {
            return Next::Leave;
        }
        if !ready {
            return Next::Prepare;
        }
        lane.worker = Worker::Busy(served.saturating_add(1));
        match lane.jobs.pop_front() {
            Some((id, job)) => {
                self.places.remove(&id);
                Next::Run(job)
            }
            None => Next::Wait,
        }
    }

    /// For a worker that has waited long enough: whether it may go. If not, there is something to do again.
    pub(super) fn may_leave(&mut self, key: &K) -> bool {
        let empty = self.is_empty(key);
        if empty {
            self.idle.retain(|idle| idle != key);
            self.set_worker(key, Worker::Busy(0));
        }
        empty
    }

    /// The worker of a lane has gone.
    pub(super) fn left(&mut self, key: &K) -> Option<Order<K>> {
        self.workers = self.workers.saturating_sub(1);
        self.short.remove(key);
        self.idle.retain(|idle| idle != key);
        self.set_worker(key, Worker::None);
        match self.is_empty(key) {
            true => drop(self.lanes.remove(key)),
            false => self.ring.push_back(key.clone()),
        }
        self.place_next()
    }

    /// Whether no job of a lane waits.
    pub(super) fn is_empty(&self, key: &K) -> bool {
        self.lanes.get(key).is_none_or(|lane| lane.jobs.is_empty())
    }

    /// Whether a lane is known: it has jobs or a worker.
    pub(super) fn has(&self, key: &K) -> bool {
        self.lanes.contains_key(key)
    }

    /// Takes out all jobs of a lane that wait.
    pub(super) fn take_lane(&mut self, key: &K) -> Vec<J> {
        let jobs = self.lanes.get_mut(key).map(|lane| std::mem::take(&mut lane.jobs));
        self.forget_empty(key);
        jobs.into_iter()
            .flatten()
            .map(|(id, job)| {
                self.places.remove(&id);
                job
            })
            .collect()
    }

    /// Moves all jobs of a lane that wait behind those of another.
    pub(super) fn move_lane(&mut self, from: &K, to: K) -> Option<Order<K>> {
        let jobs = self
            .lanes
            .get_mut(from)
            .map(|lane| std::mem::take(&mut lane.jobs));
        self.forget_empty(from);
        self.add(to, jobs.unwrap_or_default())
    }

    /// Takes one job out that waits, and tells its lane. The lane's worker is to look again when that was the last one.
    pub(super) fn take(&mut self, id: u64) -> Option<(J, K, Option<Order<K>>)> {
        let key = self.places.remove(&id)?;
        let lane = self.lanes.get_mut(&key)?;
        let at = lane.jobs.iter().position(|(waiting, _)| *waiting == id)?;
        let (_, job) = lane.jobs.remove(at)?;
        let deserted = lane.jobs.is_empty() && lane.worker != Worker::None;
        self.forget_empty(&key);
        let order = deserted.then(|| Order::Wake(key.clone()));
        Some((job, key, order))
    }

    /// A lane without jobs and without a worker is no lane.
    fn forget_empty(&mut self, key: &K) {
        let forgotten = |lane: &Lane<J>| lane.jobs.is_empty() && lane.worker == Worker::None;
        if self.lanes.get(key).is_some_and(forgotten) {
            self.lanes.remove(key);
            self.ring.retain(|waiting| waiting != key);
        }
    }

    /// Takes out all jobs that wait.
    pub(super) fn take_all(&mut self) -> Vec<J> {
        let keys: Vec<K> = self.lanes.keys().cloned().collect();
        keys.iter().flat_map(|key| self.take_lane(key)).collect()
    }

    /// The worker of a lane waits for one of the server's slots: those without jobs are to give theirs back.
    pub(super) fn is_short(&mut self, key: &K) -> Vec<Order<K>> {
        match self.lanes.contains_key(key) && self.short.insert(key.clone()) {
            true => self.rouse_all(),
            false => Vec::new(),
        }
    }

    fn rouse_all(&mut self) -> Vec<Order<K>> {
        let idle: Vec<K> = self.idle.iter().cloned().collect();
        idle.into_iter().map(|key| self.rouse(key)).collect()
    }

    /// Whether workers without jobs go at once. Those that have none now are to look again.
    pub(super) fn drain(&mut self, draining: bool) -> Vec<Order<K>> {
        self.draining = draining;
        match draining {
            true => self.rouse_all(),
            false => Vec::new(),
        }
    }

    /// Whether nothing waits and nobody works.
    pub(super) fn is_done(&self) -> bool {
        self.workers == 0 && self.places.is_empty()
    }

    /// Jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests;

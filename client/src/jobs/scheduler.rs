//! The queue with tasks around it: takes jobs in, starts workers, wakes them, and tells when all is done.

use super::Limits;
use super::handle::Withdraw;
use super::host::Lane;
use super::queue::{Next, Order, Queue};
use super::sessions::Sessions;
use super::work::{Work, cancelled};
use super::worker::Worker;
use crate::error::Error;
use crate::session::stopped;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

pub(super) type Job<S> = Box<dyn Work<<S as Sessions>::Session>>;

/// All jobs of one client.
pub(crate) struct Scheduler<S: Sessions> {
    state: Mutex<State<S>>,
    /// Told whenever a worker has gone or a job was taken out.
    changed: Notify,
    idle: Duration,
}

struct State<S: Sessions> {
    queue: Queue<Lane, Job<S>>,
    /// Hosts of lanes, as far as they were found.
    hosts: HashMap<Lane, S::Host>,
    /// How to wake the workers there are.
    wakers: HashMap<Lane, Arc<Notify>>,
    ids: u64,
    closed: bool,
    drains: usize,
}

impl<S: Sessions> Scheduler<S> {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                queue: Queue::new(limits.at_once, limits.waiting_max),
                hosts: HashMap::new(),
                wakers: HashMap::new(),
                ids: 0,
                closed: false,
                drains: 0,
            }),
            changed: Notify::new(),
            idle: limits.idle,
        })
    }

    /// How long a session waits for another job.
    pub(super) fn idle(&self) -> Duration {
        self.idle
    }

    /// What a panic elsewhere left is whole: nothing that can panic runs under the lock.
    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job in, or tells it why not; the number under which it can be taken back.
    pub(super) fn submit(
        self: &Arc<Self>,
        sessions: &S,
        lane: Lane,
        host: Option<S::Host>,
        job: Job<S>,
    ) -> u64 {
        let running = tokio::runtime::Handle::try_current().is_ok();
        let (id, taken) = match running {
            true => self.state().take_in(lane, host, job),
            false => (0, Err((job, stopped()))),
        };
        match taken {
            Ok(order) => self.carry_out(sessions, order),
            Err((job, why)) => job.refuse(why),
        }
        id
    }

    pub(super) fn carry_out(self: &Arc<Self>, sessions: &S, order: Option<Order<Lane>>) {
        match order {
            None => {}
            Some(Order::Wake(lane)) => self.wake(&lane),
            Some(Order::Start(lane)) => self.start(sessions, lane),
        }
    }

    fn wake(&self, lane: &Lane) {
        if let Some(waker) = self.state().wakers.get(lane) {
            waker.notify_one();
        }
    }

    fn start(self: &Arc<Self>, sessions: &S, lane: Lane) {
        let waker = Arc::new(Notify::new());
        self.state().wakers.insert(lane.clone(), Arc::clone(&waker));
        tokio::spawn(Worker::new(Arc::clone(self), sessions.clone(), lane, waker).run());
    }

    /// For a worker: what it does next.
    pub(super) fn next(&self, lane: &Lane, ready: bool) -> Next<Job<S>> {
        self.state().queue.next(lane, ready)
    }

    /// A worker waits for one of the server's slots.
    pub(super) fn is_short(&self, lane: &Lane) {
        let orders = self.state().queue.is_short(lane);
        self.wake_all(orders);
    }

    fn wake_all(&self, orders: Vec<Order<Lane>>) {
        for order in orders {
            if let Order::Wake(lane) = order {
                self.wake(&lane);
            }
        }
    }

    /// For a worker that has waited long enough.
    pub(super) fn may_leave(&self, lane: &Lane) -> bool {
        self.state().queue.may_leave(lane)
    }

    pub(super) fn is_empty(&self, lane: &Lane) -> bool {
        self.state().queue.is_empty(lane)
    }

    /// The host of a lane, if it was found before.
    pub(super) fn host(&self, lane: &Lane) -> Option<S::Host> {
        self.state().hosts.get(lane).cloned()
    }

    pub(super) fn set_host(&self, lane: &Lane, host: S::Host) {
        self.state().hosts.insert(lane.clone(), host);
    }

    /// The jobs of a name are those of this host.
    pub(super) fn found(self: &Arc<Self>, sessions: &S, name: &Lane, lane: Lane, host: S::Host) {
        let order = {
            let mut state = self.state();
            state.hosts.insert(lane.clone(), host);
            let order = state.queue.move_lane(name, lane.clone());
            state.tidy(&lane);
            order
        };
        self.carry_out(sessions, order);
    }

    /// All jobs of a lane that wait end so.
    pub(super) fn refuse_lane(&self, lane: &Lane, why: &Error) {
        let jobs = self.state().queue.take_lane(lane);
        jobs.into_iter().for_each(|job| job.refuse(why.clone()));
        self.changed.notify_waiters();
    }

    /// A worker has gone; who is next.
    pub(super) fn leave(&self, lane: &Lane) -> Option<Order<Lane>> {
        let order = {
            let mut state = self.state();
            state.wakers.remove(lane);
            let order = state.queue.left(lane);
            state.tidy(lane);
            order
        };
        self.changed.notify_waiters();
        order
    }

    /// Jobs that have not begun.
    pub(super) fn waiting(&self) -> usize {
        self.state().queue.waiting()
    }

    /// Takes no more, and tells those that wait.
    pub(super) fn close(&self) {
        let jobs = {
            let mut state = self.state();
            state.closed = true;
            state.queue.take_all()
        };
        jobs.into_iter().for_each(|job| job.refuse(shut_down()));
        self.changed.notify_waiters();
    }

    /// Waits until nothing is left: no job, no session.
    pub(super) async fn drained(&self) {
        let _draining = Draining::begin(self);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on nothing is missed.
            changed.as_mut().enable();
            if self.state().queue.is_done() {
                return;
            }
            changed.await;
        }
    }

    fn drain(&self, step: isize) {
        let orders = {
            let mut state = self.state();
            state.drains = state.drains.saturating_add_signed(step);
            let draining = state.drains > 0;
            state.queue.drain(draining)
        };
        self.wake_all(orders);
    }
}

/// While it is there, workers without jobs go at once.
struct Draining<'a, S: Sessions>(&'a Scheduler<S>);

impl<'a, S: Sessions> Draining<'a, S> {
    fn begin(scheduler: &'a Scheduler<S>) -> Self {
        scheduler.drain(1);
        Self(scheduler)
    }
}

impl<S: Sessions> Drop for Draining<'_, S> {
    fn drop(&mut self) {
        self.0.drain(-1);
    }
}

type TakenIn<S> = Result<Option<Order<Lane>>, (Job<S>, Error)>;

impl<S: Sessions> State<S> {
    fn take_in(&mut self, lane: Lane, host: Option<S::Host>, job: Job<S>) -> (u64, TakenIn<S>) {
        let id = self.ids;
        self.ids += 1;
        if self.closed {
            return (id, Err((job, shut_down())));
        }
        let pushed = self.queue.push(lane.clone(), id, job);
        if let (Ok(_), Some(host)) = (&pushed, host) {
            self.hosts.insert(lane, host);
        }
        (id, pushed.map_err(|job| (job, full(self.queue.waiting()))))
    }

    /// A lane that is gone needs no host.
    fn tidy(&mut self, lane: &Lane) {
        if !self.queue.has(lane) {
            self.hosts.remove(lane);
        }
    }
}

impl<S: Sessions> Withdraw for Scheduler<S> {
    fn withdraw(&self, id: u64) -> bool {
        let taken = {
            let mut state = self.state();
            let taken = state.queue.take(id);
            if let Some((_, lane, _)) = &taken {
                state.tidy(lane);
            }
            taken
        };
        let Some((job, _, order)) = taken else {
            return false;
        };
        if let Some(Order::Wake(lane)) = order {
            self.wake(&lane);
        }
        job.refuse(cancelled());
        self.changed.notify_waiters();
        true
    }
}

fn shut_down() -> Error {
    Error::server("jobs_shut_down", "the client takes no jobs any more")
        .advise("submit it before Jobs::shutdown")
}

fn full(waiting: usize) -> Error {
    Error::server("jobs_full", format!("{waiting} jobs wait already"))
        .advise("await the handles of some before submitting more, or set Builder::jobs_waiting_max")
}

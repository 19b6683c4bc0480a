//! A worker: opens a session on its lane's host, runs the lane's jobs in it one after the other, and closes it.

use super::host::Lane;
use super::queue::Next;
use super::scheduler::{Job, Scheduler};
use super::sessions::Sessions;
use crate::error::Result;
use crate::session::stopped;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// A session that was not used for so long is looked at before another job gets it.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// A worker, which has one of the scheduler's places until it is dropped.
pub(super) struct Worker<S: Sessions> {
    scheduler: Arc<Scheduler<S>>,
    sessions: S,
    lane: Lane,
    waker: Arc<Notify>,
    /// Whether the place was given back.
    gone: bool,
}

/// A session, and when it was last used.
struct Open<S: Sessions> {
    session: Arc<S::Session>,
    used: Instant,
}

impl<S: Sessions> Worker<S> {
    pub(super) fn new(scheduler: Arc<Scheduler<S>>, sessions: S, lane: Lane, waker: Arc<Notify>) -> Self {
        Self {
            scheduler,
            sessions,
            lane,
            waker,
            gone: false,
        }
    }

    pub(super) async fn run(mut self) {
        match self.lane.clone() {
            Lane::Name(name) => self.look_up(name).await,
            Lane::Host(_) => self.serve().await,
        }
        self.leave();
    }

    fn leave(&mut self) {
        self.gone = true;
        let next = self.scheduler.leave(&self.lane);
        self.scheduler.carry_out(&self.sessions, next);
    }

    /// Finds the host of a name, and hands its jobs on.
    async fn look_up(&self, name: String) {
        while let Next::Prepare = self.scheduler.next(&self.lane, false) {
            match self.unless_deserted(self.sessions.find(name.clone())).await {
                None => {}
                Some(Ok((host_id, host))) => {
                    let lane = Lane::Host(host_id);
                    self.scheduler.found(&self.sessions, &self.lane, lane, host);
                }
                Some(Err(error)) => self.scheduler.refuse_lane(&self.lane, &error),
            }
        }
    }

    async fn serve(&self) {
        let mut open: Option<Open<S>> = None;
        loop {
            let ready = open
                .as_ref()
                .is_some_and(|open| open.used.elapsed() < TRUSTED_FOR);
            match self.scheduler.next(&self.lane, ready) {
                Next::Prepare => open = self.prepare(open).await,
                Next::Run(job) => match open.take() {
                    Some(ready) => open = self.run_job(job, ready).await,
                    None => job.refuse(stopped()),
                },
                Next::Wait => {
                    let waited = timeout(self.scheduler.idle(), self.waker.notified()).await;
                    if waited.is_err() && self.scheduler.may_leave(&self.lane) {
                        break;
                    }
                }
                Next::Leave => break,
            }
        }
        if let Some(open) = open {
            self.close(open).await;
        }
    }

    /// A session; when there is none, all jobs of the lane that wait have that for an answer.
    async fn prepare(&self, open: Option<Open<S>>) -> Option<Open<S>> {
        if let Some(open) = open
            && let Some(open) = self.look_at(open).await
        {
            return Some(open);
        }
        match self.unless_deserted(self.open()).await? {
            Ok(session) => Some(Open {
                session: Arc::new(session),
                used: Instant::now(),
            }),
            Err(error) => {
                self.scheduler.refuse_lane(&self.lane, &error);
                None
            }
        }
    }

    async fn open(&self) -> Result<S::Session> {
        let host = match (self.scheduler.host(&self.lane), &self.lane) {
            (Some(host), _) => host,
            (None, Lane::Host(host_id)) => self.find(host_id.to_string()).await?,
            (None, Lane::Name(name)) => self.find(name.clone()).await?,
        };
        let (scheduler, lane) = (Arc::clone(&self.scheduler), self.lane.clone());
        let short = move || scheduler.is_short(&lane);
        self.sessions.open(&host, short).await
    }

    async fn find(&self, name: String) -> Result<S::Host> {
        let (_, host) = self.sessions.find(name).await?;
        self.scheduler.set_host(&self.lane, host.clone());
        Ok(host)
    }

    /// What `future` gives, unless all jobs of the lane are taken back before.
    async fn unless_deserted<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let deserted = async {
            while !self.scheduler.is_empty(&self.lane) {
                self.waker.notified().await;
            }
        };
        tokio::select! {
            result = future => Some(result),
            () = deserted => None,
        }
    }

    /// Runs a job; what is left is a session that can be used on.
    async fn run_job(&self, job: Job<S>, open: Open<S>) -> Option<Open<S>> {
        let succeeded = job.run(Arc::clone(&open.session)).await;
        let open = Open {
            used: Instant::now(),
            ..open
        };
        match succeeded {
            true => Some(open),
            false => self.look_at(open).await,
        }
    }

    /// The session, if it can be used on.
    async fn look_at(&self, open: Open<S>) -> Option<Open<S>> {
        self.sessions.lives(&open.session).await.then(|| Open {
            used: Instant::now(),
            ..open
        })
    }

    async fn close(&self, open: Open<S>) {
        // A job that gave its session away keeps it for as long as it likes.
        if let Some(session) = Arc::into_inner(open.session) {
            self.sessions.close(session).await;
        }
    }
}

impl<S: Sessions> Drop for Worker<S> {
    fn drop(&mut self) {
        // When the runtime ends there is nobody to go on; after a panic there is.
        if !self.gone && std::thread::panicking() {
            self.leave();
        }
    }
}

//! Jobs: functions of a session that this program runs on many hosts, a bounded number at a time.
//!
//! A session is opened when a job's turn comes, and used for all jobs of its host that wait; then it is closed. What is
//! next is decided in `queue`, what is done about it in `scheduler` and `worker`.
//!
//! Deliberately not here: jobs that the server runs, which is `server_job`.

mod handle;
mod host;
mod job;
mod queue;
mod scheduler;
mod sessions;
mod work;
mod worker;

pub use handle::JobHandle;
pub use host::JobHost;
pub use job::{ByFunction, ByType, IntoJob, Job, JobFunction};

use crate::client::Client;
use futures_util::FutureExt;
use handle::Withdraw;
use scheduler::Scheduler as Queueing;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use work::Ticket;

/// The scheduler of a client.
pub(crate) type Scheduler = Queueing<Client>;

/// How much there may be of what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Hosts at a time.
    pub(crate) at_once: usize,
    /// Jobs that have not begun.
    pub(crate) waiting_max: usize,
    /// How long a session without a job stays open.
    pub(crate) idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: 10,
            waiting_max: 10_000,
            idle: Duration::from_secs(2),
        }
    }
}

/// A scheduler without jobs.
pub(crate) fn scheduler(limits: Limits) -> Arc<Scheduler> {
    Scheduler::new(limits)
}

/// Jobs that this program runs.
impl Client {
    /// Submits a job and returns at once, before any session is opened. What the job brings is what the handle
    /// brings when it is awaited.
    ///
    /// A job is an async function of a [`Session`](crate::Session), or a type that is a [`Job`]. It runs once. Jobs of one host run in the order
    /// in which they were submitted, one at a time, in one session that they share; jobs of up to ten hosts
    /// ([`Builder::jobs_at_once`](crate::Builder::jobs_at_once)) at the same time. When more hosts have jobs they take
    /// turns, of 16 jobs each. A session that has no job any more stays open for two seconds
    /// ([`Builder::jobs_session_idle`](crate::Builder::jobs_session_idle)), unless another host waits. So a program ends
    /// with [`Jobs::drain`], which closes it; one that merely ends leaves it to the server.
    ///
    /// A job that fails or panics takes nothing with it: its handle brings the error, and the next job runs. When
    /// no session can be opened, all jobs of that host that wait bring the reason; later ones try again. Jobs that name
    /// their host in different ways (by name, by id) are in order among those that name it alike.
    ///
    /// Beside those of the job itself, its error may be [`Error::Server`](crate::Error::Server) `job_cancelled`,
    /// `job_panicked`, `jobs_full` (10,000 wait already,
    /// [`Builder::jobs_waiting_max`](crate::Builder::jobs_waiting_max)), `jobs_shut_down`, `runtime_stopped`, and
    /// whatever [`Client::host`] and [`Host::session`](crate::Host::session) fail with.
    ///
    /// ```no_run
    /// # async fn example(client: tripline_client::Client) -> tripline_client::Result<()> {
    /// use tripline_client::{Error, Session};
    ///
    /// let count = client.submit_job(
    ///     async |session: &Session| {
    ///         let processes = session.list_processes().await?.processes;
    ///         Ok::<_, Error>(processes.len())
    ///     },
    ///     "web01",
    /// );
    /// println!("{} processes", count.await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn submit_job<By, J: IntoJob<By>>(
        &self,
        job: J,
        host: impl Into<JobHost>,
    ) -> JobHandle<J::Output, J::Error> {
        let (deliver, result) = oneshot::channel();
        let cancel = Arc::new(Notify::new());
        let ticket = Ticket {
            begin: Box::new(move |session| async move { job.begin(&session).await }.boxed()),
            deliver,
            cancel: Arc::clone(&cancel),
        };
        let host = host.into();
        let (lane, queue) = (host.lane(), Arc::clone(self.scheduler()));
        let id = queue.submit(self, lane, host.known(), Box::new(ticket));
        JobHandle {
            id,
            result,
            cancel,
            queue: Some(queue as Arc<dyn Withdraw>),
        }
    }

    /// All jobs that were submitted to this client and its clones.
    pub fn jobs(&self) -> Jobs {
        Jobs(self.clone())
    }
}

/// The jobs of a client. Made by [`Client::jobs`].
pub struct Jobs(Client);

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("waiting", &self.waiting()).finish()
    }
}

impl Jobs {
    /// Those that have not begun.
    pub fn waiting(&self) -> usize {
        self.0.scheduler().waiting()
    }

    /// Waits until all have ended, also those that are submitted meanwhile, and their sessions are closed. A program that
    /// detaches its jobs ends with this.
    ///
    /// ```no_run
    /// # use tripline_client::{Client, Error, Session};
    /// # async fn example(client: Client) -> tripline_client::Result<()> {
    /// for host in client.hosts().label("web").list().await? {
    ///     let job = async |session: &Session| session.create_process(["/usr/bin/true"]).await;
    ///     client.submit_job(job, host).detach();
    /// }
    /// client.jobs().drain().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn drain(&self) {
        self.0.scheduler().drained().await;
    }

    /// Ends it: jobs that have not begun bring `jobs_shut_down`, as do all that are submitted later; those that run
    /// are waited for, and their sessions closed.
    pub async fn shutdown(&self) {
        self.0.scheduler().close();
        self.drain().await;
    }
}

#[cfg(test)]
mod tests;

//! The caller's end of a job.

use crate::error::{Error, Result};
use crate::session::stopped;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::{Notify, oneshot};

/// Who can take a job back that has not begun.
pub(super) trait Withdraw: Send + Sync {
    /// Takes it back and tells it so; `false`: it has begun or ended.
    fn withdraw(&self, id: u64) -> bool;
}

/// A job that was submitted: await it for what it brings, or why it brings nothing.
///
/// Dropping the handle of a job that has not begun cancels it; one that has begun goes on to its end.
/// [`JobHandle::detach`] lets either go on.
#[must_use = "a job that has not begun is cancelled when its handle is dropped: await it, or detach it"]
pub struct JobHandle<T, E = Error> {
    pub(super) id: u64,
    pub(super) result: oneshot::Receiver<Result<T, E>>,
    pub(super) cancel: Arc<Notify>,
    /// `None` once there is nothing to take back any more.
    pub(super) queue: Option<Arc<dyn Withdraw>>,
}

impl<T, E> fmt::Debug for JobHandle<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<T, E> JobHandle<T, E> {
    /// Lets the job go on, whatever it brings.
    pub fn detach(mut self) {
        self.queue = None;
    }

    /// Ends the job: one that has not begun never does; one that runs ends where it waits, and a command that it
    /// waits for is cancelled on the host. The handle then brings the error `job_cancelled`, or what the job brought
    /// if it was faster.
    pub fn cancel(&self) {
        let taken_back = self.queue.as_ref().is_some_and(|queue| queue.withdraw(self.id));
        if !taken_back {
            self.cancel.notify_one();
        }
    }
}

impl<T, E: From<Error>> Future for JobHandle<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.result).poll(context));
        self.queue = None;
        // Nobody is left to bring it when the runtime has ended under the job.
        Poll::Ready(result.unwrap_or_else(|_| Err(stopped().into())))
    }
}

impl<T, E> Drop for JobHandle<T, E> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.withdraw(self.id);
        }
    }
}

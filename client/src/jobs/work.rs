//! A job in the queue, whatever it brings: it is run or refused, and in each case says so to its handle.

use crate::error::Error;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::any::Any;
use std::sync::Arc;
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinError, JoinHandle};

/// A job whose types are forgotten, in sessions `S`.
pub(super) trait Work<S>: Send {
    /// Runs it in a task of its own, so that a panic is an error of its own; `false`: it did not succeed.
    fn run(self: Box<Self>, session: Arc<S>) -> BoxFuture<'static, bool>;

    /// Tells why it is not run.
    fn refuse(self: Box<Self>, why: Error);
}

type Begin<S, T, E> = Box<dyn FnOnce(Arc<S>) -> BoxFuture<'static, Result<T, E>> + Send>;

/// A job with its types.
pub(super) struct Ticket<S, T, E> {
    pub(super) begin: Begin<S, T, E>,
    pub(super) deliver: oneshot::Sender<Result<T, E>>,
    /// Told when a running job is to end.
    pub(super) cancel: Arc<Notify>,
}

impl<S, T, E> Work<S> for Ticket<S, T, E>
where
    S: Send + Sync + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    fn run(self: Box<Self>, session: Arc<S>) -> BoxFuture<'static, bool> {
        async move {
            let Self {
                begin,
                deliver,
                cancel,
            } = *self;
            let mut task = Running(tokio::spawn(async move { begin(session).await }));
            let result = tokio::select! {
                joined = &mut task.0 => joined,
                () = cancel.notified() => {
                    task.0.abort();
                    (&mut task.0).await
                }
            };
            let result = result.unwrap_or_else(|error| Err(ended_otherwise(error).into()));
            let succeeded = result.is_ok();
            // Nobody may wait for it any more.
            drop(deliver.send(result));
            succeeded
        }
        .boxed()
    }

    fn refuse(self: Box<Self>, why: Error) {
        drop(self.deliver.send(Err(why.into())));
    }
}

/// A task that ends with whoever waits for it.
struct Running<T>(JoinHandle<T>);

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn cancelled() -> Error {
    Error::server("job_cancelled", "the job was cancelled")
        .advise("submit it again if it was not you who cancelled it")
}

fn ended_otherwise(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = format!("the job panicked: {}", words(&*panic));
            Error::server("job_panicked", text).advise("correct the job")
        }
        Err(_) => cancelled(),
    }
}

/// What a panic says, if it is text.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words")
}

//! Bounded doors into the actors.
//!
//! An actix mailbox is no bound: its capacity counts per sender only. A door is a semaphore in front of an
//! actor: who enters takes a permit, and the permit travels inside the message's [`Reply`] until the actor
//! has answered. Requests are told, not asked: when the caller goes away, what it asked for still happens.

use crate::refusal::Refusal;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tripline_protocol::Span;

/// A bound on the requests of one kind that may be under way.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    what: &'static str,
    permits: Arc<Semaphore>,
}

impl Door {
    pub(crate) fn new(what: &'static str, limit: usize) -> Self {
        Self {
            what,
            permits: Arc::new(Semaphore::new(limit)),
        }
    }

    /// Makes a reply slot if the bound is not reached.
    pub(crate) fn enter<T>(&self) -> Result<(Reply<T>, Answer<T>), Refusal> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            metrics::counter!("tripline_door_refused_total", "door" => self.what).increment(1);
            Refusal::Busy {
                what: self.what,
                retry_after: Span::from_millis(500),
            }
        })?;
        let (sender, receiver) = oneshot::channel();
        Ok((
            Reply {
                sender,
                _permit: permit,
            },
            Answer { receiver },
        ))
    }
}

/// The actor's side of a request: answers once, then the permit is free again.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    sender: oneshot::Sender<Result<T, Refusal>>,
    _permit: OwnedSemaphorePermit,
}

impl<T> Reply<T> {
    /// Answers. A caller that went away is no error: its request was carried out all the same.
    pub(crate) fn send(self, answer: Result<T, Refusal>) {
        drop(self.sender.send(answer));
    }
}

/// The caller's side of a request.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    receiver: oneshot::Receiver<Result<T, Refusal>>,
}

impl<T> Answer<T> {
    /// Waits for the answer. An actor that died, or a store that failed, drops the reply unanswered.
    pub(crate) async fn wait(self) -> Result<T, Refusal> {
        self.receiver.await.unwrap_or(Err(Refusal::Unavailable {
            detail: "its actors are restarting",
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counted::counted;

    #[tokio::test]
    async fn as_many_enter_a_door_as_it_takes_and_the_next_when_one_was_answered() {
        let door = Door::new("queries", 3);
        let metric = "tripline_door_refused_total queries";
        let (mut within, refused) = counted(metric, || {
            (0..3).map(|_| door.enter::<u32>().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(refused, 0);
        let (next, refused) = counted(metric, || door.enter::<u32>());
        assert_eq!((next.unwrap_err().code(), refused), ("busy", 1));
        let (reply, answer) = within.pop().unwrap();
        // A caller that goes away frees no place: what it asked for is still done.
        drop(answer);
        assert!(door.enter::<u32>().is_err());
        reply.send(Ok(7));
        assert!(door.enter::<u32>().is_ok());
    }
}

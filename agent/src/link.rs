//! The outgoing half of one connection: what waits to be written, in order.
//!
//! The queue itself never blocks, since verbs on blocking threads use it too. It is bounded by what may put
//! into it: commands are limited, chunks are limited by credit and by [`UNWRITTEN_CHUNKS_MAX`] per command, and the
//! reader of the connection waits in [`Link::room`] before it takes the next frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, mpsc};
use tripline_protocol::frame::AgentFrame;

/// Most entries in the queue before the reader waits.
const QUEUE_MAX: usize = 256;
/// Most chunks of one command that wait to be written.
pub const UNWRITTEN_CHUNKS_MAX: usize = 4;

/// Dropped once its chunk is written, or never will be.
pub type Written = Box<dyn Send + Sync>;

/// Something to write.
pub enum Outgoing {
    /// A control frame.
    Frame(AgentFrame),
    /// The text of a result frame.
    Result(Arc<str>),
    /// A binary frame.
    Chunk(Vec<u8>, Written),
}

/// The connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection to the server is gone")]
pub struct LinkGone;

struct Shared {
    queued: AtomicUsize,
    room: Notify,
}

/// Where everybody puts what is to be written.
pub struct Link {
    queue: mpsc::UnboundedSender<Outgoing>,
    shared: Arc<Shared>,
}

/// Where the writer of the connection takes it.
pub struct LinkEnd {
    queue: mpsc::UnboundedReceiver<Outgoing>,
    shared: Arc<Shared>,
}

impl Link {
    /// Both ends.
    pub fn new() -> (Self, LinkEnd) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            queued: AtomicUsize::new(0),
            room: Notify::new(),
        });
        (
            Self {
                queue: sender,
                shared: shared.clone(),
            },
            LinkEnd {
                queue: receiver,
                shared,
            },
        )
    }

    /// Queues something.
    pub fn send(&self, outgoing: Outgoing) -> Result<(), LinkGone> {
        self.shared.queued.fetch_add(1, Ordering::AcqRel);
        self.queue.send(outgoing).map_err(|_| LinkGone)
    }

    /// Queues a control frame; if the connection is gone it was for nobody.
    pub fn frame(&self, frame: AgentFrame) {
        if self.send(Outgoing::Frame(frame)).is_err() {
            tracing::trace!("a frame for a connection that is gone");
        }
    }

    /// Waits until less than [`QUEUE_MAX`] entries wait, or the connection is gone.
    pub async fn room(&self) {
        while self.shared.queued.load(Ordering::Acquire) >= QUEUE_MAX && !self.queue.is_closed() {
            self.shared.room.notified().await;
        }
    }

    /// Returns once the connection is gone.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }
}

impl LinkEnd {
    /// The next entry; `None` when every [`Link`] is gone.
    pub async fn next(&mut self) -> Option<Outgoing> {
        let outgoing = self.queue.recv().await;
        self.took(outgoing.is_some());
        outgoing
    }

    /// The next entry if one waits.
    pub fn try_next(&mut self) -> Option<Outgoing> {
        let outgoing = self.queue.try_recv().ok();
        self.took(outgoing.is_some());
        outgoing
    }

    fn took(&self, one: bool) {
        if one && self.shared.queued.fetch_sub(1, Ordering::AcqRel) == QUEUE_MAX {
            self.shared.room.notify_one();
        }
    }
}

impl Drop for LinkEnd {
    fn drop(&mut self) {
        self.queue.close();
        self.shared.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_reader_waits_while_the_queue_is_full() {
        let (link, mut end) = Link::new();
        for _ in 0..QUEUE_MAX {
            link.frame(AgentFrame::Pong);
        }
        let mut room = std::pin::pin!(link.room());
        assert!(futures_util::poll!(room.as_mut()).is_pending());
        assert!(end.try_next().is_some());
        room.await;
    }

    #[tokio::test]
    async fn a_gone_connection_keeps_nobody_waiting() {
        let (link, end) = Link::new();
        for _ in 0..QUEUE_MAX {
            link.frame(AgentFrame::Pong);
        }
        drop(end);
        link.room().await;
        link.closed().await;
        assert_eq!(link.send(Outgoing::Frame(AgentFrame::Ping)), Err(LinkGone));
    }
}

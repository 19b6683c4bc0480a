//! The feed: takes those in who follow the events, each with a task of its own (`follower.rs`).
//!
//! Deliberately not here: how many may follow, which is for the edge to say that lets them in.

use super::follower::Follower;
pub use super::follower::INACTIVE_MAX;
use super::link::Link;
use crate::feed::{Feed, Follow, Piece};
use async_nats::jetstream::context::Context;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tripline_protocol::Subjects;

/// Most requests to follow that wait to be looked at.
const QUEUE_MAX: usize = 64;
/// Pieces that wait for their reader. With more, slow readers would fill the memory: an event may have 768 KiB.
const PIECES_MAX: usize = 1;

/// Feeds from the stream of events. Made before there is a connection; until [`super::NatsEdge::start`] has one,
/// nothing comes.
#[derive(Debug)]
pub struct NatsFeed {
    queue: mpsc::Sender<Request>,
    receiver: Mutex<Option<mpsc::Receiver<Request>>>,
}

/// Somebody wants to follow.
#[derive(Debug)]
struct Request {
    follow: Follow,
    pieces: mpsc::Sender<Piece>,
}

impl NatsFeed {
    /// Not connected.
    pub fn new() -> Arc<Self> {
        let (queue, receiver) = mpsc::channel(QUEUE_MAX);
        Arc::new(Self {
            queue,
            receiver: Mutex::new(Some(receiver)),
        })
    }

    /// The other end of the queue; `None` when it was taken before.
    pub(crate) fn take_followers(&self) -> Option<Followers> {
        self.receiver.lock().take().map(Followers)
    }
}

impl Feed for NatsFeed {
    fn follow(&self, follow: Follow) -> mpsc::Receiver<Piece> {
        let (pieces, receiver) = mpsc::channel(PIECES_MAX);
        if self.queue.try_send(Request { follow, pieces }).is_err() {
            tracing::warn!("nobody can follow the events now");
        }
        receiver
    }
}

/// The other end of a feed's queue.
pub(crate) struct Followers(mpsc::Receiver<Request>);

/// What followers read from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) link: Link,
    pub(crate) context: Context,
    pub(crate) subjects: Subjects,
}

/// Serves all who come, until the feed is dropped. To be aborted for an end before that.
pub(crate) async fn serve(source: Source, Followers(mut queue): Followers) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            request = queue.recv() => match request {
                Some(Request { follow, pieces }) => {
                    tasks.spawn_local(Follower::new(source.clone(), &follow, pieces).run());
                }
                None => break,
            },
            Some(ended) = tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task of one who follows the events died");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_wait_to_follow_and_the_next_hears_nothing() {
        let feed = NatsFeed::new();
        let follow = || Follow {
            org: None,
            etypes: vec![],
            after: None,
        };
        let mut waiting: Vec<_> = (0..QUEUE_MAX).map(|_| feed.follow(follow())).collect();
        let next = feed.follow(follow()).recv().await;
        assert!(next.is_none(), "its end is there at once");
        let first = waiting.swap_remove(0);
        assert!(!first.is_closed() && waiting.len() == 63);
    }
}

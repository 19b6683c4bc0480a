//! Where the messages of the watcher go, whatever is between it and its server.

use crate::watcher::Failure;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tripline_protocol::littlebrother::{ClientMessage, WireEvent};

/// Whether there is somebody to report to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The server does not want processes watched.
    Unwanted,
    /// It does, and there is no connection to it.
    Away,
    /// It does. Another number is another connection.
    Up(u64),
}

/// A message that was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undelivered {
    /// What the watcher makes of it.
    pub(crate) failure: Failure,
    /// For people.
    pub(crate) why: String,
}

impl Undelivered {
    pub(crate) fn unreachable(why: impl Into<String>) -> Self {
        Self {
            failure: Failure::Unreachable,
            why: why.into(),
        }
    }
}

/// What comes of a message: the events that waited for this host, in order.
pub(crate) type Delivery = BoxFuture<'static, Result<Vec<WireEvent>, Undelivered>>;

/// A way to a server. One message is under way at a time.
pub(crate) trait Line: Send + Sync {
    /// Sends a message and waits for its answer, for a limited time.
    fn deliver(&self, message: ClientMessage) -> Delivery;

    /// Whether there is somebody to report to, now and from now on.
    fn status(&self) -> watch::Receiver<Status>;
}

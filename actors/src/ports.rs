//! What the actors need from outside, as traits: a publisher for the outbox.

use std::future::Future;
use std::pin::Pin;

/// A boxed future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A message on its way to NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutMessage {
    /// Full subject.
    pub subject: String,
    /// `Nats-Msg-Id`; the same on every attempt.
    pub message_id: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub payload: Vec<u8>,
}

/// Why a publish did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The broker is away, slow or restarting: the same message is tried again.
    #[error("the broker did not take it yet: {0}")]
    Transient(String),
    /// The broker will never take this message: it is quarantined.
    #[error("the broker refuses it: {0}")]
    Permanent(String),
}

/// Publishes to JetStream and to core NATS.
pub trait Publisher: Send + Sync + 'static {
    /// Publishes to a stream. The message is handed over in the call itself (calls keep their order on the
    /// wire); the future resolves when the broker has acknowledged that it is stored, with its sequence there, or failed.
    fn publish(&self, message: OutMessage) -> BoxFuture<Result<u64, PublishError>>;

    /// Publishes for whoever listens now; dropped when the broker is away.
    fn notify(&self, subject: String, payload: Vec<u8>);

    /// Whether the broker can be reached now.
    fn is_reachable(&self) -> bool;
}

//! What the actors need from outside, as traits: a publisher for the outbox, and who calls services.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tripline_protocol::api::ServiceSpec;
use tripline_protocol::limacharlie::{Answer, Call, InvalidAnswer, Jwt};
use tripline_protocol::{Name, Org, Timestamp};

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
    /// What it was to follow in its run is not the last of the stream: it is tried again as soon as that has settled.
    #[error("what it follows is not the last of its stream")]
    OutOfTurn,
    /// The broker will never take this message: it is quarantined.
    #[error("the broker refuses it: {0}")]
    Permanent(String),
}

/// Publishes to JetStream and to core NATS.
pub trait Publisher: Send + Sync + 'static {
    /// Publishes messages of one subject to its stream, in order: each is stored only directly behind the one before it, so
    /// that none overtakes one that failed. They are handed over in the call itself (calls keep their order on the wire);
    /// the future resolves when the broker has answered to all: a result for each message, in the same order, with its
    /// sequence in the stream where it is stored.
    fn publish_run(&self, run: Vec<OutMessage>) -> BoxFuture<Vec<Result<u64, PublishError>>>;

    /// Publishes one message, as a run of its own.
    fn publish(&self, message: OutMessage) -> BoxFuture<Result<u64, PublishError>> {
        let run = self.publish_run(vec![message]);
        Box::pin(async move { run.await.pop().unwrap_or(Err(PublishError::OutOfTurn)) })
    }

    /// Publishes for whoever listens now; dropped when the broker is away.
    fn notify(&self, subject: String, payload: Vec<u8>);

    /// Removes from streams whatever has these subjects: names of streams, each with a filter. Asking again is harmless.
    fn purge(&self, filters: Vec<(String, String)>) -> BoxFuture<Result<(), PublishError>>;

    /// Whether the broker can be reached now.
    fn is_reachable(&self) -> bool;
}

/// The secret that a service shares with Tripline. Shown nowhere: its `Debug` form is masked.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceSecret(Arc<str>);

impl ServiceSecret {
    /// Of this text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text, to sign with, and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ServiceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceSecret(…)")
    }
}

/// A call to a service, of one attempt.
#[derive(Debug, Clone)]
pub struct ServiceCall {
    /// Whom to call, and how long at most.
    pub service: Arc<ServiceSpec>,
    /// What to sign it with.
    pub secret: ServiceSecret,
    /// What to say. Who calls sets the deadline and, where the call is about an org, the token.
    pub call: Call,
}

/// Why a service gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// It was not reached, did not answer in time, or cut the connection: delivered again.
    #[error("{0}")]
    Transport(String),
    /// An HTTP status other than 200.
    #[error("it answered with HTTP status {0}")]
    Status(u16),
    /// A body that is no answer.
    #[error(transparent)]
    NoAnswer(#[from] InvalidAnswer),
    /// More than is read of an answer, in bytes.
    #[error("its answer is longer than {0} bytes")]
    TooLong(u64),
    /// Its address is private, and that is not allowed.
    #[error("{0}")]
    Forbidden(String),
}

/// Calls services over HTTP.
pub trait ServiceCaller: Send + Sync + 'static {
    /// Makes one call, signed with the service's secret, and bounded by `service.deadline` and in what is read. The
    /// work is done elsewhere: the future is waited for on the thread of the actors and only hands the answer over.
    fn call(&self, call: ServiceCall) -> BoxFuture<Result<Answer, CallFailure>>;
}

/// Makes the tokens that services get with calls about an org.
pub trait ServiceTokens: Send + Sync + 'static {
    /// A token of `service` for `org`, good for at least 30 minutes from `now`. `depth` is how many services and pipelines
    /// led to the call: what the service does with this token is one deeper ([`crate::Core::deep`]). Its claim `oid` is
    /// [`tripline_protocol::limacharlie::oid`] of the org. With the org comes when its subscription began.
    fn token(&self, service: &Name, org: (&Org, Timestamp), depth: u8, now: Timestamp) -> Jwt;
}

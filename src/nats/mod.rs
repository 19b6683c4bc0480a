//! The NATS edge: takes events from JetStream, publishes results, answers the micro service, feeds who follows
//! the events, and runs the embedded broker.
//!
//! Everything runs on one thread of its own, so that the actors' threads are not held up by protocol work. The
//! broker may be away at any time, at the start too: the edge then waits, says so in [`NatsStatus`], and
//! catches up.
//!
//! Deliberately not here: what an event means, retries of results, anything durable.

pub mod api;
pub mod asked;
pub mod audit;
pub mod connection;
pub mod consumer;
pub mod dead;
#[cfg(test)]
mod deaf;
mod edge;
pub mod embedded;
pub mod fanouts;
pub mod feed;
mod follower;
mod held;
pub mod intake;
mod link;
mod missed;
pub mod once;
mod place;
pub mod publisher;
mod pull;
pub mod service;
mod status;
pub mod streams;

pub use connection::ConnectionInfo;
pub use dead::NatsDead;
pub use edge::NatsEdge;
pub use embedded::EmbeddedBroker;
pub use feed::NatsFeed;
pub use intake::Intake;
pub use publisher::NatsPublisher;
pub use service::Api;
pub use status::{NatsStatus, Phase};

use std::path::PathBuf;
use tripline_protocol::Subjects;

/// How to reach the broker.
#[derive(Clone)]
pub struct NatsOptions {
    /// `nats.url`: one or more, separated by commas.
    pub url: String,
    /// `nats.user`
    pub user: Option<String>,
    /// `nats.password`
    pub password: Option<String>,
    /// `nats.credentials`: a file with a user's JWT and key.
    pub credentials: Option<PathBuf>,
    /// `nats.ca`: a file with the certificate that signed the broker's; requires TLS.
    pub ca: Option<PathBuf>,
    /// Subjects under `nats.subject_prefix`.
    pub subjects: Subjects,
    /// Most bytes the streams may take together, when this edge makes them.
    pub stream_bytes_max: u64,
}

impl NatsOptions {
    /// For the embedded broker, as the server's own user.
    pub fn embedded(info: &ConnectionInfo, subjects: Subjects) -> Self {
        Self {
            url: info.url.clone(),
            user: Some(info.server.user.clone()),
            password: Some(info.server.password.clone()),
            credentials: None,
            ca: None,
            subjects,
            stream_bytes_max: info.stream_bytes_max,
        }
    }
}

impl std::fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("NatsOptions")
            .field("user", &self.user)
            .field("credentials", &self.credentials)
            .field("ca", &self.ca)
            .field("subjects", &self.subjects)
            .finish_non_exhaustive()
    }
}

/// Why the edge cannot start. A broker that is away is not among the reasons.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options can never work: a URL that is none, a certificate file that is not there.
    #[error("connect to the broker with these options")]
    Connect(#[source] async_nats::ConnectError),
    /// Only one of user and password is given.
    #[error("use nats.user without nats.password, or the other way round: give both or none")]
    HalfALogin,
    /// The credentials file is not usable.
    #[error("read the credentials file {path}")]
    Credentials {
        /// `nats.credentials`
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// The publisher serves another edge.
    #[error("serve a publisher that already has a connection")]
    PublisherTaken,
    /// The reader of dead letters serves another edge.
    #[error("serve a reader of dead letters that already has a connection")]
    DeadTaken,
    /// The feed serves another edge.
    #[error("serve a feed that already has a connection")]
    FeedTaken,
    /// No thread.
    #[error("start a thread for the broker's connection")]
    Thread(#[source] std::io::Error),
}

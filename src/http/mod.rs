//! The HTTP edge: `/v1`, the Carbon Black dialect, the agent channel, health and metrics, over plain HTTP and TLS.
//!
//! Handlers are thin: extract, ask the actors once, map the answer. Deliberately not here: decisions,
//! state and the store, which are the actors'; configuration, which builds [`HttpOptions`]; and NATS, of
//! which only [`BrokerStatus`] is known.

mod agent_channel;
mod alive;
mod archive;
mod artifacts;
mod audit;
mod auth;
mod body;
mod bounds;
mod broker_status;
mod carbonblack;
mod content;
mod control;
mod cut;
mod dead;
mod delivery;
mod detections;
mod enrol;
mod event_stream;
mod events;
mod explain;
mod fanouts;
mod fleet;
mod health;
mod held;
mod hosts;
mod idempotency;
mod jobs;
mod limacharlie;
mod littlebrother;
mod littlebrother_view;
pub mod metrics;
mod moment;
mod observe;
mod openapi;
mod outbox;
mod overview;
mod pipelines;
mod place;
mod problem;
mod range;
mod routes;
mod server;
mod service_requests;
mod services;
mod sessions;
mod sse;
mod store;
mod strangers;
mod streams;
#[cfg(test)]
mod tests;
pub mod tls;
mod tokens;
mod upload;

pub use crate::limits::{LimitOptions, Limits};
pub use bounds::Bounds;
pub use broker_status::BrokerStatus;
pub use openapi::document;
pub use server::{Error, HttpOptions, RunningHttp, start};
pub use sse::Places;
pub use tls::TlsOptions;

use crate::dead::DeadLetters;
use crate::feed::Feed;
use crate::limacharlie::Role;
use crate::littlebrother::Dialect;
use crate::serve::Exports;
use std::sync::Arc;
use tripline_actors::Core;
use tripline_actors::access::Access;
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::clock::Clock;
use tripline_actors::export::Exporter;
use tripline_protocol::Subjects;
use tripline_service::Runtime;

/// What the handlers ask.
#[derive(Clone)]
pub struct HttpState {
    /// The actors.
    pub core: Core,
    /// Tokens and their roles.
    pub access: Arc<Access>,
    /// Contents of files.
    pub artifacts: Arc<ArtifactStore>,
    /// Whether the broker is there.
    pub broker: Arc<dyn BrokerStatus>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The LittleBrother dialect.
    pub littlebrother: Arc<Dialect>,
    /// The service that LimaCharlie calls, if it is served.
    pub limacharlie: Option<Arc<Runtime<Role>>>,
    /// The events, for who follows them.
    pub feed: Arc<dyn Feed>,
    /// Dead letters.
    pub dead: Arc<dyn DeadLetters>,
    /// How subjects are read.
    pub subjects: Subjects,
    /// How many follow them.
    pub places: Places,
    /// Makes exports of the store.
    pub exporter: Exporter,
    /// Those that are made by themselves.
    pub exports: Exports,
    /// How often a token may ask, and an address may come with a wrong one.
    pub limits: Limits,
}

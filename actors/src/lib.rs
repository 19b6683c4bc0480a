//! Tripline's actors, their state machines, and the store.
//!
//! Deliberately not here: HTTP, NATS, the agent channel's sockets, configuration files. Edges talk to the
//! actors through [`Core`]; the actors talk to the outside through [`ports`].

pub mod access;
pub mod artifact;
pub mod audit;
pub mod changes;
pub mod check;
mod clients;
pub mod clock;
mod core;
#[cfg(test)]
mod counted;
mod directory;
mod door;
pub mod export;
mod fanout;
mod ground;
mod guardian;
mod host;
mod ingest;
mod labels;
pub mod limacharlie;
mod link;
pub mod littlebrother;
mod once;
mod outbox;
pub mod pipeline;
pub mod ports;
mod published;
mod record;
pub mod recover;
pub mod refusal;
mod replay;
mod retry;
mod router;
mod scheduler;
mod seldom;
mod service;
mod session;
mod slot;
pub mod store;
mod tally;
mod timekeeper;
pub mod trace;
pub mod trial;

// What the tests of the core stand on, for tests that need what is private to a module.
#[cfg(test)]
extern crate self as tripline_actors;
#[cfg(test)]
#[expect(dead_code, reason = "the tests of the core use all of it")]
#[path = "../tests/core/fixture.rs"]
mod fixture;
#[cfg(test)]
#[expect(dead_code, reason = "the tests of the core use all of it")]
#[path = "../tests/core/recorder.rs"]
mod recorder;

pub use crate::core::{
    AgentLink, AttachAgent, Attached, Core, CoreConfig, Delivery, FanoutFilter, FanoutHostFilter,
    FetchedFrom, FilePages, HostFilter, IngestPosition, JobFilter, KeyFilter, LinkMessage, OwnSession,
    Presented, RESOURCE_BYTES_MAX, Readiness, ServiceJobFilter, SessionFilter,
};
pub use fanout::FanoutPlan;
pub use labels::LabelChange;
pub use once::{ONCE_MAX, ONCE_PER_TOKEN_MAX, ONCE_RETAIN, Once};
pub use refusal::Refusal;
pub use replay::Letter;
pub use router::{FoundEvent, Located, LookedUp, WITHHELD_REASONS};
pub use seldom::Seldom;
pub use service::{Registration, ServiceRequestFilter};

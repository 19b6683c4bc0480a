//! Tripline's actors, their state machines, and the store.
//!
//! Deliberately not here: HTTP, NATS, the agent channel's sockets, configuration files. Edges talk to the
//! actors through [`Core`]; the actors talk to the outside through [`ports`].

pub mod access;
pub mod artifact;
pub mod clock;
mod core;
pub mod pipeline;
pub mod ports;
pub mod refusal;
pub mod store;

pub use crate::core::{
    AgentLink, AttachAgent, Attached, Core, CoreConfig, Delivery, IngestPosition, JobFilter, LinkMessage,
    Readiness,
};
pub use refusal::Refusal;

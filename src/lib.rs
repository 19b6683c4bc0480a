//! Tripline's edges: the HTTP dialects, the agent channel and NATS, with the configuration, the command
//! line and the composition of the server.
//!
//! Deliberately not here: decisions. Edges translate and ask `tripline_actors`.

pub mod config;
pub mod endpoints;
pub mod logging;
pub mod rules;

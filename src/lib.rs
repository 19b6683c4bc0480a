//! Tripline's edges: the HTTP dialects, the agent channel and NATS, with the configuration, the command
//! line and the composition of the server.
//!
//! Deliberately not here: decisions. Edges translate and ask `tripline_actors`.

pub mod audit;
pub mod cli;
pub mod config;
#[cfg(test)]
mod counts;
pub mod dead;
mod demo;
mod detections;
pub mod endpoints;
pub mod feed;
pub mod function;
pub mod http;
pub mod limacharlie;
mod limits;
pub mod littlebrother;
pub mod logging;
pub mod metric;
pub mod nats;
mod private;
pub mod rules;
pub mod serve;
pub mod services;
#[cfg(test)]
mod stub;
pub mod traces;
mod watch;

//! LimaCharlie services in Rust: implement [`Service`], give it to a [`Runtime`], and let any transport hand it
//! headers and body.
//!
//! [`server`] (feature `server`) is one that serves HTTP. Deliberately not here: durability, and which message was seen before; a service that must not do
//! something twice looks at [`Call::mid`](tripline_protocol::limacharlie::Call).

mod runtime;
#[cfg(feature = "server")]
pub mod server;
mod service;
mod signature;

pub use runtime::{InProgress, Response, Runtime};
pub use service::{Handling, On, Service, on};
pub use signature::{sign, verify};
pub use tripline_protocol::limacharlie as protocol;

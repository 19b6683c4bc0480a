//! LimaCharlie services in Rust: implement [`Service`], give it to a [`Runtime`], and let any transport hand it
//! headers and body.
//!
//! Deliberately not here: a transport of any kind, durability, and which message was seen before; a service that must not do
//! something twice looks at [`Call::mid`](tripline_protocol::limacharlie::Call).

mod runtime;
mod service;
mod signature;

pub use runtime::{Response, Runtime};
pub use service::{Handling, On, Service, on};
pub use signature::{sign, verify};
pub use tripline_protocol::limacharlie as protocol;

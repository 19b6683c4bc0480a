//! LimaCharlie services that Tripline calls: over HTTP, where they may be, what they may do with their tokens, and those of
//! the configuration.
//!
//! Deliberately not here: which events they get, when a message is delivered again, and what becomes of an answer
//! (`tripline_actors`).

mod address;
mod caller;
mod jwt;
mod resolver;
mod settings;

pub use caller::{ANSWER_BYTES_MAX, HttpCaller};
pub use jwt::{KeyError, Rights, ServiceBearers, Tokens};
pub use settings::{Configured, Error, configured};

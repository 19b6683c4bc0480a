//! The LittleBrother protocol: what was captured from the running programs, and what nobody thought of.

mod captures;
mod hostile;
mod messages;
mod oracle;
mod patterns;
mod times;
mod users;

pub(crate) use hostile::client_message;
use tripline_protocol::littlebrother::LocalTime;

/// Of events that name no time.
fn now() -> LocalTime {
    crate::samples::p("2026-11-20 21:00:00")
}

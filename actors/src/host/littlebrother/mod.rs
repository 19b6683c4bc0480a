//! A LittleBrother client as the server sees it: its processes, what waits for it, what it is to end.
//!
//! One state machine for real clients (over HTTP) and for an agent's own watcher (over its channel). Pure: it
//! takes `now`, and says what is to be published, stored and answered. Nothing here is acknowledged by a client:
//! configuration goes into two successive answers, a `KILL_PROCESS` repeats until its process ended, and an
//! answer that was not written gives back what was in it.
//!
//! Deliberately not here: the store and its batches, secrets, which host a client is, deadlines of commands.

mod answer;
mod changes;
mod clock;
mod incoming;
mod kills;
mod live_response;
mod owed;
mod process;
mod recent;
mod saved;
mod sound;
mod state;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use changes::{Changes, Context, KillStatus, Outcome, Reported, Row, Ticket};
#[cfg(test)]
pub(crate) use changes::{Oddity, Tick};
pub(crate) use process::{Key, Process};
pub(crate) use saved::Saved;
pub(crate) use state::State;

/// Most open processes tabled for one client.
pub(crate) const OPEN_MAX: usize = 10_000;
/// Most ended processes kept for one client.
pub(crate) const ENDED_MAX: usize = 1_000;
/// How long an ended process is kept.
pub(crate) const ENDED_KEPT: tripline_protocol::Span = tripline_protocol::Span::from_secs(7 * 24 * 3600);
/// Most events that wait for one client, apart from what follows from its table.
pub(crate) const OUTGOING_MAX: usize = 4_000;
/// Most commands that wait for the end of a process of one client.
pub(crate) const KILLS_MAX: usize = 64;

//! The pure state machine of a LittleBrother client: which processes count, what is reported of them, and which
//! of them are ended.
//!
//! Its driver scans processes, sends messages and ends processes, in a loop like this:
//!
//! - at start: [`Watcher::new`] with what was saved, then a first [`Watcher::scan`], then a first message;
//! - every scan interval (10 s): [`Watcher::scan`];
//! - every message interval (5 s), also when nothing waits: [`Watcher::next_message`], and then exactly one of
//!   [`Watcher::answered`] and [`Watcher::failed`];
//! - at [`Watcher::next_due`], or every second: [`Watcher::tick`];
//! - whenever the loop wakes later than it wanted: [`Watcher::overslept`], before anything else;
//! - when a process was ended or not: [`Watcher::kill_ended`];
//! - at a clean stop: [`Watcher::stop`], then messages while [`Watcher::has_waiting`].
//!
//! Each input returns effects to carry out in order. Delays are kept here: an [`Effect::Kill`] is due at once.
//!
//! Deliberately not here: I/O, clocks, async, `/proc`, signals, HTTP, frames and the statistics of a message.

mod effect;
mod input;
mod notice;
mod saved;

pub use effect::{Effect, Kill, Why};
pub use input::{Failure, KillOutcome, Moment, Options, ProcessKey, Seen};
pub use notice::{Level, Notice};
pub use saved::Saved;

use std::time::Duration;
use tripline_protocol::littlebrother::{ClientMessage, ClientStats, WireEvent};

/// A LittleBrother client without hands and clock.
#[derive(Debug)]
pub struct Watcher {
    options: Options,
}

impl Watcher {
    /// A client that starts now with what it was told in an earlier run, if it was. Its first message begins with
    /// `START_CLIENT`.
    pub fn new(options: Options, saved: Option<Saved>, moment: Moment) -> Self {
        let _ = (saved, moment);
        Self { options }
    }

    /// All processes that live now, of all users. Processes that began or ended to count are reported, and what
    /// must not run.
    pub fn scan(&mut self, seen: &[Seen], moment: Moment) -> Vec<Effect> {
        let _ = (seen, moment);
        Vec::new()
    }

    /// The loop woke so much later than it wanted: the machine was suspended or the agent stopped. Up to 5 s is
    /// nothing; more is downtime of all open processes, and does not count as silence.
    pub fn overslept(&mut self, by: Duration, moment: Moment) -> Vec<Effect> {
        let _ = (by, moment);
        Vec::new()
    }

    /// Time went on.
    pub fn tick(&mut self, moment: Moment) -> Vec<Effect> {
        let _ = moment;
        Vec::new()
    }

    /// When [`Self::tick`] has something to do, if nothing else happens before.
    pub fn next_due(&self) -> Option<Duration> {
        None
    }

    /// The message to send now; its events are under way until [`Self::answered`] or [`Self::failed`]. A message
    /// taken while one is under way makes that one a failed one.
    pub fn next_message(&mut self, stats: Option<ClientStats>, moment: Moment) -> ClientMessage {
        let _ = moment;
        ClientMessage {
            hostname: self.options.hostname.clone(),
            events: Vec::new(),
            client_stats: stats,
        }
    }

    /// The message was delivered, and this came back.
    pub fn answered(&mut self, events: &[WireEvent], moment: Moment) -> Vec<Effect> {
        let _ = (events, moment);
        Vec::new()
    }

    /// The message was not delivered, or could not even be sent. Its events go again with the next one.
    pub fn failed(&mut self, failure: Failure, moment: Moment) -> Vec<Effect> {
        let _ = (failure, moment);
        Vec::new()
    }

    /// An [`Effect::Kill`] came to an end.
    pub fn kill_ended(&mut self, process: ProcessKey, outcome: KillOutcome, moment: Moment) -> Vec<Effect> {
        let _ = (process, outcome, moment);
        Vec::new()
    }

    /// The server does not want processes watched any more (another `welcome`): forgets users, mappings and open
    /// processes. Should it want them again, the first message begins with `START_CLIENT`.
    pub fn dismissed(&mut self, moment: Moment) -> Vec<Effect> {
        let _ = moment;
        Vec::new()
    }

    /// A clean stop: every open process is reported as ended, though it lives on, and nothing is ended any more.
    pub fn stop(&mut self, moment: Moment) {
        let _ = moment;
    }

    /// Whether events wait to be sent.
    pub fn has_waiting(&self) -> bool {
        false
    }
}

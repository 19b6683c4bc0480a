//! What a watcher wants done.

use super::{Notice, ProcessKey, Saved};
use std::time::Duration;

/// One thing to do, in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// End a process now, and tell [`super::Watcher::kill_ended`] how it went.
    Kill(Kill),
    /// Keep this for the next start: it changed.
    Save(Saved),
    /// Write a log line.
    Log(Notice),
}

/// A process to end: without delay (the watcher has waited), first politely.
///
/// Whoever does it holds on to the process (a pidfd), checks that start and uid are still these, sends a hang-up,
/// waits up to `kill_delay` for its end, and then kills it. At most one is under way for a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Which.
    pub process: ProcessKey,
    /// Its start as the scanner gave it.
    pub start_exact: u64,
    /// Effective user id it must still have.
    pub uid: u32,
    /// Login of that uid.
    pub username: String,
    /// How long it has between hang-up and kill.
    pub kill_delay: Duration,
    /// Who wants it.
    pub why: Why,
}

/// Who wants a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The server (`KILL_PROCESS`).
    Ordered,
    /// There was no server for too long.
    Silence,
}

//! What a watcher is told: its options, the time, what a scan found, and how messages and kills ended.

use std::time::Duration;
use tripline_protocol::littlebrother::{DEFAULT_GROUP, LocalTime};

/// What does not come from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The name of this client, in every event.
    pub hostname: String,
    /// The group of login mappings that is this host's; others are not looked at.
    pub server_group: String,
    /// Match login patterns against the whole command line instead of the name.
    pub scan_command_line: bool,
    /// How long a process has between hang-up and kill.
    pub kill_delay: Duration,
    /// Silence after which the log warns.
    pub silence_warned: Duration,
    /// Longest silence until a server has said another one.
    pub silence_max: Duration,
    /// The agent's own process, which is never watched nor ended.
    pub own_pid: Option<u32>,
}

impl Options {
    /// The defaults of the real client, for a client of this name.
    pub fn new(hostname: impl Into<String>) -> Self {
        Self {
            hostname: hostname.into(),
            server_group: DEFAULT_GROUP.to_owned(),
            scan_command_line: false,
            kill_delay: Duration::from_secs(5),
            silence_warned: Duration::from_secs(15),
            silence_max: Duration::from_secs(50),
            own_pid: None,
        }
    }
}

/// Now, by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since any fixed point, by a clock that nobody sets and that **goes on while the machine is suspended**
    /// (`CLOCK_BOOTTIME`); never goes back.
    pub up: Duration,
    /// The local time that events carry.
    pub local: LocalTime,
}

/// Which process: a recycled pid has another start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Process id.
    pub pid: u32,
    /// Its start, cut to the second.
    pub start: LocalTime,
}

/// A process that a scan found. Zombies are left out: they have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Process id.
    pub pid: u32,
    /// Its start, cut to the second. Must be the same text at every scan of one process, also after the clock
    /// was set, and after a restart of the agent: another second is another process for the server.
    pub start: LocalTime,
    /// Its start exactly, in whatever unit the scanner has it; only handed on to [`super::Kill`].
    pub start_exact: u64,
    /// Effective user id.
    pub uid: u32,
    /// Name (`comm` on Linux, 15 bytes, or all of it where the first argument completes it).
    pub name: String,
    /// Arguments joined by spaces; empty where there are none, or nobody needs them.
    pub command_line: String,
}

impl Seen {
    /// Its identity.
    pub fn key(&self) -> ProcessKey {
        ProcessKey {
            pid: self.pid,
            start: self.start,
        }
    }
}

/// Why a message was not delivered, or nobody knows whether it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection, no answer in time, or an answer that blames the server (any status but the others here; a
    /// redirect; a body cut short). Also to be told when a message was due and there was no connection.
    Unreachable,
    /// 401 or 403. Not a contact: whoever can answer in the server's place could say so.
    WrongSecret,
    /// The message itself was refused (400, 413, 415): it would be refused again as it is.
    Refused,
}

/// How a kill ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KillOutcome {
    /// The process ended after a signal.
    Ended,
    /// No signal was sent: there is no such process, a zombie, or one with another start.
    Gone,
    /// It lives on, and why: no permission, another uid by now.
    Failed(String),
}

//! What a watcher has to say in the log.

use super::{Failure, ProcessKey, Why};
use std::fmt;
use std::time::Duration;
use tripline_protocol::littlebrother::EventType;

/// Most notices one input causes; the rest is counted.
const NOTICES_MAX: usize = 20;

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something happened as it should.
    Info,
    /// Somebody should know.
    Warn,
}

/// A log line; its text is a lowercase fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The server said which users are watched.
    Configured {
        /// Users, active or not.
        users: usize,
        /// Longest silence now in force.
        silence_max: Duration,
    },
    /// The server said which uid is which login.
    Mapped {
        /// Uids known for this group.
        uids: usize,
    },
    /// Part of what the server sent could not be used; the rest was.
    Unusable {
        /// Of which event.
        event: EventType,
        /// What, and what was done about it.
        problem: String,
    },
    /// An event of the server was left out.
    Ignored {
        /// Which.
        event: EventType,
        /// Why.
        why: &'static str,
        /// The process it is about.
        process: Option<ProcessKey>,
    },
    /// A process is ended.
    Killing {
        /// Which.
        process: ProcessKey,
        /// Whose.
        username: String,
        /// Who wants it.
        why: Why,
    },
    /// A process could not be ended.
    NotKilled {
        /// Which.
        process: ProcessKey,
        /// Why not.
        problem: String,
    },
    /// A message was not delivered; said once until one is, or the reason changes.
    NotDelivered {
        /// Why.
        failure: Failure,
    },
    /// No server for longer than the warning time; said once.
    Silent {
        /// So far.
        silence: Duration,
        /// When watched processes are ended.
        silence_max: Duration,
    },
    /// No server for too long: watched processes are ended from now on; said once.
    TooSilent {
        /// So far.
        silence: Duration,
    },
    /// A server answers again.
    InContact {
        /// How long there was none.
        silence: Duration,
    },
    /// Events were given up: too many were waiting, or the server refused one alone.
    Dropped {
        /// How many now.
        events: u64,
        /// Since the start.
        total: u64,
    },
    /// More processes count than are kept.
    TooManyProcesses {
        /// How many are left out.
        left_out: usize,
    },
    /// More was to be said.
    More {
        /// How many lines.
        lines: usize,
    },
}

impl Notice {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::Configured { .. } | Self::Mapped { .. } | Self::Killing { .. } | Self::InContact { .. } => {
                Level::Info
            }
            _ => Level::Warn,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured { users, silence_max } => {
                write!(
                    f,
                    "users taken over: {users}, longest silence {} s",
                    silence_max.as_secs()
                )
            }
            Self::Mapped { uids } => write!(f, "login mapping taken over: {uids} uids"),
            Self::Unusable { event, problem } => write!(f, "part of {event} not usable: {problem}"),
            Self::Ignored { event, why, process } => {
                write!(f, "{event} ignored: {why}")?;
                process.map_or(Ok(()), |process| write!(f, " ({process})"))
            }
            Self::Killing {
                process,
                username,
                why,
            } => write!(f, "ending process ({process}) of {username}: {why}"),
            Self::NotKilled { process, problem } => write!(f, "process not ended ({process}): {problem}"),
            Self::NotDelivered { failure } => write!(f, "message not delivered: {failure}"),
            Self::Silent { silence, silence_max } => write!(
                f,
                "no server for {} s: watched processes are ended after {} s",
                silence.as_secs(),
                silence_max.as_secs()
            ),
            Self::TooSilent { silence } => {
                write!(
                    f,
                    "no server for {} s: ending watched processes",
                    silence.as_secs()
                )
            }
            Self::InContact { silence } => write!(f, "in contact again after {} s", silence.as_secs()),
            Self::Dropped { events, total } => {
                write!(f, "events given up: {events}, {total} since the start")
            }
            Self::TooManyProcesses { left_out } => write!(f, "too many processes count: {left_out} left out"),
            Self::More { lines } => write!(f, "{lines} more lines like these left out"),
        }
    }
}

impl fmt::Display for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} started {}", self.pid, self.start)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordered => "ordered by the server",
            Self::Silence => "no server for too long",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "no server",
            Self::WrongSecret => "the server does not take the secret",
            Self::Refused => "the server does not take the message",
        })
    }
}

/// Notices of one input, bounded.
#[derive(Debug, Default)]
pub(super) struct Notices {
    list: Vec<Notice>,
    left_out: usize,
}

impl Notices {
    pub(super) fn add(&mut self, notice: Notice) {
        if self.list.len() < NOTICES_MAX {
            self.list.push(notice);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn into_list(mut self) -> Vec<Notice> {
        if self.left_out > 0 {
            self.list.push(Notice::More { lines: self.left_out });
        }
        self.list
    }
}

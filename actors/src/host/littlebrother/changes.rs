//! What the state machine is told with every call, and what it wants done.

use super::{Key, Process};
use crate::littlebrother::Settings;
use std::collections::BTreeMap;
use std::sync::Arc;
use tripline_protocol::littlebrother::WireEvent;
use tripline_protocol::{CommandId, Timestamp};
use uuid::Uuid;

/// The world as it is at a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    /// In force now. That two are the same is seen fastest when they are the same allocation.
    pub(crate) settings: &'a Arc<Settings>,
    /// This run of the server; another one after every start.
    pub(crate) run: Uuid,
    /// When this run began.
    pub(crate) started: Timestamp,
    /// Now.
    pub(crate) now: Timestamp,
}

/// What a message caused. Everything in it has to be committed in one batch, and only then is the answer written.
/// A caller that cannot commit must not call: the state has already changed.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Events to be published, in order. A repeated message brings none again.
    pub(crate) events: Vec<Reported>,
    /// What is to be stored.
    pub(crate) changes: Changes,
    /// The answer, in order.
    pub(crate) answer: Vec<WireEvent>,
    /// Of the answer; to be given back with [`super::State::written`] or [`super::State::lost`].
    pub(crate) ticket: Ticket,
    /// Commands of live response that are done now: their processes are gone.
    pub(crate) killed: Vec<CommandId>,
    /// The attachment begins: its first message ever, or the first after silence.
    pub(crate) attached: bool,
    /// It was reported silent before: `host_back` is due.
    pub(crate) back: bool,
    /// Its clock was found to be off by more than a minute: seconds it is behind, negative when ahead. Said once
    /// per change.
    pub(crate) clock_off_s: Option<i64>,
    /// What was odd about the message, and how often.
    pub(crate) odd: BTreeMap<Oddity, u64>,
}

impl Outcome {
    /// Counts something odd.
    pub(super) fn note(&mut self, oddity: Oddity, times: u64) {
        if times > 0 {
            *self.odd.entry(oddity).or_default() += times;
        }
    }
}

/// An event to be published.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reported {
    /// The same for the same event of the same client.
    pub(crate) id: String,
    /// When it happened, by our clock; never in the future.
    pub(crate) time: Timestamp,
    /// As it came: its type is the etype, its fifteen attributes the data.
    pub(crate) event: WireEvent,
}

/// What is to be stored.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changes {
    /// [`super::State::saved`] is another one than before.
    pub(crate) saved: bool,
    /// Of the process table, in order; the last one of a key counts.
    pub(crate) rows: Vec<Row>,
}

/// A row of the process table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Row {
    /// It is like this now.
    Put(Key, Process),
    /// It is forgotten.
    Delete(Key),
}

/// An answer under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Ticket(pub(super) u64);

/// What the time alone caused.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tick {
    /// It has been silent for too long: `host_silent` is due, and the attachment ends. Said once.
    pub(crate) silent: bool,
    /// What is to be stored.
    pub(crate) changes: Changes,
}

/// How far a `kill_process` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KillStatus {
    /// Never heard of, or forgotten.
    Unknown,
    /// The process is not known to be gone.
    Pending,
    /// It is gone.
    Done,
}

/// What was odd about a message; each is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Oddity {
    /// An event only servers send; left out.
    ServerType,
    /// An event of another host than the sender; left out.
    ForeignHost,
    /// An event without pid or start time, or with too long a text; left out.
    Unsound,
    /// The payload of an event, which clients have none of, was too large; the event goes on without it.
    PayloadDropped,
    /// An event of a process with another handler; not tabled.
    OtherHandler,
    /// The end or downtime of a process that is not in the table.
    UnknownProcess,
    /// The end of a process by a client that has been started again since; the present one is asked.
    Overtaken,
    /// A process that found no room in the table.
    TableFull,
    /// An ended process that was forgotten because there were too many.
    EndedDropped,
    /// An event that had already been handled.
    Repeated,
    /// A prohibited process that is not ended now because too many wait.
    QueueFull,
}

impl Oddity {
    /// The word in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ServerType => "server_type",
            Self::ForeignHost => "foreign_host",
            Self::Unsound => "unsound",
            Self::PayloadDropped => "payload_dropped",
            Self::OtherHandler => "other_handler",
            Self::UnknownProcess => "unknown_process",
            Self::Overtaken => "overtaken",
            Self::TableFull => "table_full",
            Self::EndedDropped => "ended_dropped",
            Self::Repeated => "repeated",
            Self::QueueFull => "queue_full",
        }
    }
}

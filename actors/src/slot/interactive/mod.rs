//! An interactive session in a slot, as a state machine: no actix, no clock, no I/O.
//!
//! Commands run one after the other, in the order they were asked for. One is sent only while its host is
//! attached; a host that goes away has the reconnect grace to come back. Every change of a command is in its
//! record, and durable before it leaves the process.
//!
//! Deliberately not here: who may do what, and when a session gets its slot (scheduler).

mod progress;
mod reports;
mod stopping;
#[cfg(test)]
mod tests;

use super::Report;
use super::flight::{ATTEMPTS_MAX, Due, Fate, Flight, OUTPUT_INLINE_BYTES_MAX, PAUSES_MAX};
use super::state::ToHostEffect;
use crate::host::Execute;
use crate::session::{CommandRecord, SessionRecord};
use std::collections::VecDeque;
use tripline_protocol::frame::{CODE_CANCELLED, CODE_TRANSFER_CUT, CODE_TRANSFER_PAUSED, CommandResult};
use tripline_protocol::job::Reason;
use tripline_protocol::session::{COMMANDS_MAX, COMMANDS_WAITING_MAX, CommandState};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::{CommandId, Fault, HostId, SessionId, Span, Timestamp};
use uuid::Uuid;

/// After so long without a sign of its caller a session ends when somebody waits for its slot.
const IDLE_WHEN_WANTED: Span = Span::from_secs(30);

/// What is to be done, in this order.
#[derive(Debug)]
pub(super) enum Effect {
    Persist(Box<CommandRecord>),
    Host(ToHostEffect),
    Spill {
        command_id: CommandId,
        name: String,
        bytes: Vec<u8>,
    },
    /// The session is over and the slot free.
    End {
        session_id: SessionId,
        reason: Reason,
        /// It ended because somebody waits for its slot.
        given: bool,
    },
}

/// The host's agent as it is now: its journal, or `None` while it cannot be reached.
pub(super) type Journal = Option<Uuid>;

/// Whether the session is still wanted, and its slot by somebody else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub(super) last_request: Timestamp,
    pub(super) wanted: bool,
}

/// Why a command is being ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Deadline,
    Cancelled,
}

/// Why a command is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The session is ending.
    Closing,
    /// Too many wait.
    Waiting,
    /// Too many in all.
    Numbers,
}

#[derive(Debug)]
enum Place {
    /// Its host is away.
    Waiting { since: Timestamp },
    /// Sent.
    Flying(Box<Flight<Stop>>),
}

/// The command whose turn it is.
#[derive(Debug)]
struct Current {
    record: CommandRecord,
    place: Place,
}

#[derive(Debug)]
struct Session {
    record: SessionRecord,
    since: Timestamp,
    /// When its last command ended.
    busy_until: Timestamp,
    closing: bool,
    number_last: u32,
    queue: VecDeque<CommandRecord>,
    current: Option<Current>,
}

#[derive(Debug)]
pub(super) struct State {
    grace: Span,
    session: Option<Session>,
}

impl State {
    pub(super) fn new(grace: Span) -> Self {
        Self { grace, session: None }
    }

    pub(super) fn record(&self) -> Option<&SessionRecord> {
        self.session.as_ref().map(|session| &session.record)
    }

    /// The session's record, if it is this one that is here.
    pub(super) fn holds(&self, session_id: SessionId) -> Option<&SessionRecord> {
        self.record().filter(|record| record.session_id == session_id)
    }

    pub(super) fn since(&self) -> Timestamp {
        self.session
            .as_ref()
            .map(|session| session.since)
            .unwrap_or_default()
    }

    /// The command under way.
    pub(super) fn current_number(&self) -> Option<u32> {
        let current = self.session.as_ref()?.current.as_ref()?;
        Some(current.record.number)
    }

    /// Begins a session, or goes on with one that was active when the server stopped: `open` are its commands
    /// that have not ended, in order.
    pub(super) fn begin(
        &mut self,
        record: SessionRecord,
        open: Vec<CommandRecord>,
        number_last: u32,
        journal: Journal,
        now: Timestamp,
    ) -> Vec<Effect> {
        let closing = record.is_closing();
        let mut session = Session {
            record,
            since: now,
            busy_until: now,
            closing: false,
            number_last,
            queue: open.into(),
            current: None,
        };
        let mut effects = session.resume(now);
        if closing {
            effects.extend(session.close(now));
        } else {
            effects.extend(session.next(journal, now));
        }
        self.settle(session, effects)
    }

    /// Keeps the session unless it ended.
    fn settle(&mut self, session: Session, effects: Vec<Effect>) -> Vec<Effect> {
        let over = effects.iter().any(|effect| matches!(effect, Effect::End { .. }));
        self.session = (!over).then_some(session);
        effects
    }

    fn with(&mut self, act: impl FnOnce(&mut Session) -> Vec<Effect>) -> Vec<Effect> {
        let Some(mut session) = self.session.take() else {
            return Vec::new();
        };
        let effects = act(&mut session);
        self.settle(session, effects)
    }

    /// The number of the next command, if it is taken.
    pub(super) fn next_number(&self) -> Result<u32, Refused> {
        match &self.session {
            None => Err(Refused::Closing),
            Some(session) if session.closing => Err(Refused::Closing),
            Some(session) if session.queue.len() >= COMMANDS_WAITING_MAX => Err(Refused::Waiting),
            Some(session) if session.number_last >= COMMANDS_MAX => Err(Refused::Numbers),
            Some(session) => Ok(session.number_last + 1),
        }
    }

    /// Takes a command, whose number is the next one.
    pub(super) fn submit(&mut self, record: CommandRecord, journal: Journal, now: Timestamp) -> Vec<Effect> {
        self.with(|session| session.submit(record, journal, now))
    }

    /// The record of a command that has not ended.
    pub(super) fn command(&self, number: u32) -> Option<&CommandRecord> {
        let session = self.session.as_ref()?;
        let current = session.current.iter().map(|current| &current.record);
        current
            .chain(&session.queue)
            .find(|record| record.number == number)
    }

    /// Somebody wants a command ended: the command as it is then. `None`: it has ended, or never was.
    pub(super) fn cancel(
        &mut self,
        number: u32,
        by: &str,
        journal: Journal,
        now: Timestamp,
    ) -> Option<(CommandRecord, Vec<Effect>)> {
        let mut session = self.session.take()?;
        match session.cancel(number, by, journal, now) {
            Some((record, effects)) => Some((record, self.settle(session, effects))),
            None => {
                self.session = Some(session);
                None
            }
        }
    }

    /// Its end was asked for.
    pub(super) fn close(&mut self, now: Timestamp) -> Vec<Effect> {
        self.with(|session| session.close(now))
    }

    pub(super) fn is_in_flight(&self, command_id: CommandId) -> bool {
        let current = self.session.as_ref().and_then(|session| session.current.as_ref());
        matches!(current, Some(Current { place: Place::Flying(flight), .. }) if flight.command_id == command_id)
    }

    /// What the host reports about the command under way.
    pub(super) fn report(
        &mut self,
        command_id: CommandId,
        report: Report,
        journal: Journal,
        now: Timestamp,
    ) -> Vec<Effect> {
        if !self.is_in_flight(command_id) {
            return Vec::new();
        }
        self.with(|session| session.report(report, journal, now))
    }

    /// A large output was written to an artifact, or not.
    pub(super) fn spilled(
        &mut self,
        command_id: CommandId,
        artifact: Result<ArtifactRef, Fault>,
        journal: Journal,
        now: Timestamp,
    ) -> Vec<Effect> {
        if !self.is_in_flight(command_id) {
            return Vec::new();
        }
        self.with(|session| session.spilled(artifact, journal, now))
    }

    /// The Host actor was made anew and knows nothing of the command.
    pub(super) fn host_restarted(&mut self, host_id: HostId, now: Timestamp) -> Vec<Effect> {
        if self.record().is_none_or(|record| record.host.host_id != host_id) {
            return Vec::new();
        }
        self.with(|session| session.adopt_again(now))
    }

    pub(super) fn tick(&mut self, lease: Lease, journal: Journal, now: Timestamp) -> Vec<Effect> {
        let grace = self.grace;
        self.with(|session| session.tick(grace, lease, journal, now))
    }
}

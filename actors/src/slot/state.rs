//! A session with a job, as a state machine: no actix, no clock, no I/O.

mod choice;
mod finally;
mod lists;
mod passing;
mod progress;
mod publish;
mod reports;
mod resting;
mod room;
mod stopping;

use super::flight::{
    ATTEMPTS_MAX, DEADLINE_MARGIN, Due, Fate, Flight, OUTPUT_INLINE_BYTES_MAX, PAUSES_MAX, bounded,
    transfer_cut,
};
use super::run::{Call, Facts, render, unwanted};
use super::{Report, SessionEnd};
use crate::audit::{End, Note};
use crate::host::{Adopt, Execute};
use crate::record::{Intent, JobRecord, Rest, without_last_steps};
use tripline_protocol::frame::{CODE_CANCELLED, CODE_TRANSFER_CUT, CODE_TRANSFER_PAUSED, CommandResult};
use tripline_protocol::job::{JobSpec, JobState, Outcome, Reason};
use tripline_protocol::step::{ArtifactRef, OnError, ServerCall, StepStatus};
use tripline_protocol::verb::VerbCall;
use tripline_protocol::{CommandId, Fault, FaultClass, HostId, JobId, Name, Span, Timestamp, TransferId};
use uuid::Uuid;

/// All outputs of a job that stay inline together, with its errors; leaves room for the rest of the result.
const OUTPUTS_INLINE_BYTES_MAX: usize = 400 * 1024;

/// What is to be done, in this order.
#[derive(Debug)]
pub(super) enum Effect {
    Persist(Box<JobRecord>),
    Announce(Box<JobRecord>),
    Host {
        host_id: HostId,
        command: ToHostEffect,
    },
    Spill {
        command_id: CommandId,
        name: String,
        bytes: Vec<u8>,
    },
    /// Go on when all this is durable.
    NextTurn(JobId),
    End {
        record: Box<JobRecord>,
        end: SessionEnd,
        ack: Option<CommandId>,
    },
}

/// What a host is to be told.
#[derive(Debug, PartialEq)]
pub(super) enum ToHostEffect {
    Execute(Execute),
    Adopt(Adopt),
    Cancel(CommandId),
    Abandon(CommandId),
    Ack(CommandId),
}

/// Why a command is being ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    StepTimeout,
    JobTimeout,
    Cancelled,
}

/// A step's command under way.
#[derive(Debug)]
struct InFlight {
    step: usize,
    flight: Flight<Stop>,
}

/// When something happens to a session, and what is so then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Timestamp,
    /// The journal of the session's host, if it is attached.
    pub(super) journal_id: Option<Uuid>,
    /// So many messages the outbox takes beside the results of jobs.
    pub(super) outbox_room: u64,
}

#[derive(Debug)]
struct Session {
    record: JobRecord,
    moment: Moment,
    since: Timestamp,
    deadline: Timestamp,
    in_flight: Option<InFlight>,
    /// Of all outputs.
    inline_bytes: usize,
    /// Something was decided that must be durable before the next command is sent.
    unsaved: bool,
    /// Bytes of the events that go out with the next batch.
    outgoing_bytes: usize,
    /// It goes on in another turn.
    yielded: bool,
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

    pub(super) fn record(&self) -> Option<&JobRecord> {
        self.session.as_ref().map(|session| &session.record)
    }

    pub(super) fn host_id(&self) -> Option<HostId> {
        self.record().map(|record| record.host.host_id)
    }

    pub(super) fn since(&self) -> Timestamp {
        self.session
            .as_ref()
            .map(|session| session.since)
            .unwrap_or_default()
    }

    pub(super) fn step(&self) -> u32 {
        let step = self
            .session
            .as_ref()
            .and_then(|session| session.in_flight.as_ref())
            .map(|now| now.step);
        step.and_then(|step| u32::try_from(step).ok()).unwrap_or(0)
    }

    /// Begins a session with a job, or goes on with one that was under way when the server stopped.
    pub(super) fn run(&mut self, mut record: JobRecord, moment: Moment) -> Vec<Effect> {
        let now = moment.now;
        record.state = JobState::Running;
        record.started_at.get_or_insert(now);
        record.rest = None;
        record.fold_copies();
        let deadline = match record.ending {
            // Their time is what they have in a session: none of it passes while the server is stopped.
            Some(_) => now.after(record.finally_timeout()),
            None => record.deadline.unwrap_or(now.after(record.timeout)),
        };
        let inline_bytes = record
            .reports
            .iter()
            .map(|report| inline_len(report.output.as_ref()))
            .sum();
        let mut session = Session {
            record,
            moment,
            since: now,
            deadline,
            in_flight: None,
            inline_bytes,
            unsaved: false,
            outgoing_bytes: 0,
            yielded: false,
        };
        let effects = match session.record.intent.clone() {
            Some(intent) => session.resume(intent),
            None => session.begin(),
        };
        self.settle(session, effects)
    }

    /// Keeps the session unless it ended.
    fn settle(&mut self, session: Session, effects: Vec<Effect>) -> Vec<Effect> {
        let over = effects.iter().any(|effect| matches!(effect, Effect::End { .. }));
        self.session = (!over).then_some(session);
        effects
    }

    fn with(&mut self, moment: Moment, act: impl FnOnce(&mut Session) -> Vec<Effect>) -> Vec<Effect> {
        let Some(mut session) = self.session.take() else {
            return Vec::new();
        };
        session.moment = moment;
        let effects = act(&mut session);
        self.settle(session, effects)
    }

    /// A person wants it ended.
    pub(super) fn cancel(&mut self, job_id: JobId, moment: Moment) -> Vec<Effect> {
        if self.record().is_none_or(|record| record.job_id != job_id) {
            return Vec::new();
        }
        self.with(moment, |session| {
            session.record.cancel_requested = true;
            let mut effects = vec![Effect::Persist(session.snapshot())];
            effects.extend(session.stop(Stop::Cancelled));
            effects
        })
    }

    pub(super) fn report(&mut self, command_id: CommandId, report: Report, moment: Moment) -> Vec<Effect> {
        if !self.is_in_flight(command_id) {
            return Vec::new();
        }
        self.with(moment, |session| session.report(report))
    }

    /// What it published is durable: it goes on, unless it does so already.
    pub(super) fn next_turn(&mut self, job_id: JobId, moment: Moment) -> Vec<Effect> {
        let session = self.session.as_ref();
        if !session.is_some_and(|session| session.yielded && session.record.job_id == job_id) {
            return Vec::new();
        }
        self.with(moment, |session| session.next(None))
    }

    fn is_in_flight(&self, command_id: CommandId) -> bool {
        let in_flight = self
            .session
            .as_ref()
            .and_then(|session| session.in_flight.as_ref());
        in_flight.is_some_and(|now| now.flight.command_id == command_id)
    }

    /// The Host actor was made anew and knows nothing of the command.
    pub(super) fn host_restarted(&mut self, host_id: HostId, moment: Moment) -> Vec<Effect> {
        if self.host_id() != Some(host_id) {
            return Vec::new();
        }
        self.with(moment, Session::adopt_again)
    }

    pub(super) fn spilled(
        &mut self,
        command_id: CommandId,
        artifact: Result<ArtifactRef, Fault>,
        moment: Moment,
    ) -> Vec<Effect> {
        if !self.is_in_flight(command_id) {
            return Vec::new();
        }
        self.with(moment, |session| session.spilled(artifact))
    }

    pub(super) fn tick(&mut self, moment: Moment) -> Vec<Effect> {
        if self.session.is_none() {
            return Vec::new();
        }
        let grace = self.grace;
        self.with(moment, |session| session.tick(grace))
    }
}

fn inline_len(output: Option<&serde_json::Value>) -> usize {
    output.map_or(0, |output| crate::record::encode(output).len())
}

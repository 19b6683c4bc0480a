//! A session with a job, as a state machine: no actix, no clock, no I/O.

use super::run::{Rendered, render};
use super::{Report, SessionEnd};
use crate::host::{Adopt, Execute};
use crate::record::{Intent, JobRecord};
use tripline_protocol::frame::{CODE_CANCELLED, CODE_INTERRUPTED, CommandResult};
use tripline_protocol::job::{JobSpec, JobState, Outcome, Reason};
use tripline_protocol::step::{ArtifactRef, OnError, StepStatus};
use tripline_protocol::verb::VerbCall;
use tripline_protocol::{CommandId, Fault, FaultClass, HostId, JobId, Span, Timestamp};
use uuid::Uuid;

/// Fault codes by which an agent says that it did not begin the command and keeps nothing of it: it is sent
/// again when the agent is back.
const CODES_NOT_BEGUN: [&str; 3] = ["agent_stopping", "stale_epoch", "busy"];
/// The fault code of a command that ran and whose result this server acked before.
const CODE_ALREADY_ACKED: &str = "already_acked";
/// The fault code of a transfer whose connection broke; it only read, so it is begun again.
const CODE_TRANSFER_CUT: &str = "transfer_cut";
/// The agent ends a command at its deadline by itself; only when it does not is the deadline enforced here.
const DEADLINE_MARGIN: Span = Span::from_secs(2);
/// How long a host may take to confirm that a command is cancelled.
const CONFIRM_WITHIN: Span = Span::from_secs(10);
/// Sessions a job may have before its host is given up.
const ATTEMPTS_MAX: u32 = 10;
/// A step's output above this becomes an artifact.
const OUTPUT_INLINE_BYTES_MAX: usize = 128 * 1024;
/// All outputs of a job that stay inline together; leaves room for the rest of the result.
const OUTPUTS_INLINE_BYTES_MAX: usize = 400 * 1024;

/// Characters of a host's error code and text, and bytes of a whole fault, that a step keeps.
const FAULT_CODE_CHARS_MAX: usize = 64;
const FAULT_TEXT_CHARS_MAX: usize = 300;
const FAULT_BYTES_MAX: usize = 16 * 1024;

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

/// A command under way.
#[derive(Debug)]
struct InFlight {
    command_id: CommandId,
    step: usize,
    call: VerbCall,
    deadline: Timestamp,
    /// The host is away since then.
    lost_since: Option<Timestamp>,
    /// It is being ended, and until when its host may take to confirm.
    stopping: Option<(Stop, Timestamp)>,
    /// Its result, while a large output is being written to an artifact.
    spilling: Option<CommandResult>,
}

#[derive(Debug)]
struct Session {
    record: JobRecord,
    since: Timestamp,
    deadline: Timestamp,
    in_flight: Option<InFlight>,
    inline_bytes: usize,
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
    pub(super) fn run(
        &mut self,
        mut record: JobRecord,
        journal_id: Option<Uuid>,
        now: Timestamp,
    ) -> Vec<Effect> {
        record.state = JobState::Running;
        record.started_at.get_or_insert(now);
        let deadline = now.after(record.timeout);
        let inline_bytes = record
            .reports
            .iter()
            .map(|report| inline_len(report.output.as_ref()))
            .sum();
        let mut session = Session {
            record,
            since: now,
            deadline,
            in_flight: None,
            inline_bytes,
        };
        let effects = match session.record.intent.clone() {
            Some(intent) => session.resume(intent, now),
            None => session.begin(journal_id, now),
        };
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

    /// A person wants it ended.
    pub(super) fn cancel(&mut self, job_id: JobId, now: Timestamp) -> Vec<Effect> {
        if self.record().is_none_or(|record| record.job_id != job_id) {
            return Vec::new();
        }
        self.with(|session| {
            session.record.cancel_requested = true;
            let mut effects = vec![Effect::Persist(Box::new(session.record.clone()))];
            effects.extend(session.stop(Stop::Cancelled, now));
            effects
        })
    }

    pub(super) fn report(
        &mut self,
        command_id: CommandId,
        report: Report,
        journal_id: Option<Uuid>,
        now: Timestamp,
    ) -> Vec<Effect> {
        if !self.is_in_flight(command_id) {
            return Vec::new();
        }
        self.with(|session| session.report(report, journal_id, now))
    }

    fn is_in_flight(&self, command_id: CommandId) -> bool {
        let in_flight = self
            .session
            .as_ref()
            .and_then(|session| session.in_flight.as_ref());
        in_flight.is_some_and(|now| now.command_id == command_id)
    }

    /// The Host actor was made anew and knows nothing of the command.
    pub(super) fn host_restarted(&mut self, host_id: HostId, now: Timestamp) -> Vec<Effect> {
        if self.host_id() != Some(host_id) {
            return Vec::new();
        }
        self.with(|session| session.adopt_again(now))
    }

    pub(super) fn spilled(
        &mut self,
        command_id: CommandId,
        artifact: Result<ArtifactRef, Fault>,
        journal_id: Option<Uuid>,
        now: Timestamp,
    ) -> Vec<Effect> {
        if !self.is_in_flight(command_id) {
            return Vec::new();
        }
        self.with(|session| session.spilled(artifact, journal_id, now))
    }

    pub(super) fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.session.is_none() {
            return Vec::new();
        }
        let grace = self.grace;
        self.with(|session| session.tick(grace, now))
    }
}

/// Cuts a text for people to so many characters, on one line.
fn cut(text: &mut String, chars_max: usize) {
    if text.chars().count() > chars_max || text.contains(char::is_control) {
        let line = |c: char| if c.is_control() { ' ' } else { c };
        *text = text.chars().take(chars_max).map(line).collect();
    }
}

fn inline_len(output: Option<&serde_json::Value>) -> usize {
    output.map_or(0, |output| crate::record::encode(output).len())
}

impl Session {
    fn host(&self, command: ToHostEffect) -> Effect {
        Effect::Host {
            host_id: self.record.host.host_id,
            command,
        }
    }

    fn end(&self, outcome: Outcome, reason: Reason, ack: Option<CommandId>) -> Vec<Effect> {
        let end = SessionEnd::Ended(outcome, reason);
        vec![Effect::End {
            record: Box::new(self.record.clone()),
            end,
            ack,
        }]
    }

    /// Begins another attempt. It is durable before its first command is sent, so that after a crash no other
    /// command has the same id.
    fn begin(&mut self, journal_id: Option<Uuid>, now: Timestamp) -> Vec<Effect> {
        self.record.attempt += 1;
        let mut effects = self.next(journal_id, now, None);
        if !matches!(effects.first(), Some(Effect::Persist(_) | Effect::End { .. })) {
            effects.insert(0, Effect::Persist(Box::new(self.record.clone())));
        }
        effects
    }

    /// Waits for a command that was sent before the server stopped.
    fn resume(&mut self, intent: Intent, now: Timestamp) -> Vec<Effect> {
        let Some(step) = self.record.steps.get(intent.step) else {
            return self.end(
                Outcome::Failed,
                Reason::new("bad_record", "its record names no such step"),
                None,
            );
        };
        let timeout = step.timeout.unwrap_or(JobSpec::STEP_TIMEOUT_DEFAULT);
        let call = match render(&self.record, intent.step) {
            Ok(Rendered::Call(call)) => call,
            Ok(Rendered::Failed(fault)) | Err(fault) => {
                return self.end(Outcome::Interrupted, Reason::new("bad_record", fault.text), None);
            }
        };
        self.in_flight = Some(InFlight {
            command_id: intent.command_id,
            step: intent.step,
            call,
            deadline: now.after(timeout),
            lost_since: Some(now),
            stopping: None,
            spilling: None,
        });
        let mut effects = self.adopt_again(now);
        if self.record.cancel_requested {
            effects.extend(self.stop(Stop::Cancelled, now));
        }
        effects
    }

    /// Makes a command under way known to a Host actor that does not know it.
    fn adopt_again(&mut self, now: Timestamp) -> Vec<Effect> {
        let Some(in_flight) = &mut self.in_flight else {
            return Vec::new();
        };
        if in_flight.spilling.is_some() {
            // Its result is here already: asked for again, it could be run again.
            return Vec::new();
        }
        in_flight.lost_since.get_or_insert(now);
        let journal_id = self
            .record
            .intent
            .as_ref()
            .filter(|intent| intent.command_id == in_flight.command_id)
            .map(|intent| intent.journal_id);
        let adopt = Adopt {
            command_id: in_flight.command_id,
            call: in_flight.call.clone(),
            deadline: in_flight.deadline,
            journal_id,
            cancelled: in_flight.stopping.is_some(),
        };
        vec![self.host(ToHostEffect::Adopt(adopt))]
    }

    /// Goes on with the first step that has not ended; `ack` is a command whose result is in the record.
    fn next(&mut self, journal_id: Option<Uuid>, now: Timestamp, ack: Option<CommandId>) -> Vec<Effect> {
        let mut effects = Vec::new();
        loop {
            let pending = |status| matches!(status, StepStatus::Pending | StepStatus::Running);
            let Some(index) = self
                .record
                .reports
                .iter()
                .position(|report| pending(report.status))
            else {
                effects.extend(self.finished(ack));
                return effects;
            };
            if now >= self.deadline {
                effects.extend(self.end(Outcome::TimedOut, self.timeout_reason(), ack));
                return effects;
            }
            match render(&self.record, index) {
                Ok(Rendered::Call(call)) => {
                    effects.extend(self.send(index, call, journal_id, now, ack));
                    return effects;
                }
                Ok(Rendered::Failed(fault)) | Err(fault) => {
                    if let Some(ended) = self.step_failed(index, fault, now, ack) {
                        effects.extend(ended);
                        return effects;
                    }
                }
            }
        }
    }

    fn timeout_reason(&self) -> Reason {
        Reason::new(
            "job_timeout",
            format!("it ran longer than {}", self.record.timeout),
        )
    }

    /// All steps have ended.
    fn finished(&self, ack: Option<CommandId>) -> Vec<Effect> {
        let failed = self
            .record
            .reports
            .iter()
            .filter(|report| report.status == StepStatus::Failed)
            .count();
        let text = match failed {
            0 => "all steps succeeded".to_owned(),
            failed => format!("{failed} steps failed, all of them allowed to"),
        };
        self.end(Outcome::Succeeded, Reason::new("completed", text), ack)
    }

    /// Marks a step failed. Returns how the job ends if that ends it.
    fn step_failed(
        &mut self,
        index: usize,
        fault: Fault,
        now: Timestamp,
        ack: Option<CommandId>,
    ) -> Option<Vec<Effect>> {
        let on_error = self
            .record
            .steps
            .get(index)
            .map_or(OnError::Fail, |step| step.on_error);
        let report = self.record.reports.get_mut(index)?;
        let text = format!("step {} failed: {}", report.id, fault.text);
        report.status = StepStatus::Failed;
        report.started_at.get_or_insert(now);
        report.finished_at = Some(now);
        report.error = Some(fault);
        match on_error {
            OnError::Continue => None,
            OnError::Fail => Some(self.end(Outcome::Failed, Reason::new("step_failed", text), ack)),
        }
    }

    /// Sends a step's command; a mutating one only once the intent to is durable.
    fn send(
        &mut self,
        index: usize,
        call: VerbCall,
        journal_id: Option<Uuid>,
        now: Timestamp,
        ack: Option<CommandId>,
    ) -> Vec<Effect> {
        let command_id = CommandId::derive(self.record.job_id, index, self.record.attempt);
        let step = self.record.steps.get(index);
        let timeout = step
            .and_then(|step| step.timeout)
            .unwrap_or(JobSpec::STEP_TIMEOUT_DEFAULT);
        let deadline = now.after(timeout).min(self.deadline);
        let mutates = call.verb().effect() == tripline_protocol::verb::Effect::Mutates;
        if let Some(report) = self.record.reports.get_mut(index) {
            report.status = StepStatus::Running;
            report.started_at = Some(now);
        }
        let intent = |journal_id| Intent {
            step: index,
            command_id,
            journal_id,
        };
        self.record.intent = journal_id.filter(|_| mutates).map(intent);
        let mut effects = Vec::new();
        if self.record.intent.is_some() || ack.is_some() {
            effects.push(Effect::Persist(Box::new(self.record.clone())));
        }
        effects.push(Effect::Announce(Box::new(self.record.clone())));
        effects.extend(ack.map(|ack| self.host(ToHostEffect::Ack(ack))));
        if mutates && journal_id.is_none() {
            // The host left between the decision to start and now; nothing was sent.
            effects.extend(self.give_back(None));
            return effects;
        }
        let execute = Execute {
            command_id,
            call: call.clone(),
            deadline,
        };
        effects.push(self.host(ToHostEffect::Execute(execute)));
        self.in_flight = Some(InFlight {
            command_id,
            step: index,
            call,
            deadline,
            lost_since: None,
            stopping: None,
            spilling: None,
        });
        effects
    }

    /// The job waits again for its host, unless it has done so too often.
    fn give_back(&mut self, ack: Option<CommandId>) -> Vec<Effect> {
        for report in &mut self.record.reports {
            if report.status == StepStatus::Running {
                report.status = StepStatus::Pending;
                report.started_at = None;
            }
        }
        self.record.intent = None;
        if self.record.cancel_requested {
            let reason = Reason::new("cancelled", "it was cancelled while its host was away");
            return self.end(Outcome::Cancelled, reason, ack);
        }
        if self.record.attempt >= ATTEMPTS_MAX {
            let text = format!("its host went away in each of {ATTEMPTS_MAX} sessions");
            return self.end(Outcome::Interrupted, Reason::new("too_many_attempts", text), ack);
        }
        vec![Effect::End {
            record: Box::new(self.record.clone()),
            end: SessionEnd::GivenBack,
            ack,
        }]
    }

    fn may_repeat(&self, index: usize) -> bool {
        self.record
            .steps
            .get(index)
            .is_some_and(tripline_protocol::step::Step::may_repeat)
    }

    fn report(&mut self, report: Report, journal_id: Option<Uuid>, now: Timestamp) -> Vec<Effect> {
        let Some(in_flight) = &mut self.in_flight else {
            return Vec::new();
        };
        match report {
            Report::Lost => {
                in_flight.lost_since.get_or_insert(now);
                Vec::new()
            }
            Report::Found => {
                in_flight.lost_since = None;
                Vec::new()
            }
            Report::JournalLost => self.unknown_outcome("journal_lost", journal_id, now, None),
            Report::Ended(result, artifact) => self.command_ended(*result, artifact, journal_id, now),
        }
    }

    /// Nobody knows whether the command ran: what may be repeated is, anything else ends the job.
    fn unknown_outcome(
        &mut self,
        code: &str,
        journal_id: Option<Uuid>,
        now: Timestamp,
        ack: Option<CommandId>,
    ) -> Vec<Effect> {
        let Some(in_flight) = self.in_flight.take() else {
            return Vec::new();
        };
        self.record.intent = None;
        if let Some((stop, _)) = in_flight.stopping {
            self.mark_interrupted(&in_flight, code, now);
            return self.stopped(stop, ack);
        }
        if self.may_repeat(in_flight.step) && self.record.attempt < ATTEMPTS_MAX {
            self.record.attempt += 1;
            if let Some(report) = self.record.reports.get_mut(in_flight.step) {
                report.status = StepStatus::Pending;
            }
            return self.next(journal_id, now, ack);
        }
        self.mark_interrupted(&in_flight, code, now);
        let text = format!(
            "nobody knows whether {} ran, and it is not run twice",
            in_flight.call.verb()
        );
        self.end(Outcome::Interrupted, Reason::new(code, text), ack)
    }

    fn mark_interrupted(&mut self, in_flight: &InFlight, code: &str, now: Timestamp) {
        if let Some(report) = self.record.reports.get_mut(in_flight.step) {
            report.status = StepStatus::Interrupted;
            report.finished_at = Some(now);
            report.error = Some(Fault::server(code, "nobody knows whether the command ran"));
        }
    }

    fn command_ended(
        &mut self,
        result: CommandResult,
        artifact: Option<ArtifactRef>,
        journal_id: Option<Uuid>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let command_id = result.command_id;
        if let Some(fault) = result.error {
            let fault = self.bound(fault);
            return self.command_failed(fault, journal_id, now, command_id);
        }
        if artifact.is_none() && self.fetches() {
            // The connection broke after the last chunk: the agent is done, but the file is not here.
            let fault = Fault::server(CODE_TRANSFER_CUT, "the file's transfer was cut");
            return self.command_failed(fault, journal_id, now, command_id);
        }
        let bytes = result
            .output
            .as_ref()
            .map(crate::record::encode)
            .unwrap_or_default();
        let fits = self.inline_bytes + bytes.len() <= OUTPUTS_INLINE_BYTES_MAX;
        if bytes.len() > OUTPUT_INLINE_BYTES_MAX || !fits {
            return self.spill(result, bytes);
        }
        self.inline_bytes += bytes.len();
        self.step_succeeded(result, artifact, journal_id, now)
    }

    /// Whether the command under way brings a file.
    fn fetches(&self) -> bool {
        let call = self.in_flight.as_ref().map(|in_flight| &in_flight.call);
        matches!(call, Some(VerbCall::GetFile(_) | VerbCall::GetRawFile(_)))
    }

    /// A fault as it fits into the job's result: a host's text may be as long as a frame.
    fn bound(&mut self, mut fault: Fault) -> Fault {
        cut(&mut fault.code, FAULT_CODE_CHARS_MAX);
        cut(&mut fault.text, FAULT_TEXT_CHARS_MAX);
        let bytes = crate::record::encode(&fault).len();
        if bytes <= FAULT_BYTES_MAX && self.inline_bytes + bytes <= OUTPUTS_INLINE_BYTES_MAX {
            self.inline_bytes += bytes;
        } else {
            fault.detail = None;
        }
        fault
    }

    fn spill(&mut self, result: CommandResult, bytes: Vec<u8>) -> Vec<Effect> {
        let command_id = result.command_id;
        let Some(in_flight) = &mut self.in_flight else {
            return Vec::new();
        };
        let step = self
            .record
            .reports
            .get(in_flight.step)
            .map_or("step", |report| report.id.as_str());
        let name = format!("{step}.json");
        in_flight.spilling = Some(result);
        vec![Effect::Spill {
            command_id,
            name,
            bytes,
        }]
    }

    fn spilled(
        &mut self,
        artifact: Result<ArtifactRef, Fault>,
        journal_id: Option<Uuid>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(result) = self.in_flight.as_mut().and_then(|now| now.spilling.take()) else {
            return Vec::new();
        };
        match artifact {
            Ok(artifact) => {
                let kept = CommandResult {
                    output: None,
                    ..result
                };
                self.step_succeeded(kept, Some(artifact), journal_id, now)
            }
            Err(fault) => self.command_failed(fault, journal_id, now, result.command_id),
        }
    }

    fn step_succeeded(
        &mut self,
        result: CommandResult,
        artifact: Option<ArtifactRef>,
        journal_id: Option<Uuid>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(in_flight) = self.in_flight.take() else {
            return Vec::new();
        };
        self.record.intent = None;
        if let Some(report) = self.record.reports.get_mut(in_flight.step) {
            report.status = StepStatus::Succeeded;
            report.finished_at = Some(now);
            report.output = result.output;
            report.artifact = artifact;
            report.truncated = result.truncated;
        }
        let over = self
            .record
            .reports
            .iter()
            .all(|report| report.status != StepStatus::Pending);
        match in_flight.stopping {
            // It was done before it could be stopped: then it is done.
            Some((stop, _)) if !over && stop != Stop::StepTimeout => {
                self.stopped(stop, Some(result.command_id))
            }
            _ => self.next(journal_id, now, Some(result.command_id)),
        }
    }

    fn command_failed(
        &mut self,
        fault: Fault,
        journal_id: Option<Uuid>,
        now: Timestamp,
        command_id: CommandId,
    ) -> Vec<Effect> {
        if fault.code == CODE_INTERRUPTED {
            return self.unknown_outcome("agent_died", journal_id, now, Some(command_id));
        }
        if CODES_NOT_BEGUN.contains(&fault.code.as_str()) && self.in_flight.is_some() {
            return self.adopt_again(now);
        }
        if fault.code == CODE_ALREADY_ACKED {
            return self.unknown_outcome(CODE_ALREADY_ACKED, journal_id, now, Some(command_id));
        }
        if fault.code == CODE_TRANSFER_CUT && self.fetches() && self.record.attempt < ATTEMPTS_MAX {
            return self.unknown_outcome(CODE_TRANSFER_CUT, journal_id, now, Some(command_id));
        }
        let Some(in_flight) = self.in_flight.take() else {
            return Vec::new();
        };
        self.record.intent = None;
        let fault = match in_flight.stopping {
            Some((Stop::StepTimeout, _)) if fault.code == CODE_CANCELLED => step_timeout(&in_flight),
            _ => fault,
        };
        // The agent ends a command at the earlier of two deadlines: that of its step and that of its job.
        let job_over = fault.class == FaultClass::Timeout && in_flight.deadline == self.deadline;
        let ended = self.step_failed(in_flight.step, fault, now, Some(command_id));
        match in_flight.stopping {
            None if job_over => self.stopped(Stop::JobTimeout, Some(command_id)),
            Some((stop @ (Stop::JobTimeout | Stop::Cancelled), _)) => self.stopped(stop, Some(command_id)),
            _ => ended.unwrap_or_else(|| self.next(journal_id, now, Some(command_id))),
        }
    }

    /// Ends the job for the reason it was stopped for.
    fn stopped(&self, stop: Stop, ack: Option<CommandId>) -> Vec<Effect> {
        match stop {
            Stop::Cancelled => self.end(
                Outcome::Cancelled,
                Reason::new("cancelled", "it was cancelled while it ran"),
                ack,
            ),
            Stop::JobTimeout => self.end(Outcome::TimedOut, self.timeout_reason(), ack),
            Stop::StepTimeout => {
                let reason = Reason::new("step_failed", "a step's outcome is unknown after its timeout");
                self.end(Outcome::Failed, reason, ack)
            }
        }
    }

    /// Begins to end the command under way. A stronger reason replaces a step's timeout.
    fn stop(&mut self, stop: Stop, now: Timestamp) -> Vec<Effect> {
        let Some(in_flight) = &mut self.in_flight else {
            return self.stopped(stop, None);
        };
        match &mut in_flight.stopping {
            Some((present @ Stop::StepTimeout, _)) => {
                *present = stop;
                Vec::new()
            }
            Some(_) => Vec::new(),
            None => {
                in_flight.stopping = Some((stop, now.after(CONFIRM_WITHIN)));
                let cancel = ToHostEffect::Cancel(in_flight.command_id);
                vec![self.host(cancel)]
            }
        }
    }

    fn tick(&mut self, grace: Span, now: Timestamp) -> Vec<Effect> {
        let Some(in_flight) = &self.in_flight else {
            return Vec::new();
        };
        if in_flight.spilling.is_some() {
            return Vec::new();
        }
        if in_flight
            .lost_since
            .is_some_and(|since| now.since(since) >= grace)
        {
            return self.host_gone(now);
        }
        if let Some((stop, until)) = in_flight.stopping {
            return if now >= until {
                self.unconfirmed(stop, now)
            } else {
                Vec::new()
            };
        }
        if now >= self.deadline.after(DEADLINE_MARGIN) {
            return self.stop(Stop::JobTimeout, now);
        }
        if now >= in_flight.deadline.after(DEADLINE_MARGIN) {
            return self.stop(Stop::StepTimeout, now);
        }
        Vec::new()
    }

    /// The host did not come back in time.
    fn host_gone(&mut self, now: Timestamp) -> Vec<Effect> {
        let Some(in_flight) = &self.in_flight else {
            return Vec::new();
        };
        let abandon = self.host(ToHostEffect::Abandon(in_flight.command_id));
        let mut effects = vec![abandon];
        let read_only = self.record.intent.is_none();
        if let Some((stop, _)) = in_flight.stopping {
            let in_flight = self.in_flight.take();
            if let Some(in_flight) = in_flight.filter(|_| !read_only) {
                self.mark_interrupted(&in_flight, "host_gone", now);
            }
            effects.extend(self.stopped(stop, None));
        } else if self.may_repeat(in_flight.step) {
            self.in_flight = None;
            effects.extend(self.give_back(None));
        } else {
            effects.extend(self.unknown_outcome("host_gone", None, now, None));
        }
        effects
    }

    /// The host never confirmed the end of the command; it keeps the next job waiting until it does.
    fn unconfirmed(&mut self, stop: Stop, now: Timestamp) -> Vec<Effect> {
        let Some(in_flight) = self.in_flight.take() else {
            return Vec::new();
        };
        let mut effects = vec![self.host(ToHostEffect::Abandon(in_flight.command_id))];
        let mutates = self.record.intent.take().is_some();
        if let Some(report) = self.record.reports.get_mut(in_flight.step) {
            report.status = if mutates {
                StepStatus::Interrupted
            } else {
                StepStatus::Failed
            };
            report.finished_at = Some(now);
            report.error = Some(step_timeout(&in_flight));
        }
        effects.extend(self.stopped(stop, None));
        effects
    }
}

fn step_timeout(in_flight: &InFlight) -> Fault {
    Fault::timeout(
        "command_timeout",
        format!("{} did not end in time", in_flight.call.verb()),
    )
}

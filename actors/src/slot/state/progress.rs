//! How a session goes on: begin or resume, render the next step, send it, give the job back.

use super::*;

/// More than a job has steps: tells the transfers of a job that began anew from those before.
const STEPS_OF_A_TRY: usize = 1_000_000;

impl Session {
    pub(super) fn host(&self, command: ToHostEffect) -> Effect {
        Effect::Host {
            host_id: self.record.host.host_id,
            command,
        }
    }

    /// The record as it is to be stored, with what goes on record then.
    pub(super) fn snapshot(&mut self) -> Box<JobRecord> {
        self.unsaved = false;
        self.outgoing_bytes = 0;
        let notes = std::mem::take(&mut self.record.notes);
        let passed = std::mem::take(&mut self.record.passed);
        let dropped = std::mem::take(&mut self.record.dropped);
        let outgoing = std::mem::take(&mut self.record.outgoing);
        let record = self.record.clone();
        Box::new(JobRecord {
            notes,
            passed,
            dropped,
            outgoing,
            ..record
        })
    }

    /// Notes what happened to a command: how it ended, or that it is about to be sent.
    pub(super) fn note(&mut self, step: usize, flight: (CommandId, &VerbCall), end: Option<End>) {
        let report = self.record.reports.get(step);
        let step = report.map_or_else(String::new, |report| report.id.clone());
        let (command_id, call) = (flight.0, flight.1.clone());
        self.record.notes.push(Note {
            command_id,
            attempt: self.record.attempt,
            step,
            call,
            end,
        });
    }

    /// Notes how a command ended.
    pub(super) fn note_end(&mut self, in_flight: &InFlight, end: End) {
        let flight = &in_flight.flight;
        let failed = end.code.clone().filter(|_| end.result != "succeeded");
        self.pass_command(in_flight, failed);
        self.note(in_flight.step, (flight.command_id, &flight.call), Some(end));
    }

    pub(super) fn end(&mut self, outcome: Outcome, reason: Reason, ack: Option<CommandId>) -> Vec<Effect> {
        if let Some(ending) = self.record.ending.take() {
            return self.close(
                ending.outcome,
                without_last_steps(ending.reason, &reason.text),
                ack,
            );
        }
        let now = self.moment.now;
        let end = match self.record.begin_anew(outcome, &reason, now) {
            Some(_) => SessionEnd::Rests,
            None if self.is_host_there() && self.record.begin_finally(outcome, &reason, now) => {
                return self.finally(ack);
            }
            None => SessionEnd::Ended(outcome, reason),
        };
        vec![Effect::End {
            record: self.snapshot(),
            end,
            ack,
        }]
    }

    /// Begins another attempt. It is durable before its first command is sent, so that after a crash no other
    /// command has the same id.
    pub(super) fn begin(&mut self) -> Vec<Effect> {
        // One that did not pass before was under way when the server stopped.
        self.pass_attempt("server_stopped");
        let mut effects = self.next(None);
        if !matches!(effects.first(), Some(Effect::Persist(_) | Effect::End { .. })) {
            effects.insert(0, Effect::Persist(self.snapshot()));
        }
        effects
    }

    /// Waits for a command that was sent before the server stopped.
    pub(super) fn resume(&mut self, intent: Intent) -> Vec<Effect> {
        let Some(step) = self.record.step(intent.step) else {
            return self.end(
                Outcome::Failed,
                Reason::new("bad_record", "its record names no such step"),
                None,
            );
        };
        let timeout = step.timeout.unwrap_or(JobSpec::STEP_TIMEOUT_DEFAULT);
        let call = match render(&Facts::of(&self.record, intent.step)) {
            Ok(Call::Host(call)) => call,
            Ok(Call::Server(_)) => return self.begin(),
            Err(fault) => {
                return self.end(Outcome::Interrupted, Reason::new("bad_record", fault.text), None);
            }
        };
        self.in_flight = Some(InFlight {
            step: intent.step,
            flight: Flight::new(
                intent.command_id,
                self.transfer_id(intent.step),
                call,
                self.moment.now.after(timeout).min(self.deadline),
            ),
        });
        let mut effects = self.adopt_again();
        if self.record.cancel_requested {
            effects.extend(self.stop(Stop::Cancelled));
        }
        effects
    }

    /// Makes a command under way known to a Host actor that does not know it.
    pub(super) fn adopt_again(&mut self) -> Vec<Effect> {
        let Some(in_flight) = &mut self.in_flight else {
            return Vec::new();
        };
        let journal_id = self
            .record
            .intent
            .as_ref()
            .filter(|intent| intent.command_id == in_flight.flight.command_id)
            .map(|intent| intent.journal_id);
        let adopt = in_flight.flight.adopt(None, journal_id, self.moment.now);
        adopt
            .map(|adopt| self.host(ToHostEffect::Adopt(adopt)))
            .into_iter()
            .collect()
    }

    /// Goes on with the first step that has not ended; `ack` is a command whose result is in the record.
    pub(super) fn next(&mut self, ack: Option<CommandId>) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.yielded = false;
        loop {
            self.record.settle_loops(Some(self.moment.now));
            let Some(index) = self.next_step() else {
                effects.extend(self.finished(ack));
                return effects;
            };
            if self.has_published_enough() {
                effects.extend(self.yield_turn(ack));
                return effects;
            }
            if self.moment.now >= self.deadline {
                effects.extend(self.end(Outcome::TimedOut, self.timeout_reason(), ack));
                return effects;
            }
            let chosen = match self.is_unexpanded(index) {
                true => self.expand(index).map(|()| None),
                false => self.choose(index),
            };
            match chosen {
                Ok(Some(Call::Host(call))) => {
                    effects.extend(self.send(index, call, ack));
                    return effects;
                }
                Ok(Some(Call::Server(call))) => {
                    if let Some(left) = self.serve(index, call, ack) {
                        effects.extend(left);
                        return effects;
                    }
                }
                Ok(None) => {}
                Err(fault) => {
                    if let Some(ended) = self.step_failed(index, fault, ack) {
                        effects.extend(ended);
                        return effects;
                    }
                }
            }
        }
    }

    /// Does what the server does itself. Returns how the session ends if that ends it.
    fn serve(&mut self, index: usize, call: ServerCall, ack: Option<CommandId>) -> Option<Vec<Effect>> {
        let served = match call {
            ServerCall::Wait(span) => return self.wait(index, span).map(|rest| self.rest(rest, ack)),
            ServerCall::Publish(publish) => self.publish(index, publish),
            ServerCall::Detect(detect) => self.detect(index, detect),
        };
        let fault = served.err()?;
        if Self::is_passing(&fault)
            && let Some(rest) = self.try_again(index, &fault)
        {
            return Some(self.rest(rest, ack));
        }
        self.step_failed(index, fault, ack)
    }

    pub(super) fn timeout_reason(&self) -> Reason {
        let text = match self.is_closing() {
            false => format!("it ran longer than {}", self.record.timeout),
            true => format!("they ran longer than {}", self.record.finally_timeout()),
        };
        Reason::new("job_timeout", text)
    }

    /// All steps have ended.
    pub(super) fn finished(&mut self, ack: Option<CommandId>) -> Vec<Effect> {
        if let Some(ending) = self.record.ending.take() {
            return self.close(ending.outcome, ending.reason, ack);
        }
        let count = |status| {
            let reports = self.record.reports.iter();
            let reports = reports.filter(|report| report.items.is_none());
            reports.filter(|report| report.status == status).count()
        };
        let text = match (count(StepStatus::Failed), count(StepStatus::Skipped)) {
            (0, 0) => "all steps succeeded".to_owned(),
            (0, skipped) => format!("{skipped} steps were skipped, all others succeeded"),
            (failed, _) => format!("{failed} steps failed, all of them allowed to"),
        };
        self.end(Outcome::Succeeded, Reason::new("completed", text), ack)
    }

    /// Sends a step's command; a mutating one only once the intent to is durable.
    pub(super) fn send(&mut self, index: usize, call: VerbCall, ack: Option<CommandId>) -> Vec<Effect> {
        let command_id = CommandId::derive(self.record.job_id, index, self.record.attempt);
        let step = self.record.step(index);
        let timeout = step
            .and_then(|step| step.timeout)
            .unwrap_or(JobSpec::STEP_TIMEOUT_DEFAULT);
        let deadline = self.moment.now.after(timeout).min(self.deadline);
        let mutates = call.verb().effect() == tripline_protocol::verb::Effect::Mutates;
        if let Some(report) = self.record.reports.get_mut(index) {
            report.status = StepStatus::Running;
            report.started_at = Some(self.moment.now);
            report.error = None;
        }
        let intent = |journal_id| Intent {
            step: index,
            command_id,
            journal_id,
        };
        let journal_id = self.moment.journal_id;
        self.record.intent = journal_id.filter(|_| mutates).map(intent);
        let mut effects = Vec::new();
        if self.record.intent.is_some() {
            self.note(index, (command_id, &call), None);
        }
        if self.record.intent.is_some() || ack.is_some() || self.unsaved {
            effects.push(Effect::Persist(self.snapshot()));
        }
        effects.push(Effect::Announce(Box::new(self.record.clone())));
        effects.extend(ack.map(|ack| self.host(ToHostEffect::Ack(ack))));
        if mutates && journal_id.is_none() {
            // The host left between the decision to start and now; nothing was sent.
            effects.extend(self.give_back(None));
            return effects;
        }
        let transfer_id = self.transfer_id(index);
        let execute = Execute {
            command_id,
            session_id: None,
            transfer_id,
            call: call.clone(),
            deadline,
            journal_id: journal_id.filter(|_| mutates),
        };
        effects.push(self.host(ToHostEffect::Execute(execute)));
        self.in_flight = Some(InFlight {
            step: index,
            flight: Flight::new(command_id, transfer_id, call, deadline),
        });
        effects
    }

    /// As if the step that runs had not begun.
    pub(super) fn unbegin(&mut self) {
        for report in &mut self.record.reports {
            if report.status == StepStatus::Running && report.items.is_none() {
                report.status = StepStatus::Pending;
                report.started_at = None;
            }
        }
        self.record.intent = None;
    }

    /// The job waits again for its host, unless it has done so too often.
    pub(super) fn give_back(&mut self, ack: Option<CommandId>) -> Vec<Effect> {
        self.unbegin();
        if self.record.cancel_requested {
            let reason = Reason::new("cancelled", "it was cancelled while its host was away");
            return self.end(Outcome::Cancelled, reason, ack);
        }
        if self.attempts() >= ATTEMPTS_MAX {
            let text = format!("its host went away in each of {ATTEMPTS_MAX} sessions");
            return self.end(Outcome::Interrupted, Reason::new("too_many_attempts", text), ack);
        }
        vec![Effect::End {
            record: self.snapshot(),
            end: SessionEnd::GivenBack,
            ack,
        }]
    }

    /// How often it was begun, without the times a transfer only went on or the job had rested.
    pub(super) fn attempts(&self) -> u32 {
        let others = self.record.pauses + self.record.rests;
        self.record.attempt.saturating_sub(others)
    }

    /// What a step moves, in all attempts until the job begins anew: then nothing goes on where it stopped.
    fn transfer_id(&self, index: usize) -> TransferId {
        let anew = usize::try_from(self.record.retries).unwrap_or(usize::MAX);
        let place = anew.saturating_mul(STEPS_OF_A_TRY).saturating_add(index);
        TransferId::derive(self.record.job_id, place)
    }

    pub(super) fn may_repeat(&self, index: usize) -> bool {
        let step = self.record.step(index);
        step.is_some_and(tripline_protocol::step::Step::may_repeat)
    }
}

//! What a host reports about the command under way, and what that means for the job.

use super::*;

impl Session {
    pub(super) fn report(&mut self, report: Report) -> Vec<Effect> {
        let Some(in_flight) = &mut self.in_flight else {
            return Vec::new();
        };
        match report {
            Report::Lost => {
                in_flight.flight.lost_since.get_or_insert(self.moment.now);
                Vec::new()
            }
            Report::Found => {
                in_flight.flight.lost_since = None;
                Vec::new()
            }
            Report::JournalLost => self.unknown_outcome("journal_lost", None),
            Report::Ended(result, artifact) => self.command_ended(*result, artifact),
        }
    }

    /// Nobody knows whether the command ran: what may be repeated is, anything else ends the job.
    pub(super) fn unknown_outcome(&mut self, code: &str, ack: Option<CommandId>) -> Vec<Effect> {
        let Some(in_flight) = self.in_flight.take() else {
            return Vec::new();
        };
        self.note_end(&in_flight, End::with_code("unknown", code));
        self.record.intent = None;
        let stop = in_flight.flight.stopping.map(|(stop, _)| stop);
        if stop.is_none() && self.may_repeat(in_flight.step) && self.attempts() < ATTEMPTS_MAX {
            return self.again((in_flight.step, code), ack);
        }
        self.mark_interrupted(&in_flight, code);
        if self.goes_on_after(in_flight.step, stop) {
            return self.go_on_quietly(ack);
        }
        if let Some(stop) = stop {
            return self.stopped(stop, ack);
        }
        let text = format!(
            "nobody knows whether {} ran, and it is not run twice",
            in_flight.flight.call.verb()
        );
        self.end(Outcome::Interrupted, Reason::new(code, text), ack)
    }

    /// Begins a step again, under another command.
    fn again(&mut self, (step, why): (usize, &str), ack: Option<CommandId>) -> Vec<Effect> {
        self.pass_attempt(why);
        if let Some(report) = self.record.reports.get_mut(step) {
            report.status = StepStatus::Pending;
        }
        self.next(ack)
    }

    /// The transfer under way was cut, and nothing of it took effect: it goes on where it stopped.
    fn go_on(&mut self, command_id: CommandId) -> Vec<Effect> {
        let Some(in_flight) = self.in_flight.take() else {
            return Vec::new();
        };
        // One that only reads is on record with its end alone, and that is still to come.
        if self.record.intent.take().is_some() {
            self.note_end(&in_flight, End::with_code("failed", CODE_TRANSFER_PAUSED));
        } else {
            self.pass_command(&in_flight, Some(CODE_TRANSFER_PAUSED.to_owned()));
        }
        self.record.pauses += 1;
        let step = (in_flight.step, CODE_TRANSFER_PAUSED);
        self.again(step, Some(command_id))
    }

    pub(super) fn mark_interrupted(&mut self, in_flight: &InFlight, code: &str) {
        if let Some(report) = self.record.reports.get_mut(in_flight.step) {
            report.status = StepStatus::Interrupted;
            report.finished_at = Some(self.moment.now);
            report.error = Some(Fault::server(code, "nobody knows whether the command ran"));
        }
    }

    pub(super) fn command_ended(
        &mut self,
        result: CommandResult,
        artifact: Option<ArtifactRef>,
    ) -> Vec<Effect> {
        let command_id = result.command_id;
        if let Some(fault) = result.error {
            return self.command_failed(bounded(fault, usize::MAX), command_id);
        }
        if artifact.is_none() && self.fetches() {
            return self.command_failed(transfer_cut(), command_id);
        }
        let bytes = result
            .output
            .as_ref()
            .map(crate::record::encode)
            .unwrap_or_default();
        if bytes.len() > OUTPUT_INLINE_BYTES_MAX.min(self.room()) {
            return self.spill(result, bytes);
        }
        self.inline_bytes += bytes.len();
        self.step_succeeded(result, artifact)
    }

    /// Whether the command under way brings a file.
    pub(super) fn fetches(&self) -> bool {
        self.in_flight.as_ref().is_some_and(|now| now.flight.fetches())
    }

    pub(super) fn spill(&mut self, result: CommandResult, bytes: Vec<u8>) -> Vec<Effect> {
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
        in_flight.flight.spilling = Some(result);
        vec![Effect::Spill {
            command_id,
            name,
            bytes,
        }]
    }

    pub(super) fn spilled(&mut self, artifact: Result<ArtifactRef, Fault>) -> Vec<Effect> {
        let Some(result) = self.in_flight.as_mut().and_then(|now| now.flight.spilling.take()) else {
            return Vec::new();
        };
        match artifact {
            Ok(artifact) => {
                let kept = CommandResult {
                    output: None,
                    ..result
                };
                self.step_succeeded(kept, Some(artifact))
            }
            Err(fault) => self.command_failed(fault, result.command_id),
        }
    }

    pub(super) fn step_succeeded(
        &mut self,
        result: CommandResult,
        artifact: Option<ArtifactRef>,
    ) -> Vec<Effect> {
        let Some(in_flight) = self.in_flight.take() else {
            return Vec::new();
        };
        let artifact = artifact.map(|artifact| self.fit_artifact(artifact));
        let end = End {
            result: "succeeded",
            code: None,
            artifact: artifact.clone(),
        };
        self.note_end(&in_flight, end);
        self.record.intent = None;
        if let Some(report) = self.record.reports.get_mut(in_flight.step) {
            report.status = StepStatus::Succeeded;
            report.finished_at = Some(self.moment.now);
            report.output = result.output;
            report.artifact = artifact;
            report.truncated = result.truncated;
        }
        self.record.settle_loops(Some(self.moment.now));
        // Steps for the end do not count: they change nothing of how it ends.
        let over = self.next_step().is_none();
        match in_flight.flight.stopping {
            // It was done before it could be stopped: then it is done.
            Some((stop, _)) if !over && stop != Stop::StepTimeout => {
                self.stopped(stop, Some(result.command_id))
            }
            _ => self.next(Some(result.command_id)),
        }
    }

    pub(super) fn command_failed(&mut self, fault: Fault, command_id: CommandId) -> Vec<Effect> {
        match self.in_flight.as_ref().map(|now| now.flight.fate(&fault)) {
            Some(Fate::Unknown(code)) => {
                return self.unknown_outcome(code, Some(command_id));
            }
            Some(Fate::NotBegun | Fate::Busy) => return self.adopt_again(),
            Some(Fate::Paused) if self.record.pauses < PAUSES_MAX => {
                return self.go_on(command_id);
            }
            Some(Fate::Cut) if self.attempts() < ATTEMPTS_MAX => {
                return self.unknown_outcome(CODE_TRANSFER_CUT, Some(command_id));
            }
            _ => {}
        }
        let Some(in_flight) = self.in_flight.take() else {
            return Vec::new();
        };
        self.record.intent = None;
        let fault = match in_flight.flight.stopping {
            Some((Stop::StepTimeout, _)) if fault.code == CODE_CANCELLED => in_flight.flight.timeout(),
            _ => fault,
        };
        let result = match fault.code.as_str() {
            CODE_CANCELLED => "cancelled",
            _ => "failed",
        };
        self.note_end(&in_flight, End::with_code(result, &fault.code));
        // The agent ends a command at the earlier of two deadlines: that of its step and that of its job.
        let job_over = fault.class == FaultClass::Timeout && in_flight.flight.deadline == self.deadline;
        let over = match in_flight.flight.stopping {
            None => job_over.then_some(Stop::JobTimeout),
            Some((stop, _)) => Some(stop).filter(|stop| *stop != Stop::StepTimeout),
        };
        let ack = Some(command_id);
        if let Some(stop) = over {
            self.mark_failed(in_flight.step, fault);
            return self.stopped(stop, ack);
        }
        if let Some(rest) = self.try_again(in_flight.step, &fault) {
            return self.rest(rest, ack);
        }
        match self.step_failed(in_flight.step, fault, ack) {
            Some(ended) => ended,
            None => self.next(ack),
        }
    }
}

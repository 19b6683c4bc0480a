//! What a host reports about the command under way, and what that means for the job.

use super::stopping::step_timeout;
use super::*;

impl Session {
    pub(super) fn report(&mut self, report: Report, journal_id: Option<Uuid>, now: Timestamp) -> Vec<Effect> {
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
    pub(super) fn unknown_outcome(
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

    pub(super) fn mark_interrupted(&mut self, in_flight: &InFlight, code: &str, now: Timestamp) {
        if let Some(report) = self.record.reports.get_mut(in_flight.step) {
            report.status = StepStatus::Interrupted;
            report.finished_at = Some(now);
            report.error = Some(Fault::server(code, "nobody knows whether the command ran"));
        }
    }

    pub(super) fn command_ended(
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
    pub(super) fn fetches(&self) -> bool {
        let call = self.in_flight.as_ref().map(|in_flight| &in_flight.call);
        matches!(call, Some(VerbCall::GetFile(_) | VerbCall::GetRawFile(_)))
    }

    /// A fault as it fits into the job's result: a host's text may be as long as a frame.
    pub(super) fn bound(&mut self, mut fault: Fault) -> Fault {
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
        in_flight.spilling = Some(result);
        vec![Effect::Spill {
            command_id,
            name,
            bytes,
        }]
    }

    pub(super) fn spilled(
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

    pub(super) fn step_succeeded(
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

    pub(super) fn command_failed(
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
}

//! What a host reports about the command under way, and what that means for it.

use super::super::flight::{bounded, transfer_cut};
use super::*;

impl Session {
    fn flight(&mut self) -> Option<&mut Flight<Stop>> {
        match &mut self.current {
            Some(Current {
                place: Place::Flying(flight),
                ..
            }) => Some(flight),
            _ => None,
        }
    }

    pub(super) fn report(&mut self, report: Report, journal: Journal, now: Timestamp) -> Vec<Effect> {
        let Some(flight) = self.flight() else {
            return Vec::new();
        };
        match report {
            Report::Lost => {
                flight.lost_since.get_or_insert(now);
                Vec::new()
            }
            Report::Found => {
                flight.lost_since = None;
                Vec::new()
            }
            Report::JournalLost => self.unknown_outcome("journal_lost", None, journal, now),
            Report::Ended(result, artifact) => self.ended(*result, artifact, journal, now),
        }
    }

    fn ended(
        &mut self,
        result: CommandResult,
        artifact: Option<ArtifactRef>,
        journal: Journal,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(flight) = self.flight() else {
            return Vec::new();
        };
        let command_id = result.command_id;
        if let Some(fault) = result.error {
            let fault = bounded(fault, OUTPUT_INLINE_BYTES_MAX);
            return self.failed(fault, command_id, journal, now);
        }
        if artifact.is_none() && flight.fetches() {
            return self.failed(transfer_cut(), command_id, journal, now);
        }
        let output = result.output.as_ref();
        let bytes = output.map(crate::record::encode).unwrap_or_default();
        if bytes.len() <= OUTPUT_INLINE_BYTES_MAX {
            return self.succeeded(result, artifact, journal, now);
        }
        flight.spilling = Some(result);
        let number = self.current.as_ref().map_or(0, |current| current.record.number);
        vec![Effect::Spill {
            command_id,
            name: format!("command{number}.json"),
            bytes,
        }]
    }

    pub(super) fn spilled(
        &mut self,
        artifact: Result<ArtifactRef, Fault>,
        journal: Journal,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(result) = self.flight().and_then(|flight| flight.spilling.take()) else {
            return Vec::new();
        };
        match artifact {
            Ok(artifact) => {
                let kept = CommandResult {
                    output: None,
                    ..result
                };
                self.succeeded(kept, Some(artifact), journal, now)
            }
            Err(fault) => self.failed(fault, result.command_id, journal, now),
        }
    }

    /// It was done, even if it was about to be stopped.
    fn succeeded(
        &mut self,
        result: CommandResult,
        artifact: Option<ArtifactRef>,
        journal: Journal,
        now: Timestamp,
    ) -> Vec<Effect> {
        if let Some(Current { record, .. }) = &mut self.current {
            record.output = result.output;
            record.artifact = artifact;
            record.truncated = result.truncated;
        }
        let ack = Some(result.command_id);
        self.finish(CommandState::Succeeded, None, ack, journal, now)
    }

    fn failed(
        &mut self,
        fault: Fault,
        command_id: CommandId,
        journal: Journal,
        now: Timestamp,
    ) -> Vec<Effect> {
        let ack = Some(command_id);
        let Some(flight) = self.flight() else {
            return Vec::new();
        };
        match flight.fate(&fault) {
            Fate::Unknown(code) => return self.unknown_outcome(code, ack, journal, now),
            Fate::Cut => return self.unknown_outcome(CODE_TRANSFER_CUT, ack, journal, now),
            Fate::Paused => return self.go_on(fault, ack, journal, now),
            Fate::NotBegun => return self.adopt_again(now),
            Fate::Failed | Fate::Busy => {}
        }
        // A transfer that was cut while it was being ended did nothing, and does not go on.
        let ended = [CODE_CANCELLED, CODE_TRANSFER_PAUSED].contains(&fault.code.as_str());
        match flight.stopping {
            Some((Stop::Cancelled, _)) if ended => {
                self.finish(CommandState::Cancelled, Some(cancelled()), ack, journal, now)
            }
            Some((Stop::Deadline, _)) if ended => {
                let fault = flight.timeout();
                self.finish(CommandState::Failed, Some(fault), ack, journal, now)
            }
            _ => self.finish(CommandState::Failed, Some(fault), ack, journal, now),
        }
    }

    /// The transfer was cut, and nothing of it took effect: it goes on where it stopped.
    fn go_on(
        &mut self,
        fault: Fault,
        ack: Option<CommandId>,
        journal: Journal,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(Current { mut record, place }) = self.current.take() else {
            return Vec::new();
        };
        if record.pauses >= PAUSES_MAX {
            self.current = Some(Current { record, place });
            return self.finish(CommandState::Failed, Some(fault), ack, journal, now);
        }
        record.pauses += 1;
        self.start(record, journal, now, ack)
    }

    /// Nobody knows whether the command ran: what may be repeated is, anything else fails.
    pub(super) fn unknown_outcome(
        &mut self,
        code: &str,
        ack: Option<CommandId>,
        journal: Journal,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(Current {
            record,
            place: Place::Flying(flight),
        }) = &self.current
        else {
            return Vec::new();
        };
        let (mutates, stopping) = (record.mutates(), flight.stopping.map(|(stop, _)| stop));
        let again = record.may_repeat() && record.attempts() < ATTEMPTS_MAX;
        match stopping {
            None if again => {
                let Some(Current { record, .. }) = self.current.take() else {
                    return Vec::new();
                };
                self.start(record, journal, now, ack)
            }
            Some(Stop::Cancelled) if !mutates => {
                self.finish(CommandState::Cancelled, Some(cancelled()), ack, journal, now)
            }
            Some(Stop::Deadline) if !mutates => {
                let fault = flight.timeout();
                self.finish(CommandState::Failed, Some(fault), ack, journal, now)
            }
            None if !mutates => {
                let text = format!("it was begun {ATTEMPTS_MAX} times and never ended ({code})");
                let fault = Fault::server("too_many_attempts", text);
                self.finish(CommandState::Failed, Some(fault), ack, journal, now)
            }
            _ => {
                let fault = interrupted(record, code);
                self.finish(CommandState::Failed, Some(fault), ack, journal, now)
            }
        }
    }
}

/// It was ended because its caller wanted so.
pub(super) fn cancelled() -> Fault {
    Fault::server(CODE_CANCELLED, "it was cancelled")
}

/// Nobody knows whether it ran.
fn interrupted(record: &CommandRecord, code: &str) -> Fault {
    let verb = record.call.verb();
    let text = format!("nobody knows whether {verb} ran, and it is not run twice ({code})");
    Fault::server(tripline_protocol::frame::CODE_INTERRUPTED, text)
}

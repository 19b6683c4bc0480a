//! What a session has behind it, for traces.

use super::*;
use crate::trace::Passed;

impl Session {
    /// A command is over; `failed` says why, if it failed.
    pub(super) fn pass_command(&mut self, in_flight: &InFlight, failed: Option<String>) {
        let Some(report) = self.record.reports.get(in_flight.step) else {
            return;
        };
        let passed = Passed::Command {
            command_id: in_flight.flight.command_id,
            attempt: self.record.attempt,
            step: report.id.clone(),
            verb: in_flight.flight.call.verb(),
            began_at: report.started_at.unwrap_or(self.moment.now),
            ended_at: self.moment.now,
            failed,
        };
        self.record.passed.push(passed);
    }

    /// An attempt is over, and the next one begins.
    pub(super) fn pass_attempt(&mut self, why: &str) {
        let number = self.record.attempt;
        if let Some(began_at) = self.record.attempt_at {
            self.record.passed.push(Passed::Attempt {
                number,
                began_at,
                ended_at: self.moment.now,
                why: why.to_owned(),
            });
        }
        self.record.attempt += 1;
        self.record.attempt_at = Some(self.moment.now);
    }
}

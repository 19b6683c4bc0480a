//! Waiting for a time: the job gives its slot back and keeps its number. A step that waits, and one that failed and
//! is tried again.

use super::*;
use crate::clock::clock_text;
use crate::retry::{BACKING_OFF, backoff, chance};
use tripline_protocol::step::StepReport;

/// Why a job waits that a step tells to.
const WAIT: &str = "wait";

impl Session {
    /// Gives the slot back until then. The time that the job may run goes on.
    pub(super) fn rest(&mut self, rest: Rest, ack: Option<CommandId>) -> Vec<Effect> {
        self.record.rest = Some(rest);
        self.record.rests += 1;
        self.record.deadline = Some(self.deadline);
        vec![Effect::End {
            record: self.snapshot(),
            end: SessionEnd::Rests,
            ack,
        }]
    }

    /// Begins or goes on with a step that waits: until when, or `None` when that is over.
    pub(super) fn wait(&mut self, index: usize, span: Span) -> Option<Rest> {
        let now = self.moment.now;
        let report = self.record.reports.get_mut(index)?;
        report.status = StepStatus::Running;
        let until = report.started_at.get_or_insert(now).after(span);
        if now >= until {
            report.status = StepStatus::Succeeded;
            report.finished_at = Some(now);
            return None;
        }
        let text = format!("step {} waits until {}", report.id, clock_text(until));
        Some(Rest {
            not_before: until,
            reason: Reason::new(WAIT, text),
        })
    }

    /// What the step that failed waits for, if it is tried again. What its host cannot do at all it cannot do later.
    pub(super) fn try_again(&mut self, index: usize, fault: &Fault) -> Option<Rest> {
        let retry = self.record.step(index)?.retry.as_ref()?;
        let report = self.record.reports.get(index)?;
        let tries = report.tries.unwrap_or(1);
        if tries >= retry.attempts || fault.class == FaultClass::Unsupported {
            return None;
        }
        let wait = backoff(retry, tries, chance(self.record.job_id, Some(index), tries));
        let not_before = self.moment.now.after(wait);
        if not_before >= self.deadline {
            return None;
        }
        let text = format!(
            "try {tries} of {} of step {} failed: {}; the next begins at {}",
            retry.attempts,
            report.id,
            fault.text,
            clock_text(not_before)
        );
        let again = StepReport {
            tries: Some(tries + 1),
            error: Some(fault.clone()),
            ..StepReport::pending(report.id.clone(), report.verb)
        };
        if let Some(report) = self.record.reports.get_mut(index) {
            *report = again;
        }
        Some(Rest {
            not_before,
            reason: Reason::new(BACKING_OFF, text),
        })
    }
}

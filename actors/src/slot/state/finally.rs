//! The steps of `finally`: they run once the job's own steps are over, however they went, while the host is there.
//! How the job ends is decided before them. Where the host is not there at this moment, the scheduler lets the job wait
//! for it.

use super::*;
use tripline_protocol::step::StepReport;

impl Session {
    /// Whether the session's host can be reached.
    pub(super) fn is_host_there(&self) -> bool {
        self.moment.journal_id.is_some()
    }

    /// Only these steps are left.
    pub(super) fn is_closing(&self) -> bool {
        self.record.ending.is_some()
    }

    /// Begins them, in the time that is theirs.
    pub(super) fn finally(&mut self, ack: Option<CommandId>) -> Vec<Effect> {
        self.deadline = self.moment.now.after(self.record.finally_timeout());
        self.unsaved = true;
        self.next(ack)
    }

    /// The first step that has not ended: of the job's own, or of these once those are over.
    pub(super) fn next_step(&self) -> Option<usize> {
        let closing = self.is_closing();
        let open = |report: &StepReport| match report.status {
            StepStatus::Pending => true,
            // One over a list runs while its elements do.
            StepStatus::Running => report.items.is_none(),
            _ => false,
        };
        let mut reports = self.record.reports.iter();
        reports.position(|report| report.finally == closing && open(report))
    }

    /// Ends the job: nothing is left of these.
    pub(super) fn close(&mut self, outcome: Outcome, reason: Reason, ack: Option<CommandId>) -> Vec<Effect> {
        vec![Effect::End {
            record: self.snapshot(),
            end: SessionEnd::Closed(outcome, reason),
            ack,
        }]
    }

    /// Whether the next of them runs when nobody knows how this one ended, which may have been stopped because its time was
    /// over. Where it may still run, its host is sent no other before it confirms the end of this one.
    pub(super) fn goes_on_after(&self, index: usize, stop: Option<Stop>) -> bool {
        let is_stopped = stop.is_some_and(|stop| stop != Stop::StepTimeout);
        self.fails_quietly(index) && !is_stopped && self.is_host_there()
    }

    /// Goes on with the next of them; how this one ended is durable before.
    pub(super) fn go_on_quietly(&mut self, ack: Option<CommandId>) -> Vec<Effect> {
        self.unsaved = true;
        self.next(ack)
    }

    /// A step failed that the job's end does not depend on.
    pub(super) fn fails_quietly(&self, index: usize) -> bool {
        let report = self.record.reports.get(index);
        report.is_some_and(|report| report.finally)
    }
}

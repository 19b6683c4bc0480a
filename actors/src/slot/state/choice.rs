//! Which way a job goes: steps that are not wanted, and failures that end it or lead to a later step.

use super::*;

/// Why a step is skipped that a failure leads past.
const JUMPED_OVER: &str = "jumped_over";

impl Session {
    /// What a step does, or `None` when it is not wanted and is skipped. `Err`: it fails before it is sent.
    pub(super) fn choose(&mut self, index: usize) -> Result<Option<Call>, Fault> {
        let report = self.record.reports.get(index);
        let waits =
            report.is_some_and(|report| report.verb.host().is_none() && report.status == StepStatus::Running);
        let unwanted = match waits {
            true => None,
            false => unwanted(&self.record, index)?,
        };
        match unwanted {
            None => render(&self.record, index).map(Some),
            Some(reason) => {
                if let Some(report) = self.record.reports.get_mut(index) {
                    report.skip(reason);
                }
                Ok(None)
            }
        }
    }

    /// Marks a step failed. Returns what the job's failure would say.
    pub(super) fn mark_failed(&mut self, index: usize, fault: Fault) -> Reason {
        let Some(report) = self.record.reports.get_mut(index) else {
            return Reason::new("bad_record", "no such step");
        };
        let text = format!("step {} failed: {}", report.id, fault.text);
        report.status = StepStatus::Failed;
        report.started_at.get_or_insert(self.moment.now);
        report.finished_at = Some(self.moment.now);
        report.error = Some(fault);
        Reason::new("step_failed", text)
    }

    /// A step failed for good. Returns how the job ends if that ends it.
    pub(super) fn step_failed(
        &mut self,
        index: usize,
        fault: Fault,
        ack: Option<CommandId>,
    ) -> Option<Vec<Effect>> {
        let reason = self.mark_failed(index, fault);
        if self.fails_quietly(index) {
            return None;
        }
        let step = self.record.step(index);
        let reason = match step.map(|step| step.on_error.clone()).unwrap_or_default() {
            OnError::Continue => return None,
            OnError::Goto(target) if self.jump(index, &target) => return None,
            OnError::Goto(_) => Reason::new("bad_record", "it goes on with a step that is not there"),
            OnError::Fail => reason,
        };
        Some(self.end(Outcome::Failed, reason, ack))
    }

    /// Skips what is between a failed step and the one that the job goes on with; `false` when that is not there.
    fn jump(&mut self, from: usize, target: &Name) -> bool {
        let later = self.record.reports.iter().skip(from + 1);
        let Some(between) = later.clone().position(|report| report.id == target.as_str()) else {
            return false;
        };
        let failed = self.record.reports.get(from);
        let failed = failed.map_or("", |report| report.id.as_str());
        let reason = Reason::new(
            JUMPED_OVER,
            format!("step {failed} failed, and the job went on with {target}"),
        );
        let over = self.record.reports.iter_mut().skip(from + 1).take(between);
        over.filter(|report| report.status == StepStatus::Pending)
            .for_each(|report| report.skip(reason.clone()));
        true
    }
}

//! Steps that run over a list: once it is known, a step and a report for each of its elements stand behind the step's
//! own.

use super::JobRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tripline_protocol::Timestamp;
use tripline_protocol::job::Reason;
use tripline_protocol::step::{Step, StepReport, StepStatus};

/// The list of a step, as it was when the step was reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Loop {
    /// Index of the step. Those of its elements follow it.
    pub(crate) at: usize,
    pub(crate) items: Vec<Value>,
}

impl Loop {
    /// Bytes of its elements as JSON.
    pub(crate) fn len_bytes(&self) -> usize {
        super::encode(&self.items).len()
    }

    fn holds(&self, index: usize) -> bool {
        (self.at + 1..=self.at + self.items.len()).contains(&index)
    }
}

/// How a step over a list went, from how its elements did; `None`: it goes on.
fn outcome(items: &[StepReport]) -> Option<StepStatus> {
    let any = |status| items.iter().any(|report| report.status == status);
    if any(StepStatus::Pending) || any(StepStatus::Running) {
        return None;
    }
    Some(if any(StepStatus::Failed) || any(StepStatus::Interrupted) {
        StepStatus::Failed
    } else if any(StepStatus::Succeeded) {
        StepStatus::Succeeded
    } else {
        StepStatus::Skipped
    })
}

impl JobRecord {
    /// The element that a step is for, and its place in its list.
    pub(crate) fn item_of(&self, index: usize) -> Option<(&Value, usize)> {
        let list = self.loops.iter().find(|list| list.holds(index))?;
        let place = index.checked_sub(list.at + 1)?;
        Some((list.items.get(place)?, place))
    }

    /// Bytes of all lists that are known.
    pub(crate) fn loops_len_bytes(&self) -> usize {
        self.loops.iter().map(Loop::len_bytes).sum()
    }

    /// Puts a step for each element behind the step at `at`; `keep_condition`: each asks its condition itself.
    pub(crate) fn expand(&mut self, at: usize, items: Vec<Value>, keep_condition: bool, now: Timestamp) {
        let (Some(step), Some(report)) = (self.steps.get(at), self.reports.get_mut(at)) else {
            return;
        };
        let of_item = |number: usize| Step {
            id: Some(format!("{}-{number}", report.id)),
            when: step.when.clone().filter(|_| keep_condition),
            for_each: None,
            ..step.clone()
        };
        let steps: Vec<Step> = (1..=items.len()).map(of_item).collect();
        let pending = |step: &Step| StepReport::pending(step.id.clone().unwrap_or_default(), step.verb);
        let reports: Vec<StepReport> = steps.iter().map(pending).collect();
        report.items = Some(u32::try_from(items.len()).unwrap_or(u32::MAX));
        report.started_at = Some(now);
        report.status = StepStatus::Running;
        if items.is_empty() {
            report.skip(Reason::new("no_items", "its list is empty"));
        }
        self.steps.splice(at + 1..at + 1, steps);
        self.reports.splice(at + 1..at + 1, reports);
        self.loops.push(Loop { at, items });
    }

    /// Takes all elements out again.
    pub(crate) fn fold_loops(&mut self) {
        while let Some(list) = self.loops.pop() {
            let range = list.at + 1..list.at + 1 + list.items.len();
            if range.end <= self.steps.len() {
                self.steps.drain(range);
            }
        }
    }

    /// Notes how steps over lists went, of which no element is left to run.
    pub(crate) fn settle_loops(&mut self, now: Option<Timestamp>) {
        for list in &self.loops {
            let Some((report, rest)) = self.reports.get_mut(list.at..).and_then(<[_]>::split_first_mut)
            else {
                continue;
            };
            let items = rest.get(..list.items.len()).unwrap_or_default();
            if report.status == StepStatus::Running
                && let Some(status) = outcome(items)
            {
                report.status = status;
                report.finished_at = now;
            }
        }
    }

    /// The report at `index` with those of its elements, and the index of the next that is no element of it.
    pub(crate) fn with_items(&self, index: usize) -> (&[StepReport], usize) {
        let report = self.reports.get(index);
        let count = report.and_then(|report| report.items).unwrap_or(0) as usize;
        let items = self.reports.get(index + 1..index + 1 + count).unwrap_or_default();
        (items, index + 1 + items.len())
    }
}

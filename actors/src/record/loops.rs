//! Steps that run over a list: once it is known, a report for each of its elements stands behind the step's own. The
//! elements share their step, which may be long.

use super::JobRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tripline_protocol::Timestamp;
use tripline_protocol::job::Reason;
use tripline_protocol::step::{Step, StepReport, StepStatus, When};

/// The list of a step, as it was when the step was reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Loop {
    /// Index of the step's report. Those of its elements follow it.
    pub(crate) at: usize,
    pub(crate) items: Vec<Value>,
    /// Each element asks the step's condition itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) each_asks: bool,
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
    /// The step that the report at `index` is of.
    pub(crate) fn step(&self, index: usize) -> Option<&Step> {
        // Elements up to the report have no step of their own.
        let elements = |list: &Loop| list.items.len().min(index.saturating_sub(list.at));
        let elements: usize = self.loops.iter().map(elements).sum();
        self.steps.get(index.checked_sub(elements)?)
    }

    fn list_of(&self, index: usize) -> Option<&Loop> {
        self.loops.iter().find(|list| list.holds(index))
    }

    /// What the step at `index` asks before it runs. An element asks nothing when its step has asked for all of them.
    pub(crate) fn condition(&self, index: usize) -> Option<&When> {
        let asks = self.list_of(index).is_none_or(|list| list.each_asks);
        self.step(index)?.when.as_ref().filter(|_| asks)
    }

    /// The element that a step is for, and its place in its list.
    pub(crate) fn item_of(&self, index: usize) -> Option<(&Value, usize)> {
        let list = self.list_of(index)?;
        let place = index.checked_sub(list.at + 1)?;
        Some((list.items.get(place)?, place))
    }

    /// Bytes of all lists that are known.
    pub(crate) fn loops_len_bytes(&self) -> usize {
        self.loops.iter().map(Loop::len_bytes).sum()
    }

    /// Puts a report for each element behind that at `at`; `each_asks`: each asks the condition itself.
    pub(crate) fn expand(&mut self, at: usize, items: Vec<Value>, each_asks: bool, now: Timestamp) {
        let Some(report) = self.reports.get_mut(at) else {
            return;
        };
        let (id, verb) = (report.id.clone(), report.verb);
        let of_item = |number: usize| StepReport::pending(format!("{id}-{number}"), verb);
        let reports: Vec<StepReport> = (1..=items.len()).map(of_item).collect();
        report.items = Some(u32::try_from(items.len()).unwrap_or(u32::MAX));
        report.started_at = Some(now);
        report.status = StepStatus::Running;
        if items.is_empty() {
            report.skip(Reason::new("no_items", "its list is empty"));
        }
        self.reports.splice(at + 1..at + 1, reports);
        self.loops.push(Loop { at, items, each_asks });
    }

    /// Takes out the copies of steps that a version before put behind them, one for each element.
    pub(crate) fn fold_copies(&mut self) {
        if self.steps.len() != self.reports.len() {
            return;
        }
        let steps = &mut self.steps;
        for list in self.loops.iter_mut().rev().filter(|list| !list.items.is_empty()) {
            let copies = list.at + 1..list.at + 1 + list.items.len();
            list.each_asks = steps.get(copies.start).is_some_and(|copy| copy.when.is_some());
            if copies.end <= steps.len() {
                steps.drain(copies);
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

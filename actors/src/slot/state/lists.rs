//! Steps that run over a list: their list is made known, and made durable, before the first of its elements begins.

use super::super::run::{is_wanted_by_items, list_of};
use super::*;
use crate::pipeline::LOOP_BYTES_MAX;
use serde_json::Value;
use tripline_protocol::limit::STEPS_EXPANDED_MAX;

/// A list that is longer than it may be.
const TOO_MANY_ITEMS: &str = "too_many_items";

impl Session {
    /// Whether a step runs over a list that is not known yet.
    pub(super) fn is_unexpanded(&self, index: usize) -> bool {
        let step = self.record.step(index);
        let report = self.record.reports.get(index);
        step.is_some_and(|step| step.for_each.is_some())
            && self.record.item_of(index).is_none()
            && report.is_some_and(|report| report.items.is_none())
    }

    /// Makes the list of a step known, or skips the step. `Err`: the step fails.
    pub(super) fn expand(&mut self, index: usize) -> Result<(), Fault> {
        let each_asks = match is_wanted_by_items(&self.record, index)? {
            Ok(each_asks) => each_asks,
            Err(reason) => {
                if let Some(report) = self.record.reports.get_mut(index) {
                    report.skip(reason);
                }
                return Ok(());
            }
        };
        let (items, max) = list_of(&self.record, index)?;
        self.check_list(&items, max)?;
        self.record.expand(index, items, each_asks, self.moment.now);
        self.unsaved = true;
        Ok(())
    }

    fn check_list(&self, items: &[Value], max: u32) -> Result<(), Fault> {
        let count = items.len();
        if count > max as usize {
            let text = format!("its list has {count} elements, at most {max} are taken");
            return Err(Fault::server(TOO_MANY_ITEMS, text));
        }
        if self.record.reports.len() + count > STEPS_EXPANDED_MAX {
            let text =
                format!("with its list of {count} elements the job has more than {STEPS_EXPANDED_MAX} steps");
            return Err(Fault::server(TOO_MANY_ITEMS, text));
        }
        let bytes = crate::record::encode(&items).len() + self.record.loops_len_bytes();
        if bytes > LOOP_BYTES_MAX {
            let text = format!("the job's lists have {bytes} bytes, at most {LOOP_BYTES_MAX} are taken");
            return Err(Fault::server("too_large", text));
        }
        Ok(())
    }

    /// How much of outputs and faults stays inline: a job with many steps has long reports anyhow.
    pub(super) fn inline_bytes_max(&self) -> usize {
        let more = self.record.reports.len().saturating_sub(REPORTS_OF_A_JOB);
        OUTPUTS_INLINE_BYTES_MAX.saturating_sub(more * REPORT_BYTES)
    }
}

/// Reports that leave room for all outputs that stay inline.
const REPORTS_OF_A_JOB: usize = 80;
/// About as much has one report beyond those.
const REPORT_BYTES: usize = 1024;

//! How much of what steps bring stays in their reports: the result of a job must not become too large, whatever its
//! hosts say. What is left of the room is counted from the reports themselves.

use super::*;
use crate::record::encode;
use tripline_protocol::limit::{RESULT_BYTES_MAX, STEPS_EXPANDED_MAX};
use tripline_protocol::step::StepReport;

/// What a result has beside the reports, at most.
const RESULT_FRAME_BYTES: usize = 24 * 1024;
/// What a report has at most beside what is counted: its words and times, and as much as is told of its end when the
/// result is full.
const REPORT_BYTES: usize = 576;
/// In the place of a text for which there is no room.
const LEFT_OUT: &str = "left out: the result is full";
/// Characters that are kept then of a fault's code and a file's name.
const LEAST_CODE_CHARS: usize = 32;
const LEAST_NAME_CHARS: usize = 16;

impl Session {
    /// How much of outputs, errors and reasons stays inline: less in a job that has many reports, or may have them once
    /// all its lists are known.
    fn inline_bytes_max(&self) -> usize {
        let lists = self.record.steps.iter().filter(|step| step.for_each.is_some());
        let reports = match lists.count() > self.record.loops.len() {
            true => STEPS_EXPANDED_MAX,
            false => self.record.reports.len(),
        };
        let others = RESULT_FRAME_BYTES + reports * REPORT_BYTES;
        OUTPUTS_INLINE_BYTES_MAX.min(RESULT_BYTES_MAX.saturating_sub(others))
    }

    /// What is left of that.
    pub(super) fn room(&self) -> usize {
        let told: usize = self.record.reports.iter().map(told_len).sum();
        self.inline_bytes_max().saturating_sub(self.inline_bytes + told)
    }

    /// A fault as it fits into a report.
    pub(super) fn fit_fault(&self, fault: Fault) -> Fault {
        let room = self.room();
        let mut fault = bounded(fault, room);
        if encode(&fault).len() > room {
            fault.code = fault.code.chars().take(LEAST_CODE_CHARS).collect();
            LEFT_OUT.clone_into(&mut fault.text);
        }
        fault
    }

    /// A file as it fits into a report.
    pub(super) fn fit_artifact(&self, mut artifact: ArtifactRef) -> ArtifactRef {
        if encode(&artifact).len() > self.room() {
            artifact.name = artifact.name.chars().take(LEAST_NAME_CHARS).collect();
        }
        artifact
    }

    /// A step does not run, for this reason as it fits.
    pub(super) fn skip(&mut self, index: usize, mut reason: Reason) {
        if encode(&reason).len() > self.room() {
            LEFT_OUT.clone_into(&mut reason.text);
        }
        if let Some(report) = self.record.reports.get_mut(index) {
            report.skip(reason);
        }
    }
}

/// Bytes of what a report tells of its end beside an output.
fn told_len(report: &StepReport) -> usize {
    let error = report.error.as_ref().map_or(0, |error| encode(error).len());
    let reason = report.reason.as_ref().map_or(0, |reason| encode(reason).len());
    let artifact = report.artifact.as_ref();
    error + reason + artifact.map_or(0, |artifact| encode(artifact).len())
}

//! Rendering a step: its arguments, with the outputs of earlier steps where they mention them.

use crate::pipeline::{is_late, render_late};
use crate::record::JobRecord;
use serde_json::{Map, Value, json};
use tripline_protocol::Fault;
use tripline_protocol::verb::VerbCall;

/// A step ready to be sent, or failed before it was.
#[derive(Debug)]
pub(super) enum Rendered {
    Call(VerbCall),
    Failed(Fault),
}

/// Renders step `index`. `Err` only when the record has no such step.
pub(super) fn render(record: &JobRecord, index: usize) -> Result<Rendered, Fault> {
    let step = record
        .steps
        .get(index)
        .ok_or_else(|| Fault::server("bad_record", "no such step"))?;
    let args = if is_late(&step.args) {
        match render_late(&step.args, &outputs(record)) {
            Ok(args) => args,
            Err(error) => return Ok(Rendered::Failed(Fault::server(error.code(), error.to_string()))),
        }
    } else {
        step.args.clone()
    };
    Ok(match VerbCall::parse(step.verb, args) {
        Ok(call) => Rendered::Call(call),
        Err(error) => Rendered::Failed(Fault::unsupported("bad_argument", error.to_string())),
    })
}

/// What templates see as `steps`.
fn outputs(record: &JobRecord) -> Map<String, Value> {
    let entry = |report: &tripline_protocol::step::StepReport| {
        let seen = json!({
            "status": report.status,
            "output": report.output,
            "artifact": report.artifact,
            "error": report.error,
        });
        (report.id.clone(), seen)
    };
    record.reports.iter().map(entry).collect()
}

//! What a step is when it is about to run: whether it is wanted, and its arguments, with the outputs of earlier steps
//! where they are mentioned.

use crate::pipeline::{RenderError, StepFacts, holds_late, is_late, render_late};
use crate::record::{JobRecord, condition_false};
use serde_json::{Map, Value, json};
use tripline_protocol::Fault;
use tripline_protocol::job::Reason;
use tripline_protocol::step::{ServerCall, Step, StepReport, StepVerb, When};
use tripline_protocol::verb::VerbCall;

fn step(record: &JobRecord, index: usize) -> Result<&Step, Fault> {
    let step = record.steps.get(index);
    step.ok_or_else(|| Fault::server("bad_record", "no such step"))
}

fn failed(error: &RenderError) -> Fault {
    Fault::server(error.code(), error.to_string())
}

/// Why step `index` is not to run, if it is not. `Err`: its condition has no value, and it fails.
pub(super) fn unwanted(record: &JobRecord, index: usize) -> Result<Option<Reason>, Fault> {
    let condition = match &step(record, index)?.when {
        None => return Ok(None),
        Some(When::No { no }) => return Ok(Some(condition_false(no))),
        Some(When::Late(condition)) => condition,
    };
    match holds_late(condition, &facts(record)) {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(condition_false(condition))),
        Err(error) => Err(failed(&error)),
    }
}

/// What a step does, ready to be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Call {
    Host(VerbCall),
    Server(ServerCall),
}

/// The call of step `index`. `Err`: it fails before it is sent.
pub(super) fn render(record: &JobRecord, index: usize) -> Result<Call, Fault> {
    let step = step(record, index)?;
    let args = match is_late(&step.args) {
        true => render_late(&step.args, &facts(record)).map_err(|error| failed(&error))?,
        false => step.args.clone(),
    };
    let call = match step.verb {
        StepVerb::Host(verb) => VerbCall::parse(verb, args)
            .map(Call::Host)
            .map_err(|error| error.to_string()),
        StepVerb::Server(verb) => ServerCall::parse(verb, args)
            .map(Call::Server)
            .map_err(|error| error.to_string()),
    };
    call.map_err(|reason| Fault::unsupported("bad_argument", reason))
}

/// What conditions and templates see.
fn facts(record: &JobRecord) -> StepFacts {
    let entry = |report: &StepReport| (report.id.clone(), seen(report));
    StepFacts::over(record.reports.iter().map(entry).collect())
}

fn seen(report: &StepReport) -> Value {
    let mut seen = Map::from_iter([("status".to_owned(), json!(report.status))]);
    seen.extend(report.output.clone().map(|output| ("output".to_owned(), output)));
    seen.extend(
        report
            .artifact
            .as_ref()
            .map(|artifact| ("artifact".to_owned(), json!(artifact))),
    );
    seen.extend(
        report
            .error
            .as_ref()
            .map(|error| ("error".to_owned(), json!(error))),
    );
    Value::Object(seen)
}

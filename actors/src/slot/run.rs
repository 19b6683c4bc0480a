//! What a step is when it is about to run: whether it is wanted, and its arguments, with the outputs of earlier steps
//! where they are mentioned.

use crate::pipeline::{RenderError, StepFacts, holds_for_all, holds_late, is_late, render_late};
use crate::record::{JobRecord, condition_false};
use serde_json::{Map, Value, json};
use tripline_protocol::Fault;
use tripline_protocol::job::Reason;
use tripline_protocol::step::{ServerCall, Step, StepReport, StepVerb, When};
use tripline_protocol::verb::VerbCall;

fn step(record: &JobRecord, index: usize) -> Result<&Step, Fault> {
    let step = record.step(index);
    step.ok_or_else(|| Fault::server("bad_record", "no such step"))
}

fn failed(error: &RenderError) -> Fault {
    Fault::server(error.code(), error.to_string())
}

/// Why step `index` is not to run, if it is not. `Err`: its condition has no value, and it fails.
pub(super) fn unwanted(record: &JobRecord, index: usize) -> Result<Option<Reason>, Fault> {
    let condition = match record.condition(index) {
        None => return Ok(None),
        Some(When::No { no }) => return Ok(Some(condition_false(no))),
        Some(When::Late(condition)) => condition,
    };
    match holds_late(condition, &facts(record, index)) {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(condition_false(condition))),
        Err(error) => Err(failed(&error)),
    }
}

/// Whether a step over a list is wanted before the list is looked at: `Ok` says whether each element asks the
/// condition itself, the inner `Err` why it is not wanted.
pub(super) fn is_wanted_by_items(record: &JobRecord, index: usize) -> Result<Result<bool, Reason>, Fault> {
    let condition = match &step(record, index)?.when {
        None => return Ok(Ok(false)),
        Some(When::No { no }) => return Ok(Err(condition_false(no))),
        Some(When::Late(condition)) => condition,
    };
    match holds_for_all(condition, &facts(record, index)) {
        Ok(None) => Ok(Ok(true)),
        Ok(Some(true)) => Ok(Ok(false)),
        Ok(Some(false)) => Ok(Err(condition_false(condition))),
        Err(error) => Err(failed(&error)),
    }
}

/// The list that a step runs over, and how long it may be.
pub(super) fn list_of(record: &JobRecord, index: usize) -> Result<(Vec<Value>, u32), Fault> {
    let for_each = step(record, index)?.for_each.as_ref();
    let for_each = for_each.ok_or_else(|| Fault::server("bad_record", "it runs over no list"))?;
    let items = match is_late(&for_each.items) {
        true => render_late(&for_each.items, &facts(record, index)).map_err(|error| failed(&error))?,
        false => for_each.items.clone(),
    };
    match items {
        Value::Array(items) => Ok((items, for_each.max)),
        _ => Err(Fault::server("bad_argument", "for_each needs a list")),
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
        true => render_late(&step.args, &facts(record, index)).map_err(|error| failed(&error))?,
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

/// What conditions and templates of step `index` see.
fn facts(record: &JobRecord, index: usize) -> StepFacts {
    let (mut steps, mut at) = (Map::new(), 0);
    while let Some(report) = record.reports.get(at) {
        let (items, next) = record.with_items(at);
        let mut own = seen(report);
        if report.items.is_some()
            && let Value::Object(own) = &mut own
        {
            own.insert("items".to_owned(), items.iter().map(seen).collect());
        }
        steps.insert(report.id.clone(), own);
        at = next;
    }
    let facts = StepFacts::over(steps).with_vars(record.vars.clone());
    match record.item_of(index) {
        Some((item, place)) => facts.at(item.clone(), place),
        None => facts,
    }
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

//! Arguments over `steps.*`, rendered just before their step runs, and job specifications that come over
//! the API.
//!
//! A late argument is kept as `{"$late": "text"}`. Only a file's own text and a submitted specification's
//! own text are ever marked so: whatever an event, a host, a parameter or a step's output says is data,
//! and a map with that key in it is refused. So an event that contains `{{ … }}` runs nothing.

use super::facts::StepFacts;
use super::render_error::{Cause, RenderError};
use super::server_step::wait_problem;
use super::template::{Budget, Scope, Template, from_json, has_template};
use super::when::{check_submitted, goto_problem};
use serde_json::{Map, Value};
use std::collections::HashSet;
use tripline_protocol::Name;
use tripline_protocol::job::JobSpec;
use tripline_protocol::limit::STEPS_MAX;
use tripline_protocol::step::{Retry, ServerCall, Step, StepVerb};
use tripline_protocol::verb::{Verb, VerbCall};

/// The key of a map that stands for a late argument.
pub(super) const MARKER: &str = "$late";
/// Most bytes that rendering a job, or a late step, may give.
pub(super) const RENDERED_BYTES_MAX: usize = 256 * 1024;

/// A late argument with this text.
pub(super) fn mark(text: &str) -> Value {
    Value::Object(Map::from_iter([(
        MARKER.to_owned(),
        Value::String(text.to_owned()),
    )]))
}

fn marked(map: &Map<String, Value>) -> Option<&str> {
    if map.len() == 1 {
        map.get(MARKER).and_then(Value::as_str)
    } else {
        None
    }
}

/// Refuses data that would pass for a late argument.
pub(super) fn refuse_marked(value: &Value) -> Result<(), RenderError> {
    let inside = |value: &Value| refuse_marked(value);
    match value {
        Value::Array(items) => items.iter().try_for_each(inside),
        Value::Object(map) if map.contains_key(MARKER) => Err(RenderError::bad_argument(format!(
            "the key {MARKER:?} is reserved"
        ))),
        Value::Object(map) => map.values().try_for_each(inside),
        _ => Ok(()),
    }
}

/// A step's id: the one given, else `step<N>` where `index` 0 is `step1`.
pub fn step_id(step: &Step, index: usize) -> String {
    step.id.clone().unwrap_or_else(|| implicit_id(index))
}

pub(super) fn implicit_id(index: usize) -> String {
    format!("step{}", index + 1)
}

/// Whether arguments contain a template over `steps.*` and must go through [`render_late`] before they are
/// read.
pub fn is_late(args: &Value) -> bool {
    match args {
        Value::Array(items) => items.iter().any(is_late),
        Value::Object(map) => marked(map).is_some() || map.values().any(is_late),
        _ => false,
    }
}

/// Renders a step's late arguments over what it knows; the result holds no template and must pass
/// `VerbCall::parse`.
///
/// # Errors
///
/// `missing_field` when an output has not what the template names, `template_error`, `too_large`.
pub fn render_late(args: &Value, facts: &StepFacts) -> Result<Value, RenderError> {
    let steps = facts.ids();
    let scope = Scope {
        steps: Some(&steps),
        ..Scope::default()
    };
    let values = facts.values().iter();
    let context = minijinja::Value::from_pairs(values.map(|(name, value)| (name.as_str(), from_json(value))));
    render(args, &scope, &context, &mut Budget::new(RENDERED_BYTES_MAX))
}

fn render(
    args: &Value,
    scope: &Scope<'_>,
    context: &minijinja::Value,
    budget: &mut Budget,
) -> Result<Value, RenderError> {
    let mut inside = |value: &Value| render(value, scope, context, budget);
    match args {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| inside(item).map_err(|error| error.at(index)))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        Value::Object(map) => match marked(map) {
            Some(text) => render_text(text, scope, context, budget),
            None => map
                .iter()
                .map(|(key, value)| Ok((key.clone(), inside(value).map_err(|error| error.under(key))?)))
                .collect::<Result<_, RenderError>>()
                .map(Value::Object),
        },
        literal => Ok(literal.clone()),
    }
}

fn render_text(
    text: &str,
    scope: &Scope<'_>,
    context: &minijinja::Value,
    budget: &mut Budget,
) -> Result<Value, RenderError> {
    match Template::compile(text, scope) {
        Ok(Some(template)) => Ok(template.render(context, budget)?),
        Ok(None) => Ok(Value::String(text.to_owned())),
        Err(reason) => Err(Cause::Template { reason }.into()),
    }
}

/// Checks a job specification that came over the API, and marks its late arguments: templates over
/// `steps.*`, the only ones it may have. What it returns is what a job may be made of.
///
/// # Errors
///
/// `bad_job` for the number of steps and their ids, `template_error` for a template, `bad_argument` for
/// anything else in a step's arguments.
pub fn prepare_submitted(mut spec: JobSpec) -> Result<JobSpec, RenderError> {
    let name = spec.name.clone();
    let named = |error: RenderError| error.in_subject("job", &name);
    if !(1..=STEPS_MAX).contains(&spec.steps.len()) {
        let count = spec.steps.len();
        return Err(named(RenderError::bad_job(format!(
            "{count} steps, expected 1 to {STEPS_MAX}"
        ))));
    }
    let mut earlier: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    for (index, step) in spec.steps.iter_mut().enumerate() {
        let id = step_id(step, index);
        prepare_step(step, &id, &earlier).map_err(|error| named(error.in_step(&id)))?;
        if !seen.insert(id.clone()) {
            return Err(named(RenderError::bad_job(format!(
                "two steps have the id {id:?}"
            ))));
        }
        earlier.push(id);
    }
    for (index, (step, id)) in spec.steps.iter().zip(&earlier).enumerate() {
        if let Some(problem) = goto_problem(&step.on_error, index, &earlier) {
            return Err(named(RenderError::bad_job(problem).in_step(id)));
        }
    }
    let waits = spec.steps.iter().map(|step| (step.verb, Some(step.args.clone())));
    if let Some(problem) = wait_problem(spec.timeout, waits) {
        return Err(named(RenderError::bad_job(problem)));
    }
    check_retry(spec.retry.as_ref(), true).map_err(named)?;
    Ok(spec)
}

fn check_retry(retry: Option<&Retry>, of_job: bool) -> Result<(), RenderError> {
    let checked = retry.map_or(Ok(()), |retry| retry.check(of_job));
    checked.map_err(|error| RenderError::bad_job(error.to_string()))
}

fn prepare_step(step: &mut Step, id: &str, earlier: &[String]) -> Result<(), RenderError> {
    id.parse::<Name>()
        .map_err(|error| RenderError::bad_job(error.to_string()))?;
    let verb = step.verb;
    let scope = Scope {
        steps: Some(earlier),
        ..Scope::default()
    };
    check_retry(step.retry.as_ref(), false)?;
    check_submitted(step.when.as_ref(), earlier)?;
    refuse_marked(&step.args)?;
    if has_template_command(verb, &step.args) {
        return Err(RenderError::bad_argument(COMMAND_TEMPLATE).under("command"));
    }
    step.args = mark_texts(&step.args, &scope)?;
    if !is_late(&step.args) {
        parse(verb, &step.args)?;
    }
    Ok(())
}

/// Why `create_process.command` takes no template.
pub(super) const COMMAND_TEMPLATE: &str =
    "command takes no template, as its words are split after rendering; use argv";

fn has_template_command(verb: StepVerb, args: &Value) -> bool {
    verb == Verb::CreateProcess
        && args
            .get("command")
            .and_then(Value::as_str)
            .is_some_and(has_template)
}

/// Whether the verb takes these arguments.
pub(super) fn parse(verb: StepVerb, args: &Value) -> Result<(), RenderError> {
    let args = args.clone();
    let wrong = match verb {
        StepVerb::Host(verb) => VerbCall::parse(verb, args).err().map(|error| error.to_string()),
        StepVerb::Server(verb) => ServerCall::parse(verb, args).err().map(|error| error.to_string()),
    };
    wrong.map_or(Ok(()), |reason| Err(RenderError::bad_argument(reason)))
}

fn mark_texts(value: &Value, scope: &Scope<'_>) -> Result<Value, RenderError> {
    match value {
        Value::String(text) => match Template::compile(text, scope) {
            Ok(None) => Ok(value.clone()),
            // A template that uses nothing of `steps` is a constant, and late all the same.
            Ok(Some(_)) => Ok(mark(text)),
            Err(reason) => Err(Cause::Template { reason }.into()),
        },
        Value::Array(items) => {
            let marked = items.iter().enumerate();
            marked
                .map(|(index, item)| mark_texts(item, scope).map_err(|error| error.at(index)))
                .collect::<Result<_, _>>()
                .map(Value::Array)
        }
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| {
                if has_template(key) {
                    return Err(RenderError::bad_argument("a template cannot be a key").under(key));
                }
                Ok((
                    key.clone(),
                    mark_texts(value, scope).map_err(|error| error.under(key))?,
                ))
            })
            .collect::<Result<_, RenderError>>()
            .map(Value::Object),
        scalar => Ok(scalar.clone()),
    }
}

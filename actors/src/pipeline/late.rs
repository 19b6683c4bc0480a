//! Arguments over `steps.*`, rendered just before their step runs, and job specifications that come over
//! the API.
//!
//! A late argument is kept as `{"$late": "text"}`. Only a file's own text and a submitted specification's
//! own text are ever marked so: whatever an event, a host, a parameter or a step's output says is data,
//! and a map with that key in it is refused. So an event that contains `{{ … }}` runs nothing.

use super::facts::StepFacts;
use super::render_error::{Cause, RenderError};
use super::server_step::wait_problem;
use super::steps::{Part, not_in_finally};
use super::template::{Budget, Scope, Template, from_json, has_template};
use super::when::{check_submitted, goto_problem};
use serde_json::{Map, Value};
use tripline_protocol::job::JobSpec;
use tripline_protocol::limit::FOR_EACH_MAX;
use tripline_protocol::step::{OnError, Retry, ServerCall, Step, StepVerb};
use tripline_protocol::verb::{Verb, VerbCall};
use tripline_protocol::{Name, Span};

/// The key of a map that stands for a late argument.
pub(super) const MARKER: &str = "$late";
/// Most bytes that rendering a job, or a late step, may give.
pub(super) const RENDERED_BYTES_MAX: usize = 256 * 1024;

/// Most bytes that the lists of a job have, all of them together.
pub const LOOP_BYTES_MAX: usize = 256 * 1024;

/// A late argument with this text.
pub(super) fn mark(text: &str) -> Value {
    Value::Object(Map::from_iter([(
        MARKER.to_owned(),
        Value::String(text.to_owned()),
    )]))
}

/// The text of a late argument.
pub(super) fn marked(map: &Map<String, Value>) -> Option<&str> {
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
    let vars = facts.vars();
    let scope = Scope {
        vars: &vars,
        steps: Some(&steps),
        item: facts.has_item(),
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
    let mut ids: Vec<String> = Vec::new();
    prepare_steps(&mut spec.steps, Part::Steps, &mut ids).map_err(named)?;
    name_finally(&mut spec.finally);
    if !spec.finally.is_empty() {
        prepare_steps(&mut spec.finally, Part::Finally, &mut ids).map_err(named)?;
    }
    let waits = spec.steps.iter().map(|step| (step.verb, Some(step.args.clone())));
    let problem = wait_problem(spec.timeout, waits).or_else(|| finally_timeout_problem(spec.finally_timeout));
    if let Some(problem) = problem {
        return Err(named(RenderError::bad_job(problem)));
    }
    check_retry(spec.retry.as_ref(), true).map_err(named)?;
    let listed = spec
        .steps
        .iter()
        .zip(&ids)
        .filter(|(step, _)| step.for_each.is_some());
    let lists: Vec<&str> = listed.map(|(_, id)| id.as_str()).collect();
    match ids.iter().find_map(|id| taken_by_list(id, lists.iter().copied())) {
        Some(problem) => Err(named(RenderError::bad_job(problem))),
        None => Ok(spec),
    }
}

/// Gives steps of `finally` their ids, which do not follow from their place among all steps.
pub(super) fn name_finally(steps: &mut [Step]) {
    for (index, step) in steps.iter_mut().enumerate() {
        step.id.get_or_insert_with(|| Part::Finally.implicit_id(index));
    }
}

/// What is wrong with how long the steps of `finally` may run.
pub(super) fn finally_timeout_problem(timeout: Option<Span>) -> Option<String> {
    let most = JobSpec::FINALLY_TIMEOUT_MAX;
    timeout
        .filter(|span| *span == Span::ZERO || *span > most)
        .map(|span| format!("finally_timeout is {span}, expected above zero and at most {most}"))
}

/// Checks and marks some steps; `ids` are those of the steps before them, and then also of these.
fn prepare_steps(steps: &mut [Step], part: Part, ids: &mut Vec<String>) -> Result<(), RenderError> {
    let (count, most, before) = (steps.len(), part.most(), ids.len());
    if !(1..=most).contains(&count) {
        let reason = format!("{count} steps, expected 1 to {most}");
        return Err(RenderError::bad_job(reason));
    }
    for (index, step) in steps.iter_mut().enumerate() {
        let id = step_id(step, index);
        prepare_step(step, part, &id, ids).map_err(|error| error.in_step(&id))?;
        if ids.contains(&id) {
            return Err(RenderError::bad_job(format!("two steps have the id {id:?}")));
        }
        ids.push(id);
    }
    for (index, step) in steps.iter().enumerate() {
        if let Some(problem) = goto_problem(&step.on_error, before + index, ids) {
            return Err(RenderError::bad_job(problem).in_step(&step_id(step, index)));
        }
    }
    Ok(())
}

/// A key that a step of `finally` cannot have.
fn refused_in_finally(step: &Step) -> Option<&'static str> {
    let has = |key: &&str| match *key {
        "on_error" => step.on_error != OnError::Fail,
        "retry" => step.retry.is_some(),
        "for_each" => step.for_each.is_some(),
        key => step.verb.as_str() == key,
    };
    not_in_finally().find(has)
}

/// Whether a list may be so long.
pub(super) fn check_max(max: u32) -> Result<(), String> {
    match (1..=FOR_EACH_MAX).contains(&max) {
        true => Ok(()),
        false => Err(format!("max of for_each is {max}, expected 1 to {FOR_EACH_MAX}")),
    }
}

/// An id that stands for an element of another step's list.
pub(super) fn taken_by_list<'i>(id: &str, lists: impl IntoIterator<Item = &'i str>) -> Option<String> {
    let (list, number) = id.rsplit_once('-')?;
    let counts = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty();
    let taken = counts && lists.into_iter().any(|other| other == list);
    taken.then(|| format!("the id {id:?} stands for an element of the list of step {list:?}"))
}

fn check_retry(retry: Option<&Retry>, of_job: bool) -> Result<(), RenderError> {
    let checked = retry.map_or(Ok(()), |retry| retry.check(of_job));
    checked.map_err(|error| RenderError::bad_job(error.to_string()))
}

fn prepare_step(step: &mut Step, part: Part, id: &str, earlier: &[String]) -> Result<(), RenderError> {
    id.parse::<Name>()
        .map_err(|error| RenderError::bad_job(error.to_string()))?;
    let verb = step.verb;
    let scope = Scope {
        steps: Some(earlier),
        ..Scope::default()
    };
    let item = step.for_each.is_some();
    if let Some(for_each) = &mut step.for_each {
        check_max(for_each.max).map_err(RenderError::bad_job)?;
        refuse_marked(&for_each.items)?;
        for_each.items = mark_texts(&for_each.items, &scope)?;
        if !is_late(&for_each.items) && !for_each.items.is_array() {
            return Err(RenderError::bad_job("for_each needs a list"));
        }
    }
    let scope = Scope { item, ..scope };
    if let Some(key) = refused_in_finally(step).filter(|_| part == Part::Finally) {
        return Err(RenderError::bad_job(format!(
            "a step of finally cannot have {key:?}"
        )));
    }
    check_retry(step.retry.as_ref(), false)?;
    check_submitted(step.when.as_ref(), earlier, item)?;
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

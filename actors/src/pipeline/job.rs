//! Jobs as files describe them: `expires`, `timeout`, `priority` and steps with templates.

use super::argument::Argument;
use super::facts::Facts;
use super::fields::{self, Field, Fields, Form, Shape, Takes};
use super::late::{self, RENDERED_BYTES_MAX};
use super::problem::Problems;
use super::render_error::RenderError;
use super::retry;
use super::server_step::wait_problem;
use super::steps::{self, Ids, Part, StepTemplate};
use super::template::{Budget, Scope};
use super::vars::{self, Context, LET, Let};
use super::yaml::Node;
use serde_json::{Map, Value};
use tripline_protocol::job::{JobSpec, Priority};
use tripline_protocol::limit::{FINALLY_MAX, STEPS_MAX};
use tripline_protocol::step::{ForEach, Retry, Step, When};
use tripline_protocol::{Name, Span};

/// An inline job of a pipeline.
pub(super) const INLINE: Shape = Shape::new(
    "a job",
    &[
        EXPIRES,
        TIMEOUT,
        PRIORITY,
        RETRY,
        LET,
        STEPS,
        FINALLY,
        FINALLY_TIMEOUT,
    ],
    &["approvals", "dry_run"],
);

/// Those that inline and named jobs share, beside `let`.
pub(super) const EXPIRES: Field = Field::new(
    "expires",
    Takes::Text(Form::Span),
    "How long it may wait for its host and a slot.",
)
.or("24h");
pub(super) const TIMEOUT: Field =
    Field::new("timeout", Takes::Text(Form::Span), "How long it may run.").or("10m");
pub(super) const PRIORITY: Field = Field::new(
    "priority",
    Takes::Text(Form::Priority),
    "Orders hosts that wait for a slot; never the jobs of one host.",
)
.or("normal");
pub(super) const RETRY: Field = Field::new(
    "retry",
    Takes::Map(&retry::SHAPE),
    "Begins anew, after a while, when it failed.",
);
pub(super) const STEPS: Field = Field::new(
    "steps",
    Takes::List(&Takes::Step(&steps::SHAPE), STEPS_MAX),
    "What it does, one after the other.",
)
.needed();
pub(super) const FINALLY: Field = Field::new(
    "finally",
    Takes::List(&Takes::Step(&steps::FINALLY_SHAPE), FINALLY_MAX),
    "Steps that run once its own are over, however they went, while the host is there.",
);
pub(super) const FINALLY_TIMEOUT: Field = Field::new(
    "finally_timeout",
    Takes::Text(Form::Span),
    "How long the steps of `finally` may run in all, at most 1h.",
)
.or("2m");

/// A job made from a pipeline or a named job, ready to be accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedJob {
    /// Arguments are rendered, except those over `steps.*`, which are marked (see [`super::is_late`]).
    pub spec: JobSpec,
    /// The values of `let`, as `vars` for what is rendered later.
    pub vars: Map<String, Value>,
}

/// A job whose arguments are still templates.
#[derive(Debug)]
pub(super) struct JobTemplate {
    name: Name,
    expires: Option<Span>,
    timeout: Option<Span>,
    priority: Priority,
    retry: Option<Box<Retry>>,
    values: Let,
    steps: Vec<StepTemplate>,
    finally: Vec<StepTemplate>,
    finally_timeout: Option<Span>,
}

impl JobTemplate {
    /// Reads the keys that inline and named jobs share.
    pub(super) fn read(
        name: Option<&Name>,
        fields: &Fields<'_>,
        scope: &Scope<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let before = problems.count();
        let expires = fields
            .get("expires")
            .and_then(|node| fields::span(node, problems));
        let timeout = fields
            .get("timeout")
            .and_then(|node| fields::span(node, problems));
        let priority = fields
            .get("priority")
            .and_then(|node| fields::parsed(node, "low, normal or high", problems));
        let retry = fields
            .get("retry")
            .and_then(|node| retry::read(node, true, problems));
        let values = Let::read(fields, scope, problems);
        let known: Vec<&str> = scope.vars.iter().copied().chain(vars::names(fields)).collect();
        let scope = &Scope {
            vars: &known,
            ..scope.clone()
        };
        let mut ids = Ids::default();
        let steps = fields
            .need("steps", "a list of steps", problems)
            .and_then(|node| steps::read(node, Part::Steps, scope, &mut ids, problems));
        let finally = fields
            .get("finally")
            .map(|node| steps::read(node, Part::Finally, scope, &mut ids, problems));
        let finally_timeout = fields
            .get("finally_timeout")
            .and_then(|node| finally_timeout(node, problems));
        let (name, steps) = (name?.clone(), steps?);
        let waits = steps.iter().map(|step| (step.verb, step.args.literal()));
        if let (Some(problem), Some(node)) = (wait_problem(timeout, waits), fields.get("steps")) {
            problems.add::<()>(node.at, problem);
        }
        if problems.count() == before {
            check_size(fields, &steps, finally.iter().flatten().flatten(), problems);
        }
        (problems.count() == before).then(|| Self {
            name,
            expires,
            timeout,
            priority: priority.unwrap_or_default(),
            retry: retry.map(Box::new),
            values,
            steps,
            finally: finally.flatten().unwrap_or_default(),
            finally_timeout,
        })
    }

    /// The job's name.
    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// Renders its `let`, and every step over that and what `context` knows, and decides the conditions that `facts`
    /// decide.
    pub(super) fn render(&self, facts: &Facts<'_>, mut context: Context) -> Result<RenderedJob, RenderError> {
        context.define(&self.values)?;
        let seen = context.value();
        let mut values = facts.values.cloned().unwrap_or_default();
        values.insert("vars".to_owned(), Value::Object(context.vars().clone()));
        let facts = Facts {
            values: Some(&values),
            ..*facts
        };
        let mut budget = Budget::new(RENDERED_BYTES_MAX);
        let mut render = |part: Part, steps: &[StepTemplate]| {
            let steps = steps.iter().enumerate().map(|(index, step)| {
                let id = step.id.clone().unwrap_or_else(|| part.implicit_id(index));
                let rendered = step.render(&facts, &seen, &mut budget);
                rendered.map_err(|error| error.in_step(&id))
            });
            steps.collect::<Result<Vec<_>, _>>()
        };
        let steps = render(Part::Steps, &self.steps)?;
        let mut finally = render(Part::Finally, &self.finally)?;
        late::name_finally(&mut finally);
        Ok(RenderedJob {
            spec: JobSpec {
                name: self.name.clone(),
                expires: self.expires,
                timeout: self.timeout,
                priority: self.priority,
                retry: self.retry.as_deref().cloned(),
                steps,
                finally,
                finally_timeout: self.finally_timeout,
            },
            vars: context.into_vars(),
        })
    }
}

impl StepTemplate {
    fn render(
        &self,
        facts: &Facts<'_>,
        context: &minijinja::Value,
        budget: &mut Budget,
    ) -> Result<Step, RenderError> {
        let when = self.when.as_ref().map(|when| when.decide(facts)).transpose()?;
        let when = when.flatten();
        if let Some(When::No { .. }) = when {
            // It never runs, and what it would run with may well not be there: mostly that is why it has a condition.
            return Ok(self.with(when, None, Value::Object(Map::new())));
        }
        let for_each = match self.for_each.as_deref() {
            None => None,
            Some((items, max)) => {
                let items = items
                    .render(context, budget)
                    .map_err(|error| error.under("for_each"))?;
                if !items.is_array() && !late::is_late(&items) {
                    return Err(RenderError::bad_argument("for_each needs a list"));
                }
                Some(ForEach { items, max: *max })
            }
        };
        let args: Value = self.args.render(context, budget)?;
        let checked = matches!(self.args, Argument::Literal(_)) || self.args.is_late();
        if !checked {
            late::parse(self.verb, &args)?;
        }
        Ok(self.with(when, for_each, args))
    }

    /// The step itself, with what was rendered of it.
    fn with(&self, when: Option<When>, for_each: Option<ForEach>, args: Value) -> Step {
        Step {
            id: self.id.clone(),
            verb: self.verb,
            args,
            when,
            for_each,
            timeout: self.timeout,
            on_error: self.on_error.clone(),
            retry: self.retry.as_deref().cloned(),
            idempotent: self.idempotent,
        }
    }
}

/// Notes steps that are longer than a job may be, whatever their templates give.
fn check_size<'s>(
    fields: &Fields<'_>,
    steps: &'s [StepTemplate],
    finally: impl Iterator<Item = &'s StepTemplate>,
    problems: &mut Problems<'_>,
) {
    let arguments = steps.iter().chain(finally).flat_map(|step| {
        let list = step.for_each.as_deref().map(|(items, _)| items);
        list.into_iter().chain([&step.args])
    });
    let bytes: usize = arguments.map(Argument::fixed_bytes).sum();
    if bytes > RENDERED_BYTES_MAX
        && let Some(node) = fields.get("steps")
    {
        let message = format!("the arguments have {bytes} bytes, expected at most {RENDERED_BYTES_MAX}");
        problems.add::<()>(node.at, message);
    }
}

fn finally_timeout(node: &Node, problems: &mut Problems<'_>) -> Option<Span> {
    let span = fields::span(node, problems)?;
    match late::finally_timeout_problem(Some(span)) {
        Some(problem) => problems.add(node.at, problem),
        None => Some(span),
    }
}

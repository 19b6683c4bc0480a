//! Jobs as files describe them: `expires`, `timeout`, `priority` and steps with templates.

use super::argument::Argument;
use super::fields::{self, Field, Fields, Form, Shape, Takes};
use super::late::{self, RENDERED_BYTES_MAX};
use super::problem::Problems;
use super::render_error::RenderError;
use super::steps::{self, StepTemplate};
use super::template::{Budget, Scope};
use super::vars::{self, Context, LET, Let};
use serde_json::{Map, Value};
use tripline_protocol::job::{JobSpec, Priority};
use tripline_protocol::limit::STEPS_MAX;
use tripline_protocol::step::Step;
use tripline_protocol::{Name, Span};

/// An inline job of a pipeline.
pub(super) const INLINE: Shape = Shape::new(
    "a job",
    &[EXPIRES, TIMEOUT, PRIORITY, LET, STEPS],
    &["retry", "finally", "for_each", "approvals", "dry_run"],
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
pub(super) const STEPS: Field = Field::new(
    "steps",
    Takes::List(&Takes::Step(&steps::SHAPE), STEPS_MAX),
    "What it does, one after the other.",
)
.needed();

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
    values: Let,
    steps: Vec<StepTemplate>,
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
        let values = Let::read(fields, scope, problems);
        let known: Vec<&str> = scope.vars.iter().copied().chain(vars::names(fields)).collect();
        let scope = Scope {
            vars: &known,
            ..scope.clone()
        };
        let steps = fields
            .need("steps", "a list of steps", problems)
            .and_then(|node| steps::read(node, &scope, problems));
        let (name, steps) = (name?.clone(), steps?);
        (problems.count() == before).then(|| Self {
            name,
            expires,
            timeout,
            priority: priority.unwrap_or_default(),
            values,
            steps,
        })
    }

    /// The job's name.
    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// Renders its `let`, and every step over that and what `context` knows.
    pub(super) fn render(&self, mut context: Context) -> Result<RenderedJob, RenderError> {
        context.define(&self.values)?;
        let seen = context.value();
        let mut budget = Budget::new(RENDERED_BYTES_MAX);
        let steps = self.steps.iter().enumerate().map(|(index, step)| {
            let id = step.id.clone().unwrap_or_else(|| late::implicit_id(index));
            step.render(&seen, &mut budget)
                .map_err(|error| error.in_step(&id))
        });
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        Ok(RenderedJob {
            spec: JobSpec {
                name: self.name.clone(),
                expires: self.expires,
                timeout: self.timeout,
                priority: self.priority,
                steps,
            },
            vars: context.into_vars(),
        })
    }
}

impl StepTemplate {
    fn render(&self, context: &minijinja::Value, budget: &mut Budget) -> Result<Step, RenderError> {
        let args: Value = self.args.render(context, budget)?;
        let checked = matches!(self.args, Argument::Literal(_)) || self.args.is_late();
        if !checked {
            late::parse(self.verb, &args)?;
        }
        Ok(Step {
            id: self.id.clone(),
            verb: self.verb,
            args,
            timeout: self.timeout,
            on_error: self.on_error,
            idempotent: self.idempotent,
        })
    }
}

//! Jobs as files describe them: `expires`, `timeout`, `priority` and steps with templates.

use super::argument::Argument;
use super::facts::Facts;
use super::fields::{self, Fields, Shape};
use super::late::{self, RENDERED_BYTES_MAX};
use super::problem::Problems;
use super::render_error::RenderError;
use super::server_step::wait_problem;
use super::steps::{self, StepTemplate};
use super::template::{Budget, Scope};
use serde_json::Value;
use tripline_protocol::job::{JobSpec, Priority};
use tripline_protocol::step::{Retry, Step};
use tripline_protocol::{Name, Span};

/// An inline job of a pipeline.
pub(super) const INLINE: Shape = Shape {
    what: "a job",
    keys: &["expires", "timeout", "priority", "retry", "steps"],
    later: &["finally", "let", "for_each", "approvals", "dry_run"],
};

/// A job made from a pipeline or a named job, ready to be accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedJob {
    /// Arguments are rendered, except those over `steps.*`, which are marked (see [`super::is_late`]).
    pub spec: JobSpec,
}

/// A job whose arguments are still templates.
#[derive(Debug)]
pub(super) struct JobTemplate {
    name: Name,
    expires: Option<Span>,
    timeout: Option<Span>,
    priority: Priority,
    retry: Option<Retry>,
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
        let retry = fields
            .get("retry")
            .and_then(|node| steps::read_retry(node, true, problems));
        let steps = fields
            .need("steps", "a list of steps", problems)
            .and_then(|node| steps::read(node, scope, problems));
        let (name, steps) = (name?.clone(), steps?);
        let waits = steps.iter().map(|step| (step.verb, step.args.literal()));
        if let (Some(problem), Some(node)) = (wait_problem(timeout, waits), fields.get("steps")) {
            problems.add::<()>(node.at, problem);
        }
        (problems.count() == before).then(|| Self {
            name,
            expires,
            timeout,
            priority: priority.unwrap_or_default(),
            retry,
            steps,
        })
    }

    /// The job's name.
    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// Renders every step over the variables in `context`, and decides the conditions that `facts` decide.
    pub(super) fn render(
        &self,
        facts: &Facts<'_>,
        context: &minijinja::Value,
    ) -> Result<RenderedJob, RenderError> {
        let mut budget = Budget::new(RENDERED_BYTES_MAX);
        let steps = self.steps.iter().enumerate().map(|(index, step)| {
            let id = step.id.clone().unwrap_or_else(|| late::implicit_id(index));
            step.render(facts, context, &mut budget)
                .map_err(|error| error.in_step(&id))
        });
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        Ok(RenderedJob {
            spec: JobSpec {
                name: self.name.clone(),
                expires: self.expires,
                timeout: self.timeout,
                priority: self.priority,
                retry: self.retry.clone(),
                steps,
            },
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
        let args: Value = self.args.render(context, budget)?;
        let checked = matches!(self.args, Argument::Literal(_)) || self.args.is_late();
        if !checked {
            late::parse(self.verb, &args)?;
        }
        Ok(Step {
            id: self.id.clone(),
            verb: self.verb,
            args,
            when: when.flatten(),
            timeout: self.timeout,
            on_error: self.on_error.clone(),
            retry: self.retry.clone(),
            idempotent: self.idempotent,
        })
    }
}

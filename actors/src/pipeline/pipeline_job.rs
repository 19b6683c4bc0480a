//! The job of a pipeline: written inline, or a named one with parameters.

use super::HostFacts;
use super::argument::Argument;
use super::facts::Facts;
use super::fields::{self, Fields};
use super::job::{INLINE, JobTemplate, RenderedJob};
use super::late::RENDERED_BYTES_MAX;
use super::named_job::NamedJob;
use super::params;
use super::problem::{At, Problems, suggestion};
use super::render_error::RenderError;
use super::template::{Budget, Scope};
use super::vars::Context;
use super::yaml::{Key, Kind, Node};
use serde_json::Map;
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::{Event, Name};

/// The named jobs a pipeline may name.
pub(super) type NamedJobs = HashMap<Name, Arc<NamedJob>>;

/// The job of a pipeline.
#[derive(Debug)]
pub(super) enum PipelineJob {
    Inline(JobTemplate),
    Named {
        job: Arc<NamedJob>,
        params: Vec<(String, Argument)>,
    },
}

/// Where a pipeline is read from.
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    /// Its own text.
    pub(super) text: &'a str,
    pub(super) jobs: &'a NamedJobs,
    /// Whether there are named jobs with problems, which are not among `jobs`.
    pub(super) jobs_broken: bool,
}

impl PipelineJob {
    /// Reads `job`, and `params` beside it.
    pub(super) fn read(
        node: &Node,
        name: Option<&Name>,
        fields: &Fields<'_>,
        scope: &Scope<'_>,
        source: &Source<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        match &node.kind {
            Kind::Text(job) => {
                let job = named(node, job, source, problems);
                let given = fields
                    .get("params")
                    .and_then(|node| fields::map(node, "params", problems));
                let given = given.unwrap_or_default();
                let params = read_params(given, job.as_deref(), scope, problems);
                let job = job?;
                missing_params(&job, given, node.at, problems);
                Some(Self::Named { job, params })
            }
            Kind::Map(_) => {
                if let Some(params) = fields.get("params") {
                    problems.add::<()>(
                        params.at,
                        "params belong to a named job; this job is written inline",
                    );
                }
                let inline = Fields::of(node, &INLINE, problems)?;
                JobTemplate::read(name, &inline, scope, problems).map(Self::Inline)
            }
            _ => problems.add(
                node.at,
                format!("expected a job or the name of one, found {}", node.describe()),
            ),
        }
    }

    /// The name its jobs carry.
    pub(super) fn name(&self) -> &Name {
        match self {
            Self::Inline(job) => job.name(),
            Self::Named { job, .. } => job.name(),
        }
    }

    /// The text of its named job, if it has one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Inline(_) => None,
            Self::Named { job, .. } => Some(job.text()),
        }
    }

    /// The version of its text, where that is not the pipeline's own.
    pub(super) fn version(&self) -> &str {
        match self {
            Self::Inline(_) => "",
            Self::Named { job, .. } => job.version().as_str(),
        }
    }

    /// Makes a job of what `context` knows, on this host.
    pub(super) fn render(
        &self,
        (event, host): (&Event, &HostFacts),
        context: Context,
    ) -> Result<RenderedJob, RenderError> {
        match self {
            Self::Inline(job) => {
                let facts = Facts {
                    event: Some(event),
                    host: Some(host),
                    values: None,
                };
                job.render(&facts, context)
            }
            Self::Named { job, params } => {
                let context = context.value();
                let mut budget = Budget::new(RENDERED_BYTES_MAX);
                let mut rendered = Map::new();
                for (name, value) in params {
                    let value = value
                        .render(&context, &mut budget)
                        .map_err(|error| error.under(name))?;
                    rendered.insert(name.clone(), value);
                }
                job.render_with(&rendered, host)
            }
        }
    }
}

fn named(node: &Node, name: &str, source: &Source<'_>, problems: &mut Problems<'_>) -> Option<Arc<NamedJob>> {
    let found = name
        .parse::<Name>()
        .ok()
        .and_then(|name| source.jobs.get(&name).cloned());
    // With broken jobs about, the missing one is most likely among them, and their problems are told.
    if found.is_some() || source.jobs_broken {
        return found;
    }
    let hint = suggestion(name, source.jobs.keys().map(Name::as_str));
    problems.add(node.at, format!("there is no named job {name:?}{hint}"))
}

fn read_params(
    given: &[(Key, Node)],
    job: Option<&NamedJob>,
    scope: &Scope<'_>,
    problems: &mut Problems<'_>,
) -> Vec<(String, Argument)> {
    let mut read = Vec::new();
    for (key, node) in given {
        let Some(value) = Argument::compile(node, scope, problems) else {
            continue;
        };
        if let Some(job) = job {
            match (
                job.params().iter().find(|param| param.name == key.text),
                value.example(),
            ) {
                (None, _) => {
                    problems.add::<()>(key.at, params::unknown(job.params(), &key.text));
                }
                (Some(param), Some(example)) => {
                    if let Some(reason) = param.refuses(&example) {
                        problems.add::<()>(node.at, reason);
                    }
                }
                (Some(_), None) => {}
            }
        }
        read.push((key.text.clone(), value));
    }
    read
}

fn missing_params(job: &NamedJob, given: &[(Key, Node)], at: At, problems: &mut Problems<'_>) {
    for param in job.params().iter().filter(|param| param.is_required()) {
        if given.iter().all(|(key, _)| key.text != param.name) {
            problems.add::<()>(at, format!("the named job needs the parameter {:?}", param.name));
        }
    }
}

//! Pipelines: on which etypes, when, which job.

use super::argument::Argument;
use super::condition::{Condition, Match};
use super::facts::Facts;
use super::fields::{self, Fields, Shape};
use super::job::{INLINE, JobTemplate, RenderedJob};
use super::late::RENDERED_BYTES_MAX;
use super::named_job::NamedJob;
use super::params;
use super::problem::{At, Problems, suggestion};
use super::render_error::RenderError;
use super::template::{Budget, Scope, event_value, host_value};
use super::when::condition;
use super::yaml::{Key, Kind, Node};
use super::{HostFacts, version};
use serde_json::Map;
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::api::PipelineView;
use tripline_protocol::subject::EtypePattern;
use tripline_protocol::{Event, Name, Sha256};

pub(super) const SHAPE: Shape = Shape {
    what: "a pipeline",
    keys: &["name", "description", "on", "when", "job", "params"],
    later: &[
        "suppress",
        "tests",
        "enabled",
        "orgs",
        "target",
        "let",
        "dry_run",
        "approvals",
        "events",
        "max_hosts",
        "max_in_flight",
        "canary",
        "auto_pause",
        "protected",
    ],
};

/// What a pipeline's condition, and its job, may name.
const OF_EVENT: Scope<'static> = Scope {
    event: true,
    host: true,
    params: None,
    steps: None,
    item: false,
};

/// Most patterns in `on`.
const PATTERNS_MAX: usize = 256;

/// The named jobs a pipeline may name.
pub(super) type NamedJobs = HashMap<Name, Arc<NamedJob>>;

/// A pipeline.
#[derive(Debug)]
pub struct Pipeline {
    name: Name,
    version: Sha256,
    file: String,
    at: At,
    description: Option<String>,
    on: Vec<EtypePattern>,
    when: Option<Condition>,
    job: PipelineJob,
}

#[derive(Debug)]
enum PipelineJob {
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

impl Pipeline {
    /// Reads a document; its problems are noted.
    pub(super) fn read(node: &Node, source: &Source<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let before = problems.count();
        let fields = Fields::of(node, &SHAPE, problems)?;
        let name = fields.need("name", "the pipeline's name", problems);
        let at = name.map_or(node.at, |name| name.at);
        let name: Option<Name> = name.and_then(|name| fields::parsed(name, "a name", problems));
        let description = fields
            .get("description")
            .and_then(|node| fields::text(node, "a text", problems));
        let on = fields
            .need("on", "a list of etypes", problems)
            .and_then(|node| patterns(node, problems));
        let when = fields
            .get("when")
            .and_then(|node| condition(node, &OF_EVENT, problems));
        let job = fields
            .need("job", "a job, or the name of one", problems)
            .and_then(|node| read_job(node, name.as_ref(), &fields, source, problems));
        if problems.count() > before {
            return None;
        }
        let job = job?;
        let of_job = match &job {
            PipelineJob::Inline(_) => "",
            PipelineJob::Named { job, .. } => job.version().as_str(),
        };
        Some(Self {
            name: name?,
            version: version([source.text, of_job]),
            file: source.file.to_owned(),
            at,
            description: description.map(str::to_owned),
            on: on?,
            when,
            job,
        })
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// SHA-256 over its text and that of its named job.
    pub fn version(&self) -> &Sha256 {
        &self.version
    }

    /// The file it came from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What it is for, in its author's words.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    pub(super) fn at(&self) -> At {
        self.at
    }

    pub(super) fn patterns(&self) -> &[EtypePattern] {
        &self.on
    }

    /// The name its jobs carry.
    pub fn job_name(&self) -> &Name {
        match &self.job {
            PipelineJob::Inline(job) => job.name(),
            PipelineJob::Named { job, .. } => job.name(),
        }
    }

    /// As lists show it.
    pub fn view(&self) -> PipelineView {
        PipelineView {
            name: self.name.clone(),
            version: self.version.clone(),
            file: self.file.clone(),
            on: self
                .on
                .iter()
                .map(|pattern| pattern.as_str().to_owned())
                .collect(),
            when: self.when.as_ref().map(|when| when.source().to_owned()),
            job: self.job_name().clone(),
        }
    }

    /// Whether `when` names `host`.
    pub fn needs_host_for_condition(&self) -> bool {
        self.when.as_ref().is_some_and(Condition::needs_host)
    }

    /// Whether it wants this event, whose etype is one of its candidates' already. Without a host every
    /// field of `host` is missing. Never panics.
    pub fn matches(&self, event: &Event, host: Option<&HostFacts>) -> Match {
        self.when
            .as_ref()
            .map_or(Match::Yes, |when| when.matches(event, host))
    }

    /// Makes its job for `host`.
    ///
    /// # Errors
    ///
    /// What its templates give over these values; see [`RenderError::code`].
    pub fn render(&self, event: &Event, host: &HostFacts) -> Result<RenderedJob, RenderError> {
        self.render_job(event, host)
            .map_err(|error| error.in_subject("pipeline", &self.name))
    }

    fn render_job(&self, event: &Event, host: &HostFacts) -> Result<RenderedJob, RenderError> {
        let context =
            minijinja::Value::from_pairs([("event", event_value(event)), ("host", host_value(host))]);
        match &self.job {
            PipelineJob::Inline(job) => {
                let facts = Facts {
                    event: Some(event),
                    host: Some(host),
                    values: None,
                };
                job.render(&facts, &context)
            }
            PipelineJob::Named { job, params } => {
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

fn patterns(node: &Node, problems: &mut Problems<'_>) -> Option<Vec<EtypePattern>> {
    let expected = "an etype, or a pattern such as acme.alert.*";
    let items = match &node.kind {
        Kind::Text(_) => std::slice::from_ref(node),
        _ => fields::list(node, "a list of etypes", problems)?,
    };
    if !(1..=PATTERNS_MAX).contains(&items.len()) {
        return problems.add(
            node.at,
            format!("{} etypes, expected 1 to {PATTERNS_MAX}", items.len()),
        );
    }
    let parsed: Vec<_> = items
        .iter()
        .map(|item| fields::parsed(item, expected, problems))
        .collect();
    parsed.into_iter().collect()
}

fn read_job(
    node: &Node,
    name: Option<&Name>,
    fields: &Fields<'_>,
    source: &Source<'_>,
    problems: &mut Problems<'_>,
) -> Option<PipelineJob> {
    let scope = OF_EVENT;
    match &node.kind {
        Kind::Text(job) => {
            let job = named(node, job, source, problems);
            let given = fields
                .get("params")
                .and_then(|node| fields::map(node, "params", problems));
            let given = given.unwrap_or_default();
            let params = read_params(given, job.as_deref(), &scope, problems);
            let job = job?;
            missing_params(&job, given, node.at, problems);
            Some(PipelineJob::Named { job, params })
        }
        Kind::Map(_) => {
            if let Some(params) = fields.get("params") {
                problems.add::<()>(
                    params.at,
                    "params belong to a named job; this job is written inline",
                );
            }
            let inline = Fields::of(node, &INLINE, problems)?;
            JobTemplate::read(name, &inline, &scope, problems).map(PipelineJob::Inline)
        }
        _ => problems.add(
            node.at,
            format!("expected a job or the name of one, found {}", node.describe()),
        ),
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

//! Named jobs: reusable jobs with typed parameters.

use super::facts::Facts;
use super::fields::{self, Field, Fields, Form, Shape, Takes};
use super::job::{
    EXPIRES, FINALLY, FINALLY_TIMEOUT, JobTemplate, PRIORITY, RETRY, RenderedJob, STEPS, TIMEOUT,
};
use super::late;
use super::params::{self, Param};
use super::pipeline::DESCRIPTION;
use super::problem::{At, Problems};
use super::render_error::RenderError;
use super::template::{Scope, from_json, host_value};
use super::vars::{Context, LET};
use super::yaml::Node;
use super::{HostFacts, version};
use serde_json::{Map, Value};
use tripline_protocol::{Name, Sha256};

pub(super) const SHAPE: Shape = Shape::new(
    "a named job",
    &[
        Field::new(
            "name",
            Takes::Text(Form::Name),
            "Its name, which no other named job has.",
        )
        .needed(),
        DESCRIPTION,
        Field::new(
            "params",
            Takes::Names {
                names: Some(Form::ParamName),
                most: None,
                takes: &Takes::Map(&params::SHAPE),
            },
            "Its parameters, seen as `params.NAME`.",
        ),
        LET,
        STEPS,
        FINALLY,
        FINALLY_TIMEOUT,
        EXPIRES,
        TIMEOUT,
        PRIORITY,
        RETRY,
    ],
    &["approvals", "dry_run", "tests", "enabled", "orgs"],
);

/// A named job.
#[derive(Debug)]
pub struct NamedJob {
    name: Name,
    version: Sha256,
    text: Box<str>,
    file: String,
    at: At,
    description: Option<String>,
    params: Vec<Param>,
    job: JobTemplate,
}

impl NamedJob {
    /// Reads a document; its problems are noted.
    pub(super) fn read(node: &Node, file: &str, text: &str, problems: &mut Problems<'_>) -> Option<Self> {
        let before = problems.count();
        let fields = Fields::of(node, &SHAPE, problems)?;
        let name = fields.need("name", "the job's name", problems);
        let at = name.map_or(node.at, |name| name.at);
        let name: Option<Name> = name.and_then(|name| fields::parsed(name, "a name", problems));
        let description = fields
            .get("description")
            .and_then(|node| fields::text(node, "a text", problems));
        let declared = fields
            .get("params")
            .and_then(|node| fields::map(node, "params", problems));
        let declared = declared.unwrap_or_default();
        let params = params::read(declared, problems);
        let names: Vec<&str> = declared.iter().map(|(key, _)| key.text.as_str()).collect();
        let scope = Scope {
            host: true,
            params: Some(&names),
            ..Scope::default()
        };
        let job = JobTemplate::read(name.as_ref(), &fields, &scope, problems);
        if problems.count() > before {
            return None;
        }
        let description = description.map(str::to_owned);
        Some(Self {
            name: name?,
            version: version([text]),
            text: text.into(),
            file: file.to_owned(),
            at,
            description,
            params,
            job: job?,
        })
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// SHA-256 of its text.
    pub fn version(&self) -> &Sha256 {
        &self.version
    }

    /// Its text, which is read as the file was.
    pub(crate) fn text(&self) -> &str {
        &self.text
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

    pub(super) fn params(&self) -> &[Param] {
        &self.params
    }

    /// Its parameters: name, type as files say it, and whether it must be given.
    pub fn declared(&self) -> impl Iterator<Item = (&str, &'static str, bool)> {
        self.params
            .iter()
            .map(|param| (param.name.as_str(), param.type_name(), param.is_required()))
    }

    /// Whether it takes these parameters, whatever host it runs on.
    ///
    /// # Errors
    ///
    /// `bad_params`; see [`RenderError::code`].
    pub fn check_params(&self, params: &Map<String, Value>) -> Result<(), RenderError> {
        let filled = params::fill(&self.params, params);
        filled
            .and_then(|params| late::refuse_marked(&Value::Object(params)))
            .map_err(|error| error.in_subject("job", &self.name))
    }

    /// Makes a job for `host`. Parameters are checked: none unknown, none missing, each of its type.
    ///
    /// # Errors
    ///
    /// `bad_params`, or what its templates give over these values; see [`RenderError::code`].
    pub fn render(&self, params: &Map<String, Value>, host: &HostFacts) -> Result<RenderedJob, RenderError> {
        self.render_with(params, host)
            .map_err(|error| error.in_subject("job", &self.name))
    }

    pub(super) fn render_with(
        &self,
        params: &Map<String, Value>,
        host: &HostFacts,
    ) -> Result<RenderedJob, RenderError> {
        let params = Value::Object(params::fill(&self.params, params)?);
        late::refuse_marked(&params)?;
        let context = Context::new([("host", host_value(host)), ("params", from_json(&params))]);
        let values = Map::from_iter([("params".to_owned(), params)]);
        let facts = Facts {
            event: None,
            host: Some(host),
            values: Some(&values),
        };
        self.job.render(&facts, context)
    }
}

//! What the rules in force offer to LimaCharlie: the detections that pipelines wait for, and named jobs as requests and commands.
//!
//! A request names its job with `job` and its hosts with `sid`, `host` or `selector`; every other parameter is one of the job. A
//! parameter that jobs declare with different types, or whose name is one of these four, is called `<job>.<parameter>`.

use super::call::invalid;
use crate::pipeline::{NamedJob, RuleSet};
use crate::refusal::Refusal;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::limacharlie::{Parameter, ParameterKind, ServiceEtype};
use tripline_protocol::selector::HostSelector;
use tripline_protocol::{Etype, Name, Sha256};

/// Hosts of one request.
pub const REQUEST_HOSTS_MAX: usize = 100;
/// Names of a request that are not parameters of its job.
const OWN: [&str; 4] = ["job", "sid", "host", "selector"];
/// Fields of a command that say where it was asked, and are no parameters.
const OF_ROOM: [&str; 4] = ["command_name", "rid", "cid", "ssid"];
/// Separates the parts of `selector`, as those of a query.
const NEXT_PARAMETER: char = '&';

/// What the rules offer.
pub struct Offer<'r>(pub &'r RuleSet);

/// Something that is offered by name: its content and its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// `job` or `artifact`.
    pub category: &'static str,
    /// SHA-256 of the content.
    pub sha256: Sha256,
    /// Its content, if that was asked for.
    pub content: Option<Vec<u8>>,
}

impl Offer<'_> {
    /// Names of the detections that pipelines wait for: what their conditions compare `event.data.cat` with.
    pub fn detections(&self) -> BTreeSet<String> {
        let Ok(etype) = ServiceEtype::Detection.as_str().parse::<Etype>() else {
            return BTreeSet::new();
        };
        let listening = self.0.candidates(&etype);
        let cats = listening.filter_map(|pipeline| pipeline.wanted_texts(&["data", "cat"]));
        cats.flatten().map(str::to_owned).collect()
    }

    /// Whether a pipeline listens to these calls.
    pub fn listens_to(&self, etype: ServiceEtype) -> bool {
        let etype = etype.as_str().parse::<Etype>();
        etype.is_ok_and(|etype| self.0.candidates(&etype).next().is_some())
    }

    /// Whether there is a named job.
    pub fn has_jobs(&self) -> bool {
        self.0.named_jobs().next().is_some()
    }

    /// What a request takes; nothing when there is no named job.
    pub fn request_params(&self) -> BTreeMap<String, Parameter> {
        let names: Vec<String> = self.0.named_jobs().map(|job| job.name().to_string()).collect();
        if names.is_empty() {
            return BTreeMap::new();
        }
        let mut params = host_params();
        params.insert(
            "job".into(),
            Parameter {
                values: names,
                is_required: true,
                ..parameter(ParameterKind::Enum, "the named job to run")
            },
        );
        for job in self.0.named_jobs() {
            for (name, kind, _) in job.declared() {
                let called = self.called(job, name, kind);
                let known = params.entry(called).or_insert_with(|| of_job(kind));
                known.desc = match known.desc.is_empty() {
                    true => format!("{} of {}", described(kind), job.name()),
                    false => format!("{}, {}", known.desc, job.name()),
                };
            }
        }
        params
    }

    /// Named jobs as commands of a chat room.
    pub fn commands(&self) -> BTreeMap<String, Value> {
        let command = |job: &NamedJob| {
            let mut args = host_params();
            for (name, kind, required) in job.declared() {
                let called = if OWN.contains(&name) {
                    format!("{}.{name}", job.name())
                } else {
                    name.to_owned()
                };
                let desc = described(kind).to_owned();
                let is_required = required;
                args.insert(
                    called,
                    Parameter {
                        desc,
                        is_required,
                        ..of_job(kind)
                    },
                );
            }
            json!({ "name": job.name(), "desc": job.description().unwrap_or_default(), "args": args })
        };
        let jobs = self.0.named_jobs();
        jobs.map(|job| (job.name().to_string(), command(job))).collect()
    }

    /// A named job's file.
    pub(crate) fn job(job: &NamedJob, is_include_data: bool) -> Offered {
        use sha2::Digest;
        let content = job.text().as_bytes();
        Offered {
            category: "job",
            sha256: Sha256::from_digest(&sha2::Sha256::digest(content).into()),
            content: is_include_data.then(|| content.to_vec()),
        }
    }

    /// What a parameter of a job is called among those of all jobs.
    fn called(&self, job: &NamedJob, name: &str, kind: &str) -> String {
        let clashes = |other: &NamedJob| {
            other
                .declared()
                .any(|(theirs, type_of, _)| theirs == name && kind_of(type_of) != kind_of(kind))
        };
        if OWN.contains(&name) || self.0.named_jobs().any(|other| clashes(other)) {
            format!("{}.{name}", job.name())
        } else {
            name.to_owned()
        }
    }
}

fn host_params() -> BTreeMap<String, Parameter> {
    let selector = "hosts to run on, as in a query: label=dmz&platform=linux; at most 100";
    [
        ("sid", parameter(ParameterKind::Sid, "the sensor to run on")),
        (
            "host",
            parameter(ParameterKind::Str, "the host to run on, by id or name"),
        ),
        ("selector", parameter(ParameterKind::Str, selector)),
    ]
    .into_iter()
    .map(|(name, parameter)| (name.to_owned(), parameter))
    .collect()
}

fn parameter(kind: ParameterKind, desc: &str) -> Parameter {
    Parameter {
        kind,
        desc: desc.to_owned(),
        is_required: false,
        values: Vec::new(),
    }
}

fn of_job(kind: &str) -> Parameter {
    parameter(kind_of(kind), "")
}

/// The type that the protocol has for a type of named jobs. It has none for numbers with decimals, lists and maps: they are texts of
/// JSON.
fn kind_of(kind: &str) -> ParameterKind {
    match kind {
        "integer" => ParameterKind::Int,
        "boolean" => ParameterKind::Bool,
        _ => ParameterKind::Str,
    }
}

fn described(kind: &str) -> &'static str {
    match kind {
        "number" => "a number as JSON text,",
        "list" => "a list as JSON text,",
        "map" => "a map as JSON text,",
        _ => "parameter",
    }
}

/// On which hosts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Hosts {
    /// This one: its sensor's id, its own, or its name.
    Named(String),
    /// Those of the org that are selected.
    Selected(HostSelector),
}

/// Jobs that somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wish {
    pub(crate) job: String,
    pub(crate) hosts: Hosts,
    params: Map<String, Value>,
}

impl Wish {
    pub(super) fn of_request(mut data: Map<String, Value>) -> Result<Self, Refusal> {
        data.retain(|_, value| !value.is_null());
        let job = text(&mut data, "job")?.ok_or_else(|| invalid("bad_params", "missing parameter job"))?;
        Self::read(job, data)
    }

    pub(super) fn of_command(mut data: Map<String, Value>) -> Result<Self, Refusal> {
        data.retain(|_, value| !value.is_null());
        let job = text(&mut data, "command_name")?;
        let job = job.ok_or_else(|| invalid("bad_params", "missing parameter command_name"))?;
        data.retain(|name, _| !OF_ROOM.contains(&name.as_str()));
        Self::read(job, data)
    }

    fn read(job: String, mut data: Map<String, Value>) -> Result<Self, Refusal> {
        let mut named = Vec::new();
        for name in ["sid", "host"] {
            named.extend(text(&mut data, name)?.map(Hosts::Named));
        }
        if let Some(words) = text(&mut data, "selector")? {
            named.push(Hosts::Selected(selector(&words)?));
        }
        let mut named = named.into_iter();
        match (named.next(), named.next()) {
            (Some(hosts), None) => Ok(Self {
                job,
                hosts,
                params: data,
            }),
            _ => Err(invalid(
                "bad_params",
                "exactly one of sid, host and selector is needed",
            )),
        }
    }

    /// The job that is wished.
    pub(crate) fn named<'r>(&self, rules: &'r RuleSet) -> Result<&'r NamedJob, Refusal> {
        let name: Option<Name> = self.job.parse().ok();
        let job = name.and_then(|name| rules.named_job(&name));
        job.map(|job| &**job).ok_or_else(|| Refusal::NotFound {
            what: "named job",
            id: self.job.chars().take(80).collect(),
        })
    }

    /// The parameters as the job takes them.
    pub(crate) fn params(&self, job: &NamedJob) -> Result<Map<String, Value>, Refusal> {
        let prefix = format!("{}.", job.name());
        let mut params = Map::new();
        for (given, value) in &self.params {
            let name = given.strip_prefix(&prefix).unwrap_or(given);
            let declared = job.declared().find(|(declared, _, _)| *declared == name);
            let Some((name, kind, _)) = declared else {
                let given: String = given.chars().take(80).collect();
                return Err(invalid(
                    "bad_params",
                    format!("{} has no parameter {given}", job.name()),
                ));
            };
            let value = converted(kind, value).ok_or_else(|| {
                invalid(
                    "bad_params",
                    format!("invalid parameter {given}: wrong data type"),
                )
            })?;
            params.insert(name.to_owned(), value);
        }
        Ok(params)
    }
}

/// A value as named jobs take it; `None`: it is of another type.
fn converted(kind: &str, value: &Value) -> Option<Value> {
    match (kind, value) {
        ("boolean", Value::String(text)) => text.parse().ok().map(Value::Bool),
        // A whole number that arrived with a decimal point.
        ("integer", Value::Number(number)) if number.is_f64() => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0)?;
            (whole.abs() < 9e15).then(|| json!(whole as i64))
        }
        ("number" | "list" | "map", Value::String(text)) => serde_json::from_str(text).ok(),
        _ => Some(value.clone()),
    }
}

fn text(data: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>, Refusal> {
    match data.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(
            "bad_params",
            format!("invalid parameter {name}: wrong data type"),
        )),
    }
}

fn selector(words: &str) -> Result<HostSelector, Refusal> {
    let bad = |why: String| invalid("bad_params", format!("invalid parameter selector: {why}"));
    let mut selector = HostSelector::default();
    for word in words.split(NEXT_PARAMETER).filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match selector.set(name, value) {
            Ok(true) => {}
            Ok(false) => return Err(bad(format!("nothing is called {name:?}"))),
            Err(why) => return Err(bad(why)),
        }
    }
    if selector == HostSelector::default() {
        return Err(bad("it selects every host; name one part at least".to_owned()));
    }
    Ok(selector)
}

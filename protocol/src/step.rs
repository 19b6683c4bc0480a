//! A step of a job: one verb with its arguments and how its failure is taken.
//!
//! On the wire and in files a step is a map with exactly one key that is a verb:
//! `{"id": "processes", "list_processes": {}, "on_error": "continue"}`.

use crate::fault::Fault;
use crate::id::Sha256;
use crate::time::{Span, Timestamp};
use crate::verb::{Effect, Verb};
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// What a step's failure means for its job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The job fails and later steps are skipped.
    #[default]
    Fail,
    /// The job goes on; the failure is counted in `steps_failed`.
    Continue,
}

/// A step as a job carries it. Arguments are JSON; those that contain a template over `steps.*` are
/// rendered just before the step runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Unique in its job; `step<N>` (from 1) when the author gave none.
    pub id: Option<String>,
    /// The verb.
    pub verb: Verb,
    /// Its arguments, an object.
    pub args: Value,
    /// How long it may run; default 2 minutes.
    pub timeout: Option<Span>,
    /// What its failure means.
    pub on_error: OnError,
    /// Whether it may be run again when its outcome is unknown.
    pub idempotent: bool,
}

impl Step {
    /// A step with defaults.
    pub fn new(verb: Verb, args: Value) -> Self {
        Self {
            id: None,
            verb,
            args,
            timeout: None,
            on_error: OnError::Fail,
            idempotent: false,
        }
    }

    /// Whether it may be repeated when its outcome is unknown: it only reads, or its author says so.
    pub fn may_repeat(&self) -> bool {
        self.idempotent || self.verb.effect() == Effect::Reads
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = &self.id {
            map.serialize_entry("id", id)?;
        }
        map.serialize_entry(self.verb.as_str(), &self.args)?;
        if let Some(timeout) = &self.timeout {
            map.serialize_entry("timeout", timeout)?;
        }
        if self.on_error != OnError::Fail {
            map.serialize_entry("on_error", &self.on_error)?;
        }
        if self.idempotent {
            map.serialize_entry("idempotent", &true)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::<String, Value>::deserialize(deserializer)?;
        let mut step = Step::new(Verb::ListProcesses, Value::Null);
        let mut verb = None;
        for (key, value) in map {
            let field = |error: serde_json::Error| D::Error::custom(format!("step key {key:?}: {error}"));
            match key.as_str() {
                "id" => step.id = serde_json::from_value(value).map_err(field)?,
                "timeout" => step.timeout = serde_json::from_value(value).map_err(field)?,
                "on_error" => step.on_error = serde_json::from_value(value).map_err(field)?,
                "idempotent" => step.idempotent = serde_json::from_value(value).map_err(field)?,
                other => {
                    let found: Verb = other.parse().map_err(|_| {
                        D::Error::custom(format!("{other:?} is neither a key of a step nor a verb"))
                    })?;
                    if let Some(first) = verb.replace(found) {
                        return Err(D::Error::custom(format!(
                            "a step has one verb, not {first} and {found}"
                        )));
                    }
                    step.args = if value.is_null() {
                        Value::Object(Map::new())
                    } else {
                        value
                    };
                }
            }
        }
        step.verb = verb.ok_or_else(|| D::Error::custom("a step needs a verb, such as list_processes"))?;
        Ok(step)
    }
}

/// Where a step is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not begun.
    #[default]
    Pending,
    /// Sent to the host, or about to be.
    Running,
    /// Done.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Never begun, because the job ended before it.
    Skipped,
    /// Begun, and nobody knows how it ended.
    Interrupted,
}

/// A file's content kept by the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// Of its content; also its address.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
    /// The file's name on the host, or `<step>.json` for an output too large for a result.
    pub name: String,
}

/// Bytes left out of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncated {
    /// How many.
    pub bytes: u64,
}

/// How a step went, as results and job views report it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step's id.
    pub id: String,
    /// Its verb.
    pub verb: Verb,
    /// Where it is.
    pub status: StepStatus,
    /// What the verb returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The file it fetched, or its output when that was too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<ArtifactRef>,
    /// What was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Truncated>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
    /// When it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

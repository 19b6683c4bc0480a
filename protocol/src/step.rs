//! A step of a job: one verb, or one server-side action, with its arguments and how its failure is taken.
//!
//! On the wire and in files a step is a map with exactly one key that is a verb:
//! `{"id": "processes", "list_processes": {}, "on_error": "continue"}`. A person writes it, so a key that is
//! unknown, or there twice, is an error. Whether the arguments suit the verb is asked by
//! [`crate::verb::VerbCall::parse`], once their templates are rendered.

mod for_each;
mod on_error;
mod report;
mod retry;
mod verb;
mod when;

pub use for_each::ForEach;
pub use on_error::{InvalidOnError, OnError};
pub use report::{ArtifactRef, StepReport, StepStatus, Truncated};
pub use retry::{InvalidRetry, Retry, RetryOn};
pub use verb::{
    Detect, EventHost, InvalidServerCall, Publish, ServerCall, ServerVerb, StepVerb, UnknownStepVerb,
};
pub use when::When;

use crate::time::Span;
use crate::verb::Verb;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::fmt;

/// A step as a job carries it. Arguments are JSON; those that contain a template over `steps.*` are
/// rendered just before the step runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Unique in its job; `step<N>` (from 1) when the author gave none.
    pub id: Option<String>,
    /// What it does.
    pub verb: StepVerb,
    /// Its arguments: an object, or a span for `wait`.
    pub args: Value,
    /// Only if this holds; absent: always.
    pub when: Option<When>,
    /// Once for every element of a list.
    pub for_each: Option<ForEach>,
    /// How long it may run; default 2 minutes.
    pub timeout: Option<Span>,
    /// What its failure means.
    pub on_error: OnError,
    /// Tried again before that.
    pub retry: Option<Retry>,
    /// Whether it may be run again when its outcome is unknown.
    pub idempotent: bool,
}

impl Step {
    /// A step with defaults.
    pub fn new(verb: impl Into<StepVerb>, args: Value) -> Self {
        Self {
            id: None,
            verb: verb.into(),
            args,
            when: None,
            for_each: None,
            timeout: None,
            on_error: OnError::Fail,
            retry: None,
            idempotent: false,
        }
    }

    /// Whether it may be repeated when its outcome is unknown: it only reads, or its author says so.
    pub fn may_repeat(&self) -> bool {
        self.idempotent || !self.verb.mutates()
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = &self.id {
            map.serialize_entry("id", id)?;
        }
        map.serialize_entry(self.verb.as_str(), &self.args)?;
        if let Some(when) = &self.when {
            map.serialize_entry("when", when)?;
        }
        if let Some(for_each) = &self.for_each {
            map.serialize_entry("for_each", for_each)?;
        }
        if let Some(timeout) = &self.timeout {
            map.serialize_entry("timeout", timeout)?;
        }
        if self.on_error != OnError::Fail {
            map.serialize_entry("on_error", &self.on_error)?;
        }
        if let Some(retry) = &self.retry {
            map.serialize_entry("retry", retry)?;
        }
        if self.idempotent {
            map.serialize_entry("idempotent", &true)?;
        }
        map.end()
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Step;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a step: a map with one verb, such as {\"list_processes\": {}}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
        let mut step = Step::new(Verb::ListProcesses, Value::Null);
        let mut verb = None;
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(A::Error::custom(format_args!("a step has {key:?} twice")));
            }
            let value = map.next_value::<Value>()?;
            match key.as_str() {
                "id" => step.id = field(&key, value)?,
                "when" => step.when = field(&key, value)?,
                "for_each" => step.for_each = field(&key, value)?,
                "timeout" => step.timeout = field(&key, value)?,
                "retry" => step.retry = field(&key, value)?,
                "on_error" => step.on_error = field(&key, value)?,
                "idempotent" => step.idempotent = field(&key, value)?,
                other => {
                    let found: StepVerb = other.parse().map_err(|_| {
                        A::Error::custom(format_args!("{other:?} is neither a key of a step nor a verb"))
                    })?;
                    if let Some(first) = verb.replace(found) {
                        let text = format_args!("a step has one verb, not {first} and {found}");
                        return Err(A::Error::custom(text));
                    }
                    step.args = arguments(found, value)?;
                }
            }
            seen.push(key);
        }
        step.verb = verb.ok_or_else(|| A::Error::custom("a step needs a verb, such as list_processes"))?;
        Ok(step)
    }
}

fn field<T: serde::de::DeserializeOwned, E: serde::de::Error>(key: &str, value: Value) -> Result<T, E> {
    serde_json::from_value(value).map_err(|error| E::custom(format_args!("step key {key:?}: {error}")))
}

/// What they must be is the verb's business, once their templates are rendered; here they are an object.
/// How deep they are is asked where they come in ([`crate::api::SubmitJob`]): a step that was accepted and
/// stored must be readable for ever.
fn arguments<E: serde::de::Error>(verb: StepVerb, value: Value) -> Result<Value, E> {
    match value {
        Value::String(_) if verb == StepVerb::Server(ServerVerb::Wait) => Ok(value),
        Value::Null => Ok(Value::Object(Map::new())),
        Value::Object(_) => Ok(value),
        _ => Err(E::custom(format_args!(
            "arguments of {verb} must be a map of names and values"
        ))),
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StepVisitor)
    }
}

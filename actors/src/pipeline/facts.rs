//! What conditions and templates know, before a job is accepted and when a step is about to run.

use super::HostFacts;
use serde_json::{Map, Value};
use tripline_protocol::Event;

/// What is known when a job is made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Facts<'a> {
    pub(super) event: Option<&'a Event>,
    pub(super) host: Option<&'a HostFacts>,
    /// Other names with their values.
    pub(super) values: Option<&'a Map<String, Value>>,
}

/// What a step knows that is about to run: names with their values, `steps` always among them.
#[derive(Debug, Clone, PartialEq)]
pub struct StepFacts(Map<String, Value>);

impl StepFacts {
    /// Of a step behind these, which are maps of `status`, `output` and the like by their ids.
    pub fn over(steps: Map<String, Value>) -> Self {
        Self(Map::from_iter([("steps".to_owned(), Value::Object(steps))]))
    }

    /// The same of a job with these values of `let`.
    pub fn with_vars(mut self, vars: Map<String, Value>) -> Self {
        if !vars.is_empty() {
            self.0.insert("vars".to_owned(), Value::Object(vars));
        }
        self
    }

    /// The names of `let`.
    pub(super) fn vars(&self) -> Vec<&str> {
        let vars = self.0.get("vars").and_then(Value::as_object);
        vars.map(|vars| vars.keys().map(String::as_str).collect())
            .unwrap_or_default()
    }

    /// The same of a step for this element of a list, which has this place in it, from 0.
    pub fn at(mut self, item: Value, index: usize) -> Self {
        self.0.insert("item".to_owned(), item);
        self.0.insert("index".to_owned(), index.into());
        self
    }

    /// Whether it is of an element of a list.
    pub(super) fn has_item(&self) -> bool {
        self.0.contains_key("item")
    }

    pub(super) fn values(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The ids of the steps before it.
    pub(super) fn ids(&self) -> Vec<String> {
        let steps = self.0.get("steps").and_then(Value::as_object);
        steps
            .map(|steps| steps.keys().cloned().collect())
            .unwrap_or_default()
    }
}

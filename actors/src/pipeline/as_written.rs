//! The steps of a rendered job in the form that files have them in: for people, and for tests of pipelines.

use super::late;
use serde_json::{Map, Value};
use tripline_protocol::step::{Step, When};

/// A step with its rendered arguments. What waits for the step is the template that it was written as; `when` is `true`
/// or `false` where it is decided.
pub fn as_written(step: &Step) -> Value {
    let mut written = match serde_json::to_value(step) {
        Ok(Value::Object(map)) => map,
        // A step is a map of values in any case.
        _ => Map::new(),
    };
    written.values_mut().for_each(unmark);
    let when = match &step.when {
        None => Value::Bool(true),
        Some(When::No { .. }) => Value::Bool(false),
        Some(When::Late(source)) => Value::String(source.clone()),
    };
    written.insert("when".to_owned(), when);
    Value::Object(written)
}

/// Puts the template into the place of what waits for its step.
fn unmark(value: &mut Value) {
    if let Value::Object(map) = value
        && let Some(text) = late::marked(map)
    {
        *value = Value::String(text.to_owned());
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(unmark),
        Value::Object(map) => map.values_mut().for_each(unmark),
        _ => {}
    }
}

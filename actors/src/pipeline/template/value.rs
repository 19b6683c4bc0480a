//! Between JSON and minijinja's values, within a budget of bytes.

use super::super::render_error::Cause;
use super::failed;
use minijinja::value::{Serde, ValueKind};
use serde_json::{Map, Value};
use std::io::{self, Write};

/// Deepest nesting of a rendered value.
const DEPTH_MAX: usize = 64;

/// Bytes that rendering may still give.
#[derive(Debug)]
pub(in crate::pipeline) struct Budget {
    bytes: usize,
    left: usize,
}

impl Budget {
    pub(in crate::pipeline) fn new(bytes: usize) -> Self {
        Self { bytes, left: bytes }
    }

    /// Takes some.
    pub(in crate::pipeline) fn spend(&mut self, bytes: usize) -> Result<(), Cause> {
        self.left = self.left.checked_sub(bytes).ok_or(Cause::TooLarge {
            bytes_max: self.bytes,
        })?;
        Ok(())
    }
}

/// Bytes of a value as JSON.
pub(in crate::pipeline) fn len_bytes(value: &Value) -> usize {
    let mut counted = Counted(0);
    // Values have text keys and the counter takes everything, so that this cannot fail.
    match serde_json::to_writer(&mut counted, value) {
        Ok(()) => counted.0,
        Err(_) => usize::MAX,
    }
}

/// Counts what is written.
struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON as a value of minijinja.
pub(in crate::pipeline) fn from_json(value: &Value) -> minijinja::Value {
    minijinja::Value::from(Serde(value))
}

/// A value as JSON; `None` when it, or anything in it, is undefined.
pub(super) fn to_json(
    value: &minijinja::Value,
    budget: &mut Budget,
    depth: usize,
) -> Result<Option<Value>, Cause> {
    let refuse = |reason: &str| Err(failed(reason));
    if depth > DEPTH_MAX {
        return refuse("the value nests too deep");
    }
    budget.spend(8)?;
    match value.kind() {
        ValueKind::Undefined => Ok(None),
        ValueKind::None => Ok(Some(Value::Null)),
        ValueKind::Bool => Ok(Some(value.is_true().into())),
        ValueKind::Number => number(value).map(Some),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            budget.spend(text.len())?;
            Ok(Some(text.into()))
        }
        ValueKind::Seq | ValueKind::Iterable => list(value, budget, depth),
        ValueKind::Map => map(value, budget, depth),
        _ => refuse("the value has no form in JSON"),
    }
}

fn number(value: &minijinja::Value) -> Result<Value, Cause> {
    if let Some(number) = value.as_i64().filter(|_| value.is_integer()) {
        return Ok(number.into());
    }
    if let (true, Ok(number)) = (value.is_integer(), u64::try_from(value.clone())) {
        return Ok(number.into());
    }
    f64::try_from(value.clone())
        .ok()
        .and_then(serde_json::Number::from_f64)
        .map(Value::Number)
        .ok_or_else(|| failed("the number has no form in JSON"))
}

fn list(value: &minijinja::Value, budget: &mut Budget, depth: usize) -> Result<Option<Value>, Cause> {
    let mut items = Vec::new();
    for item in value.try_iter().map_err(failed)? {
        match to_json(&item, budget, depth + 1)? {
            Some(item) => items.push(item),
            None => return Ok(None),
        }
    }
    Ok(Some(Value::Array(items)))
}

fn map(value: &minijinja::Value, budget: &mut Budget, depth: usize) -> Result<Option<Value>, Cause> {
    let mut entries = Map::new();
    for key in value.try_iter().map_err(failed)? {
        let item = value.get_item(&key).map_err(failed)?;
        let Some(name) = key.as_str() else {
            return Err(failed("a map with a key that is no text"));
        };
        budget.spend(name.len())?;
        match to_json(&item, budget, depth + 1)? {
            Some(item) => drop(entries.insert(name.to_owned(), item)),
            None => return Ok(None),
        }
    }
    Ok(Some(Value::Object(entries)))
}

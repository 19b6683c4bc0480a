//! The attributes of an object as a client wrote them, read one by one so that a wrong one can be named.

use super::{InvalidWireEvent, LocalTime};
use serde_json::{Map, Value};

/// Beyond this a float is no exact whole number.
const WHOLE_MAX: f64 = 9e15;

/// An absent attribute and `null` are the same.
pub(super) struct Attributes<'a>(pub(super) &'a Map<String, Value>);

impl Attributes<'_> {
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, key: &'static str) -> Result<Option<String>, InvalidWireEvent> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => wrong(key, format!("must be a text, not {}", kind_of(other))),
        }
    }

    pub(super) fn flag(&self, key: &'static str) -> Result<bool, InvalidWireEvent> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => wrong(key, format!("must be true or false, not {}", kind_of(other))),
        }
    }

    pub(super) fn number(&self, key: &'static str) -> Result<Option<f64>, InvalidWireEvent> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(other) => wrong(key, format!("must be a number, not {}", kind_of(other))),
        }
    }

    pub(super) fn time(&self, key: &'static str) -> Result<Option<LocalTime>, InvalidWireEvent> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(time) => Ok(Some(time)),
                Err(error) => wrong(key, format!("{error}")),
            },
        }
    }

    /// A whole number; Python writes some as floats. A fraction is cut off.
    pub(super) fn integer(&self, key: &'static str) -> Result<Option<i64>, InvalidWireEvent> {
        let Some(number) = self.number(key)? else {
            return Ok(None);
        };
        let exact = self.get(key).and_then(Value::as_i64);
        match exact.or((number.abs() < WHOLE_MAX).then_some(number as i64)) {
            Some(number) => Ok(Some(number)),
            None => wrong(key, format!("is too large: {number}")),
        }
    }

    pub(super) fn seconds(&self, key: &'static str) -> Result<u64, InvalidWireEvent> {
        match self.integer(key)? {
            None => Ok(0),
            Some(number) => match u64::try_from(number) {
                Ok(number) => Ok(number),
                Err(_) => wrong(key, format!("must not be negative, and is {number}")),
            },
        }
    }

    /// A fraction is no process.
    pub(super) fn pid(&self) -> Result<Option<u32>, InvalidWireEvent> {
        let Some(number) = self.number("pid")? else {
            return Ok(None);
        };
        match self.integer("pid")?.and_then(|whole| u32::try_from(whole).ok()) {
            Some(pid) if number.fract() == 0.0 => Ok(Some(pid)),
            _ => wrong("pid", format!("must be a process id, and is {number}")),
        }
    }
}

pub(super) fn wrong<T>(key: &'static str, problem: String) -> Result<T, InvalidWireEvent> {
    Err(InvalidWireEvent { key, problem })
}

pub(super) fn check_text(key: &'static str, text: &str, most: usize) -> Result<(), InvalidWireEvent> {
    match text.len() {
        bytes if bytes > most => wrong(key, format!("is {bytes} bytes long, at most {most} are taken")),
        _ => Ok(()),
    }
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

//! A call: read tolerantly, as the reference implementation does, and never with a panic.

use super::{MID_BYTES_MAX, ServiceEtype, VERSION};
use crate::limit::{NESTING_MAX, TRIPDEPTH_MAX, is_shallow};
use crate::time::Timestamp;
use serde_json::{Map, Value, json};
use std::fmt;

/// A token of an org. Shown nowhere: its `Debug` form is masked, and it is never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Jwt(String);

impl Jwt {
    /// Of this text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, to be sent, and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jwt(…)")
    }
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Version of the protocol; the real simulator leaves it out.
    pub version: Option<u64>,
    /// The org, as given; `None` for calls about no org.
    pub oid: Option<String>,
    /// Unique id of the message, the same for every attempt to deliver it; 1 to [`MID_BYTES_MAX`] bytes.
    pub mid: Option<String>,
    /// When the caller stops waiting; on the wire Unix seconds, with or without decimals.
    pub deadline: Option<Timestamp>,
    /// A token for the org.
    pub jwt: Option<Jwt>,
    /// How many pipelines and services led to it, 0 to [`TRIPDEPTH_MAX`]: Tripline's own field, by which loops of servers that
    /// serve each other end. Real clouds leave it out, and real services ignore it.
    pub tripdepth: Option<u8>,
    /// What it is about, as given; empty when absent. [`Self::kind`] tells whether it is known.
    pub etype: String,
    /// What came with it: an object in what real clouds send, `{}` when absent; anything else as it came.
    pub data: Value,
}

/// Why a body is no call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCall {
    /// No JSON, or nested too deep.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON, but no object.
    #[error("the body is not an object")]
    NotObject,
    /// A field of another type than it must have, or too long.
    #[error("{field}: {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Longer than whoever reads it takes.
    #[error("call of {bytes} bytes, at most {bytes_max} are taken")]
    TooLong {
        /// What it has.
        bytes: usize,
        /// What is taken.
        bytes_max: usize,
    },
    /// A version after the only one.
    #[error("unsupported version (> {VERSION})")]
    Version,
}

impl InvalidCall {
    /// Whether it is refused with an answer of the protocol rather than an HTTP status: the body was an object.
    pub const fn is_answered(&self) -> bool {
        matches!(self, Self::Field { .. } | Self::TooLong { .. } | Self::Version)
    }
}

impl Call {
    /// Reads a body. Unknown fields are ignored, and `null` counts as absent.
    ///
    /// # Errors
    /// No object; a field of the wrong type; a version after 1.
    pub fn read(body: &[u8]) -> Result<Self, InvalidCall> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| InvalidCall::NotJson(error.to_string()))?;
        if !is_shallow(&value) {
            return Err(InvalidCall::NotJson(format!(
                "nested more than {NESTING_MAX} levels"
            )));
        }
        let Value::Object(mut map) = value else {
            return Err(InvalidCall::NotObject);
        };
        let version = number(&mut map, "version")?.map(whole).transpose()?;
        if version.is_some_and(|version| version > VERSION) {
            return Err(InvalidCall::Version);
        }
        let mid = text(&mut map, "mid")?.filter(|mid| !mid.is_empty());
        if mid.as_ref().is_some_and(|mid| mid.len() > MID_BYTES_MAX) {
            return wrong("mid", "must be at most 128 bytes");
        }
        Ok(Self {
            version,
            oid: text(&mut map, "oid")?.filter(|oid| !oid.is_empty()),
            mid,
            deadline: number(&mut map, "deadline")?.map(seconds),
            jwt: text(&mut map, "jwt")?.map(Jwt),
            tripdepth: number(&mut map, "tripdepth")?.map(depth).transpose()?,
            etype: text(&mut map, "etype")?.unwrap_or_default(),
            data: map.remove("data").unwrap_or_else(|| json!({})),
        })
    }

    /// What it is about, if it is known.
    pub fn kind(&self) -> Option<ServiceEtype> {
        self.etype.parse().ok()
    }

    /// How deep what it causes is: one deeper than what a cloud that counts called with, 0 for others. `None`: beyond
    /// [`TRIPDEPTH_MAX`]; without that end two servers that are each other's services would go on for ever.
    pub fn depth_caused(&self) -> Option<u8> {
        let depth = self.tripdepth.map_or(0, |depth| depth.saturating_add(1));
        (depth <= TRIPDEPTH_MAX).then_some(depth)
    }

    /// The body that a cloud posts. `deadline` is written with its decimals, if it has any.
    pub fn to_body(&self) -> Vec<u8> {
        let mut map = Map::new();
        map.insert("version".into(), json!(self.version.unwrap_or(VERSION)));
        if let Some(oid) = &self.oid {
            map.insert("oid".into(), json!(oid));
        }
        if let Some(mid) = &self.mid {
            map.insert("mid".into(), json!(mid));
        }
        if let Some(deadline) = self.deadline {
            map.insert("deadline".into(), deadline_value(deadline));
        }
        if let Some(jwt) = &self.jwt {
            map.insert("jwt".into(), json!(jwt.reveal()));
        }
        if let Some(depth) = self.tripdepth {
            map.insert("tripdepth".into(), json!(depth));
        }
        map.insert("etype".into(), json!(self.etype));
        map.insert("data".into(), self.data.clone());
        Value::Object(map).to_string().into_bytes()
    }
}

fn wrong<T>(field: &'static str, expected: &'static str) -> Result<T, InvalidCall> {
    Err(InvalidCall::Field { field, expected })
}

fn text(map: &mut Map<String, Value>, field: &'static str) -> Result<Option<String>, InvalidCall> {
    match map.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => wrong(field, "must be a text"),
    }
}

fn number(map: &mut Map<String, Value>, field: &'static str) -> Result<Option<f64>, InvalidCall> {
    match map.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(_) => wrong(field, "must be a number"),
    }
}

fn whole(number: f64) -> Result<u64, InvalidCall> {
    if number.fract() != 0.0 || number < 0.0 {
        return wrong("version", "must be a whole number");
    }
    // Saturates: whatever is that large is refused for it.
    Ok(number as u64)
}

fn depth(number: f64) -> Result<u8, InvalidCall> {
    let is_one = number.fract() == 0.0 && (0.0..=f64::from(TRIPDEPTH_MAX)).contains(&number);
    match is_one {
        true => Ok(number as u8),
        false => wrong("tripdepth", "must be a whole number from 0 to 8"),
    }
}

/// Saturates at the ends of time.
fn seconds(number: f64) -> Timestamp {
    Timestamp::from_micros((number * 1e6) as i64)
}

/// Whole seconds where it is whole: some services read it as an integer.
fn deadline_value(deadline: Timestamp) -> Value {
    let micros = deadline.as_micros();
    if micros % 1_000_000 == 0 {
        json!(micros / 1_000_000)
    } else {
        json!(micros as f64 / 1e6)
    }
}

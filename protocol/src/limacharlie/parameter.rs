//! Parameters of `request`: their definitions, and how given ones are held to them.
//!
//! Sources: the Python implementation has `int str bool enum`, the Go one also `uuid` and `sid`. Which whole floats and texts pass
//! follows the Go helper (`true` as a text, `5.0` as an int); `null` counts as absent, as since lcservice 1.9.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a parameter is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ParameterKind,
    /// What it means.
    #[serde(default)]
    pub desc: String,
    /// Whether a request without it is refused.
    #[serde(default)]
    pub is_required: bool,
    /// What an `enum` may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterKind {
    /// A text.
    Str,
    /// A whole number.
    Int,
    /// True or false.
    Bool,
    /// One of `values`.
    Enum,
    /// A UUID.
    Uuid,
    /// A sensor id: a UUID as well.
    Sid,
    /// What a newer version has; whatever is given passes.
    #[serde(other)]
    Other,
}

/// Why parameters are refused; the text is the reference implementation's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadParameter {
    /// Of another type.
    #[error("invalid parameter {0}: wrong data type")]
    Type(String),
    /// None of the values.
    #[error("invalid parameter {0}: enum has invalid value")]
    Value(String),
    /// Required, and absent.
    #[error("missing parameter {0}")]
    Missing(String),
}

/// Holds what was given to its definitions: given ones first, then required ones. Unknown keys pass.
///
/// # Errors
/// The first that does not fit.
pub fn check_parameters(
    definitions: &BTreeMap<String, Parameter>,
    given: &Map<String, Value>,
) -> Result<(), BadParameter> {
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        if let Some(definition) = definitions.get(name) {
            definition.check(name, value)?;
        }
    }
    let is_missing = |name: &str| given.get(name).is_none_or(Value::is_null);
    let missing = definitions
        .iter()
        .find(|(name, definition)| definition.is_required && is_missing(name));
    missing.map_or(Ok(()), |(name, _)| Err(BadParameter::Missing(name.clone())))
}

impl Parameter {
    fn check(&self, name: &str, value: &Value) -> Result<(), BadParameter> {
        if !self.kind.takes(value) {
            return Err(BadParameter::Type(name.to_owned()));
        }
        let is_of_values = || {
            value
                .as_str()
                .is_some_and(|text| self.values.iter().any(|one| one == text))
        };
        if self.kind == ParameterKind::Enum && !is_of_values() {
            return Err(BadParameter::Value(name.to_owned()));
        }
        Ok(())
    }
}

impl ParameterKind {
    fn takes(self, value: &Value) -> bool {
        match self {
            Self::Str | Self::Enum => value.is_string(),
            Self::Int => {
                value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            Self::Bool => value.is_boolean() || matches!(value.as_str(), Some("true" | "false")),
            Self::Uuid | Self::Sid => value.as_str().is_some_and(|text| Uuid::parse_str(text).is_ok()),
            Self::Other => true,
        }
    }
}

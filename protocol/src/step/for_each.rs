//! A step for every element of a list.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// The list that a step runs over, and how long it may be. People may write the list alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForEach {
    /// A list, or a template that gives one.
    #[serde(rename = "in")]
    pub items: Value,
    /// Most elements; a longer list fails the step. Default 50, at most [`crate::limit::FOR_EACH_MAX`].
    pub max: u32,
}

impl ForEach {
    /// Most elements when it does not say.
    pub const MAX_DEFAULT: u32 = 50;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    #[serde(rename = "in")]
    items: Value,
    #[serde(default = "max_default")]
    max: u32,
}

fn max_default() -> u32 {
    ForEach::MAX_DEFAULT
}

impl<'de> Deserialize<'de> for ForEach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = Value::deserialize(deserializer)?;
        match value {
            Value::Object(_) => {
                let whole: Whole = serde_json::from_value(value).map_err(D::Error::custom)?;
                Ok(Self {
                    items: whole.items,
                    max: whole.max,
                })
            }
            Value::String(_) | Value::Array(_) => Ok(Self {
                items: value,
                max: Self::MAX_DEFAULT,
            }),
            _ => Err(D::Error::custom(
                "expected a list, a template that gives one, or {in, max}",
            )),
        }
    }
}

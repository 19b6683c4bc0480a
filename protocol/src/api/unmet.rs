//! Why a condition does not hold, for whoever asks why a pipeline did not act.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The first part of a condition that does not hold. A condition is as many parts as `&&` joins at its top.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unmet {
    /// The part, as it is written, cut where it is long.
    pub part: String,
    /// Which part it is, from 1.
    pub number: u32,
    /// How many parts there are.
    pub of: u32,
    /// What is wrong with it.
    pub why: Shortfall,
    /// The field that is not there, such as `event.data.user`; absent when it is an element of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What went wrong in evaluating it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The fields that it looks at and that are there, with their values; the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 8))]
    pub seen: Vec<SeenField>,
}

/// How a part of a condition does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Shortfall {
    /// It is false.
    False,
    /// A field that it names is not there.
    Missing,
    /// It has no value: a type error, a list too long.
    Error,
}

/// A field that a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SeenField {
    /// Such as `event.data.severity`.
    pub field: String,
    /// As JSON, cut where it is long; of a list or a map only how large it is.
    pub value: String,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            part, field, error, ..
        } = self;
        match self.why {
            Shortfall::False => write!(f, "{part} is false")?,
            Shortfall::Missing => {
                let what = field.as_deref().unwrap_or("an element of a list");
                write!(f, "{what} is missing, in {part}")?;
            }
            Shortfall::Error => write!(
                f,
                "{part} has no value: {}",
                error.as_deref().unwrap_or("an error")
            )?,
        }
        for (index, SeenField { field, value }) in self.seen.iter().enumerate() {
            let before = if index == 0 { "; " } else { ", " };
            write!(f, "{before}{field} is {value}")?;
        }
        match self.of {
            1 => Ok(()),
            of => write!(f, " (part {} of {of})", self.number),
        }
    }
}

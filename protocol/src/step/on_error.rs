//! What a step's failure means for its job.

use crate::id::Name;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// What a step's failure means for its job; a text on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OnError {
    /// The job fails and later steps are skipped.
    #[default]
    Fail,
    /// The job goes on; the failure is counted in `steps_failed`.
    Continue,
    /// `goto ID`: the job goes on with that later step; those between are skipped.
    Goto(Name),
}

/// A text that says nothing of the kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected fail, continue or goto ID, found {0:?}")]
pub struct InvalidOnError(String);

impl FromStr for OnError {
    type Err = InvalidOnError;
    fn from_str(text: &str) -> Result<Self, InvalidOnError> {
        let invalid = || InvalidOnError(text.chars().take(80).collect());
        match text {
            "fail" => Ok(Self::Fail),
            "continue" => Ok(Self::Continue),
            _ => {
                let id = text.strip_prefix("goto ").ok_or_else(invalid)?;
                id.trim_matches(' ')
                    .parse()
                    .map(Self::Goto)
                    .map_err(|_| invalid())
            }
        }
    }
}

impl fmt::Display for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail => f.write_str("fail"),
            Self::Continue => f.write_str("continue"),
            Self::Goto(id) => write!(f, "goto {id}"),
        }
    }
}

impl Serialize for OnError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OnError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

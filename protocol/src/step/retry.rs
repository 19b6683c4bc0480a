//! Trying again what failed.

use crate::job::Outcome;
use crate::time::Span;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How often a step or a job is tried, and how long is waited in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How often at most, the first time counted.
    #[cfg_attr(feature = "openapi", schema(minimum = 2, maximum = 10))]
    pub attempts: u32,
    /// About how long after the first failure; twice as long after each further one. Default 10 seconds.
    #[serde(default = "backoff_default")]
    pub backoff: Span,
    /// The longest; default 5 minutes, or `backoff` if that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_max: Option<Span>,
    /// Of a job: the outcomes after which it is tried again; absent: both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<RetryOn>,
}

/// An outcome after which a job can be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// A step failed.
    Failed,
    /// It ran longer than its timeout.
    TimedOut,
}

impl FromStr for RetryOn {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "failed" => Ok(Self::Failed),
            "timed_out" => Ok(Self::TimedOut),
            _ => Err("expected failed or timed_out"),
        }
    }
}

/// A retry whose numbers are out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("retry: {0}")]
pub struct InvalidRetry(String);

fn backoff_default() -> Span {
    Retry::BACKOFF_DEFAULT
}

impl Retry {
    /// Most tries.
    pub const ATTEMPTS_MAX: u32 = 10;
    /// How long is waited when it does not say.
    pub const BACKOFF_DEFAULT: Span = Span::from_secs(10);
    /// How long is waited at most when it does not say.
    pub const BACKOFF_MAX_DEFAULT: Span = Span::from_secs(300);
    /// The longest wait that can be asked for.
    pub const BACKOFF_LIMIT: Span = Span::from_secs(24 * 3600);

    /// The longest wait.
    pub fn longest(&self) -> Span {
        self.backoff_max
            .unwrap_or(Self::BACKOFF_MAX_DEFAULT.max(self.backoff))
    }

    /// Whether a job with this outcome is tried again.
    pub fn takes(&self, outcome: Outcome) -> bool {
        let on = match outcome {
            Outcome::Failed => RetryOn::Failed,
            Outcome::TimedOut => RetryOn::TimedOut,
            _ => return false,
        };
        self.on.is_empty() || self.on.contains(&on)
    }

    /// Whether its numbers are within their bounds; `of_job`: it may say `on`.
    pub fn check(&self, of_job: bool) -> Result<(), InvalidRetry> {
        let invalid = |reason: String| Err(InvalidRetry(reason));
        let Self {
            attempts, backoff, ..
        } = self;
        if !(2..=Self::ATTEMPTS_MAX).contains(attempts) {
            return invalid(format!(
                "{attempts} attempts, expected 2 to {}",
                Self::ATTEMPTS_MAX
            ));
        }
        if *backoff == Span::ZERO || self.longest() > Self::BACKOFF_LIMIT {
            return invalid(format!(
                "backoff and backoff_max must be above zero and at most {}",
                Self::BACKOFF_LIMIT
            ));
        }
        if self.longest() < *backoff {
            return invalid("backoff_max is shorter than backoff".to_owned());
        }
        if !of_job && !self.on.is_empty() {
            return invalid("on belongs to the retry of a job".to_owned());
        }
        Ok(())
    }
}

//! Jobs: what people and pipelines ask for, and the words for where a job is and how it ended.

use crate::id::{Name, Sha256};
use crate::step::{Retry, Step};
use crate::time::Span;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Orders hosts that wait for a slot; never the jobs of one host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// After everything else.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before everything else.
    High,
}

impl FromStr for Priority {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "low" => Ok(Self::Low),
            "normal" => Ok(Self::Normal),
            "high" => Ok(Self::High),
            _ => Err("expected low, normal or high"),
        }
    }
}

/// What a job is to do, apart from where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Its name in subjects and lists.
    pub name: Name,
    /// How long it may wait to start; default 24 h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
    /// How long it may run; default 10 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Its host's place in the queue.
    #[serde(default)]
    pub priority: Priority,
    /// It begins anew when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// At least one, at most [`crate::limit::STEPS_MAX`].
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 64))]
    pub steps: Vec<Step>,
    /// Steps that run once those are over, however they went, while the host is there. Their failures do not change
    /// the outcome. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 16))]
    pub finally: Vec<Step>,
    /// How long they may run in all; default 2 minutes, at most one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finally_timeout: Option<Span>,
}

impl JobSpec {
    /// How long a job may wait when it does not say.
    pub const EXPIRES_DEFAULT: Span = Span::from_secs(24 * 3600);
    /// How long a job may run when it does not say.
    pub const TIMEOUT_DEFAULT: Span = Span::from_secs(600);
    /// How long a step may run when it does not say.
    pub const STEP_TIMEOUT_DEFAULT: Span = Span::from_secs(120);
    /// How long the steps of `finally` may run when it does not say.
    pub const FINALLY_TIMEOUT_DEFAULT: Span = Span::from_secs(120);
    /// How long they may run at most.
    pub const FINALLY_TIMEOUT_MAX: Span = Span::from_secs(3600);

    /// A job with defaults.
    pub fn new(name: Name, steps: Vec<Step>) -> Self {
        Self {
            name,
            expires: None,
            timeout: None,
            priority: Priority::Normal,
            retry: None,
            steps,
            finally: Vec::new(),
            finally_timeout: None,
        }
    }
}

/// Where a job is that has not ended, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Accepted; waits for its turn, its host or a slot.
    Queued,
    /// Waits for a person.
    AwaitingApproval,
    /// Has a session.
    Running,
    /// Held back by a person.
    Paused,
    /// Ended.
    #[serde(untagged)]
    Ended(Outcome),
}

impl JobState {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Ended(outcome) => outcome.as_str(),
        }
    }

    /// How it ended, if it has.
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        serde_json::from_value(text.into()).map_err(|_| {
            "expected queued, awaiting_approval, running, paused, succeeded, failed, timed_out, expired, \
             cancelled or interrupted"
        })
    }
}

/// How a job ended; exactly one per job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All steps done, or their failures were allowed.
    Succeeded,
    /// A step failed, or the job could not be taken.
    Failed,
    /// It ran longer than its timeout.
    TimedOut,
    /// It waited longer than `expires`.
    Expired,
    /// A person cancelled it.
    Cancelled,
    /// A command's outcome is unknown and it must not be run twice.
    Interrupted,
}

impl Outcome {
    /// The word on the wire and in subjects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a job ended as it did, or why a queued one waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reason {
    /// A stable word: `completed`, `step_failed`, `queue_full`, `expired`, `no_free_slot`, `host_offline`, …
    pub code: String,
    /// One sentence for people.
    pub text: String,
}

impl Reason {
    /// From its parts.
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            text: text.into(),
        }
    }
}

/// The pipeline that caused a job, with the version of its file it was decided by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineRef {
    /// Its name.
    pub name: Name,
    /// SHA-256 of its text.
    pub version: Sha256,
}

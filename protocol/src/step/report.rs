//! How a step went, as results and job views report it.

use super::StepVerb;
use crate::fault::Fault;
use crate::id::Sha256;
use crate::job::Reason;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a step is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not begun.
    #[default]
    Pending,
    /// Sent to the host, or about to be.
    Running,
    /// Done.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Never begun; its report has the reason.
    Skipped,
    /// Begun, and nobody knows how it ended.
    Interrupted,
}

/// A file's content kept by the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ArtifactRef {
    /// Of its content; also its address.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
    /// The file's name on the host, or `<step>.json` for an output too large for a result.
    pub name: String,
}

/// Bytes left out of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Truncated {
    /// How many.
    pub bytes: u64,
}

/// How a step went, as results and job views report it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepReport {
    /// The step's id.
    pub id: String,
    /// What it does.
    pub verb: StepVerb,
    /// It is a step of `finally`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finally: bool,
    /// Of a step over a list, once that is known: how many elements it has. So many reports follow, with the ids
    /// `ID-1`, `ID-2`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<u32>,
    /// Where it is.
    pub status: StepStatus,
    /// What the verb returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Outputs, required = false))]
    pub output: Option<Value>,
    /// The file it fetched, or its output when that was too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<ArtifactRef>,
    /// What was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Truncated>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
    /// Why it was skipped: `condition_false`, `no_items`, `jumped_over`, `job_ended`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Which try it is at, or ended with; absent: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 2))]
    pub tries: Option<u32>,
    /// When it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

impl StepReport {
    /// Of a step that has not begun.
    pub fn pending(id: impl Into<String>, verb: impl Into<StepVerb>) -> Self {
        Self {
            id: id.into(),
            verb: verb.into(),
            finally: false,
            items: None,
            status: StepStatus::Pending,
            output: None,
            artifact: None,
            truncated: None,
            error: None,
            reason: None,
            tries: None,
            started_at: None,
            finished_at: None,
        }
    }

    /// It does not run.
    pub fn skip(&mut self, reason: Reason) {
        self.status = StepStatus::Skipped;
        self.reason = Some(reason);
    }
}

//! Bodies about pipelines: pauses, and decisions not to act.

use super::Asker;
use crate::id::{EventKey, FanoutId, JobId, Name, Sha256};
use crate::result::HostRef;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A pipeline that does not act, whatever matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelinePause {
    /// Since when.
    pub since: Timestamp,
    /// Who asked for it last; absent when too many of its jobs failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Asker>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `PUT`, `DELETE /v1/pipelines/{pipeline}/pause`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelinePauseView {
    /// Which pipeline.
    pub name: Name,
    /// The pause it is in; absent when it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PipelinePause>,
}

/// How often a pipeline that matched did not act for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WithheldCount {
    /// The reason's word, such as `suppressed`.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// How many of these have no record of their own, because there were too many at once.
    pub unrecorded: u64,
    /// The first time.
    pub first_at: Timestamp,
    /// The last time.
    pub last_at: Timestamp,
}

/// `GET /v1/events/{key}/decisions`: what was decided about an event, as far as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventDecisions {
    /// Which event.
    pub key: EventKey,
    /// Jobs that it caused, those of its replays included.
    pub jobs: Vec<JobId>,
    /// Fan-outs that it began, those of its replays included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fanouts: Vec<FanoutId>,
    /// Decisions not to act on it.
    pub withheld: Vec<WithheldView>,
}

/// A decision not to act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WithheldView {
    /// The pipeline that did not act; absent when the event became a dead letter for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<Name>,
    /// Its version then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Sha256>,
    /// The reason's word, such as `suppressed`; of a dead letter, its reason.
    pub reason: String,
    /// One sentence.
    pub text: String,
    /// The rendered key of `suppress`, where that is the reason and it is not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the pipeline would have done, of a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would: Option<DryRun>,
    /// When it was decided.
    pub at: Timestamp,
    /// 0, and one more for each replay of the event.
    pub run: u32,
    /// Whether the event became a dead letter, which can be replayed.
    pub dead_letter: bool,
}

/// What a pipeline would have done that only says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DryRun {
    /// The name of the job.
    pub job: Name,
    /// Where it would run.
    pub host: HostRef,
    /// Its steps as files have them, with rendered arguments, those of `finally` last: at most 4 KiB. Contents are left
    /// out, and what looks like a secret.
    pub steps: Vec<Value>,
    /// How many more there are.
    pub steps_omitted: u32,
}

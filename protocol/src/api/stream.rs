//! What `GET /v1/streams/jobs` and `GET /v1/streams/hosts` tell, and the body of a job's state on NATS.

use super::HostView;
use crate::id::{JobId, Name, Org};
use crate::job::{JobState, Reason};
use crate::result::HostRef;
use crate::step::{StepStatus, StepVerb};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The name of a [`JobChange`] on the stream.
pub const EVENT_JOB: &str = "job";
/// The name of a [`HostChange`] on the stream.
pub const EVENT_HOST: &str = "host";
/// The name of a [`HostsReady`] on the stream.
pub const EVENT_READY: &str = "ready";
/// The name of a [`ChangeGap`] on the stream.
pub const EVENT_GAP: &str = "gap";

/// A job as it has just become: `event: job` of the stream, and the body of `tripline.jobs.…`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobChange {
    /// Its id.
    pub job_id: JobId,
    /// Its tenant.
    pub org: Org,
    /// Its name.
    pub name: Name,
    /// Where it is, or how it ended.
    pub state: JobState,
    /// Its host.
    pub host: HostRef,
    /// Why it ended so; null before.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// Sessions so far.
    pub attempt: u32,
    /// The last step that was begun; null before the first.
    #[serde(default)]
    pub step: Option<StepChange>,
    /// When it became so.
    pub time: Timestamp,
}

/// The step that a job is at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepChange {
    /// Its id in the job.
    pub id: String,
    /// What it does.
    pub verb: StepVerb,
    /// How far it is.
    pub status: StepStatus,
}

/// What happened to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HostChangeKind {
    /// Nothing: it was there when the stream began, or when it began anew after a gap.
    Present,
    /// It is new.
    Enrolled,
    /// An agent or a LittleBrother client attached; what it says of itself may be new as well.
    Attached,
    /// An agent or a LittleBrother client is not attached any more.
    Detached,
    /// Administrators changed its labels.
    Labelled,
    /// It was isolated, or its isolation was renewed.
    Isolated,
    /// Its isolation ended.
    Unisolated,
    /// It reports as a LittleBrother client from now on. That client's own record is `gone` with the same word.
    Linked,
    /// It reports as a LittleBrother client no more, or it is the client that stands for itself again.
    Unlinked,
    /// Two agents were seen with its key.
    Cloned,
    /// It is known no more.
    Forgotten,
}

impl HostChangeKind {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Enrolled => "enrolled",
            Self::Attached => "attached",
            Self::Detached => "detached",
            Self::Labelled => "labelled",
            Self::Isolated => "isolated",
            Self::Unisolated => "unisolated",
            Self::Linked => "linked",
            Self::Unlinked => "unlinked",
            Self::Cloned => "cloned",
            Self::Forgotten => "forgotten",
        }
    }
}

/// A host, and what happened to it: `event: host` of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostChange {
    /// What happened.
    pub change: HostChangeKind,
    /// It is none of the stream's hosts any more: it was forgotten or linked away, or the filter does not take it now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// When it happened.
    pub time: Timestamp,
    /// The host as it is since.
    pub host: HostView,
}

/// All hosts that there were when the stream began have been told: `event: ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostsReady {
    /// How many.
    pub hosts: u64,
}

/// Changes that nobody is told any more: `event: gap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeGap {
    /// How many, whatever the stream's filter takes of them; absent when nobody knows, because the server was started
    /// anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
}

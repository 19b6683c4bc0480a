//! The result of a job: the `data` of the CloudEvent `tripline.job.<outcome>`.

use crate::event::EventRef;
use crate::fanout::FanoutRef;
use crate::id::{HostId, JobId, Name, Org};
use crate::job::{Outcome, PipelineRef, Reason};
use crate::step::StepReport;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The host a job ran on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostRef {
    /// Its id.
    pub host_id: HostId,
    /// Its name at that time.
    pub hostname: String,
}

/// How a job ended, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// The job; also the message's `Nats-Msg-Id`.
    pub job_id: JobId,
    /// Its tenant.
    pub org: Org,
    /// Its name.
    pub name: Name,
    /// The pipeline that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineRef>,
    /// The event that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventRef>,
    /// The fan-out that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fanout: Option<FanoutRef>,
    /// Where it ran.
    pub host: HostRef,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// 0; one more for each replay by a person.
    pub run: u32,
    /// Sessions it had; 0 if it never started.
    pub attempt: u32,
    /// When it was accepted.
    pub queued_at: Timestamp,
    /// When its first session began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Steps that failed, those allowed to fail included.
    pub steps_failed: u32,
    /// Every step in order.
    pub steps: Vec<StepReport>,
}

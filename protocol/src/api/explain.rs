//! Why an event did what it did: what each pipeline made of it, and what it led to.

use super::{DryRun, JobView, Unmet, WithheldView};
use crate::event::Attestation;
use crate::fanout::FanoutView;
use crate::id::{EventKey, FanoutId, JobId, Name, Org, Sha256};
use crate::result::HostRef;
use crate::subject::Etype;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /v1/events/{event_key}/explain`: what is known of an event, or of a job and the event that caused it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// What was asked about: the key of an event, or the id of a job or a fan-out.
    pub asked: String,
    /// The key of the event; absent for a job that no event caused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<EventKey>,
    /// The event; absent when nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<ExplainedEvent>,
    /// Whether the event could be read again, which conditions need.
    pub lookup: EventLookup,
    /// The rules in force, by which conditions were evaluated now.
    pub rules: ExplainedRules,
    /// What each pipeline made of the event: those that acted first. At most 1,000.
    #[cfg_attr(feature = "openapi", schema(max_items = 1000))]
    pub pipelines: Vec<PipelineVerdict>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pipelines_more: u64,
    /// How many pipelines in force do not listen to its etype.
    pub not_listening: u64,
    /// The dead letters that it became, one for each of its runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead_letters: Vec<WithheldView>,
    /// The jobs that it caused, in the order in which they were accepted. At most 100, the one that was asked about among
    /// them.
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub jobs: Vec<ExplainedJob>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub jobs_more: u64,
    /// The fan-outs that it began; their jobs are listed by `/v1/jobs?fanout=`. At most 100, the one that was asked about
    /// among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub fanouts: Vec<FanoutView>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fanouts_more: u64,
    /// Ids of jobs and fan-outs that it caused and that ended so long ago that they are forgotten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<JobId>,
    /// What one should know to read the rest, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Explanation {
    /// Whether nothing at all is known of what was asked about.
    pub fn is_empty(&self) -> bool {
        self.event.is_none() && self.jobs.is_empty() && self.fanouts.is_empty() && self.forgotten.is_empty()
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExplainedEvent {
    /// Unique within its source.
    pub id: String,
    /// Who made it.
    pub source: String,
    /// Its tenant.
    pub org: Org,
    /// Its type.
    pub etype: Etype,
    /// When it happened, as its publisher says. This and what follows is there as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// When the broker stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_at: Option<Timestamp>,
    /// Its sequence in the stream of events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// When it was decided about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_at: Option<Timestamp>,
    /// Who vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested_by: Option<Attestation>,
    /// The host that it means, as it is known now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostRef>,
    /// The trace that its publisher gave it; its jobs, their commands and results are in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Whether an event could be read again from the stream of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventLookup {
    /// How that went.
    pub state: LookupState,
    /// What was searched, where nothing told the event's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searched: Option<EventSearch>,
}

impl EventLookup {
    /// Without a search.
    pub const fn of(state: LookupState) -> Self {
        Self {
            state,
            searched: None,
        }
    }
}

/// How looking for an event in its stream went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LookupState {
    /// It is there.
    Read,
    /// It was there, and is not any more.
    Gone,
    /// It is not in what was searched.
    NotFound,
    /// The broker is away or did not answer in time.
    BrokerAway,
    /// There is none: a person submitted the job.
    NoEvent,
}

/// A search for an event in its stream, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventSearch {
    /// Back to when it went, at most.
    pub since: Timestamp,
    /// How many messages were looked at.
    pub messages: u64,
    /// The oldest of their sequences; 0 when there was none.
    pub first_sequence: u64,
    /// The newest.
    pub last_sequence: u64,
    /// Whether all of that time was searched; else a bound was reached before.
    pub complete: bool,
}

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExplainedRules {
    /// SHA-256 of all of them.
    pub version: Sha256,
    /// When they were loaded.
    pub loaded_at: Timestamp,
    /// Of the rules that decided about the event, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Sha256>,
}

/// What a pipeline made of an event. The first are the most telling; lists are in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum VerdictWord {
    /// It acted.
    Acted,
    /// It would have acted, and only says so.
    DryRun,
    /// It matched, and a guard kept it from acting.
    Withheld,
    /// It matched, and could not act: no host, or its job cannot be made.
    Dead,
    /// It would match now, and nothing is recorded of it.
    Unrecorded,
    /// The event is older than it takes.
    Stale,
    /// Its condition does not hold.
    Condition,
    /// It is for events of other orgs.
    WrongOrg,
    /// It is not enabled.
    Disabled,
    /// The event has not been handled yet.
    NotHandled,
    /// Nothing is recorded of it, and the event cannot be read again.
    Unknown,
}

impl VerdictWord {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acted => "acted",
            Self::DryRun => "dry_run",
            Self::Withheld => "withheld",
            Self::Dead => "dead",
            Self::Unrecorded => "unrecorded",
            Self::Stale => "stale",
            Self::Condition => "condition",
            Self::WrongOrg => "wrong_org",
            Self::Disabled => "disabled",
            Self::NotHandled => "not_handled",
            Self::Unknown => "unknown",
        }
    }
}

/// What a pipeline made of an event, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineVerdict {
    /// Which pipeline.
    pub pipeline: Name,
    /// What it made of it.
    pub verdict: VerdictWord,
    /// Whether that was recorded when it was decided; else it was worked out now, by the version in force.
    pub recorded: bool,
    /// The version in force; absent when there is no such pipeline any more, or it does not listen any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Sha256>,
    /// The version that decided, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Sha256>,
    /// The reason's word, such as `suppressed` or `unknown_host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, in one sentence.
    pub text: String,
    /// The part of its condition that does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmet: Option<Unmet>,
    /// The rendered key of `suppress`, where that is the reason and it is not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What a dry run would have done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would: Option<DryRun>,
    /// When it was decided, where that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The jobs that it made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobId>,
    /// The fan-outs that it began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fanouts: Vec<FanoutId>,
}

impl PipelineVerdict {
    /// Whether another version decided than the one in force.
    pub fn is_of_another_version(&self) -> bool {
        self.decided_by.is_some() && self.decided_by != self.version
    }
}

/// A job, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExplainedJob {
    /// As `GET /v1/jobs/{job_id}` shows it, but without the outputs of its steps.
    pub job: JobView,
    /// Who submitted it; absent for a pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted_by: Option<String>,
    /// When its last session began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_session_at: Option<Timestamp>,
    /// How many of its sessions only went on after a wait, with a transfer that was cut, or with a try of their own.
    #[serde(default, skip_serializing_if = "is_never")]
    pub resumed: u32,
    /// How often it began anew after it had failed.
    #[serde(default, skip_serializing_if = "is_never")]
    pub retries: u32,
    /// The trace that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Its result; absent while it has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ExplainedResult>,
}

fn is_never(count: &u32) -> bool {
    *count == 0
}

/// The result of a job on its way to whoever subscribes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExplainedResult {
    /// The subject that it is published on.
    pub subject: String,
    /// When it became durable, to be published: at the job's end.
    pub staged_at: Timestamp,
    /// When the broker acknowledged it; absent when it has not, or an older version published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// Its sequence in the stream of results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

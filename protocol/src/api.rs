//! Bodies of `/v1` and of the NATS micro service.

mod control;
mod dead;
mod explain;
mod fleet;
mod littlebrother;
mod outbox;
mod pipelines;
mod service_requests;
mod service_spec;
mod services;
mod status;
mod store;
mod stream;
mod unmet;

use crate::event::EventRef;
use crate::fanout::FanoutRef;
use crate::id::{HostId, InstallId, JobId, Label, Name, Org, SessionId, Sha256};
use crate::job::{JobSpec, JobState, PipelineRef, Priority, Reason};
use crate::result::HostRef;
use crate::step::StepReport;
use crate::time::{Span, Timestamp};
use crate::verb::Verb;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use control::{Asker, DrainView, Pause, PauseView, SetPause};
pub use dead::{DeadLetter, DeadLetterView, ReplayDead, Replayed, ReplayedEvent};
pub use explain::*;
pub use fleet::*;
pub use littlebrother::*;
pub use outbox::{OutboxEntry, OutboxView, Retried, RetryQuarantined, SubjectCount};
pub use pipelines::*;
pub use service_requests::{AskService, ServiceRequestState, ServiceRequestView};
pub use service_spec::*;
pub use services::{
    Breaker, Installation, ServiceBody, ServiceFailure, ServiceJobView, ServiceResource, ServiceSpec,
    ServiceState, ServiceView,
};
pub use status::{BrokerState, HostCounts, JobCounts, OutboxCounts, StatusView, Totals};
pub use store::*;
pub use stream::*;
pub use unmet::*;

/// An error over HTTP, RFC 9457 `application/problem+json`; also the body of errors of the micro service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:tripline:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The class of problem, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence, and what to do next.
    pub detail: String,
    /// The stable word.
    pub code: String,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give it as `after` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a token may do. Each role may do what those before it may, apart from `enrol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Only enrols agents.
    Enrol,
    /// Reads.
    Viewer,
    /// Runs jobs, opens sessions, publishes events.
    Operator,
    /// Everything.
    Admin,
}

impl std::str::FromStr for Role {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "enrol" => Ok(Self::Enrol),
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            "admin" => Ok(Self::Admin),
            _ => Err("expected enrol, viewer, operator or admin"),
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Enrol => "enrol",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// `POST /v1/tokens`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Whom it is for, 1 to 64 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The only org it may act in; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Org>,
    /// For `enrol`: how many agents; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub uses: Option<u32>,
    /// How long it is valid; absent: until revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
}

/// A token as it is listed; the secret is shown once, at creation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenView {
    /// Names it for `token revoke`.
    pub id: String,
    /// Whom it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The only org it may act in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Org>,
    /// Uses left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_left: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Answer to `POST /v1/tokens`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedToken {
    /// The secret; not shown again.
    pub token: String,
    /// The rest.
    #[serde(flatten)]
    pub view: TokenView,
}

/// `POST /v1/agent/enrol`, with an enrolment token as bearer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enrol {
    /// Made once by the agent and kept.
    pub install_id: InstallId,
    /// SHA-256 of the agent's key.
    pub key_sha256: Sha256,
    /// The host's name.
    pub hostname: String,
    /// IP addresses.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// `linux`, `windows`, `macos`.
    pub platform: String,
    /// `x86_64`, `aarch64`, …
    pub arch: String,
}

/// Answer to enrolment; the same whenever it is repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enrolled {
    /// The host.
    pub host_id: HostId,
    /// Its small integer.
    pub sensor_id: u32,
    /// Its tenant.
    pub org: Org,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostView {
    /// Its id.
    pub host_id: HostId,
    /// Its small integer.
    pub sensor_id: u32,
    /// Its tenant.
    pub org: Org,
    /// Its name.
    pub hostname: String,
    /// `linux`, …
    pub platform: String,
    /// `x86_64`, …
    pub arch: String,
    /// As its agent reported it.
    #[serde(default)]
    pub os_version: String,
    /// IP addresses.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The agent's version.
    #[serde(default)]
    pub agent_version: String,
    /// Its labels, in order.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Those of them that its agent's configuration gives it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agent_labels: Vec<String>,
    /// How it is reachable now; empty: offline.
    pub attachments: Vec<AttachmentView>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last heard of.
    pub last_seen_at: Timestamp,
    /// Jobs that wait or run.
    #[serde(default)]
    pub jobs_open: u32,
    /// The isolation that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<crate::isolation::Isolation>,
    /// Of a host that reports as a LittleBrother client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub littlebrother: Option<LittlebrotherView>,
    /// LimaCharlie's ids of it: those of the sensors that it is linked to, and its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sids: Vec<String>,
    /// Two agents were seen with its key; until the key was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloned: Option<CloneView>,
}

/// `PUT /v1/hosts/{host}/labels`: these, and no others, are the labels that administrators gave the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetLabels {
    /// All of them.
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub labels: Vec<Label>,
}

/// `PATCH /v1/hosts/{host}/labels`: labels that administrators give the host and take from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeLabels {
    /// To be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Label>,
    /// Not to be there; one that is not there already is passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<Label>,
}

/// A way to reach a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttachmentView {
    /// `agent` or `littlebrother`.
    pub kind: String,
    /// What it offers.
    pub verbs: Vec<Verb>,
    /// Since when.
    pub since: Timestamp,
    /// Grows with each attachment.
    pub epoch: u64,
}

/// `POST /v1/jobs` and `jobs.submit`: either `job` or `named`, on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SubmitJob {
    /// Tenant; default: the token's, else `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Org>,
    /// A host id, sensor id or hostname.
    pub host: String,
    /// What to do, inline; each argument nested at most [`crate::limit::NESTING_MAX`] levels.
    #[serde(
        default,
        deserialize_with = "crate::limit::shallow_job",
        skip_serializing_if = "Option::is_none"
    )]
    pub job: Option<JobSpec>,
    /// What to do, by the name of a named job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<Name>,
    /// Parameters of the named job, nested at most [`crate::limit::NESTING_MAX`] levels.
    #[serde(
        default,
        deserialize_with = "crate::limit::shallow_map",
        skip_serializing_if = "Map::is_empty"
    )]
    pub params: Map<String, Value>,
    /// Submitting again with the same key and host gives the same job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub idempotency_key: Option<String>,
    /// What a service gave to its task: with `svc-<name>-ex` or `svc-<name>-ex/…` the job's result becomes the detection
    /// `__svc-<name>-ex`, which services subscribe to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 4096))]
    pub investigation_id: Option<String>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobView {
    /// Its id.
    pub job_id: JobId,
    /// Its tenant.
    pub org: Org,
    /// Its name.
    pub name: Name,
    /// Where it is, or how it ended.
    pub state: JobState,
    /// Why it ended so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Why it waits and where in the queue; only while `queued`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Its host.
    pub host: HostRef,
    /// The pipeline that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineRef>,
    /// The event that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventRef>,
    /// The fan-out that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fanout: Option<FanoutRef>,
    /// Its host's place in the queue.
    pub priority: Priority,
    /// 0; one more for each replay.
    pub run: u32,
    /// Sessions so far.
    pub attempt: u32,
    /// When it was accepted.
    pub queued_at: Timestamp,
    /// Until when it may wait.
    pub expires_at: Timestamp,
    /// When its first session began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Its steps.
    pub steps: Vec<StepReport>,
}

/// Why a job or a session waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Waiting {
    /// 1 is next. Of a job: among its host's jobs when it waits behind one of them, for the host, for its pipeline or for
    /// a time, else among the hosts that wait for a slot. Of a session: among its host's sessions when it waits for the
    /// host, else among the sessions that wait for a slot.
    pub position: u64,
    /// `no_free_slot`, `host_offline`, `behind_job`, `paused`, `pipeline_paused`, `backing_off`, `wait`.
    pub reason: Reason,
    /// Until when at least, where it waits for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A session slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlotView {
    /// From 0.
    pub slot: u32,
    /// What it is used for; absent: free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SlotSession>,
}

/// The session in a slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlotSession {
    /// Its host.
    pub host: HostRef,
    /// Since when.
    pub since: Timestamp,
    /// Whom it is for.
    #[serde(flatten)]
    pub holder: SlotHolder,
}

/// Whom the session in a slot is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum SlotHolder {
    /// A job.
    Job {
        /// Which.
        job_id: JobId,
        /// The step it is at, from 0.
        step: u32,
    },
    /// A person or program.
    Interactive {
        /// Which session.
        session_id: SessionId,
        /// Whom its token is for.
        owner: String,
        /// The command under way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command: Option<u32>,
    },
}

/// All slots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlotsView {
    /// How many there are.
    pub total: u32,
    /// Kept for interactive sessions.
    pub interactive_reserved: u32,
    /// Kept for jobs.
    pub jobs_reserved: u32,
    /// Hosts with jobs that wait for one.
    pub waiting: u64,
    /// Interactive sessions that wait for one.
    #[serde(default)]
    pub sessions_waiting: u64,
    /// There when no new jobs start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// Each.
    pub slots: Vec<SlotView>,
}

/// A loaded pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineView {
    /// Its name.
    pub name: Name,
    /// SHA-256 of its text.
    pub version: Sha256,
    /// The file it came from.
    pub file: String,
    /// Whether it acts; one that does not is loaded and checked all the same.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Whether it only records what it would do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The orgs on whose events it acts; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orgs: Option<Vec<Org>>,
    /// The oldest event it acts on, where that is not what the server takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_max_age: Option<Span>,
    /// The etypes it listens to.
    pub on: Vec<String>,
    /// Its condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The set of hosts it acts on; absent: the event's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<crate::fanout::Target>,
    /// Its job's name.
    pub job: Name,
    /// The pause it is in; absent when it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PipelinePause>,
    /// Jobs of it that have not ended.
    #[serde(default)]
    pub in_flight: u32,
    /// How often it matched and did not act, by reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<WithheldCount>,
}

/// A server that does not say has none that are disabled.
fn enabled() -> bool {
    true
}

/// `GET /v1/pipelines`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelinesView {
    /// The set in force.
    pub pipelines: Vec<PipelineView>,
    /// The named jobs in force.
    pub named_jobs: Vec<Name>,
    /// When it was loaded.
    pub loaded_at: Timestamp,
    /// Why a newer set was refused; the one listed stays in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// `POST /v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishEvent {
    /// Tenant; default: the token's, else `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Org>,
    /// Its type.
    pub etype: crate::subject::Etype,
    /// Unique within its source; made when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub id: Option<String>,
    /// Who made it; default `api/<token name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub source: Option<String>,
    /// The host it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<HostId>,
    /// When it happened; default now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Its payload, nested at most [`crate::limit::NESTING_MAX`] levels.
    #[serde(default, deserialize_with = "crate::limit::shallow")]
    pub data: Value,
}

/// `POST /v1/detections` and `detections.report`: an event of type `detection`, whose data are `cat`, `priority` and `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportDetection {
    /// Tenant; default: the token's, else `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Org>,
    /// What was detected, in 1 to 200 characters on one line.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub cat: String,
    /// How urgent it is, 0 to 10; default 0.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(maximum = 10))]
    pub priority: u8,
    /// The host it concerns: its id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 255))]
    pub host: Option<String>,
    /// More about it, nested at most [`crate::limit::NESTING_MAX`] levels less one.
    #[serde(default, deserialize_with = "crate::limit::shallow")]
    pub data: Value,
    /// Unique within its source; made when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub id: Option<String>,
    /// Who made it; default `api/<token name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub source: Option<String>,
    /// When it happened; default now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

/// Answer to `POST /v1/events` and `POST /v1/detections`: the event is durable and will be published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublishedEvent {
    /// Its id.
    pub id: String,
    /// Its identity.
    pub key: crate::id::EventKey,
}

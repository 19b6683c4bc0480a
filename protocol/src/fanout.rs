//! Fan-outs: one submission of a job over a set of hosts, by a person or by a pipeline with a `target`.
//!
//! What is asked for is here, and what is shown of it. Deliberately not here: when which host has its turn, which is
//! the server's.

mod target;

pub use target::Target;

use crate::api::Asker;
use crate::event::EventRef;
use crate::id::{FanoutId, HostId, JobId, Name, Org};
use crate::job::{JobSpec, Outcome, PipelineRef, Reason};
use crate::limit::{
    FANOUT_CANARY_MAX, FANOUT_EXPIRES_MAX, FANOUT_HOSTS_MAX, FANOUT_IN_FLIGHT_MAX, FANOUT_PAUSE_OF_MAX,
    FANOUT_PER_MINUTE_MAX, FANOUT_RAMP_MAX,
};
use crate::result::HostRef;
use crate::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;

/// A fan-out is paused when `failed` of the last `of` jobs that ended did not do what they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AutoPause {
    /// How many that failed, timed out or were interrupted, 1 or more.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub failed: u32,
    /// Of how many, at least `failed`.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub of: u32,
}

/// How fast a fan-out goes from host to host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// How many of its jobs may be open at once on hosts that are attached.
    #[serde(default = "in_flight_default")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 10_000, default = 50))]
    pub in_flight: u32,
    /// How many jobs it makes in a minute, evenly; absent: as many as it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 60_000))]
    pub per_minute: Option<u32>,
    /// The first hosts, so many, go alone; the others follow when every one of them succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1_000))]
    pub canary: Option<u32>,
    /// By what the width grows after the canaries with each wave that ended well, from `canary` up to `in_flight`.
    #[serde(default = "ramp_default")]
    #[cfg_attr(feature = "openapi", schema(minimum = 2, maximum = 100, default = 2))]
    pub ramp: u32,
    /// When it pauses by itself; absent: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_pause: Option<AutoPause>,
}

fn in_flight_default() -> u32 {
    50
}

fn ramp_default() -> u32 {
    2
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            in_flight: in_flight_default(),
            per_minute: None,
            canary: None,
            ramp: ramp_default(),
            auto_pause: None,
        }
    }
}

impl Pace {
    /// What is out of bounds, for people.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, least: u32, value: u32, most: u32| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(format!("{name} is {value}, expected {least} to {most}")),
        };
        within("in_flight", 1, self.in_flight, FANOUT_IN_FLIGHT_MAX)?;
        within(
            "per_minute",
            1,
            self.per_minute.unwrap_or(1),
            FANOUT_PER_MINUTE_MAX,
        )?;
        within("canary", 1, self.canary.unwrap_or(1), FANOUT_CANARY_MAX)?;
        within("ramp", 2, self.ramp, FANOUT_RAMP_MAX)?;
        if let Some(AutoPause { failed, of }) = self.auto_pause {
            within("auto_pause.of", 1, of, FANOUT_PAUSE_OF_MAX)?;
            within("auto_pause.failed", 1, failed, of)?;
        }
        Ok(())
    }
}

/// `POST /v1/fanouts`: either `job` or `named`, on every host of the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SubmitFanout {
    /// Tenant; default: the token's, else `default`. Hosts of other orgs are never in the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Org>,
    /// On which hosts.
    pub target: Target,
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
    /// How fast it goes from host to host.
    #[serde(default)]
    pub pace: Pace,
    /// How long hosts may wait for their turn; default 24 h, at most 30 d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
    /// Hosts that the target selects only later join until it expires.
    #[serde(default)]
    pub standing: bool,
    /// It waits for a person if there are more hosts than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100_000))]
    pub max_hosts: Option<u32>,
    /// Protected hosts have their turn too.
    #[serde(default)]
    pub include_protected: bool,
    /// Why, for the record; at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 500))]
    pub reason: Option<String>,
    /// Submitting again with the same key gives the same fan-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub idempotency_key: Option<String>,
}

impl SubmitFanout {
    /// How long hosts may wait for their turn unless it says so.
    pub const EXPIRES_DEFAULT: Span = Span::from_secs(24 * 3600);

    /// What is out of bounds, for people.
    pub fn check(&self) -> Result<(), String> {
        self.pace.check()?;
        check_expires(self.expires)?;
        match self.max_hosts {
            Some(hosts) if !(1..=FANOUT_HOSTS_MAX).contains(&hosts) => {
                Err(format!("max_hosts is {hosts}, expected 1 to {FANOUT_HOSTS_MAX}"))
            }
            _ => Ok(()),
        }
    }
}

fn check_expires(expires: Option<Span>) -> Result<(), String> {
    match expires {
        Some(expires) if expires == Span::ZERO || expires > FANOUT_EXPIRES_MAX => Err(format!(
            "expires is {expires}, expected more than 0 and at most {FANOUT_EXPIRES_MAX}"
        )),
        _ => Ok(()),
    }
}

/// Which hosts a fan-out would have now: `POST /v1/fanouts?dry_run=true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FanoutReach {
    /// How many the target selects, those counted by `protected` among them.
    pub hosts: u64,
    /// How many of them are attached.
    pub attached: u64,
    /// How many of them would be skipped because they are protected.
    pub protected: u64,
    /// The first 100 of them, by host id.
    pub first: Vec<HostRef>,
    /// How many there are beside these.
    pub more: u64,
}

/// Where a fan-out is that has not ended, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FanoutState {
    /// Its hosts are being found.
    Resolving,
    /// Hosts have their turn.
    Running,
    /// No job is made; those that are open go on.
    Paused,
    /// Ended.
    #[serde(untagged)]
    Ended(FanoutOutcome),
}

impl FanoutState {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolving => "resolving",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Ended(outcome) => outcome.as_str(),
        }
    }

    /// How it ended, if it has.
    pub const fn outcome(self) -> Option<FanoutOutcome> {
        match self {
            Self::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }
}

impl fmt::Display for FanoutState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FanoutState {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        serde_json::from_value(text.into())
            .map_err(|_| "expected resolving, running, paused, succeeded, failed, expired or cancelled")
    }
}

/// How a fan-out ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FanoutOutcome {
    /// On no host it went wrong.
    Succeeded,
    /// On a host it failed, timed out or was interrupted; or it had no hosts, or too many.
    Failed,
    /// Nothing went wrong, and a host had no turn in time.
    Expired,
    /// A person cancelled it.
    Cancelled,
}

impl FanoutOutcome {
    /// The word on the wire and in subjects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for FanoutOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a fan-out has come. `hosts` is the sum of the others but `offline`, which counts some of the pending ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FanoutCounts {
    /// All of its hosts.
    pub hosts: u64,
    /// Those that had no turn yet.
    pub pending: u64,
    /// Those of the pending ones that are not attached.
    pub offline: u64,
    /// Those whose job has not ended.
    pub in_flight: u64,
    /// Those whose job succeeded.
    pub succeeded: u64,
    /// Those whose job failed, or could not be made.
    pub failed: u64,
    /// Those whose job ran for too long.
    pub timed_out: u64,
    /// Those that had no turn in time, or whose job did not start in time.
    pub expired: u64,
    /// Those whose turn or job was cancelled.
    pub cancelled: u64,
    /// Those of whose job a command's outcome is unknown.
    pub interrupted: u64,
    /// Those that are passed over.
    pub skipped: u64,
}

impl FanoutCounts {
    /// How many hosts are where `state` says.
    pub fn of(&mut self, state: FanoutHostState) -> &mut u64 {
        match state {
            FanoutHostState::Pending => &mut self.pending,
            FanoutHostState::InFlight => &mut self.in_flight,
            FanoutHostState::Skipped => &mut self.skipped,
            FanoutHostState::Ended(Outcome::Succeeded) => &mut self.succeeded,
            FanoutHostState::Ended(Outcome::Failed) => &mut self.failed,
            FanoutHostState::Ended(Outcome::TimedOut) => &mut self.timed_out,
            FanoutHostState::Ended(Outcome::Expired) => &mut self.expired,
            FanoutHostState::Ended(Outcome::Cancelled) => &mut self.cancelled,
            FanoutHostState::Ended(Outcome::Interrupted) => &mut self.interrupted,
        }
    }
}

/// A fan-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FanoutView {
    /// Its id.
    pub fanout_id: FanoutId,
    /// Its tenant.
    pub org: Org,
    /// The name of its jobs.
    pub name: Name,
    /// Where it is, or how it ended.
    pub state: FanoutState,
    /// Why it is paused, or ended so: `paused`, `pipeline_paused`, `canary_failed`, `auto_paused`, `max_hosts`,
    /// `no_hosts`, `too_many_hosts`, `cancelled`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Which hosts.
    pub target: Target,
    /// How fast it goes from host to host.
    pub pace: Pace,
    /// Whether hosts that the target selects only later join.
    #[serde(default)]
    pub standing: bool,
    /// With more hosts than this it waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hosts: Option<u32>,
    /// The pipeline that began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineRef>,
    /// The event that pipeline acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventRef>,
    /// Who submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Asker>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Until when hosts may wait for their turn, and join.
    pub expires_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How far it has come.
    pub counts: FanoutCounts,
}

/// Where a host of a fan-out is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FanoutHostState {
    /// It waits for its turn.
    Pending,
    /// Its job has not ended.
    InFlight,
    /// It is passed over.
    Skipped,
    /// Its end: the outcome of its job, or why it had none.
    #[serde(untagged)]
    Ended(Outcome),
}

impl FanoutHostState {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InFlight => "in_flight",
            Self::Skipped => "skipped",
            Self::Ended(outcome) => outcome.as_str(),
        }
    }

    /// Whether it has its one outcome.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Skipped | Self::Ended(_))
    }
}

impl fmt::Display for FanoutHostState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FanoutHostState {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        serde_json::from_value(text.into()).map_err(|_| {
            "expected pending, in_flight, skipped, succeeded, failed, timed_out, expired, cancelled or interrupted"
        })
    }
}

/// A host of a fan-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FanoutHostView {
    /// Which.
    pub host_id: HostId,
    /// Its name; empty when the host was forgotten.
    pub hostname: String,
    /// Where it is, or its outcome.
    pub state: FanoutHostState,
    /// Its job, the last one if it was tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// 0, and one more for each time it was tried again.
    pub run: u32,
    /// Why it waits, was passed over, or ended so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

/// `POST /v1/fanouts/{fanout}/retry`: hosts that ended so get another turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RetryFanout {
    /// Which hosts, by their outcome; default `failed`, `timed_out`, `interrupted` and `expired`.
    #[serde(default = "retried")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 6))]
    pub outcomes: Vec<Outcome>,
    /// How long each job may run from now on; absent: as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How long hosts may wait for their turn, from now; default 24 h, at most 30 d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
}

fn retried() -> Vec<Outcome> {
    vec![
        Outcome::Failed,
        Outcome::TimedOut,
        Outcome::Interrupted,
        Outcome::Expired,
    ]
}

impl Default for RetryFanout {
    fn default() -> Self {
        Self {
            outcomes: retried(),
            timeout: None,
            expires: None,
        }
    }
}

impl RetryFanout {
    /// What is out of bounds, for people.
    pub fn check(&self) -> Result<(), String> {
        if self.outcomes.is_empty() || self.outcomes.contains(&Outcome::Succeeded) {
            return Err(
                "outcomes are one or more of failed, timed_out, expired, cancelled and interrupted".into(),
            );
        }
        if self.timeout == Some(Span::ZERO) {
            return Err("timeout is 0s, expected more".into());
        }
        check_expires(self.expires)
    }
}

/// The fan-out that a job belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FanoutRef {
    /// Which.
    pub fanout_id: FanoutId,
    /// The name of its jobs.
    pub name: Name,
}

/// How a fan-out ended, whole: the `data` of the CloudEvent `tripline.fanout.<outcome>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FanoutSummary {
    /// The fan-out.
    #[serde(flatten)]
    pub fanout: FanoutView,
    /// The first 100 hosts that did not succeed, by host id.
    pub not_succeeded: Vec<FanoutHostView>,
    /// How many there are beside these.
    pub more: u64,
}

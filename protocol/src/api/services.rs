//! Bodies of `/v1/services`: lc-services that Tripline delivers to.

use super::Role;
use crate::id::{Name, Org};
use crate::limacharlie::Mtd;
use crate::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// A service, as it is registered. What is shown of it has no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// Its name.
    pub name: Name,
    /// Where it is called: `http` or `https`.
    pub url: String,
    /// The orgs that are subscribed to it; default: `default`.
    #[serde(default = "default_orgs")]
    pub orgs: Vec<Org>,
    /// How long one call may take, 1 s to 10 min; default 60 s.
    #[serde(default = "default_deadline")]
    pub deadline: Span,
    /// How often a message is delivered at most, 1 to 1,000; default 20.
    #[serde(default = "default_attempts")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1000))]
    pub attempts: u32,
    /// How long a message is delivered again, 1 s to 7 d; default 24 h.
    #[serde(default = "default_give_up_after")]
    pub give_up_after: Span,
    /// Calls under way at once, 1 to 64; default 4. The reference implementation listens with a backlog of five.
    #[serde(default = "default_in_flight")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 64))]
    pub in_flight: u32,
    /// Messages that may wait for it, 1 to 100,000; default 10,000.
    #[serde(default = "default_queue_max")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100_000))]
    pub queue_max: u32,
    /// Whether its address may be a private or a loopback one.
    #[serde(default)]
    pub allow_private: bool,
    /// What the tokens that it gets may do; default `viewer`.
    #[serde(default = "default_rights")]
    pub rights: Role,
}

fn default_orgs() -> Vec<Org> {
    vec![Org::default_org()]
}

fn default_deadline() -> Span {
    Span::from_secs(60)
}

fn default_attempts() -> u32 {
    20
}

fn default_give_up_after() -> Span {
    Span::from_secs(24 * 3600)
}

fn default_in_flight() -> u32 {
    4
}

fn default_queue_max() -> u32 {
    10_000
}

fn default_rights() -> Role {
    Role::Viewer
}

/// Whether calls to a service go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Nothing is known of it yet.
    Unknown,
    /// It answers.
    Up,
    /// It did not answer lately: single calls try whether it does again.
    Down,
    /// It refuses our signature: nothing is sent but `health` until that is right.
    Misconfigured,
}

/// A service and how it fares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceView {
    /// As it is registered.
    #[serde(flatten)]
    pub spec: ServiceSpec,
    /// Whether the configuration registers it, and so not the API.
    pub configured: bool,
    /// Whether calls go out.
    pub state: ServiceState,
    /// Since when it is so.
    pub since: Timestamp,
    /// When it last answered `health`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_at: Option<Timestamp>,
    /// What it said then that it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub wants: Option<Mtd>,
    /// Messages that wait for it.
    pub waiting: u64,
    /// Calls under way.
    pub in_flight: u32,
    /// Messages delivered since the server started.
    pub delivered: u64,
    /// Messages given up since the server started.
    pub given_up: u64,
    /// Its last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<ServiceFailure>,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceFailure {
    /// When.
    pub at: Timestamp,
    /// The etype.
    pub etype: String,
    /// Why, in one sentence.
    pub text: String,
}

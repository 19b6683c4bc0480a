//! Bodies of `/v1/services`: lc-services that Tripline delivers to.

use super::Role;
use crate::id::{Name, Org, Sha256};
use crate::limacharlie::{HistoryEntry, Mtd};
use crate::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A service, as it is registered. What is shown of it has no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

pub(super) fn default_orgs() -> Vec<Org> {
    vec![Org::default_org()]
}

pub(super) fn default_deadline() -> Span {
    Span::from_secs(60)
}

pub(super) fn default_attempts() -> u32 {
    20
}

pub(super) fn default_give_up_after() -> Span {
    Span::from_secs(24 * 3600)
}

pub(super) fn default_in_flight() -> u32 {
    4
}

pub(super) fn default_queue_max() -> u32 {
    10_000
}

pub(super) fn default_rights() -> Role {
    Role::Viewer
}

/// Registers a service, or changes one: a [`ServiceSpec`] and its secret.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "Map<String, Value>")]
pub struct ServiceBody {
    /// What it is.
    #[serde(flatten)]
    pub spec: ServiceSpec,
    /// What it shares with Tripline, 1 to 1,024 bytes; shown nowhere. A change without one leaves the one it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl std::fmt::Debug for ServiceBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secret = self.secret.as_ref().map(|_| "…");
        let mut body = f.debug_struct("ServiceBody");
        body.field("spec", &self.spec).field("secret", &secret).finish()
    }
}

impl TryFrom<Map<String, Value>> for ServiceBody {
    type Error = String;

    fn try_from(mut map: Map<String, Value>) -> Result<Self, String> {
        let secret = match map.remove("secret") {
            None | Some(Value::Null) => None,
            Some(Value::String(secret)) => Some(secret),
            Some(_) => return Err("secret must be a text".into()),
        };
        let given: Vec<String> = map.keys().cloned().collect();
        let spec: ServiceSpec =
            serde_json::from_value(Value::Object(map)).map_err(|error| error.to_string())?;
        // Every field of one is written; a view has more, so that the type itself takes others.
        let known = serde_json::to_value(&spec).map_err(|error| error.to_string())?;
        match given.iter().find(|field| known.get(field).is_none()) {
            Some(field) => Err(format!(
                "unknown field `{}`",
                field.chars().take(80).collect::<String>()
            )),
            None => Ok(Self { spec, secret }),
        }
    }
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

/// How calls that fail keep others from being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// Messages are delivered.
    Closed,
    /// None are; `health` is asked now and then.
    Open,
    /// One is, to see whether it works again.
    HalfOpen,
}

/// How far the subscription of an org is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Installation {
    /// `org_install` is on its way; what comes meanwhile waits behind it.
    Pending,
    /// It was answered with success.
    Installed,
    /// It was refused, or given up; nothing is delivered for this org, and it is asked again after an hour.
    Refused,
    /// `org_uninstall` is on its way.
    Leaving,
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
    /// How calls that fail keep others from being made.
    pub breaker: Breaker,
    /// How far the subscriptions of its orgs are.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Installation>))]
    pub installations: BTreeMap<Org, Installation>,
    /// Messages that wait for it, those under way with them.
    pub waiting: u64,
    /// Calls under way.
    pub calls: u32,
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

/// A job of a service: what its answers told of long work, put together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceJobView {
    /// Made by the service.
    pub id: String,
    /// Whose it is.
    pub service: Name,
    /// The org of the calls that it was told of in; none: those were about no org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Org>,
    /// Why it began.
    pub cause: String,
    /// When it began, as the service says, or when it was first heard of.
    pub started_at: Timestamp,
    /// When it was last heard of.
    pub updated_at: Timestamp,
    /// When it ended, as the service says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Ids of the sensors concerned.
    pub sids: Vec<String>,
    /// What happened, the oldest first.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<serde_json::Value>))]
    pub history: Vec<HistoryEntry>,
    /// Entries of its history that were left out, because it has too many.
    pub dropped: u64,
}

/// Something that a service offers by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceResource {
    /// Whose it is.
    pub service: Name,
    /// Its name.
    pub resource: String,
    /// SHA-256 of the content.
    pub hash: Sha256,
    /// What it is, such as `lookup` or `detect`.
    pub res_cat: String,
    /// The content in standard base64.
    pub res_data: String,
    /// When the content was fetched.
    pub fetched_at: Timestamp,
}

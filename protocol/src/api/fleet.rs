//! Hosts as administrators manage them: forgotten ones, agents' keys, cloned agents.

use crate::id::{HostId, InstallId, Org, Sha256};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Answer to `DELETE /v1/hosts/{host}`: what was forgotten, and what was ended for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ForgottenHost {
    /// Its id; ended jobs and sessions still name it.
    pub host_id: HostId,
    /// Its name.
    pub hostname: String,
    /// Its tenant.
    pub org: Org,
    /// Jobs that were cancelled for it.
    #[serde(default)]
    pub jobs_cancelled: u32,
    /// Sessions that were closed for it.
    #[serde(default)]
    pub sessions_closed: u32,
    /// Until when it stays isolated, as far as is known: nobody can end that from afar any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolated_until: Option<Timestamp>,
}

/// How an agent's key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// The agent's key.
    Current,
    /// Made to replace it; it opens connections already, and when it does the present one ends.
    Next,
    /// It opens no connection any more.
    Revoked,
}

impl KeyState {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Next => "next",
            Self::Revoked => "revoked",
        }
    }
}

/// A key of an agent, of which the server knows the SHA-256 only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyView {
    /// SHA-256 of the key.
    pub key_sha256: Sha256,
    /// The host whose agent has it.
    pub host_id: HostId,
    /// That host's name.
    pub hostname: String,
    /// Its tenant.
    pub org: Org,
    /// What the agent made once and enrolled with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_id: Option<InstallId>,
    /// How it stands.
    pub state: KeyState,
    /// When it was enrolled or taken.
    pub created_at: Timestamp,
    /// When it last opened a connection; absent: never since this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// The address that connection came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_from: Option<String>,
    /// The version of the agent that opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// The agent is attached with it now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_use: bool,
    /// Since when its agent is asked to replace it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_asked_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// Two agents have one key: a machine was cloned with its agent's state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CloneView {
    /// When it was first seen.
    pub first_at: Timestamp,
    /// When it was last seen.
    pub last_at: Timestamp,
    /// How often one came back after the other.
    pub times: u64,
    /// The one that was served when it was last seen.
    pub served: AgentPlace,
    /// The one that came back then.
    pub other: AgentPlace,
}

/// Where an agent connects from, and what it calls its host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentPlace {
    /// The address of its end of the connection, as the server sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The host's name.
    pub hostname: String,
}

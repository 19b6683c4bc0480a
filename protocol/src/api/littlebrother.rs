//! LittleBrother clients as hosts have them, the settings in force, and linking.

use crate::id::{HostId, Org};
use crate::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// What the topology view of a LittleBrother server shows of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LittlebrotherView {
    /// The name it reports under.
    pub hostname: String,
    /// The id of its own record; another than the host's when an administrator linked the two.
    pub host_id: HostId,
    /// When its last message came.
    pub last_message_at: Timestamp,
    /// A message came within the last 60 s.
    pub active: bool,
    /// Its version is lower than [`crate::littlebrother::VERSION`]; absent when it told none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outdated: Option<bool>,
    /// Its processes that count and have not ended.
    pub processes_open: u32,
    /// What it says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_stats: Option<crate::littlebrother::ClientStats>,
}

/// `GET /v1/littlebrother`: the settings in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LittlebrotherSettings {
    /// Real clients are served; without a secret only agents watch processes.
    pub served: bool,
    /// The org of clients and of agents that watch.
    pub org: Org,
    /// IANA name of the clients' time zone, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How often clients send a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_interval: Option<Span>,
    /// A client without a server for longer ends what it watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_time_without_send: Option<Span>,
    /// How long a process has to end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_process_delay: Option<Span>,
    /// Prohibited processes are ended at every report.
    pub kill_prohibited: bool,
    /// Whose processes are watched.
    pub users: Vec<LittlebrotherUser>,
    /// Why the configuration file in its present form is not in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A user whose processes are watched, and what is known of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LittlebrotherUser {
    /// As configured.
    #[serde(flatten)]
    pub config: crate::littlebrother::UserConfig,
    /// The uids of the login.
    pub uids: Vec<GroupUid>,
    /// Some host has an open process of the user.
    pub logged_in: bool,
    /// Hosts that have one.
    pub hosts: u32,
}

/// A uid in a group of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupUid {
    /// Name of the group.
    pub server_group: String,
    /// The uid there.
    pub uid: u32,
}

impl GroupUid {
    /// Those of `login`.
    pub fn of(login: &str, mappings: &[crate::littlebrother::LoginMapping]) -> Vec<Self> {
        let group = |mapping: &crate::littlebrother::LoginMapping| {
            let (_, uid) = mapping.entries.iter().find(|(known, _)| known == login)?;
            Some(Self {
                server_group: mapping.server_group.clone(),
                uid: *uid,
            })
        };
        mappings.iter().filter_map(group).collect()
    }
}

/// `POST /v1/hosts/{host}/link`: the host reports as this LittleBrother client, or is this sensor of LimaCharlie, from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkHost {
    /// Id, sensor id or name of the own record of the LittleBrother client or of the sensor. Its name is from before there were sensors.
    pub littlebrother: String,
}

//! Users and login mappings, and the two events that carry them to clients.

use super::{EventType, LocalTime, WireEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A user whose processes are watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserConfig {
    /// Login.
    pub login: String,
    /// Whether the user is watched now.
    pub active: bool,
    /// Which processes count; never empty.
    pub process_name_pattern: String,
    /// Which processes must not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prohibited_process_name_pattern: Option<String>,
}

/// The logins of the uids of a group of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginMapping {
    /// Name of the group; a client looks only in its own.
    pub server_group: String,
    /// Login and uid.
    pub entries: Vec<(String, u32)>,
}

/// `UPDATE_CONFIG`: replaces all users a client knows. `maximum_silence_s` is the longest time in seconds that a
/// client may be without a server before it ends the watched processes; a client breaks without it.
pub fn config_event(
    hostname: &str,
    now: LocalTime,
    users: &[UserConfig],
    maximum_silence_s: u64,
) -> WireEvent {
    let user = |user: &UserConfig| {
        let config = json!({
            "active": user.active,
            "process_name_pattern": user.process_name_pattern,
            "prohibited_process_name_pattern": user.prohibited_process_name_pattern,
        });
        (user.login.clone(), config)
    };
    let users: Map<String, Value> = users.iter().map(user).collect();
    let mut event = WireEvent::new(EventType::UpdateConfig, hostname, now);
    event.payload = Some(json!({
        "config:user_config": users,
        "config:maximum_time_without_send": maximum_silence_s,
    }));
    event
}

/// `UPDATE_LOGIN_MAPPING`: adds to what a client knows.
pub fn mapping_event(hostname: &str, now: LocalTime, mappings: &[LoginMapping]) -> WireEvent {
    let mapping = |mapping: &LoginMapping| json!([mapping.server_group, mapping.entries]);
    let mut event = WireEvent::new(EventType::UpdateLoginMapping, hostname, now);
    event.payload = Some(mappings.iter().map(mapping).collect());
    event
}

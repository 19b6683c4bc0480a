//! What survives a restart of the agent: what the server said last.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tripline_protocol::littlebrother::UserConfig;

/// What the server said last. A restarted agent watches by it before the server has answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// All users, active or not.
    #[serde(default)]
    pub users: Vec<UserConfig>,
    /// The group whose mapping this is; the mapping of another group is not used.
    #[serde(default)]
    pub server_group: String,
    /// Logins by uid.
    #[serde(default)]
    pub logins: BTreeMap<u32, String>,
    /// Longest silence in seconds, if the server has said one.
    #[serde(default)]
    pub silence_max_s: Option<u64>,
}

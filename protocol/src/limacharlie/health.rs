//! What a service says of itself.

use super::Parameter;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The `data` of an answer to `health`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Version of the protocol: 1.
    pub version: u64,
    /// When this instance started, in Unix seconds.
    pub start_time: i64,
    /// Calls under way, this one with them: at least 1.
    pub calls_in_progress: u64,
    /// What it wants to hear.
    pub mtd: Mtd,
}

/// What a service wants to hear, and what it offers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mtd {
    /// Names (`cat`) of the detections it wants; in any order.
    #[serde(default)]
    pub detect_subscriptions: Vec<String>,
    /// Etypes it handles; others are not sent. Unknown ones may be among them.
    #[serde(default)]
    pub callbacks: Vec<String>,
    /// What `request` takes.
    #[serde(default)]
    pub request_params: BTreeMap<String, Parameter>,
    /// What `command` offers; the Python implementation leaves it out.
    #[serde(default)]
    pub commands: BTreeMap<String, Value>,
}

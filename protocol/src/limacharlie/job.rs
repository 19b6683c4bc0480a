//! News of long work, in a service's answers: increments that a cloud merges by id into a readable history.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is new of a job. The first of a job has `start` and `cause`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobUpdate {
    /// Made by the service; a UUID in what the reference implementations write.
    pub id: String,
    /// When it began, in milliseconds since the Unix epoch; only in its first update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<i64>,
    /// Why it began; only in its first update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Ids of the sensors concerned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sid: Vec<String>,
    /// What happened since the last update.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hist: Vec<HistoryEntry>,
    /// When it ended, in milliseconds since the Unix epoch; with it the job is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
}

/// A line of a job's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When, in milliseconds since the Unix epoch.
    pub ts: i64,
    /// Plain text.
    #[serde(default)]
    pub msg: String,
    /// More about it.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Whether it stands out.
    #[serde(default)]
    pub is_important: bool,
}

/// What a line carries, by `att_type`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "att_type", rename_all = "snake_case")]
pub enum Attachment {
    /// A table.
    Table {
        /// Above it.
        #[serde(default)]
        caption: String,
        /// Names of columns.
        #[serde(default)]
        headers: Vec<Value>,
        /// Rows of cells.
        #[serde(default)]
        rows: Vec<Vec<Value>>,
    },
    /// YAML.
    Yaml {
        /// Above it.
        #[serde(default)]
        caption: String,
        /// YAML as a text.
        data: String,
    },
    /// JSON.
    Json {
        /// Above it.
        #[serde(default)]
        caption: String,
        /// JSON as a text.
        data: String,
    },
    /// Bytes.
    HexDump {
        /// Above it.
        #[serde(default)]
        caption: String,
        /// In standard base64.
        data: String,
    },
    /// What a newer version has.
    #[serde(other)]
    Other,
}

//! Bodies of what administrators do with the server as a whole.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Who asked for something: the holder of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Asker {
    /// The token's id.
    pub token_id: String,
    /// Whom the token is for.
    pub name: String,
}

/// No new jobs start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// Who asked for it last.
    pub by: Asker,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `GET`, `PUT`, `DELETE /v1/pause`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    /// Whether no new jobs start.
    pub paused: bool,
    /// Since when, by whom and why; absent when they do.
    #[serde(flatten)]
    pub pause: Option<Pause>,
}

/// `PUT /v1/pause`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetPause {
    /// Why, in at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 500))]
    pub reason: Option<String>,
}

/// `GET`, `POST /v1/drain`: how far an orderly end has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrainView {
    /// Whether the server is ending.
    pub draining: bool,
    /// Who asked for it; absent when a signal did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Asker>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When it ends with whatever is left, which goes on at the next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Jobs that run.
    pub jobs_running: u32,
    /// Messages that wait for the broker.
    pub messages_waiting: u64,
    /// Whether the broker can be reached. While it cannot, nobody waits for the messages: they are on disk.
    pub broker: bool,
}

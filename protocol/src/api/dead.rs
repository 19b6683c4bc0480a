//! Bodies of `/v1/dead`: messages that could not be handled.

use super::Asker;
use crate::id::{EventKey, Org};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A dead letter, as lists have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetter {
    /// Its sequence in the stream of dead letters, which names it.
    pub sequence: u64,
    /// The tenant, if the subject that it came on named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Org>,
    /// Why it could not be handled: one word.
    pub reason: String,
    /// The same in one sentence.
    pub text: String,
    /// The subject it came on.
    pub subject: String,
    /// When it became a dead letter.
    pub stored_at: Timestamp,
    /// Length of its body.
    pub bytes: u64,
    /// When it was last replayed; absent when it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Replayed>,
}

/// That a dead letter was replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Replayed {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Asker,
    /// The run that the replay was: jobs of it have this `run`.
    pub run: u32,
}

/// `GET /v1/dead/<sequence>`: a dead letter, whole. Exactly one of `data`, `content` and `content_b64` is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetterView {
    /// What lists have.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// Its headers, names and values, as they came and with those of a dead letter.
    pub headers: Vec<(String, String)>,
    /// The body, if it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// The body, if it is other text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The body in base64, if it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_b64: Option<String>,
}

/// `POST /v1/dead/<sequence>/replay`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReplayDead {
    /// Also when it was replayed before.
    #[serde(default)]
    pub again: bool,
}

/// A replay that is durable; it is published as soon as the broker takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReplayedEvent {
    /// The dead letter.
    pub sequence: u64,
    /// The event's id.
    pub id: String,
    /// Its identity.
    pub key: EventKey,
    /// Jobs of this replay have this `run`.
    pub run: u32,
}

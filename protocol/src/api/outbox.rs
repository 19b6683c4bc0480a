//! Bodies of `/v1/outbox`: messages on their way to the broker.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /v1/outbox`: what waits for the broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutboxView {
    /// Messages that wait, those under way included.
    pub waiting: u64,
    /// Messages that were sent to the broker and are not acknowledged.
    pub in_flight: u64,
    /// `outbox.messages_max`; new work is refused at 80 % of it.
    pub messages_max: u64,
    /// Messages that the broker will never take.
    pub quarantined: u64,
    /// The one that waits longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<OutboxEntry>,
    /// The subjects with the most messages that wait.
    pub subjects: Vec<SubjectCount>,
    /// Subjects with messages that wait.
    pub subjects_total: u64,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutboxEntry {
    /// Its number, which orders the outbox.
    pub sequence: u64,
    /// Where it is to be published.
    pub subject: String,
    /// Its `Nats-Msg-Id`.
    pub message_id: String,
    /// Length of its body.
    pub bytes: u64,
    /// Since when it waits; absent for those of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged_at: Option<Timestamp>,
    /// Why the broker will never take it; only of those in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// How many messages of a subject wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubjectCount {
    /// The subject.
    pub subject: String,
    /// How many.
    pub waiting: u64,
}

/// `POST /v1/outbox/quarantine/retry`: put these back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RetryQuarantined {
    /// Their numbers, 1 to 1,000.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 1000))]
    pub sequences: Vec<u64>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Retried {
    /// How many wait for the broker again. Numbers that were not in quarantine are not counted.
    pub retried: u64,
}

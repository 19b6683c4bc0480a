//! Events: one inner form, three wire forms (structured CloudEvents JSON, `ce-*` headers, bare JSON).
//!
//! The subject decides org and etype. Identity: CloudEvents `id`, else `Nats-Msg-Id`, else the message's
//! place in its stream; the key is UUIDv5 over (org, source, id). CloudEvents 1.0: <https://github.com/cloudevents/spec>.
//! How a message is read is in `wire`. Deliberately not here: which host an event means; only its
//! [`HostHint`] is taken from it.

mod header;
mod stream;
mod wire;

pub use stream::{GAP, StreamGap, StreamedEvent};

use crate::id::{EventKey, HostId, Org};
use crate::limit::EVENT_BYTES_MAX;
use crate::subject::Etype;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Who vouches for an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Attestation {
    /// An agent with a valid key.
    Agent,
    /// A LittleBrother client.
    Littlebrother,
    /// LimaCharlie, by its signature.
    Limacharlie,
    /// Whoever may publish on NATS or the events API.
    #[default]
    Publisher,
}

impl Attestation {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Littlebrother => "littlebrother",
            Self::Limacharlie => "limacharlie",
            Self::Publisher => "publisher",
        }
    }
}

/// How an event names its host; the first that is present, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostHint {
    /// Extension `hostid`, or `data.host_id` if it is a UUID.
    HostId(HostId),
    /// `data.sid`: LimaCharlie's sensor id, 1 to [`crate::limit::HOST_NAME_BYTES_MAX`] bytes like all names.
    Sid(String),
    /// `data.sensor_id`: the small integer of the Carbon Black dialect.
    SensorId(u32),
    /// `data.hostname`.
    Hostname(String),
    /// CloudEvents `subject`, which counts only if it is a known host's id or name.
    Subject(String),
}

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Unique within its source.
    pub id: String,
    /// Its identity in Tripline.
    pub key: EventKey,
    /// Its tenant.
    pub org: Org,
    /// Who made it (CloudEvents `source`).
    pub source: String,
    /// Its type.
    pub etype: Etype,
    /// The host it concerns, as the publisher named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostHint>,
    /// When it happened.
    pub time: Timestamp,
    /// Its payload.
    pub data: Value,
    /// Who vouches for it.
    pub attested_by: Attestation,
    /// How many pipelines led to it (extension `tripdepth`).
    #[serde(default)]
    pub depth: u8,
    /// W3C trace context, carried on to results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// The event of a job, as results name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventRef {
    /// Unique within its source.
    pub id: String,
    /// Who made it.
    pub source: String,
    /// Its type.
    pub etype: Etype,
}

/// A message as NATS delivered it, not yet understood.
#[derive(Debug, Clone, Copy)]
pub struct WireEvent<'a> {
    /// Tenant, from the subject.
    pub org: &'a Org,
    /// Type, from the subject.
    pub etype: &'a Etype,
    /// Header names and values, as they came.
    pub headers: &'a [(String, String)],
    /// The body.
    pub payload: &'a [u8],
    /// Its place: stream name, sequence, and when JetStream stored it.
    pub stream: &'a str,
    /// Sequence in the stream.
    pub sequence: u64,
    /// When JetStream stored it.
    pub stored_at: Timestamp,
}

/// Why a message is no event; each is a reason of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// Longer than [`EVENT_BYTES_MAX`].
    #[error("event of {0} bytes, at most {EVENT_BYTES_MAX} are taken")]
    TooLarge(usize),
    /// The body is no JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// CloudEvents `type` differs from the subject.
    #[error("the type {found:?} differs from {expected:?} of the subject")]
    EtypeMismatch {
        /// Of the subject.
        expected: String,
        /// Of the event, cut to 80 characters.
        found: String,
    },
    /// A CloudEvents attribute is missing or wrong.
    #[error("attribute {attribute}: {reason}")]
    Attribute {
        /// Its name.
        attribute: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// It is called a detection and is none.
    #[error("{0}")]
    Detection(String),
    /// The chain of events causing jobs causing events is too long.
    #[error("tripdepth {0} is beyond the end of {end}", end = crate::limit::TRIPDEPTH_MAX)]
    TooDeep(u64),
}

impl InvalidEvent {
    /// The reason word of the dead letter, a single NATS token.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::NotJson(_) => "not_json",
            Self::EtypeMismatch { .. } => "etype_mismatch",
            Self::Attribute { .. } => "bad_attribute",
            Self::Detection(_) => "bad_detection",
            Self::TooDeep(_) => "too_deep",
        }
    }
}

impl Event {
    /// How results name it.
    pub fn to_ref(&self) -> EventRef {
        EventRef {
            id: self.id.clone(),
            source: self.source.clone(),
            etype: self.etype.clone(),
        }
    }

    /// The structured CloudEvents form, as Tripline's own edges publish it.
    pub fn to_cloudevent(&self) -> Value {
        let mut map = Map::new();
        map.insert("specversion".into(), json!("1.0"));
        map.insert("id".into(), json!(self.id));
        map.insert("source".into(), json!(self.source));
        map.insert("type".into(), json!(self.etype));
        map.insert("time".into(), json!(self.time));
        map.insert("datacontenttype".into(), json!("application/json"));
        if let Some(HostHint::HostId(host_id)) = &self.host {
            map.insert("hostid".into(), json!(host_id));
        }
        if let Some(HostHint::Subject(subject)) = &self.host {
            map.insert("subject".into(), json!(subject));
        }
        if self.depth > 0 {
            map.insert("tripdepth".into(), json!(self.depth));
        }
        if let Some(traceparent) = &self.traceparent {
            map.insert("traceparent".into(), json!(traceparent));
        }
        map.insert("data".into(), self.data.clone());
        Value::Object(map)
    }
}

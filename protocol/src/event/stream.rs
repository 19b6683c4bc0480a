//! Events as `GET /v1/events` streams them: CloudEvents, with what NATS tells beside them as extensions.

use super::{Attestation, Event, HostHint};
use crate::id::{HostId, Org};
use crate::subject::Etype;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name of a [`StreamGap`] on the stream. An etype may be called so too: events have a `specversion`.
pub const GAP: &str = "gap";

/// An event of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamedEvent {
    /// Of CloudEvents: `1.0`.
    pub specversion: String,
    /// Unique within its source.
    pub id: String,
    /// Who made it.
    pub source: String,
    /// Its type.
    #[serde(rename = "type")]
    pub etype: Etype,
    /// When it happened.
    pub time: Timestamp,
    /// Of CloudEvents: `application/json`.
    pub datacontenttype: String,
    /// Extension: its tenant.
    pub org: Org,
    /// Extension: who vouches for it.
    pub attestedby: Attestation,
    /// Extension: the host it concerns, if that is one that Tripline knows or the publisher gave its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostid: Option<HostId>,
    /// What it is about, as the publisher said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Extension: how many pipelines led to it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tripdepth: u8,
    /// Extension: W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Its payload.
    #[serde(default)]
    pub data: Value,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a field over so")]
fn is_zero(depth: &u8) -> bool {
    *depth == 0
}

impl StreamedEvent {
    /// `host` is the host that the event was found to mean.
    pub fn of(event: Event, host: Option<HostId>) -> Self {
        let (named, subject) = match event.host {
            Some(HostHint::HostId(host_id)) => (Some(host_id), None),
            Some(HostHint::Subject(subject)) => (None, Some(subject)),
            _ => (None, None),
        };
        Self {
            specversion: "1.0".into(),
            id: event.id,
            source: event.source,
            etype: event.etype,
            time: event.time,
            datacontenttype: "application/json".into(),
            org: event.org,
            attestedby: event.attested_by,
            hostid: host.or(named),
            subject,
            tripdepth: event.depth,
            traceparent: event.traceparent,
            data: event.data,
        }
    }
}

/// Part of the stream of events that nobody can read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamGap {
    /// The last sequence that was read before it.
    pub after: u64,
    /// The sequence at which the stream goes on.
    pub next: u64,
    /// How many events of all etypes and orgs are missing; absent when nobody knows, because it is another
    /// stream than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

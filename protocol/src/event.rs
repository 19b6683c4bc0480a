//! Events: one inner form, three wire forms (structured CloudEvents JSON, `ce-*` headers, bare JSON).
//!
//! The subject decides org and etype. Identity: CloudEvents `id`, else `Nats-Msg-Id`, else the message's
//! place in its stream; the key is UUIDv5 over (org, source, id). CloudEvents 1.0: <https://github.com/cloudevents/spec>.

use crate::id::{EventKey, HostId, Org};
use crate::limit::EVENT_BYTES_MAX;
use crate::subject::{Etype, HEADER_MSG_ID};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Who vouches for an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Extension `hostid` or `data.host_id`.
    HostId(HostId),
    /// `data.sid`: LimaCharlie's sensor id.
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
        /// Of the event.
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
            Self::TooDeep(_) => "too_deep",
        }
    }
}

/// CloudEvents attributes as the wire form gave them, all still text.
#[derive(Default)]
struct Attributes {
    id: Option<String>,
    source: Option<String>,
    kind: Option<String>,
    time: Option<String>,
    subject: Option<String>,
    hostid: Option<String>,
    tripdepth: Option<String>,
    traceparent: Option<String>,
}

impl Attributes {
    fn take(&mut self, name: &str, value: String) {
        match name {
            "id" => self.id = Some(value),
            "source" => self.source = Some(value),
            "type" => self.kind = Some(value),
            "time" => self.time = Some(value),
            "subject" => self.subject = Some(value),
            "hostid" => self.hostid = Some(value),
            "tripdepth" => self.tripdepth = Some(value),
            "traceparent" => self.traceparent = Some(value),
            _ => {}
        }
    }

    /// CloudEvents says extension values may also be JSON numbers and booleans.
    fn from_structured(map: Map<String, Value>) -> Result<(Self, Value), InvalidEvent> {
        let mut attributes = Self::default();
        let mut data = Value::Null;
        for (name, value) in map {
            match (name.as_str(), value) {
                ("data", value) => data = value,
                (_, Value::String(text)) => attributes.take(&name, text),
                ("tripdepth", Value::Number(number)) => attributes.take(&name, number.to_string()),
                ("id" | "source" | "type" | "time" | "subject" | "hostid" | "traceparent", value)
                    if !value.is_null() =>
                {
                    return Err(attribute(static_name(&name), "must be a string"));
                }
                _ => {}
            }
        }
        Ok((attributes, data))
    }
}

fn static_name(name: &str) -> &'static str {
    ["id", "source", "type", "time", "subject", "hostid", "traceparent"]
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("extension")
}

fn attribute(attribute: &'static str, reason: impl Into<String>) -> InvalidEvent {
    InvalidEvent::Attribute {
        attribute,
        reason: reason.into(),
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

impl Event {
    /// Understands a message. The event is attested by `publisher`; who knows better sets it afterwards.
    pub fn from_wire(wire: &WireEvent<'_>) -> Result<Self, InvalidEvent> {
        if wire.payload.len() > EVENT_BYTES_MAX {
            return Err(InvalidEvent::TooLarge(wire.payload.len()));
        }
        let binary = header(wire.headers, "ce-specversion").is_some();
        let body = match (wire.payload.is_empty(), binary) {
            (true, true) => Value::Null,
            _ => serde_json::from_slice(wire.payload).map_err(|e| InvalidEvent::NotJson(e.to_string()))?,
        };
        let (attributes, data) = match body {
            data if binary => (Self::header_attributes(wire.headers), data),
            Value::Object(map) if map.contains_key("specversion") => {
                if map.get("specversion").and_then(Value::as_str) != Some("1.0") {
                    return Err(attribute("specversion", "only 1.0 is understood"));
                }
                if map.contains_key("data_base64") {
                    return Err(attribute(
                        "data_base64",
                        "binary data is not understood; send JSON in data",
                    ));
                }
                Attributes::from_structured(map)?
            }
            data => (Attributes::default(), data),
        };
        Self::assemble(wire, attributes, data)
    }

    fn header_attributes(headers: &[(String, String)]) -> Attributes {
        let mut attributes = Attributes::default();
        for (name, value) in headers {
            if let Some((prefix, name)) = name.split_at_checked(3)
                && prefix.eq_ignore_ascii_case("ce-")
            {
                attributes.take(&name.to_ascii_lowercase(), value.clone());
            }
        }
        attributes
    }

    fn assemble(wire: &WireEvent<'_>, found: Attributes, data: Value) -> Result<Self, InvalidEvent> {
        if let Some(kind) = found.kind
            && kind != wire.etype.as_str()
        {
            return Err(InvalidEvent::EtypeMismatch {
                expected: wire.etype.to_string(),
                found: kind,
            });
        }
        let depth = match found.tripdepth {
            None => 0,
            Some(text) => {
                let depth: u64 = text
                    .parse()
                    .map_err(|_| attribute("tripdepth", "must be a number"))?;
                u8::try_from(depth)
                    .ok()
                    .filter(|depth| *depth <= crate::limit::TRIPDEPTH_MAX)
                    .ok_or(InvalidEvent::TooDeep(depth))?
            }
        };
        let time = match found.time {
            Some(text) => text.parse().map_err(|e| attribute("time", format!("{e}")))?,
            None => wire.stored_at,
        };
        let hostid = match found.hostid {
            Some(text) => Some(text.parse().map_err(|e| attribute("hostid", format!("{e}")))?),
            None => None,
        };
        let source = found
            .source
            .filter(|source| !source.is_empty())
            .unwrap_or_else(|| "nats".to_owned());
        let id = found
            .id
            .or_else(|| header(wire.headers, HEADER_MSG_ID).map(str::to_owned))
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| format!("{}/{}/{}", wire.stream, wire.sequence, wire.stored_at.as_micros()));
        let host = match hostid {
            Some(host_id) => Some(HostHint::HostId(host_id)),
            None => host_in_data(&data)?.or_else(|| found.subject.map(HostHint::Subject)),
        };
        Ok(Self {
            key: EventKey::derive(wire.org, &source, &id),
            id,
            org: wire.org.clone(),
            source,
            etype: wire.etype.clone(),
            host,
            time,
            data,
            attested_by: Attestation::Publisher,
            depth,
            traceparent: found
                .traceparent
                .or_else(|| header(wire.headers, "traceparent").map(str::to_owned))
                .filter(|text| text.len() <= 128),
        })
    }

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

/// `data.host_id`, `data.sid`, `data.sensor_id`, `data.hostname`, in this order.
fn host_in_data(data: &Value) -> Result<Option<HostHint>, InvalidEvent> {
    let Value::Object(map) = data else { return Ok(None) };
    if let Some(Value::String(text)) = map.get("host_id") {
        let host_id = text
            .parse()
            .map_err(|e| attribute("data.host_id", format!("{e}")))?;
        return Ok(Some(HostHint::HostId(host_id)));
    }
    if let Some(Value::String(sid)) = map.get("sid") {
        return Ok(Some(HostHint::Sid(sid.clone())));
    }
    if let Some(sensor_id) = map
        .get("sensor_id")
        .and_then(Value::as_u64)
        .and_then(|n| u32::try_from(n).ok())
    {
        return Ok(Some(HostHint::SensorId(sensor_id)));
    }
    if let Some(Value::String(hostname)) = map.get("hostname") {
        return Ok(Some(HostHint::Hostname(hostname.clone())));
    }
    Ok(None)
}

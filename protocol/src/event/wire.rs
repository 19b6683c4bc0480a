//! Reading an event off the wire: which of the three forms it is, its attributes, its identity, its host.
//!
//! What others can get wrong ends here as an [`InvalidEvent`]; what merely is not ours (an unknown
//! attribute, a `data.host_id` of somebody else's making) is passed over.

use super::header::{decode, find};
use super::{Attestation, Event, HostHint, InvalidEvent, WireEvent};
use crate::detection::fault_of_event;
use crate::id::EventKey;
use crate::limit::{
    ATTRIBUTE_BYTES_MAX, EVENT_BYTES_MAX, HOST_NAME_BYTES_MAX, NESTING_MAX, TRIPDEPTH_MAX, is_shallow,
};
use crate::subject::HEADER_MSG_ID;
use crate::time::Timestamp;
use serde_json::{Map, Value};

/// The attributes Tripline reads; all others are passed over.
const NAMES: [&str; 9] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "hostid",
    "tripdepth",
    "traceparent",
];

/// CloudEvents attributes as the wire form gave them, all still text.
#[derive(Default)]
struct Attributes {
    specversion: Option<String>,
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
            "specversion" => self.specversion = Some(value),
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

    /// Attributes are strings; only `tripdepth` may also be a number, and null is as good as absent.
    fn from_structured(map: Map<String, Value>) -> Result<(Self, Value), InvalidEvent> {
        let mut attributes = Self::default();
        let mut data = Value::Null;
        for (name, value) in map {
            match (name.as_str(), value) {
                ("data", value) => data = value,
                ("data_base64", _) => {
                    return Err(bad(
                        "data_base64",
                        "binary data is not understood; send JSON in data",
                    ));
                }
                (_, Value::String(text)) => attributes.take(&name, text),
                ("tripdepth", Value::Number(number)) => attributes.take(&name, number.to_string()),
                (_, Value::Null) => {}
                (name, _) => {
                    if let Some(known) = NAMES.iter().find(|known| **known == name) {
                        return Err(bad(known, "must be a string"));
                    }
                }
            }
        }
        Ok((attributes.understood()?, data))
    }

    fn from_headers(headers: &[(String, String)]) -> Result<Self, InvalidEvent> {
        let mut attributes = Self::default();
        for (name, value) in headers {
            let Some((prefix, name)) = name.split_at_checked(3) else {
                continue;
            };
            let name = name.to_ascii_lowercase();
            if let Some(known) = NAMES.iter().find(|known| **known == name)
                && prefix.eq_ignore_ascii_case("ce-")
            {
                let value = decode(value).ok_or_else(|| bad(known, "is no UTF-8 when decoded"))?;
                attributes.take(known, value);
            }
        }
        attributes.understood()
    }

    fn understood(self) -> Result<Self, InvalidEvent> {
        match self.specversion.as_deref() {
            Some("1.0") => Ok(self),
            Some(_) => Err(bad("specversion", "only 1.0 is understood")),
            None => Err(bad("specversion", "is missing")),
        }
    }

    fn depth(&self) -> Result<u8, InvalidEvent> {
        let Some(text) = &self.tripdepth else { return Ok(0) };
        let depth: u64 = text
            .parse()
            .map_err(|_| bad("tripdepth", "must be a whole number"))?;
        u8::try_from(depth)
            .ok()
            .filter(|depth| *depth <= TRIPDEPTH_MAX)
            .ok_or(InvalidEvent::TooDeep(depth))
    }

    fn time(&self) -> Result<Option<Timestamp>, InvalidEvent> {
        let parse = |text: &String| text.parse().map_err(|error| bad("time", format!("{error}")));
        self.time.as_ref().map(parse).transpose()
    }

    /// Extension `hostid`, else what `data` says, else `subject`.
    fn host(&self, data: &Value) -> Result<Option<HostHint>, InvalidEvent> {
        if let Some(text) = &self.hostid {
            let host_id = text.parse().map_err(|error| bad("hostid", format!("{error}")))?;
            return Ok(Some(HostHint::HostId(host_id)));
        }
        let subject = || self.subject.as_deref().and_then(host_name).map(HostHint::Subject);
        Ok(host_in_data(data).or_else(subject))
    }
}

fn bad(attribute: &'static str, reason: impl Into<String>) -> InvalidEvent {
    InvalidEvent::Attribute {
        attribute,
        reason: reason.into(),
    }
}

/// What is carried on to results and headers is bounded, and free of what would end a header.
fn carried(name: &'static str, text: String) -> Result<String, InvalidEvent> {
    if text.len() > ATTRIBUTE_BYTES_MAX {
        return Err(bad(
            name,
            format!(
                "has {} bytes, at most {ATTRIBUTE_BYTES_MAX} are taken",
                text.len()
            ),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(bad(name, "must not contain control characters"));
    }
    Ok(text)
}

/// Longest `traceparent` that is carried on, in bytes; version 00 has 55.
const TRACE_CONTEXT_BYTES_MAX: usize = 128;

/// W3C: a trace context that is not valid is ignored.
fn trace_context(text: &str) -> Option<String> {
    let legal =
        text.len() <= TRACE_CONTEXT_BYTES_MAX && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (legal && !text.is_empty()).then(|| text.to_owned())
}

/// A text that could be a host's name; others are nobody's.
fn host_name(text: &str) -> Option<String> {
    (1..=HOST_NAME_BYTES_MAX)
        .contains(&text.len())
        .then(|| text.to_owned())
}

/// `data.host_id`, `data.sid`, `data.sensor_id`, `data.hostname`: the first that can be one. A stranger's
/// `host_id` that is no UUID is no reason to refuse the event: most pipelines do not ask for it.
fn host_in_data(data: &Value) -> Option<HostHint> {
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let number = |name: &str| {
        data.get(name)
            .and_then(Value::as_u64)
            .and_then(|n| u32::try_from(n).ok())
    };
    let host_id = text("host_id")
        .and_then(|text| text.parse().ok())
        .map(HostHint::HostId);
    host_id
        .or_else(|| text("sid").and_then(host_name).map(HostHint::Sid))
        .or_else(|| number("sensor_id").map(HostHint::SensorId))
        .or_else(|| text("hostname").and_then(host_name).map(HostHint::Hostname))
}

/// Which of the three forms a message has, taken apart.
fn read(wire: &WireEvent<'_>) -> Result<(Attributes, Value), InvalidEvent> {
    let structured = find(wire.headers, "content-type").is_some_and(|kind| {
        kind.get(.."application/cloudevents".len())
            .is_some_and(|start| start.eq_ignore_ascii_case("application/cloudevents"))
    });
    let binary = !structured && find(wire.headers, "ce-specversion").is_some();
    let body = match binary && wire.payload.is_empty() {
        true => Value::Null,
        false => {
            serde_json::from_slice(wire.payload).map_err(|error| InvalidEvent::NotJson(error.to_string()))?
        }
    };
    match body {
        data if binary => Ok((Attributes::from_headers(wire.headers)?, data)),
        Value::Object(map) if structured || map.contains_key("specversion") => {
            Attributes::from_structured(map)
        }
        _ if structured => Err(bad("specversion", "is missing: a CloudEvent is a JSON object")),
        data => Ok((Attributes::default(), data)),
    }
}

/// CloudEvents `id`, else `Nats-Msg-Id`, else the place in the stream.
fn identity(wire: &WireEvent<'_>, id: Option<String>) -> Result<String, InvalidEvent> {
    let given = id.filter(|id| !id.is_empty()).or_else(|| {
        find(wire.headers, HEADER_MSG_ID)
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
    });
    match given {
        Some(id) => carried("id", id),
        None => Ok(format!(
            "{}/{}/{}",
            wire.stream,
            wire.sequence,
            wire.stored_at.as_micros()
        )),
    }
}

impl Event {
    /// Understands a message. The event is attested by `publisher`; who knows better sets it afterwards.
    pub fn from_wire(wire: &WireEvent<'_>) -> Result<Self, InvalidEvent> {
        if wire.payload.len() > EVENT_BYTES_MAX {
            return Err(InvalidEvent::TooLarge(wire.payload.len()));
        }
        let (attributes, data) = read(wire)?;
        if !is_shallow(&data) {
            return Err(bad(
                "data",
                format!("is nested more than {NESTING_MAX} levels deep"),
            ));
        }
        if let Some(fault) = fault_of_event(wire.etype, &data) {
            return Err(InvalidEvent::Detection(fault));
        }
        Self::assemble(wire, attributes, data)
    }

    fn assemble(wire: &WireEvent<'_>, found: Attributes, data: Value) -> Result<Self, InvalidEvent> {
        if let Some(kind) = found.kind.as_deref().filter(|kind| *kind != wire.etype.as_str()) {
            let found = kind.chars().take(80).collect();
            return Err(InvalidEvent::EtypeMismatch {
                expected: wire.etype.to_string(),
                found,
            });
        }
        let (depth, time, host) = (found.depth()?, found.time()?, found.host(&data)?);
        let source = found.source.filter(|source| !source.is_empty());
        let source = carried("source", source.unwrap_or_else(|| "nats".to_owned()))?;
        let id = identity(wire, found.id)?;
        let trace = found
            .traceparent
            .as_deref()
            .or_else(|| find(wire.headers, "traceparent"));
        Ok(Self {
            key: EventKey::derive(wire.org, &source, &id),
            id,
            org: wire.org.clone(),
            source,
            etype: wire.etype.clone(),
            host,
            time: time.unwrap_or(wire.stored_at),
            data,
            attested_by: Attestation::Publisher,
            depth,
            traceparent: trace.and_then(trace_context),
        })
    }
}

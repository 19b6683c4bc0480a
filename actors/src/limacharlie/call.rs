//! Reading a call: what it is to cause, decided before it reaches the role, on the caller's thread.

use super::Sensor;
use super::messages::Work;
use super::offer::Wish;
use super::record::CallKey;
use crate::ground::Ground;
use crate::host::event_message;
use crate::ports::OutMessage;
use crate::refusal::Refusal;
use serde_json::{Map, Value};
use tripline_protocol::event::HostHint;
use tripline_protocol::limacharlie::{Call, ServiceEtype, TickScope, org_of_oid};
use tripline_protocol::limit::{EVENT_BYTES_MAX, TRIPDEPTH_MAX};
use tripline_protocol::{Attestation, Etype, Event, EventKey, Org};
use uuid::Uuid;

/// Where events come from whose calls are about no org.
const NO_ORG: &str = "cloud";

/// What a call is to cause.
pub(crate) enum Given {
    /// It is known.
    Work(Work),
    /// Jobs, which are to be made, so many pipelines and services deep.
    Wish(Org, Wish, u8),
}

pub(super) fn invalid(code: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal::Invalid {
        code,
        detail: detail.into(),
    }
}

/// The call's identity and what it is to cause. A call without `mid` is one of its own, whatever came before. Refuses with
/// `Invalid`, for good.
pub(crate) fn read_call(
    ground: &Ground,
    etype: ServiceEtype,
    call: Call,
) -> Result<(CallKey, Given), Refusal> {
    let org = org(etype, call.oid.as_deref())?;
    let depth = call
        .depth_caused()
        .ok_or_else(|| invalid("too_deep", format!("tripdepth: {TRIPDEPTH_MAX} is the end")))?;
    let mid = call.mid.unwrap_or_else(|| Uuid::new_v4().to_string());
    let data = object(call.data)?;
    let given = match (etype, &org) {
        (ServiceEtype::OrgUninstall, Some(_)) => Given::Work(Work::Uninstall),
        (ServiceEtype::Request, Some(org)) => Given::Wish(org.clone(), Wish::of_request(data)?, depth),
        (ServiceEtype::Command, Some(org)) => Given::Wish(org.clone(), Wish::of_command(data)?, depth),
        _ => {
            let from = Origin {
                etype,
                org: org.as_ref(),
                mid: &mid,
                depth,
            };
            Given::Work(event(ground, &from, Value::Object(data))?)
        }
    };
    Ok((CallKey { org, mid }, given))
}

/// What an event is made of, beside its data.
struct Origin<'c> {
    etype: ServiceEtype,
    org: Option<&'c Org>,
    mid: &'c str,
    depth: u8,
}

/// The org of a call; the names of orgs here are UUIDs in their usual form.
fn org(etype: ServiceEtype, oid: Option<&str>) -> Result<Option<Org>, Refusal> {
    let optional = matches!(
        etype,
        ServiceEtype::ServiceError | ServiceEtype::Tick(TickScope::Once, _)
    );
    let Some(oid) = oid else {
        return match optional {
            true => Ok(None),
            false => Err(invalid("bad_oid", "oid: is missing")),
        };
    };
    org_of_oid(oid)
        .map(Some)
        .ok_or_else(|| invalid("bad_oid", "oid: must be a UUID"))
}

fn object(data: Value) -> Result<Map<String, Value>, Refusal> {
    match data {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err(invalid("bad_data", "data: must be an object")),
    }
}

fn event(ground: &Ground, from: &Origin<'_>, data: Value) -> Result<Work, Refusal> {
    let Origin { etype, org, .. } = *from;
    let is_text = |pointer: &str| data.pointer(pointer).is_some_and(Value::is_string);
    if etype == ServiceEtype::Detection && !is_text("/cat") {
        return Err(invalid("bad_data", "data.cat: must be a text"));
    }
    let sensor = org.and_then(|org| Sensor::of(etype, org, &data));
    if etype == ServiceEtype::NewSensor && sensor.is_none() {
        return Err(invalid("bad_data", "data.sid: must be a UUID"));
    }
    let message = message(ground, from, sensor.as_ref(), data)?;
    Ok(match etype {
        ServiceEtype::OrgInstall => Work::Install(message),
        _ => Work::Event { message, sensor },
    })
}

fn message(
    ground: &Ground,
    from: &Origin<'_>,
    sensor: Option<&Sensor>,
    data: Value,
) -> Result<OutMessage, Refusal> {
    let Origin {
        etype,
        org,
        mid,
        depth,
    } = *from;
    let source = format!("limacharlie/{}", org.map_or(NO_ORG, Org::as_str));
    let org = org.cloned().unwrap_or_else(Org::default_org);
    let word: Result<Etype, _> = etype.as_str().parse();
    let event = Event {
        key: EventKey::derive(&org, &source, mid),
        id: mid.to_owned(),
        source,
        etype: word.map_err(|error| invalid("bad_etype", error.to_string()))?,
        host: sensor.map(|sensor| HostHint::HostId(sensor.host_id())),
        // A detection may be of something that happened long ago on a sensor that was away; it is acted on when it is told.
        time: ground.now(),
        data,
        attested_by: Attestation::Limacharlie,
        depth,
        traceparent: None,
        org,
    };
    let message = event_message(ground, &event);
    if message.payload.len() > EVENT_BYTES_MAX {
        let bytes = message.payload.len();
        let detail = format!("event of {bytes} bytes, at most {EVENT_BYTES_MAX} are taken");
        return Err(invalid("too_large", detail));
    }
    Ok(message)
}

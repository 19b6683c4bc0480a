//! Detections that are reported over the API: their events, as ingest will understand them when they come back from NATS.

use serde_json::Value;
use tripline_actors::Refusal;
use tripline_protocol::api::ReportDetection;
use tripline_protocol::detection::Detection;
use tripline_protocol::event::{HostHint, WireEvent};
use tripline_protocol::limit::HOST_NAME_BYTES_MAX;
use tripline_protocol::{Attestation, Etype, Event, EventKey, Org, Timestamp};
use uuid::Uuid;

/// The event of a detection that the holder of a token reports.
///
/// # Errors
/// What is wrong with it: nothing is published then that ingest would call dead.
pub(crate) fn event(
    request: ReportDetection,
    org: Org,
    token_name: &str,
    now: Timestamp,
) -> Result<Event, Refusal> {
    let ReportDetection {
        org: _,
        cat,
        priority,
        host,
        data,
        id,
        source,
        time,
    } = request;
    let detection = Detection { cat, priority, data };
    if let Some(fault) = detection.fault() {
        return Err(invalid("bad_detection", fault));
    }
    let id = given("id", id)?.unwrap_or_else(|| Uuid::now_v7().to_string());
    let source = given("source", source)?.unwrap_or_else(|| format!("api/{token_name}"));
    let event = Event {
        key: EventKey::derive(&org, &source, &id),
        id,
        org,
        source,
        etype: Etype::detection(),
        host: host.map(hint).transpose()?,
        time: time.unwrap_or(now),
        data: Value::Object(detection.to_data()),
        attested_by: Attestation::Publisher,
        depth: 0,
        traceparent: None,
    };
    read_back(&event, now)
}

fn given(field: &'static str, text: Option<String>) -> Result<Option<String>, Refusal> {
    match text {
        Some(text) if text.is_empty() => Err(invalid("bad_attribute", format!("{field}: is empty"))),
        text => Ok(text),
    }
}

/// A host by its id or its name.
fn hint(host: String) -> Result<HostHint, Refusal> {
    if !(1..=HOST_NAME_BYTES_MAX).contains(&host.len()) {
        let detail = format!("host: expected an id or a name of 1 to {HOST_NAME_BYTES_MAX} bytes");
        return Err(invalid("bad_attribute", detail));
    }
    Ok(host.parse().map_or(HostHint::Subject(host), HostHint::HostId))
}

/// Takes the way over the wire, with its limits and rules.
fn read_back(event: &Event, now: Timestamp) -> Result<Event, Refusal> {
    let payload = serde_json::to_vec(&event.to_cloudevent());
    let payload = payload.map_err(|error| invalid("bad_detection", error.to_string()))?;
    let wire = WireEvent {
        org: &event.org,
        etype: &event.etype,
        headers: &[],
        payload: &payload,
        stream: "",
        sequence: 0,
        stored_at: now,
    };
    Event::from_wire(&wire).map_err(|error| invalid(error.reason(), error.to_string()))
}

fn invalid(code: &'static str, detail: String) -> Refusal {
    Refusal::Invalid { code, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tripline_protocol::HostId;
    use tripline_protocol::limit::EVENT_BYTES_MAX;

    fn made(request: Value) -> Result<Event, Refusal> {
        let request = serde_json::from_value(request).expect("a request");
        event(
            request,
            Org::default_org(),
            "ana",
            Timestamp::from_micros(1_000_000),
        )
    }

    #[test]
    fn a_reported_detection_has_the_form_of_those_that_pipelines_publish() {
        let event =
            made(json!({ "cat": "miner", "priority": 5, "data": { "pid": 4 }, "host": "pc-1" })).unwrap();
        assert_eq!(event.etype, Etype::detection());
        assert_eq!(
            event.data,
            json!({ "cat": "miner", "priority": 5, "data": { "pid": 4 } })
        );
        assert_eq!(event.host, Some(HostHint::Subject("pc-1".into())));
        assert_eq!((event.source.as_str(), event.depth), ("api/ana", 0));
        assert_eq!(event.attested_by, Attestation::Publisher);
        let short = made(json!({ "cat": "miner" })).unwrap();
        assert_eq!(short.data, json!({ "cat": "miner", "priority": 0, "data": null }));
        assert_eq!(short.host, None);
    }

    #[test]
    fn who_gives_id_source_and_time_is_taken_at_their_word() {
        let host = Uuid::from_u128(5);
        let event = made(
            json!({ "cat": "c", "id": "1", "source": "siem", "host": host, "time": "2026-11-19T00:00:00Z" }),
        );
        let event = event.unwrap();
        assert_eq!(event.key, EventKey::derive(&Org::default_org(), "siem", "1"));
        assert_eq!(event.host, Some(HostHint::HostId(HostId(host))));
        assert_eq!(event.time, "2026-11-19T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn what_is_no_detection_is_refused_with_what_is_wrong() {
        let long = "x".repeat(EVENT_BYTES_MAX);
        for (request, code) in [
            (json!({ "cat": "" }), "bad_detection"),
            (json!({ "cat": "a\nb" }), "bad_detection"),
            (json!({ "cat": "c", "priority": 11 }), "bad_detection"),
            (json!({ "cat": "c", "id": "" }), "bad_attribute"),
            (json!({ "cat": "c", "source": "a\nb" }), "bad_attribute"),
            (json!({ "cat": "c", "host": "" }), "bad_attribute"),
            (json!({ "cat": "c", "host": "x".repeat(256) }), "bad_attribute"),
            (json!({ "cat": "c", "data": long }), "too_large"),
        ] {
            assert_eq!(made(request).unwrap_err().code(), code);
        }
    }
}

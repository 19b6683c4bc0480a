//! Events in their three wire forms: what becomes of them, and what each mistake is answered with.

use crate::golden::text;
use crate::samples::{at, p};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tripline_protocol::event::{HostHint, InvalidEvent, WireEvent};
use tripline_protocol::limit::{ATTRIBUTE_BYTES_MAX, EVENT_BYTES_MAX, HOST_NAME_BYTES_MAX};
use tripline_protocol::{Etype, Event, Org};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    payload: Option<Box<serde_json::value::RawValue>>,
    payload_text: Option<String>,
    event: Option<Value>,
    refused: Option<Refused>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    reason: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostCase {
    name: String,
    attributes: Map<String, Value>,
    data: Value,
    host: Option<HostHint>,
}

fn read(headers: &[(String, String)], payload: &[u8]) -> Result<Event, InvalidEvent> {
    let (org, etype) = (Org::default_org(), p::<Etype>("acme.alert"));
    Event::from_wire(&WireEvent {
        org: &org,
        etype: &etype,
        headers,
        payload,
        stream: "TRIPLINE_EVENTS",
        sequence: 7,
        stored_at: at("14:00:00"),
    })
}

fn read_json(payload: &Value) -> Result<Event, InvalidEvent> {
    read(&[], payload.to_string().as_bytes())
}

impl Case {
    fn payload(&self) -> &str {
        match (&self.payload, &self.payload_text) {
            (None, Some(text)) => text,
            (Some(json), None) => json.get(),
            _ => "null",
        }
    }
}

#[test]
fn every_golden_message_is_read_as_its_event_or_refused_with_its_reason() {
    let cases: Vec<Case> = serde_json::from_str(&text("events.json")).unwrap();
    assert!(cases.len() > 30, "the golden file is whole");
    for case in &cases {
        match (
            read(&case.headers, case.payload().as_bytes()),
            &case.event,
            &case.refused,
        ) {
            (Ok(event), Some(expected), None) => {
                assert_eq!(&serde_json::to_value(&event).unwrap(), expected, "{}", case.name);
                assert_eq!(
                    event,
                    serde_json::from_value(expected.clone()).unwrap(),
                    "{}",
                    case.name
                );
            }
            (Err(error), None, Some(refused)) => {
                assert_eq!(error.reason(), refused.reason, "{}", case.name);
                assert_eq!(error.to_string(), refused.text, "{}", case.name);
            }
            (found, ..) => panic!("{}: {found:?}", case.name),
        }
    }
}

#[test]
fn the_host_is_taken_from_the_first_place_that_can_name_one() {
    let cases: Vec<HostCase> = serde_json::from_str(&text("hosts.json")).unwrap();
    for case in cases {
        let mut event = case.attributes.clone();
        event.insert("specversion".into(), "1.0".into());
        event.insert("data".into(), case.data.clone());
        let event = read_json(&event.into()).unwrap();
        assert_eq!(event.host, case.host, "{}", case.name);
    }
}

#[test]
fn an_event_that_an_edge_publishes_again_is_the_same_event() {
    let cases: Vec<Case> = serde_json::from_str(&text("events.json")).unwrap();
    for case in cases.iter().filter(|case| case.event.is_some()) {
        let event = read(&case.headers, case.payload().as_bytes()).unwrap();
        assert_eq!(read_json(&event.to_cloudevent()).unwrap(), event, "{}", case.name);
    }
}

#[test]
fn a_published_event_has_the_attributes_cloudevents_asks_for() {
    let event = read_json(&json!({"specversion": "1.0", "id": "a-1", "tripdepth": 1, "subject": "web-2"}));
    assert_eq!(
        event.unwrap().to_cloudevent(),
        json!({
            "specversion": "1.0",
            "id": "a-1",
            "source": "nats",
            "type": "acme.alert",
            "time": "2026-11-20T14:00:00Z",
            "datacontenttype": "application/json",
            "subject": "web-2",
            "tripdepth": 1,
            "data": null,
        })
    );
}

#[test]
fn how_results_name_an_event() {
    let event = read_json(&json!({"specversion": "1.0", "id": "a-1", "source": "urn:x"})).unwrap();
    let named = serde_json::to_value(event.to_ref()).unwrap();
    assert_eq!(
        named,
        json!({"id": "a-1", "source": "urn:x", "etype": "acme.alert"})
    );
}

#[test]
fn the_largest_event_is_taken_and_one_byte_more_is_not() {
    let filled = |bytes: usize| format!("\"{}\"", "a".repeat(bytes - 2));
    assert!(read(&[], filled(EVENT_BYTES_MAX).as_bytes()).is_ok());
    let error = read(&[], filled(EVENT_BYTES_MAX + 1).as_bytes()).unwrap_err();
    assert_eq!(error, InvalidEvent::TooLarge(EVENT_BYTES_MAX + 1));
    assert_eq!(error.reason(), "too_large");
}

#[test]
fn ids_and_sources_are_bounded_because_every_result_carries_them() {
    for attribute in ["id", "source"] {
        let with = |bytes: usize| json!({"specversion": "1.0", "id": "a-1", attribute: "a".repeat(bytes)});
        assert!(read_json(&with(ATTRIBUTE_BYTES_MAX)).is_ok());
        let error = read_json(&with(ATTRIBUTE_BYTES_MAX + 1)).unwrap_err();
        let text = format!("attribute {attribute}: has 1025 bytes, at most 1024 are taken");
        assert_eq!((error.reason(), error.to_string()), ("bad_attribute", text));
    }
    let header = [("Nats-Msg-Id".to_owned(), "a".repeat(ATTRIBUTE_BYTES_MAX + 1))];
    assert_eq!(read(&header, b"{}").unwrap_err().reason(), "bad_attribute");
}

#[test]
fn a_name_too_long_for_a_host_is_no_hosts() {
    let named = |bytes: usize| read_json(&json!({"hostname": "a".repeat(bytes)})).unwrap().host;
    assert_eq!(
        named(HOST_NAME_BYTES_MAX),
        Some(HostHint::Hostname("a".repeat(HOST_NAME_BYTES_MAX)))
    );
    assert_eq!(named(HOST_NAME_BYTES_MAX + 1), None);
}

#[test]
fn a_mistake_of_any_length_is_answered_in_a_few_words() {
    let long = "x".repeat(EVENT_BYTES_MAX - 100);
    for attribute in ["type", "time", "hostid"] {
        let error = read_json(&json!({"specversion": "1.0", attribute: long})).unwrap_err();
        assert!(error.to_string().len() < 300, "{attribute}");
    }
}

#[test]
fn a_malformed_header_name_is_passed_over() {
    let headers = ["", "c", "ce-", "cé-id", "ce-unknown"].map(|name| (name.to_owned(), "x".to_owned()));
    assert_eq!(read(&headers, b"{}").unwrap().source, "nats");
}

#[test]
fn a_number_that_is_not_whole_is_the_nearest_float_however_often_it_is_passed_on() {
    // Digits between two floats, which a reader in a hurry takes for the wrong one of them.
    let number = "33333330000000000000000000008382201844392962729";
    let nearest: f64 = number.parse().unwrap();
    let mut data = read(&[], format!("{{\"pid\": {number}}}").as_bytes())
        .unwrap()
        .data;
    for _ in 0..3 {
        assert_eq!(data["pid"].as_f64(), Some(nearest));
        data = read_json(&data).unwrap().data;
    }
}

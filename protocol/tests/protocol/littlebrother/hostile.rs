//! Messages of any shape: read as they were written, or refused; never a panic, never half of them.

use super::now;
use crate::strategies::value;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tripline_protocol::limit::NESTING_MAX;
use tripline_protocol::littlebrother::*;

fn local_time() -> impl Strategy<Value = LocalTime> {
    (-62_135_596_800_i64..253_402_300_800).prop_map(|seconds| LocalTime::from_naive_seconds(seconds).unwrap())
}

fn client_type() -> impl Strategy<Value = EventType> {
    let types: Vec<EventType> = EventType::ALL
        .into_iter()
        .filter(|kind| kind.is_from_client())
        .collect();
    prop::sample::select(types)
}

prop_compose! {
    fn client_event()(
        event_type in client_type(),
        texts in vec(of(any::<String>()), 6),
        numbers in (0..9_000_000_000_u64, 0..9_000_000_000_u64, any::<i32>(), any::<u32>()),
        times in (local_time(), local_time()),
    ) -> WireEvent {
        WireEvent {
            delay: numbers.0,
            downtime: numbers.1,
            percent: numbers.2.into(),
            pid: Some(numbers.3),
            process_start_time: Some(times.1),
            hostlabel: texts[0].clone(),
            locale: texts[1].clone(),
            processhandler: texts[2].clone(),
            processname: texts[3].clone(),
            text: texts[4].clone(),
            username: texts[5].clone(),
            ..WireEvent::new(event_type, "küche", times.0)
        }
    }
}

prop_compose! {
    fn stats()(
        texts in vec(of("[^\\p{Cc}]{0,40}"), 4),
        flags: (bool, bool),
        numbers in vec(of(-1_000_000_i64..1_000_000_000_000), 3),
    ) -> ClientStats {
        let number = |at: usize| numbers[at].map(|hundredths| hundredths as f64 / 100.0);
        ClientStats {
            version: texts[0].clone(),
            revision: texts[1].clone(),
            python_version: texts[2].clone(),
            running_in_docker: flags.0,
            running_in_snap: flags.1,
            linux_distribution: texts[3].clone(),
            resident_memory_bytes: number(0),
            start_time_seconds: number(1),
            cpu_seconds_total: number(2),
        }
    }
}

prop_compose! {
    pub(crate) fn client_message()(
        events in vec(client_event(), 0..6),
        client_stats in of(stats()),
    ) -> ClientMessage {
        ClientMessage { hostname: "küche".into(), events, client_stats }
    }
}

/// Real keys with values of any kind.
fn twisted() -> impl Strategy<Value = Value> {
    let keys = [
        "event_type",
        "event_time",
        "pid",
        "process_start_time",
        "payload",
        "hostname",
        "percent",
        "x",
    ];
    let event = vec((prop::sample::select(keys.to_vec()), value()), 0..5).prop_map(|pairs| {
        let mut map: Map<String, Value> = pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        map.entry("event_type").or_insert_with(|| json!("PROCESS_START"));
        Value::Object(map)
    });
    let events = prop_oneof![vec(event, 0..4).prop_map(Value::from), value()];
    (value(), value(), events, of(value())).prop_map(|(secret, hostname, events, stats)| {
        json!({"secret": secret, "hostname": hostname, "events": events, "client_stats": stats})
    })
}

fn body(message: &ClientMessage) -> Vec<u8> {
    let mut body = serde_json::to_value(message).unwrap();
    body["secret"] = json!("s");
    body.to_string().into_bytes()
}

/// Either way it says why.
fn read(body: &[u8]) -> Option<ReadMessage> {
    match ReadMessage::read(body, now()) {
        Ok(read) => Some(read),
        Err(error) => {
            assert!(error.to_string().contains(": "), "{error}");
            None
        }
    }
}

proptest! {
    #[test]
    fn what_a_client_writes_is_read_as_it_was(message in client_message()) {
        let read = read(&body(&message)).unwrap();
        assert_eq!(read.message, message);
        assert_eq!(read.ignored, []);
        let of_agent = ReadMessage::of_agent(message.clone(), message.hostname.clone()).unwrap();
        assert_eq!((of_agent.message, of_agent.ignored), (message, vec![]));
    }

    #[test]
    fn events_come_back_from_their_canonical_text(event in client_event()) {
        let text = event.to_canonical_json();
        assert_eq!(serde_json::from_str::<WireEvent>(&text).unwrap(), event);
        assert_eq!(serde_json::from_str::<WireEvent>(&text).unwrap().to_canonical_json(), text);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    #[test]
    fn any_json_is_read_or_refused(value in value()) {
        read(value.to_string().as_bytes());
    }

    #[test]
    fn real_keys_with_any_values_are_read_or_refused(value in twisted()) {
        if let Some(read) = read(value.to_string().as_bytes()) {
            let events = value["events"].as_array().unwrap().len();
            let left_out = |why: &&Ignored| !matches!(why, Ignored::UnknownAttribute | Ignored::Payload);
            let left_out = read.ignored.iter().filter(left_out).count();
            assert_eq!(read.message.events.len() + left_out, events);
        }
    }

    #[test]
    fn a_message_cut_or_changed_anywhere_is_read_or_refused(message in client_message(), at: prop::sample::Index, byte: u8) {
        let mut body = body(&message);
        let at = at.index(body.len());
        read(&body[..at]);
        body[at] = byte;
        read(&body);
    }

    #[test]
    fn one_bad_event_refuses_all_and_is_found(message in client_message(), at: prop::sample::Index, event in client_event()) {
        let mut events: Vec<Value> = message.events.iter().map(|event| json!(event)).collect();
        let at = at.index(events.len() + 1);
        let mut bad = json!(event);
        bad["event_time"] = json!("2026-11-20T20:00:00");
        events.insert(at, bad);
        let body = json!({"secret": null, "hostname": "küche", "events": events}).to_string();
        match ReadMessage::read(body.as_bytes(), now()) {
            Err(InvalidMessage::Key { key, .. }) => assert_eq!(key, format!("events[{at}].event_time")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn half_characters_anywhere_are_read_or_refused(text in "(a|\\\\|\\\\u|d8|00|dc|\\\\ud83d|\\\\ude00|\\\\udcc3){0,12}") {
        read(format!(r#"{{"secret": "{text}", "hostname": "h{text}", "events": []}}"#).as_bytes());
    }
}

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

fn with_attribute(key: &str, value: &str) -> Vec<u8> {
    format!(
        r#"{{"secret": "s", "hostname": "h", "events": [{{"event_type": "START_CLIENT", "{key}": {value}}}]}}"#
    )
    .into_bytes()
}

#[test]
fn payloads_and_unknown_attributes_are_left_out_however_deep_they_are() {
    for key in ["payload", "unknown"] {
        for levels in [1, NESTING_MAX, NESTING_MAX + 1, 120] {
            let read = read(&with_attribute(key, &nested(levels))).unwrap();
            assert_eq!((read.message.events.len(), read.ignored.len()), (1, 1));
            assert_eq!(read.message.events[0].payload, None);
        }
        let huge = format!(r#""{}""#, "x".repeat(1_000_000));
        assert_eq!(
            read(&with_attribute(key, &huge)).unwrap().message.events[0].payload,
            None
        );
        assert_eq!(
            read(&with_attribute(key, &nested(200_000))),
            None,
            "deeper than a reader of JSON goes"
        );
    }
}

#[test]
fn the_payload_of_a_servers_event_is_as_deep_as_the_limit() {
    for (levels, taken) in [(NESTING_MAX, true), (NESTING_MAX + 1, false)] {
        let event = WireEvent {
            payload: Some(serde_json::from_str(&nested(levels)).unwrap()),
            ..WireEvent::new(EventType::UpdateConfig, "h", now())
        };
        let value = json!(event);
        let read = WireEvent::read(EventType::UpdateConfig, value.as_object().unwrap(), "h", now());
        assert_eq!(read.is_ok(), taken);
        assert!(read.is_ok_and(|read| read == event) == taken);
        assert_eq!(serde_json::from_value::<WireEvent>(value).is_ok(), taken);
    }
}

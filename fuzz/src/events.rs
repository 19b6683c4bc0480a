//! Events as they come from NATS: structured, binary and bare.
//!
//! Input: lines of headers (`name: value`), an empty line, the body.

use crate::input::head_and_body;
use tripline_protocol::event::{Event, WireEvent};
use tripline_protocol::limit::TRIPDEPTH_MAX;
use tripline_protocol::{Etype, Org, Timestamp};

/// What is understood keeps to its bounds, and is understood the same as the CloudEvent that Tripline makes of it.
pub fn run(data: &[u8]) {
    let (head, body) = head_and_body(data);
    let headers: Vec<(String, String)> = head
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let (org, etype) = (Org::default_org(), etype());
    let wire = |headers, payload| WireEvent {
        org: &org,
        etype: &etype,
        headers,
        payload,
        stream: "TRIPLINE_EVENTS",
        sequence: 7,
        stored_at: Timestamp::from_micros(1_700_000_000_000_000),
    };
    let Ok(event) = Event::from_wire(&wire(&headers, body)) else {
        return;
    };
    assert!(event.depth <= TRIPDEPTH_MAX, "{} pipelines deep", event.depth);
    let written = serde_json::to_vec(&event.to_cloudevent()).expect("an event can be written");
    let read = Event::from_wire(&wire(&[], &written));
    match read {
        Ok(read) => assert_eq!((read.key, read.data), (event.key, event.data)),
        Err(error) => panic!("what Tripline publishes is refused: {error}"),
    }
}

fn etype() -> Etype {
    "acme.alert".parse().expect("an etype")
}

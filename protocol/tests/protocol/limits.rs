//! Bounds of what crosses a border: the longest is taken, and what is one longer is not.

use crate::samples::p;
use serde_json::json;
use tripline_protocol::event::{InvalidEvent, WireEvent};
use tripline_protocol::isolation::allow_fault;
use tripline_protocol::limit::{
    ETYPE_BYTES_MAX, ISOLATION_ALLOW_MAX, PREFIX_BYTES_MAX, TRIPDEPTH_MAX, WORD_BYTES_MAX,
};
use tripline_protocol::selector::Glob;
use tripline_protocol::subject::EtypePattern;
use tripline_protocol::{Etype, Event, Label, Name, Network, Org, Subjects, Timestamp};

fn is<T: std::str::FromStr>(bytes: usize) -> bool {
    "x".repeat(bytes).parse::<T>().is_ok()
}

#[test]
fn words_are_as_long_as_their_bounds() {
    let longest = [
        ("org", WORD_BYTES_MAX, is::<Org> as fn(usize) -> bool),
        ("name", WORD_BYTES_MAX, is::<Name>),
        ("label", WORD_BYTES_MAX, is::<Label>),
        ("etype", ETYPE_BYTES_MAX, is::<Etype>),
        ("pattern of etypes", ETYPE_BYTES_MAX, is::<EtypePattern>),
        ("prefix", PREFIX_BYTES_MAX, is::<Subjects>),
        ("pattern of names", 255, is::<Glob>),
    ];
    for (what, bytes, is) in longest {
        assert!(is(bytes), "{what} of {bytes} bytes");
        assert!(!is(bytes + 1), "{what} of one more");
    }
}

fn event(attributes: serde_json::Value) -> Result<Event, InvalidEvent> {
    let mut envelope =
        json!({"specversion": "1.0", "id": "1", "source": "test", "type": "acme.alert", "data": {}});
    envelope
        .as_object_mut()
        .unwrap()
        .extend(attributes.as_object().unwrap().clone());
    let (org, etype) = (Org::default_org(), p::<Etype>("acme.alert"));
    Event::from_wire(&WireEvent {
        org: &org,
        etype: &etype,
        headers: &[],
        payload: envelope.to_string().as_bytes(),
        stream: "TRIPLINE_EVENTS",
        sequence: 7,
        stored_at: Timestamp::from_micros(1),
    })
}

#[test]
fn events_cause_events_so_often_and_no_more() {
    let deepest = event(json!({"tripdepth": TRIPDEPTH_MAX})).unwrap();
    assert_eq!(deepest.depth, TRIPDEPTH_MAX);
    let next = event(json!({"tripdepth": TRIPDEPTH_MAX + 1})).unwrap_err();
    assert_eq!(next.reason(), "too_deep");
}

#[test]
fn a_trace_context_is_carried_on_up_to_its_bound() {
    let carried = |bytes| {
        event(json!({"traceparent": "0".repeat(bytes)}))
            .unwrap()
            .traceparent
            .is_some()
    };
    assert!(carried(128) && !carried(129));
}

#[test]
fn so_many_ranges_stay_reachable() {
    let ranges = |count: u8| {
        (0..count)
            .map(|n| p(&format!("10.0.{n}.0/24")))
            .collect::<Vec<Network>>()
    };
    let most = u8::try_from(ISOLATION_ALLOW_MAX).unwrap();
    assert_eq!(allow_fault(&ranges(most)), None);
    assert!(allow_fault(&ranges(most + 1)).unwrap().contains("at most 32"));
}

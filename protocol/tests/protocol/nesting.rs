//! JSON nested too deeply is refused where it comes in, so that whatever was taken can be read again from
//! the records and results it is written into.

use crate::samples::{at, command, json, p};
use serde_json::{Value, json};
use tripline_protocol::api::{PublishEvent, SubmitJob};
use tripline_protocol::event::WireEvent as Message;
use tripline_protocol::frame::AgentFrame;
use tripline_protocol::limit::{NESTING_MAX, is_shallow};
use tripline_protocol::littlebrother::{EventType, LocalTime, WireEvent};
use tripline_protocol::step::Step;
use tripline_protocol::verb::{Verb, VerbCall};
use tripline_protocol::{Event, Fault, Org};

/// `levels` levels: a number within lists.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!(7), |inner, _| json!([inner]))
}

/// Whether `body` is read with a value of the limit's depth in it, and not with one level more.
fn ends_at_the_limit(reads: impl Fn(Value) -> bool) {
    assert!(reads(nested(NESTING_MAX)));
    assert!(!reads(nested(NESTING_MAX + 1)));
    assert!(!reads(nested(120)));
}

#[test]
fn levels_are_counted_from_one() {
    assert!(is_shallow(&json!(7)) && is_shallow(&json!({"a": [1]})));
    ends_at_the_limit(|value| is_shallow(&value));
}

#[test]
fn events_are_as_deep_as_the_limit() {
    ends_at_the_limit(|data| {
        let (org, etype) = (Org::default_org(), p("x"));
        let payload = json!({"specversion": "1.0", "data": data}).to_string();
        let read = Event::from_wire(&Message {
            org: &org,
            etype: &etype,
            headers: &[],
            payload: payload.as_bytes(),
            stream: "S",
            sequence: 1,
            stored_at: at("14:00:00"),
        });
        if let Err(error) = &read {
            assert_eq!(error.reason(), "bad_attribute");
        }
        read.is_ok()
    });
    ends_at_the_limit(|data| json::<PublishEvent>(&json!({"etype": "x", "data": data}).to_string()).is_ok());
}

#[test]
fn jobs_are_as_deep_as_the_limit() {
    ends_at_the_limit(|value| {
        let submit = json!({"host": "h", "named": "n", "params": {"a": value}});
        json::<SubmitJob>(&submit.to_string()).is_ok()
    });
    ends_at_the_limit(|value| {
        let step = json!({"set_registry_value": {"path": "p", "value": value}});
        let submit = json!({"host": "h", "job": {"name": "n", "steps": [step]}});
        json::<SubmitJob>(&submit.to_string()).is_ok()
    });
    ends_at_the_limit(|value| {
        VerbCall::parse(Verb::SetRegistryValue, json!({"path": "p", "value": value})).is_ok()
    });
}

#[test]
fn frames_are_as_deep_as_the_limit() {
    let read = |frame: Value| json::<AgentFrame>(&frame.to_string()).is_ok();
    ends_at_the_limit(|output| read(json!({"type": "result", "command_id": command(), "output": output})));
    ends_at_the_limit(|data| {
        read(json!({"type": "event", "id": "1", "etype": "x", "time": "2026-11-20T14:00:00Z", "data": data}))
    });
    ends_at_the_limit(|detail| {
        let fault = json!({"class": "server", "code": "c", "text": "t", "detail": detail});
        read(json!({"type": "result", "command_id": command(), "error": fault}))
    });
    ends_at_the_limit(|payload| {
        let mut event = json!(WireEvent::new(EventType::StartClient, "h", LocalTime::epoch()));
        event["payload"] = payload;
        read(json!({"type": "littlebrother", "seq": 1, "message": {"hostname": "h", "events": [event]}}))
    });
}

#[test]
fn text_nested_beyond_any_reader_is_an_error_and_no_overflow() {
    let hostile = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    assert!(json::<AgentFrame>(&format!(r#"{{"type": "result", "output": {hostile}}}"#)).is_err());
    assert!(json::<AgentFrame>(&format!(r#"{{"type": "tomorrow", "x": {hostile}}}"#)).is_err());
    assert!(json::<Step>(&format!(r#"{{"walk": {hostile}}}"#)).is_err());
}

#[test]
fn what_was_accepted_and_stored_is_read_again_whatever_its_depth() {
    let step = json!({"create_process": {"argv": [nested(NESTING_MAX)]}});
    assert!(json::<Step>(&step.to_string()).is_ok());
    let fault = json!({"class": "server", "code": "c", "text": "t", "detail": nested(NESTING_MAX + 1)});
    assert!(json::<Fault>(&fault.to_string()).is_ok());
}

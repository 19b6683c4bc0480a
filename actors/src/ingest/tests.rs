//! The first look at a delivery, who vouches for it, and up to where the position may go.

use super::{Abandoned, Attester, Incoming};
use crate::core::Delivery;
use crate::store::{Options, Store};
use serde_json::json;
use tripline_protocol::subject::HEADER_ATTESTATION;
use tripline_protocol::{Attestation, Event, EventKey, Org, Subjects, Timestamp};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn attester() -> (tempfile::TempDir, Attester) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    let attester = Attester::load(&store).unwrap();
    (dir, attester)
}

fn delivery(subject: &str, headers: &[(&str, &str)], payload: &[u8]) -> Delivery {
    Delivery {
        subject: subject.into(),
        headers: headers.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        payload: payload.to_vec().into(),
        stream: "TRIPLINE_EVENTS".into(),
        sequence: 3,
        stored_at: NOW,
        delivered: 1,
    }
}

fn read(attester: &Attester, delivery: Delivery) -> Incoming {
    Incoming::read(&Subjects::default(), attester, delivery)
}

/// An event as an agent's edge publishes it: its body, its key.
fn from_agent() -> (Vec<u8>, EventKey) {
    let org = Org::default_org();
    let key = EventKey::derive(&org, "agent/1", "e1");
    let event = Event {
        id: "e1".into(),
        key,
        org,
        source: "agent/1".into(),
        etype: "acme.alert".parse().unwrap(),
        host: None,
        time: NOW,
        data: json!({ "pid": 4 }),
        attested_by: Attestation::Agent,
        depth: 0,
        traceparent: None,
    };
    (crate::record::encode(&event.to_cloudevent()), key)
}

const STRUCTURED: (&str, &str) = ("Content-Type", "application/cloudevents+json");
const SUBJECT: &str = "tripline.events.default.acme.alert";

#[test]
fn what_is_no_event_says_why() {
    let (_dir, attester) = attester();
    let mismatch = br#"{"specversion":"1.0","id":"1","source":"s","type":"other"}"#;
    let table: &[(&str, &[u8], &str)] = &[
        ("tripline.events.default", b"{}", "bad_subject"),
        ("other.events.default.x", b"{}", "bad_subject"),
        (SUBJECT, b"no json", "not_json"),
        (SUBJECT, mismatch, "etype_mismatch"),
        (SUBJECT, &vec![b'1'; 800 * 1024], "too_large"),
        (
            SUBJECT,
            br#"{"specversion":"1.0","id":"1","source":"s","tripdepth":9}"#,
            "too_deep",
        ),
    ];
    for (subject, payload, reason) in table {
        let incoming = read(&attester, delivery(subject, &[], payload));
        assert_eq!(incoming.event.unwrap_err().reason, *reason, "{subject}");
    }
}

#[test]
fn what_was_delivered_too_often_is_not_evaluated() {
    let (_dir, attester) = attester();
    for (delivered, poison) in [(5, false), (6, true)] {
        let often = Delivery {
            delivered,
            ..delivery(SUBJECT, &[], b"{}")
        };
        let found = read(&attester, often).event.err().map(|dead| dead.reason);
        assert_eq!(found, poison.then_some("poison"), "{delivered} times");
    }
}

#[test]
fn an_event_of_our_own_edge_is_known_again() {
    let (_dir, attester) = attester();
    let (payload, key) = from_agent();
    let signature = attester.sign(Attestation::Agent, key, &payload);
    let headers = [STRUCTURED, (HEADER_ATTESTATION, signature.as_str())];
    let event = read(&attester, delivery(SUBJECT, &headers, &payload))
        .event
        .unwrap();
    assert_eq!((event.attested_by, event.key), (Attestation::Agent, key));
}

#[test]
fn a_forged_attestation_counts_as_the_publishers() {
    let (_dir, attester) = attester();
    let (payload, key) = from_agent();
    let signature = attester.sign(Attestation::Agent, key, &payload);
    let digits = signature.strip_prefix("agent:").unwrap();
    let longer = format!("{signature}00");
    let claimed = format!("limacharlie:{digits}");
    let other = EventKey::derive(&Org::default_org(), "agent/1", "e2");
    let of_another = attester.sign(Attestation::Agent, other, &payload);
    let forged = [
        "agent:",
        "agent",
        "",
        "publisher:00",
        &longer,
        &claimed,
        &of_another,
        digits,
    ];
    for header in forged {
        let headers = [STRUCTURED, (HEADER_ATTESTATION, header)];
        let event = read(&attester, delivery(SUBJECT, &headers, &payload))
            .event
            .unwrap();
        assert_eq!(event.attested_by, Attestation::Publisher, "{header}");
    }
    let changed = String::from_utf8(payload).unwrap().replace("4", "5");
    let headers = [STRUCTURED, (HEADER_ATTESTATION, signature.as_str())];
    let event = read(&attester, delivery(SUBJECT, &headers, changed.as_bytes()))
        .event
        .unwrap();
    assert_eq!(event.attested_by, Attestation::Publisher, "another payload");
}

#[test]
fn a_signed_payload_in_another_form_is_somebody_elses_event() {
    let (_dir, attester) = attester();
    let (payload, key) = from_agent();
    let signature = attester.sign(Attestation::Agent, key, &payload);
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "e1"),
        ("ce-source", "agent/1"),
        (HEADER_ATTESTATION, signature.as_str()),
    ];
    let subject = "tripline.events.default.acme.other";
    let event = read(&attester, delivery(subject, &headers, &payload))
        .event
        .unwrap();
    assert_eq!(event.key, key, "the key is the same, and the meaning is not");
    assert_eq!(event.attested_by, Attestation::Publisher);
}

#[test]
fn the_attestation_key_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    let (payload, key) = from_agent();
    let signature = Attester::load(&store)
        .unwrap()
        .sign(Attestation::Agent, key, &payload);
    let again = Attester::load(&store).unwrap();
    assert_eq!(again.check(&signature, key, &payload), Attestation::Agent);
}

#[test]
fn the_position_never_passes_a_batch_that_was_cut_off() {
    let abandoned = Abandoned::default();
    assert_eq!(abandoned.settle(1..=3), 3);
    abandoned.note(&[4, 5]);
    assert_eq!(abandoned.settle(6..=9), 3);
    assert_eq!(abandoned.settle(4..=4), 4);
    assert_eq!(abandoned.settle(10..=10), 4);
    assert_eq!(
        abandoned.settle(5..=5),
        5,
        "what was handled meanwhile is not known to be"
    );
    assert_eq!(abandoned.settle(11..=11), 11);
}

#[test]
fn what_was_cut_off_and_is_gone_from_the_stream_holds_nothing_back() {
    let abandoned = Abandoned::default();
    abandoned.note(&[4, 9]);
    abandoned.forget_up_to(5);
    assert_eq!(abandoned.settle(10..=12), 8, "9 is still there");
}

#[test]
fn what_was_cut_off_is_forgotten_with_its_stream() {
    let abandoned = Abandoned::default();
    abandoned.note(&[500]);
    abandoned.clear();
    assert_eq!(abandoned.settle(501..=501), 501);
}

//! What is written is read again as it was, for values nobody thought of; and nothing anybody sends panics.

use crate::samples::p;
use crate::strategies::*;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::{Debug, Display};
use std::str::FromStr;
use tripline_protocol::event::WireEvent;
use tripline_protocol::frame::*;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::step::Step;
use tripline_protocol::subject::EtypePattern;
use tripline_protocol::verb::VerbCall;
use tripline_protocol::*;

fn through_json<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
}

fn through_text<T: Display + FromStr<Err: Debug> + PartialEq + Debug>(value: &T) {
    assert_eq!(&value.to_string().parse::<T>().unwrap(), value);
}

fn both<T>(value: &T)
where
    T: Serialize + DeserializeOwned + Display + FromStr<Err: Debug> + PartialEq + Debug,
{
    through_json(value);
    through_text(value);
}

proptest! {
    #[test]
    fn ids(id in uuid()) {
        both(&HostId(id));
        both(&JobId(id));
        both(&EventKey(id));
        both(&CommandId(id));
        both(&InstallId(id));
    }

    #[test]
    fn names_orgs_and_hashes(name in "[a-z0-9][a-z0-9_-]{0,63}", org in "[A-Za-z0-9][A-Za-z0-9_-]{0,63}", digest: [u8; 32]) {
        both(&p::<Name>(&name));
        both(&p::<Org>(&org));
        both(&Sha256::from_digest(&digest));
    }

    #[test]
    fn etypes_and_patterns(etype in etype()) {
        both(&etype);
        let same: EtypePattern = p(etype.as_str());
        both(&same);
        assert!(same.is_literal() && same.matches(&etype));
        assert!(p::<EtypePattern>(">").matches(&etype));
        let stars = etype.as_str().split('.').map(|_| "*").collect::<Vec<_>>().join(".");
        both(&p::<EtypePattern>(&stars));
        assert!(p::<EtypePattern>(&stars).matches(&etype));
        assert!(!p::<EtypePattern>(&format!("{stars}.>")).matches(&etype));
    }

    #[test]
    fn what_patterns_say_of_each_other_holds_for_every_etype(one in pattern(), other in pattern(), etype in short_etype()) {
        let (one, other): (EtypePattern, EtypePattern) = (p(&one), p(&other));
        let etype: Etype = p(&etype);
        let both = one.matches(&etype) && other.matches(&etype);
        assert!(!both || (one.overlaps(&other) && other.overlaps(&one)));
        assert!(!one.covers(&other) || one.matches(&etype) || !other.matches(&etype));
        assert!(!one.covers(&other) || one.overlaps(&other));
        assert!(one.covers(&one) && p::<EtypePattern>(">").covers(&one));
    }

    #[test]
    fn subjects(prefix in "[A-Za-z0-9_-]{1,9}(\\.[a-z]{1,9}){0,2}", org in "[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name in "[a-z0-9][a-z0-9_-]{0,63}", etype in etype(), host in uuid(), ended: bool) {
        let subjects: Subjects = p(&prefix);
        let (org, name, host): (Org, Name, _) = (p(&org), p(&name), HostId(host));
        assert_eq!(subjects.parse_event(&subjects.event(&org, &etype)).unwrap(), (org.clone(), etype));
        let outcome = if ended { Outcome::Interrupted } else { Outcome::Succeeded };
        let result = subjects.result(&org, &name, outcome, host);
        assert_eq!(subjects.parse_result(&result).unwrap(), (org.clone(), name.clone(), outcome, host));
        let state = if ended { JobState::Ended(outcome) } else { JobState::Paused };
        let job = subjects.job(&org, &name, state, host);
        assert_eq!(subjects.parse_job(&job).unwrap(), (org, name, state, host));
    }

    /// From year 0 to 9999, which is what RFC 3339 can say.
    #[test]
    fn timestamps(micros in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
        both(&Timestamp::from_micros(micros));
    }

    #[test]
    fn any_time_can_be_written_and_read(micros: i64) {
        let written = Timestamp::from_micros(micros).to_string();
        assert_eq!(p::<Timestamp>(&written).to_string(), written);
    }

    #[test]
    fn spans(span in span()) {
        both(&span);
    }

    #[test]
    fn paths(path in path()) {
        through_json(&path);
        let written = serde_json::to_value(&path).unwrap();
        assert_eq!(written.is_string(), std::str::from_utf8(path.as_bytes()).is_ok());
    }

    #[test]
    fn steps(step in step()) {
        through_json(&step);
    }

    #[test]
    fn verb_calls(call in call()) {
        through_json(&call);
        assert_eq!(VerbCall::parse(call.verb(), call.to_args()).unwrap(), call);
    }

    #[test]
    fn frames_of_agents(frame in agent_frame()) {
        through_json(&frame);
    }

    #[test]
    fn frames_of_servers(frame in server_frame()) {
        through_json(&frame);
    }

    #[test]
    fn chunks(id in command_id(), offset in 0..u64::MAX / 2, bytes in vec(any::<u8>(), 0..300)) {
        let chunk = Chunk { command_id: id, offset, bytes: &bytes };
        assert_eq!(Chunk::decode(&chunk.encode()).unwrap(), chunk);
    }

    #[test]
    fn events_come_back_as_they_were(id in "[^\\p{Cc}]{1,40}", source in "[^\\p{Cc}]{1,40}", etype in etype(), data in value(), depth in 0_u8..=8) {
        let org = Org::default_org();
        let wire = |payload: &[u8]| {
            Event::from_wire(&WireEvent {
                org: &org, etype: &etype, headers: &[], payload, stream: "S", sequence: 1, stored_at: Timestamp::from_micros(7),
            })
        };
        let body = json!({"specversion": "1.0", "id": id, "source": source, "tripdepth": depth, "data": data});
        let event = wire(body.to_string().as_bytes()).unwrap();
        assert_eq!((&event.id, &event.source, &event.data, event.depth), (&id, &source, &data, depth));
        assert_eq!(wire(event.to_cloudevent().to_string().as_bytes()).unwrap(), event);
        through_json(&event);
    }

    #[test]
    fn headers_give_the_same_event_as_the_body(id in "[^\\p{Cc}]{1,20}", source in "[^\\p{Cc}]{1,20}") {
        let (org, etype) = (Org::default_org(), p::<Etype>("x"));
        let read = |headers: &[(String, String)], payload: &str| {
            let wire = WireEvent { org: &org, etype: &etype, headers, payload: payload.as_bytes(), stream: "S", sequence: 1, stored_at: Timestamp::from_micros(7) };
            Event::from_wire(&wire).unwrap()
        };
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let headers = [
            ("ce-specversion".to_owned(), "1.0".to_owned()),
            ("ce-id".to_owned(), encode(&id)),
            ("ce-source".to_owned(), encode(&source)),
        ];
        let body = json!({"specversion": "1.0", "id": id, "source": source});
        assert_eq!(read(&headers, ""), read(&[], &body.to_string()));
    }

    /// Whatever arrives, reading it ends with a value or an error.
    #[test]
    fn nothing_panics(text: String, bytes in vec(any::<u8>(), 0..400), name in "ce-[a-z]{0,12}|[A-Za-z-]{0,12}") {
        let (org, etype) = (Org::default_org(), p::<Etype>("x"));
        let headers = [("ce-specversion".to_owned(), "1.0".to_owned()), (name, text.clone())];
        for (headers, payload) in [(&headers[..], &bytes[..]), (&headers[1..], text.as_bytes()), (&headers[..], b"{}")] {
            let wire = WireEvent { org: &org, etype: &etype, headers, payload, stream: "S", sequence: 1, stored_at: Timestamp::from_micros(7) };
            if let Err(error) = Event::from_wire(&wire) {
                assert!(error.to_string().len() < 1024);
            }
        }
        let _ = (Chunk::decode(&bytes), Subjects::default().parse_event(&text), text.parse::<Span>());
        let _ = (text.parse::<Timestamp>(), text.parse::<EtypePattern>(), text.parse::<JobState>());
        let _ = (serde_json::from_slice::<AgentFrame>(&bytes), serde_json::from_str::<Step>(&text));
    }

    #[test]
    fn numbers_with_any_units_never_panic(parts in vec((any::<u64>(), "[a-zµ]{0,5}| "), 0..4)) {
        let text: String = parts.iter().map(|(number, unit)| format!("{number}{unit} ")).collect();
        let _ = text.parse::<Span>();
    }
}

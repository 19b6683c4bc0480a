//! Calls and answers of LimaCharlie services, as real programs write them (lcservice 1.8.6 and the Go implementation).

use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::limacharlie::*;
use tripline_protocol::{Span, Timestamp};

fn read(value: &Value) -> Result<Call, InvalidCall> {
    Call::read(value.to_string().as_bytes())
}

#[test]
fn the_etypes_are_the_28_of_the_reference_implementation_and_command() {
    let all: Vec<_> = ServiceEtype::all().collect();
    let words: BTreeSet<_> = all.iter().map(|etype| etype.as_str()).collect();
    assert_eq!((all.len(), words.len()), (29, 29));
    for etype in all {
        assert_eq!(etype.as_str().parse(), Ok(etype));
        assert_eq!(
            serde_json::from_value::<ServiceEtype>(json!(etype)).unwrap(),
            etype
        );
    }
    assert!("Health".parse::<ServiceEtype>().is_err(), "compared exactly");
    let tick = ServiceEtype::Tick(TickScope::Sensor, Period::D30);
    assert_eq!(tick.as_str(), "sensor_per_30d");
    assert!(tick.is_of_org() && !ServiceEtype::Health.is_of_org());
    assert!(!ServiceEtype::Tick(TickScope::Once, Period::H1).is_of_org());
    assert_eq!(Period::H3.span(), Span::from_secs(10_800));
}

#[test]
fn a_call_is_read_as_the_simulator_and_the_cloud_write_it() {
    let whole = json!({
        "version": 1, "oid": "8cbe27f4-bfa1-4afb-ba19-138cd51389cd", "mid": "m", "deadline": 1_700_000_590.25,
        "jwt": "secret token", "etype": "detection", "data": { "cat": "c" }, "further": [1],
    });
    let call = read(&whole).unwrap();
    assert_eq!(call.deadline, Some(Timestamp::from_micros(1_700_000_590_250_000)));
    assert_eq!(call.jwt.as_ref().map(Jwt::reveal), Some("secret token"));
    assert!(
        !format!("{call:?}").contains("secret token"),
        "a token is shown nowhere"
    );
    assert_eq!(call.kind(), Some(ServiceEtype::Detection));

    let least = read(&json!({ "etype": "health", "oid": null, "jwt": null, "version": null })).unwrap();
    assert_eq!(
        (least.version, &least.oid, &least.mid, least.deadline),
        (None, &None, &None, None)
    );
    assert_eq!(least.data, json!({}));
    for data in [json!(null), json!([1]), json!("text")] {
        assert_eq!(
            read(&json!({ "etype": "request", "data": data })).unwrap().data,
            data
        );
    }
    assert_eq!(read(&json!({})).unwrap().kind(), None);
}

#[test]
fn what_is_written_is_read_back_and_whole_seconds_stay_whole() {
    let call = Call {
        version: None,
        oid: Some("o".into()),
        mid: Some("m".into()),
        deadline: Some(Timestamp::from_micros(1_700_000_060_000_000)),
        jwt: Some(Jwt::new("j".into())),
        tripdepth: Some(3),
        etype: "new_sensor".into(),
        data: json!({ "sid": "s" }),
    };
    let body: Value = serde_json::from_slice(&call.to_body()).unwrap();
    let expected = json!({
        "version": 1, "oid": "o", "mid": "m", "deadline": 1_700_000_060, "jwt": "j", "tripdepth": 3, "etype": "new_sensor",
        "data": { "sid": "s" },
    });
    assert_eq!(body, expected);
    assert_eq!(
        Call::read(&call.to_body()).unwrap(),
        Call {
            version: Some(1),
            ..call
        }
    );
}

#[test]
fn answers_carry_their_text_in_both_places_and_retry_only_where_not_done() {
    assert_eq!(json!(Answer::done()), json!({ "success": true, "data": {} }));
    let refused = json!({ "success": false, "retry": false, "error": "no", "data": { "error": "no" } });
    assert_eq!(json!(Answer::refused("no")), refused);
    assert_eq!(Answer::again("later").advice(), RetryAdvice::Again);
    assert_eq!(Answer::not_implemented().advice(), RetryAdvice::GiveUp);
}

#[test]
fn answers_of_real_services_are_read_and_others_are_failures_of_transport() {
    let read = |value: Value| Answer::read(value.to_string().as_bytes());
    let raised =
        read(json!({ "success": false, "retry": true, "data": { "exception": "Traceback" } })).unwrap();
    assert_eq!(
        (raised.advice(), raised.problem()),
        (RetryAdvice::Again, Some("Traceback"))
    );
    let go = read(json!({ "success": false, "data": null, "error": "deadline exceeded" })).unwrap();
    assert_eq!(
        (go.advice(), go.problem()),
        (RetryAdvice::GiveUp, Some("deadline exceeded"))
    );
    let job = json!({ "id": "1", "hist": [{ "ts": 1, "msg": "m", "attachments": [{ "att_type": "hologram" }], "is_important": false }], "end": 2 });
    let with_jobs =
        read(json!({ "success": true, "data": {}, "jobs": [job, "no job", { "start": 1 }] })).unwrap();
    assert_eq!(with_jobs.jobs.len(), 1, "what is no job is left out");
    assert_eq!(with_jobs.jobs[0].hist[0].attachments, [Attachment::Other]);
    for bad in [
        json!({}),
        json!([]),
        json!({ "success": "true" }),
        json!({ "success": null }),
        json!(true),
    ] {
        assert_eq!(read(bad), Err(InvalidAnswer::NoSuccess));
    }
    assert!(matches!(Answer::read(b"<html>"), Err(InvalidAnswer::NotJson(_))));
}

#[test]
fn parameters_are_held_to_their_definitions_given_ones_first() {
    let definitions: BTreeMap<String, Parameter> = serde_json::from_value(json!({
        "count": { "type": "int", "desc": "", "is_required": true },
        "mode": { "type": "enum", "values": ["a", "b"] },
        "who": { "type": "str" }, "force": { "type": "bool" }, "at": { "type": "sid" }, "new": { "type": "float" },
    }))
    .unwrap();
    let check = |given: Value| {
        let outcome = check_parameters(&definitions, given.as_object().unwrap());
        outcome.map_err(|bad| bad.to_string())
    };
    let sid = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd";
    let right = json!({ "count": 5.0, "mode": "a", "who": "w", "force": "true", "at": sid, "new": [1], "unknown": 1 });
    assert_eq!(check(right), Ok(()));
    for (given, text) in [
        (json!({}), "missing parameter count"),
        (json!({ "count": null }), "missing parameter count"),
        (json!({ "who": 1 }), "invalid parameter who: wrong data type"),
        (
            json!({ "count": 1.5 }),
            "invalid parameter count: wrong data type",
        ),
        (
            json!({ "count": true }),
            "invalid parameter count: wrong data type",
        ),
        (
            json!({ "mode": "c" }),
            "invalid parameter mode: enum has invalid value",
        ),
        (
            json!({ "count": 1, "at": "s" }),
            "invalid parameter at: wrong data type",
        ),
    ] {
        assert_eq!(check(given), Err(text.to_owned()));
    }
}

#[test]
fn a_detection_is_written_for_services_of_both_eras() {
    let routing = Routing {
        oid: "o".into(),
        sid: Some("s".into()),
        event_type: "NEW_PROCESS".into(),
        event_time: 1,
        investigation_id: Some("svc-x-ex/a/b/c".into()),
        more: [("sid".into(), json!("overruled")), ("moduleid".into(), json!(2))]
            .into_iter()
            .collect(),
        ..Routing::default()
    };
    let given = json!({ "priority": 7, "cat": "overruled" });
    let record = detection_record(
        "c",
        "d",
        &routing,
        &json!({ "PID": 1 }),
        given.as_object().unwrap(),
    );
    assert_eq!(record["routing"]["investigation_id"], "svc-x-ex/a/b/c");
    assert_eq!(record["detect"]["routing"], record["routing"]);
    assert_eq!(
        (&record["routing"]["sid"], &record["routing"]["moduleid"]),
        (&json!("s"), &json!(2))
    );
    assert_eq!(record["detect"]["event"], json!({ "PID": 1 }));
    assert_eq!(
        (&record["cat"], &record["detect_id"], &record["priority"]),
        (&json!("c"), &json!("d"), &json!(7))
    );
}

#[test]
fn resources_are_asked_for_and_answered_in_both_forms() {
    let one: GetResource =
        serde_json::from_value(json!({ "resource": "r", "is_include_data": true })).unwrap();
    assert_eq!(one.resource, ResourceNames::One("r".into()));
    let many: GetResource = serde_json::from_value(json!({ "resource": ["r", "s"] })).unwrap();
    assert_eq!(
        (many.is_include_data, many.resource),
        (false, ResourceNames::Many(vec!["r".into(), "s".into()]))
    );
    let hash = "0".repeat(64);
    let resource = json!({ "hash": hash, "res_cat": "lookup" });
    let answer: ResourceAnswer = serde_json::from_value(resource.clone()).unwrap();
    assert!(matches!(&answer, ResourceAnswer::One(one) if one.res_data.is_none()));
    let answer: ResourceAnswer = serde_json::from_value(json!({ "resources": { "r": resource } })).unwrap();
    assert!(matches!(answer, ResourceAnswer::Many { resources } if resources.len() == 1));
}

proptest! {
    #[test]
    fn no_body_makes_reading_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Call::read(&body);
        let _ = Answer::read(&body);
    }

    #[test]
    fn a_number_of_any_size_is_a_deadline(seconds in any::<f64>()) {
        let call = read(&json!({ "deadline": seconds })).unwrap();
        prop_assert_eq!(call.deadline.is_some(), seconds.is_finite());
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    let body = format!("{{\"data\":{deep}}}");
    assert!(matches!(
        Call::read(body.as_bytes()),
        Err(InvalidCall::NotJson(_))
    ));
}

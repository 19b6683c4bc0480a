//! What is thought of answers, and what is sent.

use super::caller::{Answered, Outcome};
use super::example::example;
use super::play::{Expect, Play, Signing};
use super::verdict::{Verdict, judge};
use super::{health, probe};
use crate::config::Secret;
use serde_json::{Value, json};
use tripline_protocol::limacharlie::{Call, Mtd, ServiceEtype};
use tripline_protocol::{Span, Timestamp};
use tripline_service::{sign, verify};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn play() -> Play {
    Play {
        secret: Secret::new("shared"),
        oid: "8cbe27f4-bfa1-4afb-ba19-138cd51389cd".to_owned(),
        deadline: Span::from_secs(60),
    }
}

fn mtd(value: Value) -> Mtd {
    serde_json::from_value(value).unwrap()
}

/// A service that handles everything and has parameters.
fn everything() -> Mtd {
    let callbacks: Vec<&str> = ServiceEtype::all().map(ServiceEtype::as_str).collect();
    mtd(json!({
        "callbacks": callbacks,
        "detect_subscriptions": ["a"],
        "request_params": {
            "how": {"type": "enum", "values": ["fast", "slow"], "is_required": true},
            "often": {"type": "int"},
            "who": {"type": "sid"},
        },
    }))
}

fn answered(status: u16, body: &str) -> Outcome {
    Outcome::Answered(Answered {
        status,
        content_type: Some("application/json;charset=utf-8".to_owned()),
        location: None,
        body: body.as_bytes().to_vec(),
    })
}

fn verdict(expect: Expect, status: u16, body: &str) -> Verdict {
    let judged = judge(&expect, &answered(status, body));
    // Whatever is not as it should be is said, with what to do.
    assert_eq!(judged.verdict == Verdict::Ok, judged.why.is_none(), "{judged:?}");
    assert_eq!(judged.why.is_some(), judged.todo.is_some(), "{judged:?}");
    judged.verdict
}

const DONE: &str = r#"{"success": true, "data": {}}"#;
const REFUSED: &str = r#"{"success": false, "retry": false, "data": {"error": "no"}}"#;
const AGAIN: &str = r#"{"success": false, "retry": true, "data": {}, "error": "later"}"#;
const SILENT: &str = r#"{"success": false, "data": {}}"#;
const NOT_IMPLEMENTED: &str = r#"{"success": false, "retry": false, "data": {"error": "not implemented"}}"#;
const RAISED: &str =
    r#"{"success": false, "retry": true, "data": {"exception": "Traceback (most recent call last):\nx"}}"#;
const RESOURCE_BUG: &str =
    r#"{"success": false, "retry": true, "data": {"exception": "… unexpected keyword argument 'isRetry'"}}"#;
const VERSION: &str = r#"{"success": false, "retry": false, "data": {"error": "unsupported version (> 1)"}}"#;
const MISSING: &str = r#"{"success": false, "data": {}, "error": "missing parameter how"}"#;
const TRACEBACK: &str = "<pre>Traceback (most recent call last):\n…</pre>";

#[test]
fn each_answer_is_thought_of_as_the_facts_have_it() {
    use Expect::*;
    use Verdict::{Differs, Ok, Wrong};
    for (expect, status, body, expected) in [
        (Handled, 200, DONE, Ok),
        (Handled, 200, REFUSED, Ok),
        (Handled, 200, AGAIN, Ok),
        (Handled, 200, SILENT, Differs),
        (Handled, 200, NOT_IMPLEMENTED, Wrong),
        (Handled, 200, RAISED, Wrong),
        (Handled, 200, "<p>", Wrong),
        (Handled, 200, r#"{"data": {}}"#, Wrong),
        (Handled, 200, r#"{"success": true}"#, Differs),
        (
            Handled,
            200,
            r#"{"success": true, "data": {}, "jobs": [{}]}"#,
            Differs,
        ),
        (
            Handled,
            200,
            r#"{"success": false, "data": {"error": "x"}, "retry": 1}"#,
            Differs,
        ),
        (Handled, 302, "", Wrong),
        (Handled, 401, "", Wrong),
        (Handled, 413, "", Wrong),
        (Handled, 500, "", Wrong),
        (
            Resource,
            200,
            r#"{"success": true, "data": {"hash": "x"}}"#,
            Wrong,
        ),
        (Resource, 200, REFUSED, Ok),
        (Resource, 200, RESOURCE_BUG, Differs),
        (Resource, 200, RAISED, Wrong),
        (NotImplemented, 200, NOT_IMPLEMENTED, Ok),
        (NotImplemented, 200, REFUSED, Differs),
        (NotImplemented, 200, DONE, Differs),
        (NotImplemented, 200, AGAIN, Wrong),
        (NotImplemented, 500, "", Wrong),
        (Unauthorized, 401, "", Ok),
        (Unauthorized, 401, "who are you?", Differs),
        (Unauthorized, 403, "", Differs),
        (Unauthorized, 200, DONE, Wrong),
        (Unauthorized, 500, "", Wrong),
        (UpperCase, 401, "", Ok),
        (UpperCase, 200, DONE, Differs),
        (NoCall, 400, "", Ok),
        (NoCall, 500, "", Ok),
        (NoCall, 500, TRACEBACK, Wrong),
        (NoCall, 200, REFUSED, Differs),
        (NoCall, 200, DONE, Wrong),
        (BadDeadline, 500, "", Ok),
        (BadDeadline, 200, REFUSED, Ok),
        (BadDeadline, 200, DONE, Differs),
        (BadDeadline, 200, AGAIN, Wrong),
        (Version, 200, VERSION, Ok),
        (Version, 200, REFUSED, Differs),
        (Version, 200, DONE, Wrong),
        (Parameters, 200, MISSING, Ok),
        (Parameters, 200, REFUSED, Differs),
        (Parameters, 200, DONE, Differs),
        (NullData, 200, REFUSED, Ok),
        (NullData, 200, DONE, Ok),
        (NullData, 200, RAISED, Differs),
        (NullData, 200, AGAIN, Differs),
        (NullData, 500, "", Wrong),
    ] {
        assert_eq!(
            verdict(expect, status, body),
            expected,
            "{expect:?} {status} {body}"
        );
    }
}

#[test]
fn what_is_no_answer_at_all_is_wrong_whatever_was_sent() {
    for outcome in [
        Outcome::Unreachable("refused".into()),
        Outcome::Late,
        Outcome::Cut("reset".into()),
        Outcome::TooLong,
    ] {
        for expect in [Expect::Handled, Expect::Unauthorized, Expect::NoCall] {
            assert_eq!(judge(&expect, &outcome).verdict, Verdict::Wrong, "{outcome:?}");
        }
    }
}

#[test]
fn a_path_that_is_none_of_the_service_s_is_told_so() {
    for (status, is_told) in [(404, true), (405, true), (503, false)] {
        let judged = judge(&Expect::Handled, &answered(status, "not found"));
        let todo = judged.todo.expect("what to do");
        assert_eq!(todo.contains("path"), is_told, "{status}: {todo}");
    }
}

#[test]
fn an_answer_that_is_not_called_json_differs() {
    for content_type in [None, Some("text/html".to_owned())] {
        let outcome = Outcome::Answered(Answered {
            status: 200,
            content_type,
            location: None,
            body: DONE.as_bytes().to_vec(),
        });
        assert_eq!(judge(&Expect::Handled, &outcome).verdict, Verdict::Differs);
    }
}

#[test]
fn health_is_held_to_what_a_cloud_makes_of_it() {
    let of = |calls: i64, mtd: Value| {
        let data = json!({"version": 1, "start_time": 5, "calls_in_progress": calls, "mtd": mtd});
        let body = json!({"success": true, "data": data}).to_string();
        verdict(Expect::Health, 200, &body)
    };
    let good = json!({"callbacks": ["health", "detection"], "detect_subscriptions": ["a"]});
    assert_eq!(of(1, good.clone()), Verdict::Ok);
    assert_eq!(of(0, good), Verdict::Differs, "health counts itself");
    let deaf = json!({"callbacks": ["health"], "detect_subscriptions": ["a"]});
    assert_eq!(of(1, deaf), Verdict::Wrong);
    for differs in [
        json!({"callbacks": ["health", "detection"]}),
        json!({"callbacks": ["health", "Detection"]}),
        json!({"callbacks": []}),
        json!({"callbacks": ["health"], "request_params": {"a": {"type": "float"}}}),
    ] {
        assert_eq!(of(1, differs.clone()), Verdict::Differs, "{differs}");
    }
    let empty = json!({"callbacks": ["health"], "request_params": {"a": {"type": "enum"}}});
    assert_eq!(of(1, empty), Verdict::Wrong);
    assert_eq!(
        verdict(Expect::Health, 200, DONE),
        Verdict::Wrong,
        "it says nothing"
    );
    assert_eq!(verdict(Expect::Health, 200, REFUSED), Verdict::Wrong);
    assert!(health::read(&answered(200, DONE)).is_none());
}

#[test]
fn calls_are_signed_and_have_what_real_ones_have() {
    let (play, mtd) = (play(), everything());
    let calls = play.calls(&mtd, false);
    assert_eq!(calls.len(), 28, "all but health");
    assert_eq!(calls.first().unwrap().name, "org_install");
    assert_eq!(calls.last().unwrap().name, "org_uninstall");
    for sent in &calls {
        let request = sent.request(&play, NOW);
        let signature = request.signature.unwrap();
        assert!(
            verify("shared", &request.body, signature.as_bytes()),
            "{}",
            sent.name
        );
        let call = Call::read(&request.body).unwrap();
        assert_eq!(
            call.deadline,
            Some(NOW.after(Span::from_secs(60))),
            "{}",
            sent.name
        );
        let is_of_org = call.kind().unwrap().is_of_org();
        assert_eq!(
            (call.oid.is_some(), call.jwt.is_some()),
            (is_of_org, is_of_org),
            "{}",
            sent.name
        );
        assert!(call.data.is_object(), "{}", sent.name);
    }
    let mids: std::collections::BTreeSet<_> = calls
        .iter()
        .map(|sent| Call::read(&sent.request(&play, NOW).body).unwrap().mid)
        .collect();
    assert_eq!(mids.len(), 28, "each message has an id of its own");
}

#[test]
fn only_what_is_handled_is_sent_unless_all_is() {
    let few = mtd(json!({"callbacks": ["health", "detection"]}));
    let names = |all: bool| -> Vec<String> {
        let sent = play().calls(&few, all);
        sent.iter().map(|sent| sent.name.clone()).collect()
    };
    assert_eq!(names(false), ["detection"]);
    assert_eq!(names(true).len(), 28);
    let sent = play().call(ServiceEtype::Request, &few, None);
    assert_eq!(sent.expect, Expect::NotImplemented);
}

#[test]
fn data_are_those_that_the_service_asks_for() {
    let mtd = everything();
    let data = example(ServiceEtype::Request, &mtd, "o");
    assert_eq!(
        tripline_protocol::limacharlie::check_parameters(&mtd.request_params, data.as_object().unwrap()),
        Ok(())
    );
    let detection = example(ServiceEtype::Detection, &mtd, "o");
    assert_eq!(detection["cat"], "a");
    assert_eq!(detection["routing"], detection["detect"]["routing"]);
}

#[test]
fn bad_input_is_bad_in_the_one_way_that_it_says() {
    let (play, mtd) = (play(), everything());
    let probes = probe::all(&play, &mtd);
    let by_name = |part: &str| {
        let found = probes.iter().find(|sent| sent.name.contains(part));
        found.unwrap_or_else(|| panic!("no probe {part}"))
    };
    for sent in &probes {
        let request = sent.request(&play, NOW);
        let right = sign("shared", &request.body);
        let is_signed = request.signature.as_deref() == Some(right.as_str());
        assert_eq!(is_signed, sent.signing == Signing::Right, "{}", sent.name);
    }
    let upper = by_name("upper-case").request(&play, NOW);
    assert_eq!(
        upper.signature.unwrap().to_lowercase(),
        sign("shared", &upper.body)
    );
    let read = |part: &str| Call::read(&by_name(part).request(&play, NOW).body);
    assert!(read("no object").is_err() && read("no JSON").is_err());
    assert!(read("deadline").unwrap_err().is_answered());
    assert_eq!(
        read("future version").unwrap_err().to_string(),
        "unsupported version (> 1)"
    );
    assert_eq!(read("nobody knows").unwrap().kind(), None);
    assert!(read("detection with data: null").unwrap().data.is_null());
    let given = |part: &str| {
        let data = read(part).unwrap().data;
        tripline_protocol::limacharlie::check_parameters(&mtd.request_params, data.as_object().unwrap())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(given("request without"), "missing parameter how");
    assert_eq!(
        given("request with a wrong"),
        "invalid parameter how: wrong data type"
    );
}

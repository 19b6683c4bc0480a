//! Tests of what is pure: which calls are handled, what is read from them, and what the rules offer.

use super::call::read_call;
use super::record::{CallKey, CallNote, OrgState};
use super::state::{
    Begun, CALLS_UNDER_WAY_MAX, Calls, REPEATS_WAITING_ALL_MAX, REPEATS_WAITING_MAX, is_final,
};
use super::{Hosts, Installed, Limacharlie, Offer, Removal, Sensor, Wish};
use crate::pipeline::{RuleSet, SourceFile};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;
use tripline_protocol::limacharlie::{Answer, ParameterKind, ServiceEtype, check_parameters};
use tripline_protocol::{Attestation, Event, EventKey, Org, Span, Timestamp};

const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn key(mid: u8) -> CallKey {
    CallKey {
        org: Some(Org::default_org()),
        mid: format!("m{mid}"),
    }
}

fn noted(answer: Answer, now: Timestamp) -> CallNote {
    CallNote {
        etype: "detection".into(),
        at: now,
        until: CallNote::remembered_until(None, now),
        answer: Some(answer),
        jobs: Vec::new(),
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A call with this mid comes.
    Comes(u8),
    /// The one under way ends: for good, or to come again.
    Ends(u8, bool),
    /// The process dies; what was noted stays.
    Dies,
    /// Hours pass.
    Passes(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3_u8).prop_map(Step::Comes),
        4 => (0..3_u8, any::<bool>()).prop_map(|(mid, is_final)| Step::Ends(mid, is_final)),
        1 => Just(Step::Dies),
        1 => (1..30_u8).prop_map(Step::Passes),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What is to be true, told without the machine: of each mid, whether it is under way with how many waiting, and until when its
/// final answer holds.
#[derive(Default)]
struct Model {
    waiting: HashMap<u8, Vec<u32>>,
    answered: HashMap<u8, (u32, Timestamp)>,
}

proptest! {
    #[test]
    fn a_message_is_handled_once_until_it_is_to_come_again_or_was_forgotten(steps in steps()) {
        let (mut calls, mut notes) = (Calls::<u32>::default(), HashMap::<CallKey, CallNote>::new());
        let (mut model, mut now, mut next) = (Model::default(), START, 0_u32);
        for step in steps {
            match step {
                Step::Comes(mid) => {
                    next += 1;
                    let begun = calls.begin(&key(mid), "detection", notes.get(&key(mid)).cloned(), next, now);
                    let known = model.answered.get(&mid).filter(|(_, until)| *until > now);
                    match (model.waiting.get_mut(&mid), known) {
                        (Some(waiting), _) => {
                            prop_assert_eq!(begun, Begun::Waits);
                            waiting.push(next);
                        }
                        (None, Some((number, _))) => {
                            let answer = Answer::done_with(json!(number));
                            prop_assert_eq!(begun, Begun::Known(next, Box::new(answer)));
                        }
                        (None, None) => {
                            prop_assert_eq!(begun, Begun::Fresh);
                            model.waiting.insert(mid, vec![next]);
                        }
                    }
                }
                Step::Ends(mid, ends) => {
                    let answer = if ends { Answer::done_with(json!(next)) } else { Answer::again("later") };
                    if model.waiting.contains_key(&mid) && is_final(&answer) {
                        notes.insert(key(mid), noted(answer, now));
                        model.answered.insert(mid, (next, now.after(Span::from_secs(25 * 3600))));
                    }
                    let waiting = model.waiting.remove(&mid).unwrap_or_default();
                    prop_assert_eq!(calls.finish(&key(mid)), waiting, "each hears it once");
                }
                Step::Dies => {
                    calls = Calls::default();
                    model.waiting.clear();
                }
                Step::Passes(hours) => now = now.after(Span::from_secs(u64::from(hours) * 3600)),
            }
        }
    }
}

#[test]
fn an_answer_is_remembered_for_a_day_after_the_last_moment_at_which_its_call_may_come_again() {
    let day = Span::from_secs(24 * 3600);
    let until = |seconds: i64| {
        let deadline = Timestamp::from_micros(START.as_micros() + seconds * 1_000_000);
        CallNote::remembered_until(Some(deadline), START)
    };
    assert_eq!(until(60), START.after(Span::from_secs(60)).after(day));
    assert_eq!(until(-5), START.after(day));
    let hour = START.after(Span::from_secs(3600)).after(day);
    assert_eq!(until(1_000_000), hour, "whatever a deadline says");
    assert_eq!(CallNote::remembered_until(None, START), hour);
}

#[test]
fn that_an_org_left_is_remembered_for_so_long_after_its_removal_whether_or_not_it_came_back() {
    let hours = |hours: u64| START.after(Span::from_secs(hours * 3_600));
    let under_way = Removal::begin(START);
    assert!(!under_way.is_past(hours(1_000)));
    let done = Removal {
        done_at: Some(hours(2)),
        ..under_way
    };
    assert_eq!((done.is_past(hours(26)), done.is_past(hours(27))), (false, true));
    let limacharlie = Limacharlie::default();
    let installed = Installed {
        since: hours(3),
        told: true,
        left: Some(done),
    };
    let org = Org::default_org();
    limacharlie.set(&org, Some(OrgState::Installed(installed)));
    let event = |micros: i64| -> Event {
        let time = Timestamp::from_micros(START.as_micros() + micros);
        Event {
            key: EventKey::derive(&org, "test", "e"),
            id: "e".into(),
            source: "test".into(),
            etype: "acme.alert".parse().unwrap(),
            host: None,
            time,
            data: json!({}),
            attested_by: Attestation::Publisher,
            depth: 0,
            traceparent: None,
            org: org.clone(),
        }
    };
    let is_over = |micros, now| limacharlie.is_over(&event(micros), now);
    assert_eq!(
        [-1, 0, 1].map(|micros| is_over(micros, hours(26))),
        [true, true, false]
    );
    assert!(!is_over(-1, hours(27)));
}

#[test]
fn a_mid_that_comes_with_another_etype_is_no_repeat() {
    let mut calls = Calls::<u32>::default();
    let note = noted(Answer::done(), START);
    let begun = calls.begin(&key(1), "new_sensor", Some(note), 7, START);
    assert_eq!(begun, Begun::Other(7));
}

#[test]
fn a_call_whose_jobs_were_accepted_before_a_restart_waits_for_them_again() {
    let mut calls = Calls::<u32>::default();
    let jobs = vec![tripline_protocol::JobId(uuid::Uuid::nil())];
    let note = CallNote {
        answer: None,
        jobs: jobs.clone(),
        ..noted(Answer::done(), START)
    };
    let begin =
        |calls: &mut Calls<u32>, waiter| calls.begin(&key(1), "detection", Some(note.clone()), waiter, START);
    assert_eq!(begin(&mut calls, 1), Begun::Resumes(jobs));
    assert_eq!(begin(&mut calls, 2), Begun::Waits);
    assert_eq!(calls.finish(&key(1)), [1, 2]);
}

#[test]
fn so_many_calls_are_under_way_and_so_many_repeats_wait_for_one() {
    let mut calls = Calls::<usize>::default();
    let begin = |calls: &mut Calls<usize>, mid: usize, waiter| {
        let key = CallKey {
            org: None,
            mid: mid.to_string(),
        };
        calls.begin(&key, "detection", None, waiter, START)
    };
    for mid in 0..CALLS_UNDER_WAY_MAX {
        assert_eq!(begin(&mut calls, mid, 0), Begun::Fresh);
    }
    assert_eq!(begin(&mut calls, CALLS_UNDER_WAY_MAX, 1), Begun::Full(1));
    for _ in 0..REPEATS_WAITING_MAX {
        assert_eq!(begin(&mut calls, 0, 2), Begun::Waits);
    }
    assert_eq!(begin(&mut calls, 0, 3), Begun::Full(3));
    for number in REPEATS_WAITING_MAX..REPEATS_WAITING_ALL_MAX {
        assert_eq!(
            begin(&mut calls, 1 + number / REPEATS_WAITING_MAX, 2),
            Begun::Waits
        );
    }
    let last = CALLS_UNDER_WAY_MAX - 1;
    assert_eq!(begin(&mut calls, last, 3), Begun::Full(3), "so many of all calls");
    let first = CallKey {
        org: None,
        mid: "0".into(),
    };
    assert_eq!(calls.finish(&first).len(), 1 + REPEATS_WAITING_MAX);
    assert_eq!(begin(&mut calls, last, 4), Begun::Waits, "there is room again");
}

#[test]
fn a_sensor_is_told_by_each_kind_of_call_and_never_the_reason_to_refuse_one() {
    let org: Org = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd".parse().unwrap();
    let sid = "5b0f4e1c-7d8a-4b2e-9f63-0c1d2e3f4a5b";
    let routing = json!({ "sid": sid, "hostname": "web-1", "plat": 0x1000_0000, "arch": 2, "int_ip": "10.0.0.9", "ext_ip": "192.0.2.1" });
    let told = |etype, data: Value| Sensor::of(etype, &org, &data);
    let full = told(ServiceEtype::Detection, json!({ "cat": "x", "routing": routing })).unwrap();
    assert_eq!(full.hostname.as_deref(), Some("web-1"));
    assert_eq!(
        (full.platform.as_deref(), full.arch.as_deref()),
        (Some("windows"), Some("x64"))
    );
    assert_eq!(full.addresses, ["10.0.0.9", "192.0.2.1"]);
    assert_eq!(
        full.host_id(),
        tripline_protocol::HostId::derive_limacharlie(&org, sid.parse().unwrap())
    );
    let nested = json!({ "cat": "x", "detect": { "routing": routing } });
    assert_eq!(told(ServiceEtype::Detection, nested).as_ref(), Some(&full));
    let event = json!({ "routing": routing, "event": {} });
    assert_eq!(told(ServiceEtype::DeploymentEvent, event).as_ref(), Some(&full));
    let deployment = |event_type: &str| {
        let mut routing = routing.clone();
        routing["event_type"] = json!(event_type);
        told(
            ServiceEtype::DeploymentEvent,
            json!({ "routing": routing, "event": {} }),
        )
    };
    assert_eq!(deployment("enrollment").as_ref(), Some(&full));
    assert_eq!(deployment("deleted_sensor"), None, "it is gone");
    let new = json!({ "sid": sid, "hostname": "web-1", "platform": "linux", "architecture": "x86_64", "int_ip": "10.0.0.9" });
    assert_eq!(
        told(ServiceEtype::NewSensor, new).unwrap().platform.as_deref(),
        Some("linux")
    );
    for odd in [json!({}), json!({ "sid": 7 }), json!({ "sid": "web-1" })] {
        assert_eq!(told(ServiceEtype::NewSensor, odd), None);
    }
    let long = json!({ "sid": sid, "hostname": "x".repeat(256), "platform": "a\u{7}b", "int_ip": 4 });
    let cut = told(ServiceEtype::NewSensor, long).unwrap();
    assert_eq!((cut.hostname, cut.platform, cut.addresses.len()), (None, None, 0));
}

fn rules() -> RuleSet {
    let file = |path: &str, text: &str| SourceFile {
        path: path.into(),
        text: text.into(),
    };
    let pipelines = [
        "name: a\non: [detection]\nwhen: event.data.cat == \"mimikatz\" && event.data.priority > 3\njob: { steps: [ list_processes: {} ] }\n",
        "name: b\non: [detection]\nwhen: event.data.cat in [\"lateral\", \"beacon\"]\njob: { steps: [ list_processes: {} ] }\n",
        "name: c\non: [detection]\nwhen: event.data.cat.startsWith(\"x\")\njob: { steps: [ list_processes: {} ] }\n",
        "name: d\non: [org_per_1h, acme.alert]\nwhen: event.data.cat == \"unheard\"\njob: { steps: [ list_processes: {} ] }\n",
    ];
    let jobs = [
        "name: kill\ndescription: ends a process\nparams: { pid: { type: integer }, host: { type: string, default: x }, why: { type: string, default: y } }\nsteps: [ kill_process: { pid: \"{{ params.pid }}\" } ]\n",
        "name: look\nparams: { why: { type: list, default: [] }, hard: { type: boolean, default: false } }\nsteps: [ list_processes: {} ]\n",
    ];
    let named = |texts: &[&str]| -> Vec<SourceFile> {
        texts
            .iter()
            .enumerate()
            .map(|(at, text)| file(&format!("{at}.yaml"), text))
            .collect()
    };
    RuleSet::parse(&named(&pipelines), &named(&jobs)).unwrap()
}

#[test]
fn detections_are_those_that_conditions_compare_their_cat_with() {
    let rules = rules();
    let offer = Offer(&rules);
    let cats: Vec<String> = offer.detections().into_iter().collect();
    assert_eq!(cats, ["beacon", "lateral", "mimikatz"]);
    assert!(offer.listens_to("org_per_1h".parse().unwrap()));
    assert!(!offer.listens_to("org_per_3h".parse().unwrap()));
    assert!(!Offer(&RuleSet::default()).listens_to(ServiceEtype::Detection));
}

#[test]
fn named_jobs_are_offered_with_their_parameters() {
    let rules = rules();
    let params = Offer(&rules).request_params();
    let names: Vec<&str> = params.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "hard",
            "host",
            "job",
            "kill.host",
            "pid",
            "selector",
            "sid",
            "why"
        ],
        "a list is a text of JSON, so both of the name `why` are texts"
    );
    assert_eq!(params["job"].values, ["kill", "look"]);
    assert!(params["job"].is_required);
    assert_eq!(
        (params["pid"].kind, params["hard"].kind),
        (ParameterKind::Int, ParameterKind::Bool)
    );
    assert_eq!(Offer(&RuleSet::default()).request_params(), Default::default());
    let commands = Offer(&rules).commands();
    assert_eq!(commands["kill"]["desc"], "ends a process");
    assert_eq!(commands["kill"]["args"]["pid"]["is_required"], true);
}

#[test]
fn a_wish_names_a_job_its_hosts_and_parameters_of_the_job_alone() {
    let rules = rules();
    let wish = |data: Value| Wish::of_request(data.as_object().unwrap().clone());
    let made =
        wish(json!({ "job": "kill", "sid": "s", "host": null, "pid": 42.0, "kill.host": "h" })).unwrap();
    assert_eq!(made.hosts, Hosts::Named("s".into()));
    let kill = made.named(&rules).unwrap();
    assert_eq!(
        Value::Object(made.params(kill).unwrap()),
        json!({ "pid": 42, "host": "h" })
    );
    let look = wish(json!({ "job": "look", "host": "h", "why": "[1]", "hard": "true" })).unwrap();
    let params = look.params(look.named(&rules).unwrap()).unwrap();
    assert_eq!(Value::Object(params), json!({ "why": [1], "hard": true }));
    let mut command = json!({ "command_name": "kill", "rid": "r", "cid": "c", "ssid": "s", "selector": "label=dmz", "pid": 1 });
    let command = Wish::of_command(command.as_object_mut().unwrap().clone()).unwrap();
    assert!(matches!(&command.hosts, Hosts::Selected(selector) if selector.labels.len() == 1));
    assert!(command.params(command.named(&rules).unwrap()).is_ok());
    for (data, why) in [
        (json!({ "sid": "s" }), "missing parameter job"),
        (
            json!({ "job": 1, "sid": "s" }),
            "invalid parameter job: wrong data type",
        ),
        (
            json!({ "job": "kill" }),
            "exactly one of sid, host and selector is needed",
        ),
        (
            json!({ "job": "kill", "sid": "s", "host": "h" }),
            "exactly one of sid, host and selector is needed",
        ),
        (
            json!({ "job": "kill", "selector": "colour=red" }),
            "invalid parameter selector: nothing is called \"colour\"",
        ),
        (
            json!({ "job": "kill", "selector": "" }),
            "invalid parameter selector: it selects every host; name one part at least",
        ),
    ] {
        assert_eq!(wish(data).unwrap_err().to_string(), why);
    }
    let unknown = wish(json!({ "job": "burn", "sid": "s" })).unwrap();
    assert_eq!(unknown.named(&rules).unwrap_err().code(), "not_found");
    for (data, why) in [
        (
            json!({ "job": "look", "sid": "s", "pid": 1 }),
            "look has no parameter pid",
        ),
        (
            json!({ "job": "look", "sid": "s", "why": "[" }),
            "invalid parameter why: wrong data type",
        ),
        (
            json!({ "job": "kill", "sid": "s", "pid": 1.5 }),
            "invalid parameter pid: wrong data type",
        ),
    ] {
        let made = wish(data).unwrap();
        let job = made.named(&rules).unwrap();
        assert_eq!(made.params(job).unwrap_err().to_string(), why);
    }
    let given = json!({ "job": "kill", "pid": 1 });
    assert!(check_parameters(&Offer(&rules).request_params(), given.as_object().unwrap()).is_ok());
}

#[actix::test]
async fn what_is_no_proper_call_is_refused_for_good() {
    use crate::fixture::Fixture;
    use tripline_protocol::limacharlie::Call;
    let fixture = Fixture::start();
    let ground = fixture.core.ground();
    let call = |etype: &str, oid: Option<&str>, data: Value| Call {
        version: None,
        oid: oid.map(str::to_owned),
        mid: Some("m".into()),
        deadline: None,
        jwt: None,
        tripdepth: None,
        etype: etype.into(),
        data,
    };
    const OID: &str = "8CBE27F4-BFA1-4AFB-BA19-138CD51389CD";
    let oid = Some(OID);
    for (call, why) in [
        (call("detection", None, json!({ "cat": "x" })), "oid: is missing"),
        (
            call("detection", Some("acme"), json!({ "cat": "x" })),
            "oid: must be a UUID",
        ),
        (call("detection", oid, json!([])), "data: must be an object"),
        (call("detection", oid, json!(null)), "data.cat: must be a text"),
        (
            call("new_sensor", oid, json!({ "sid": "x" })),
            "data.sid: must be a UUID",
        ),
    ] {
        let etype = call.etype.parse().unwrap();
        let refused = read_call(ground, etype, call).err().unwrap();
        assert_eq!(
            (
                refused.to_string().as_str(),
                matches!(refused, crate::Refusal::Invalid { .. })
            ),
            (why, true)
        );
    }
    let long = call(
        "detection",
        oid,
        json!({ "cat": "x".repeat(tripline_protocol::limit::EVENT_BYTES_MAX) }),
    );
    assert_eq!(
        read_call(ground, ServiceEtype::Detection, long)
            .err()
            .unwrap()
            .code(),
        "too_large"
    );
    let (key, _) = read_call(
        ground,
        ServiceEtype::Detection,
        call("detection", oid, json!({ "cat": "x" })),
    )
    .unwrap();
    let org = key.org.unwrap();
    assert_eq!(org.as_str(), OID.to_lowercase(), "an org has one name");
    let once = call("once_per_1h", None, json!(null));
    assert_eq!(
        read_call(ground, "once_per_1h".parse().unwrap(), once)
            .unwrap()
            .0
            .org,
        None
    );
    let nameless = Call {
        mid: None,
        ..call("detection", oid, json!({ "cat": "x" }))
    };
    let mid = |call: Call| read_call(ground, ServiceEtype::Detection, call).unwrap().0.mid;
    assert_ne!(
        mid(nameless.clone()),
        mid(nameless),
        "without a mid each is one of its own"
    );
}

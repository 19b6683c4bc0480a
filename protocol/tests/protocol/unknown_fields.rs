//! The unknown-field policy: what people write refuses unknown fields by name, because there one is a typo
//! that would change what happens; what programs of another version write is read without them.

use crate::golden::text;
use crate::samples::{HASH, json};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Debug;
use tripline_protocol::Event;
use tripline_protocol::api::*;
use tripline_protocol::event::{StreamGap, StreamedEvent};
use tripline_protocol::fanout::{FanoutView, RetryFanout, SubmitFanout};
use tripline_protocol::frame::{AgentFrame, ServerFrame};
use tripline_protocol::job::JobSpec;
use tripline_protocol::result::JobResult;
use tripline_protocol::session::{CommandView, OpenSession, RunCommand, SessionFile, SessionView};
use tripline_protocol::step::{Step, StepReport};
use tripline_protocol::verb::*;

fn case(file: &str, name: &str) -> Value {
    serde_json::from_str::<Value>(&text(file)).unwrap()[name].clone()
}

/// Adds a field that no version knows to the object at `pointer`.
fn with_unknown(mut value: Value, pointer: &str) -> Value {
    let object = value.pointer_mut(pointer).and_then(Value::as_object_mut);
    object
        .unwrap_or_else(|| panic!("no object at {pointer:?}"))
        .insert("tomorrow".into(), json!([1]));
    value
}

fn refuses<T: DeserializeOwned + Debug>(value: Value, pointer: &str) {
    serde_json::from_value::<T>(value.clone()).expect("it is legal without the field");
    let error = json::<T>(&with_unknown(value, pointer).to_string()).expect_err("it is not with it");
    assert!(
        error.to_string().contains("tomorrow"),
        "the error names the field: {error}"
    );
}

fn ignores<T: DeserializeOwned + Debug + PartialEq>(value: Value, pointers: &[&str]) {
    let plain: T = serde_json::from_value(value.clone()).unwrap();
    for pointer in pointers {
        let read: T = json(&with_unknown(value.clone(), pointer).to_string()).unwrap();
        assert_eq!(read, plain, "{pointer}");
    }
}

#[test]
fn what_people_write_refuses_unknown_fields() {
    let job = case("jobs.json", "job, everything given");
    refuses::<JobSpec>(job.clone(), "");
    refuses::<JobSpec>(job.clone(), "/steps/0");
    refuses::<Step>(case("jobs.json", "step"), "");
    refuses::<SubmitJob>(case("api.json", "submit, inline"), "");
    refuses::<SubmitJob>(case("api.json", "submit, inline"), "/job");
    refuses::<SubmitJob>(case("api.json", "submit, inline"), "/job/steps/0");
    refuses::<SubmitFanout>(case("fanouts.json", "submit"), "");
    refuses::<SubmitFanout>(case("fanouts.json", "submit"), "/target");
    refuses::<SubmitFanout>(case("fanouts.json", "submit"), "/pace");
    refuses::<RetryFanout>(case("fanouts.json", "retry"), "");
    refuses::<CreateToken>(case("api.json", "create token"), "");
    refuses::<SetPause>(case("control.json", "pause"), "");
    refuses::<ReplayDead>(case("control.json", "replay"), "");
    refuses::<RetryQuarantined>(case("control.json", "retry"), "");
    refuses::<PublishEvent>(case("api.json", "publish"), "");
    refuses::<OpenSession>(case("sessions.json", "open"), "");
    refuses::<RunCommand>(case("sessions.json", "run"), "");
    refuses::<LinkHost>(case("api.json", "link host"), "");
}

#[test]
fn the_arguments_of_every_verb_refuse_unknown_fields() {
    let calls: BTreeMap<String, Value> = serde_json::from_str(&text("verbs.json")).unwrap();
    for call in calls.into_values() {
        let verb: Verb = call.as_object().unwrap().keys().next().unwrap().parse().unwrap();
        refuses::<VerbCall>(call.clone(), &format!("/{verb}"));
        let args = with_unknown(call[verb.as_str()].clone(), "");
        let error = VerbCall::parse(verb, args).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("arguments of {verb}: ")) && error.contains("tomorrow"),
            "{error}"
        );
    }
    let path = json!({"path": {"b64": "AA==", "tomorrow": 1}});
    assert!(VerbCall::parse(Verb::GetFile, path).is_err());
}

#[test]
fn frames_ignore_unknown_fields() {
    let agent: BTreeMap<String, Value> = serde_json::from_str(&text("agent_frames.json")).unwrap();
    for frame in agent.into_values() {
        ignores::<AgentFrame>(frame, &[""]);
    }
    ignores::<AgentFrame>(case("agent_frames.json", "result, with output"), &["/truncated"]);
    ignores::<AgentFrame>(case("agent_frames.json", "result, with error"), &["/error"]);
    let server: BTreeMap<String, Value> = serde_json::from_str(&text("server_frames.json")).unwrap();
    for frame in server.into_values() {
        ignores::<ServerFrame>(frame, &[""]);
    }
    ignores::<ServerFrame>(
        case("server_frames.json", "command, with a transfer"),
        &["/transfer"],
    );
}

#[test]
fn an_argument_of_another_version_is_refused_even_in_a_frame() {
    let frame = with_unknown(case("server_frames.json", "command"), "/call/list_processes");
    let error = json::<ServerFrame>(&frame.to_string()).unwrap_err().to_string();
    assert!(
        error.contains("tomorrow"),
        "to ignore it would be to do something else than asked: {error}"
    );
}

#[test]
fn results_ignore_unknown_fields() {
    let pointers = [
        "",
        "/pipeline",
        "/event",
        "/host",
        "/reason",
        "/steps/0",
        "/steps/0/error",
    ];
    ignores::<JobResult>(case("jobs.json", "result, of an event"), &pointers);
    ignores::<StepReport>(
        case("jobs.json", "step report, with artifact"),
        &["", "/artifact"],
    );
    ignores::<StepReport>(case("jobs.json", "step report, with output"), &["/truncated"]);
}

#[test]
fn the_stream_of_events_may_be_of_a_newer_server() {
    ignores::<StreamedEvent>(case("api.json", "streamed"), &[""]);
    ignores::<StreamGap>(case("api.json", "gap"), &[""]);
}

#[test]
fn events_ignore_unknown_fields() {
    let event = json!({
        "id": "a", "key": "1d1c257b-2511-59fa-8b8d-fd9323d41812", "org": "default", "source": "s", "etype": "x",
        "time": "2026-11-20T14:00:00Z", "data": {}, "attested_by": "agent",
    });
    ignores::<Event>(event, &[""]);
}

#[test]
fn outputs_ignore_unknown_fields() {
    ignores::<NoOutput>(case("outputs.json", "nothing"), &[""]);
    ignores::<FileFetched>(case("outputs.json", "file fetched"), &[""]);
    ignores::<FileWritten>(case("outputs.json", "file written"), &[""]);
    ignores::<DirectoryListing>(case("outputs.json", "listing"), &["", "/files/0"]);
    ignores::<ProcessListing>(case("outputs.json", "processes"), &["", "/processes/0"]);
    ignores::<ProcessOutcome>(case("outputs.json", "process that ended"), &["", "/stdout"]);
    ignores::<RegistryValue>(case("outputs.json", "registry value"), &[""]);
    ignores::<RegistryListing>(case("outputs.json", "registry listing"), &["", "/values/0"]);
}

#[test]
fn what_servers_answer_is_read_without_unknown_fields() {
    ignores::<Problem>(case("api.json", "problem"), &[""]);
    ignores::<Page<String>>(case("api.json", "page"), &[""]);
    ignores::<TokenView>(case("api.json", "token"), &[""]);
    ignores::<CreatedToken>(case("api.json", "created token"), &[""]);
    ignores::<Enrol>(case("api.json", "enrol"), &[""]);
    ignores::<Enrolled>(case("api.json", "enrolled"), &[""]);
    ignores::<HostView>(case("api.json", "host"), &["", "/attachments/0"]);
    ignores::<JobView>(
        case("api.json", "job, waiting"),
        &["", "/waiting", "/waiting/reason", "/host"],
    );
    ignores::<FanoutView>(
        case("fanouts.json", "fanout"),
        &["", "/counts", "/reason", "/pipeline"],
    );
    ignores::<SlotsView>(case("api.json", "slots"), &["", "/slots/0", "/slots/0/session"]);
    ignores::<PipelinesView>(
        case("api.json", "pipelines"),
        &[
            "",
            "/pipelines/0",
            "/pipelines/0/pause",
            "/pipelines/0/withheld/0",
        ],
    );
    ignores::<PublishedEvent>(case("api.json", "published"), &[""]);
    ignores::<SessionView>(
        case("sessions.json", "session, pending"),
        &["", "/owner", "/waiting", "/host"],
    );
    ignores::<CommandView>(case("sessions.json", "command, fetched"), &["", "/artifact"]);
    ignores::<SessionFile>(case("sessions.json", "file, fetched"), &[""]);
}

#[test]
fn what_older_writers_left_out_has_its_default() {
    let host: HostView = json(
        r#"{"host_id": "6a476cc7-fafe-5985-9fb8-67233a7efb39", "sensor_id": 1, "org": "default", "hostname": "h",
            "platform": "linux", "arch": "x", "attachments": [], "created_at": "2026-11-20T14:00:00Z",
            "last_seen_at": "2026-11-20T14:00:00Z"}"#,
    )
    .unwrap();
    assert_eq!(
        (
            host.os_version.as_str(),
            host.labels.len() + host.agent_labels.len(),
            host.jobs_open
        ),
        ("", 0, 0)
    );
    let publish: PublishEvent = json(r#"{"etype": "x"}"#).unwrap();
    assert_eq!(publish.data, Value::Null);
    let listing: DirectoryListing = json(r#"{"files": []}"#).unwrap();
    assert_eq!(listing.omitted, 0);
    let enrol = json!({"install_id": "11111111-2222-4333-8444-555555555555", "key_sha256": HASH,
        "hostname": "h", "platform": "linux", "arch": "x"});
    assert!(
        serde_json::from_value::<Enrol>(enrol)
            .unwrap()
            .addresses
            .is_empty()
    );
}

//! The golden bodies of the protocol against the schemas: each is valid, and whatever is changed of one, schema and
//! type take it or refuse it together.

use crate::mutations;
use crate::schema::{faults, of_component, reference, strict};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tripline_protocol::api::*;
use tripline_protocol::audit::*;
use tripline_protocol::event::{Attestation, StreamGap, StreamedEvent};
use tripline_protocol::fanout::*;
use tripline_protocol::job::{JobSpec, JobState, Outcome, Priority};
use tripline_protocol::session::*;
use tripline_protocol::step::{Step, StepReport, StepStatus};
use tripline_protocol::verb::*;
use tripline_protocol::{Fault, FaultClass};
use utoipa::ToSchema;

/// A body's type: its schema, and its reader.
#[derive(Clone)]
struct Body {
    name: String,
    takes: fn(&Value) -> bool,
}

fn body<T: ToSchema + DeserializeOwned>() -> Body {
    Body {
        name: T::name().into_owned(),
        takes: |value| serde_json::from_value::<T>(value.clone()).is_ok(),
    }
}

/// How a case is looked at.
enum Case {
    /// It is a body.
    Whole(Body),
    /// It is a body, and its reader takes more than it says: what is flattened or told apart by its fields is passed
    /// over where it does not fit.
    Loose(Body),
    /// Each of its items is one.
    Each(Body),
    /// Not over HTTP.
    Elsewhere,
}

use Case::{Each, Elsewhere, Loose, Whole};

fn whole<T: ToSchema + DeserializeOwned>() -> Case {
    Whole(body::<T>())
}

fn loose<T: ToSchema + DeserializeOwned>() -> Case {
    Loose(body::<T>())
}

fn each<T: ToSchema + DeserializeOwned>() -> Case {
    Each(body::<T>())
}

fn cases(file: &str) -> Map<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol/tests/golden");
    let text = std::fs::read_to_string(folder.join(file)).expect("a golden file");
    serde_json::from_str(&text).expect("cases")
}

/// Every case of the file is claimed, and does as its claim says.
fn hold(file: &str, claims: Vec<(&str, Case)>) {
    let mut claims: BTreeMap<&str, Case> = claims.into_iter().collect();
    for (name, value) in cases(file) {
        let claim = claims.remove(name.as_str());
        let what = format!("{file}: {name}");
        match claim.unwrap_or_else(|| panic!("{what}: say here which body it is")) {
            Whole(body) => agree(&what, &body, &value),
            Loose(body) => valid(&what, &body, &value),
            Each(body) => {
                let items = value.as_array().expect("a list");
                items.iter().for_each(|item| agree(&what, &body, item));
            }
            Elsewhere => {}
        }
    }
    let gone: Vec<&&str> = claims.keys().collect();
    assert!(gone.is_empty(), "{file} has no cases {gone:?}");
}

fn valid(what: &str, body: &Body, value: &Value) {
    let wrong = faults(&strict(&reference(&body.name)), value);
    assert!(
        wrong.is_empty(),
        "{what} is no {}: {wrong:#?}\n{value:#}",
        body.name
    );
    assert!((body.takes)(value), "{what}");
}

fn agree(what: &str, body: &Body, value: &Value) {
    valid(what, body, value);
    let schema = of_component(&body.name);
    for mutation in mutations::of(value) {
        let (by_schema, by_type) = (schema.is_valid(&mutation.body), (body.takes)(&mutation.body));
        assert_eq!(
            by_schema, by_type,
            "{what} as {}: {}: the schema says {by_schema}, the type {by_type}",
            body.name, mutation.what
        );
    }
}

#[test]
fn bodies_of_the_api_are_what_their_schemas_say() {
    hold(
        "api.json",
        vec![
            ("problem", whole::<Problem>()),
            ("page", Elsewhere),
            ("last page", Elsewhere),
            ("set labels", whole::<SetLabels>()),
            ("change labels", whole::<ChangeLabels>()),
            ("roles", each::<Role>()),
            ("create token", whole::<CreateToken>()),
            ("create token, short", whole::<CreateToken>()),
            ("token", whole::<TokenView>()),
            ("created token", whole::<CreatedToken>()),
            ("enrol", whole::<Enrol>()),
            ("enrolled", whole::<Enrolled>()),
            ("host", whole::<HostView>()),
            ("submit, inline", whole::<SubmitJob>()),
            ("submit, named", whole::<SubmitJob>()),
            ("job, waiting", whole::<JobView>()),
            ("job, ended", whole::<JobView>()),
            ("slots", loose::<SlotsView>()),
            ("pipelines", whole::<PipelinesView>()),
            ("publish", whole::<PublishEvent>()),
            ("publish, short", whole::<PublishEvent>()),
            ("report detection", whole::<ReportDetection>()),
            ("report detection, short", whole::<ReportDetection>()),
            ("published", whole::<PublishedEvent>()),
            ("littlebrother", whole::<LittlebrotherView>()),
            ("littlebrother, old client", whole::<LittlebrotherView>()),
            ("streamed", whole::<StreamedEvent>()),
            ("streamed, of a subject", whole::<StreamedEvent>()),
            ("gap", whole::<StreamGap>()),
            ("gap, of another stream", whole::<StreamGap>()),
            ("link host", whole::<LinkHost>()),
            ("littlebrother settings", whole::<LittlebrotherSettings>()),
            ("littlebrother settings, none", whole::<LittlebrotherSettings>()),
        ],
    );
}

#[test]
fn bodies_of_control_are_what_their_schemas_say() {
    hold(
        "control.json",
        vec![
            ("pause", whole::<SetPause>()),
            ("pause, short", whole::<SetPause>()),
            ("paused", loose::<PauseView>()),
            ("not paused", loose::<PauseView>()),
            ("pipeline, paused", whole::<PipelinePauseView>()),
            ("pipeline, paused by itself", whole::<PipelinePauseView>()),
            ("pipeline, not paused", whole::<PipelinePauseView>()),
            ("decisions", whole::<EventDecisions>()),
            ("explanation", whole::<Explanation>()),
            ("explanation, nothing known", whole::<Explanation>()),
            ("drain", whole::<DrainView>()),
            ("no drain", whole::<DrainView>()),
            ("dead letter", whole::<DeadLetter>()),
            ("dead letter, whole", whole::<DeadLetterView>()),
            ("dead letter, of a text", whole::<DeadLetterView>()),
            ("dead letter, of bytes", whole::<DeadLetterView>()),
            ("replay", whole::<ReplayDead>()),
            ("replay, short", whole::<ReplayDead>()),
            ("replayed", whole::<ReplayedEvent>()),
            ("outbox", whole::<OutboxView>()),
            ("outbox, empty", whole::<OutboxView>()),
            ("quarantined", whole::<OutboxEntry>()),
            ("retry", whole::<RetryQuarantined>()),
            ("retried", whole::<Retried>()),
            ("status", loose::<StatusView>()),
            ("status, paused", loose::<StatusView>()),
        ],
    );
}

#[test]
fn bodies_of_fleet_streams_store_and_audit_are_what_their_schemas_say() {
    hold(
        "fleet.json",
        vec![
            ("forgotten", whole::<ForgottenHost>()),
            ("keys", each::<KeyView>()),
            ("key states", each::<KeyState>()),
            ("cloned", whole::<CloneView>()),
            ("host, cloned", whole::<HostView>()),
        ],
    );
    hold(
        "streams.json",
        vec![
            ("job, queued", whole::<JobChange>()),
            ("job, running", whole::<JobChange>()),
            ("job, ended", whole::<JobChange>()),
            ("host", whole::<HostChange>()),
            ("host, gone", whole::<HostChange>()),
            ("kinds of changes", each::<HostChangeKind>()),
            ("ready", whole::<HostsReady>()),
            ("gap", whole::<ChangeGap>()),
            ("gap, of another server", whole::<ChangeGap>()),
        ],
    );
    hold(
        "store.json",
        vec![
            ("store", whole::<StoreView>()),
            ("store, failed", whole::<StoreView>()),
            ("store, off", whole::<StoreView>()),
        ],
    );
    hold(
        "audit.json",
        vec![
            ("record", whole::<AuditRecord>()),
            ("record, of the server", whole::<AuditRecord>()),
            ("kinds of actors", each::<WhoKind>()),
            ("dialects", each::<Dialect>()),
            ("chain", whole::<AuditChain>()),
            ("chain, new", whole::<AuditChain>()),
            ("verified", whole::<AuditVerified>()),
            ("verified, broken", whole::<AuditVerified>()),
        ],
    );
}

#[test]
fn bodies_of_fan_outs_are_what_their_schemas_say() {
    hold(
        "fanouts.json",
        vec![
            ("submit", whole::<SubmitFanout>()),
            ("submit, inline", whole::<SubmitFanout>()),
            ("reach", whole::<FanoutReach>()),
            ("states", each::<FanoutState>()),
            ("states of hosts", each::<FanoutHostState>()),
            ("fanout", whole::<FanoutView>()),
            ("fanout, ended", whole::<FanoutView>()),
            ("host", whole::<FanoutHostView>()),
            ("host, pending", whole::<FanoutHostView>()),
            ("retry", whole::<RetryFanout>()),
            ("retry, short", whole::<RetryFanout>()),
            // On NATS only.
            ("summary", Elsewhere),
        ],
    );
}

#[test]
fn bodies_of_sessions_are_what_their_schemas_say() {
    hold(
        "sessions.json",
        vec![
            ("open", whole::<OpenSession>()),
            ("open, short", whole::<OpenSession>()),
            ("session, pending", whole::<SessionView>()),
            ("session, active", whole::<SessionView>()),
            ("session, closed", whole::<SessionView>()),
            ("session, failed", whole::<SessionView>()),
            ("run", whole::<RunCommand>()),
            ("run, short", whole::<RunCommand>()),
            ("command, waiting", whole::<CommandView>()),
            ("command, cancelled", whole::<CommandView>()),
            ("command, failed", whole::<CommandView>()),
            ("command, fetched", whole::<CommandView>()),
            ("file, uploaded", whole::<SessionFile>()),
            ("file, fetched", whole::<SessionFile>()),
            ("file, deleted", whole::<SessionFile>()),
        ],
    );
}

#[test]
fn jobs_and_steps_are_what_their_schemas_say() {
    hold(
        "jobs.json",
        vec![
            ("job, everything given", whole::<JobSpec>()),
            ("job, with steps for its end", whole::<JobSpec>()),
            ("job, as short as it can be", whole::<JobSpec>()),
            ("step", whole::<Step>()),
            ("step, arguments with a template", whole::<Step>()),
            ("step, on a condition", whole::<Step>()),
            // A record of the server may have it as a map, which waits to be rendered.
            ("step, a wait", loose::<Step>()),
            ("step, for every element of a list", whole::<Step>()),
            ("step, an event", whole::<Step>()),
            ("step, a detection", whole::<Step>()),
            // In records of the server only.
            ("step, whose condition did not hold", Elsewhere),
            ("priority low", whole::<Priority>()),
            ("states", each::<JobState>()),
            ("outcomes", Elsewhere),
            ("step statuses", each::<StepStatus>()),
            ("fault classes", each::<FaultClass>()),
            ("attestations", each::<Attestation>()),
            ("fault", whole::<Fault>()),
            ("fault, with detail", whole::<Fault>()),
            ("step report, with output", whole::<StepReport>()),
            ("step report, with artifact", whole::<StepReport>()),
            ("step report, failed", whole::<StepReport>()),
            ("step report, skipped", whole::<StepReport>()),
            ("step report, of a list", whole::<StepReport>()),
            ("step report, of a step of finally", whole::<StepReport>()),
            ("step report, a wait at its second try", whole::<StepReport>()),
            ("result, of an event", Elsewhere),
            ("result, of a job that never started", Elsewhere),
        ],
    );
    let states = cases("jobs.json").remove("outcomes").expect("outcomes");
    for outcome in states.as_array().expect("a list") {
        assert!(serde_json::from_value::<Outcome>(outcome.clone()).is_ok());
        agree("an outcome as a state", &body::<JobState>(), outcome);
    }
}

#[test]
fn outputs_of_verbs_are_what_their_schemas_say() {
    hold(
        "outputs.json",
        vec![
            ("nothing", whole::<NoOutput>()),
            ("file fetched", whole::<FileFetched>()),
            ("file written", whole::<FileWritten>()),
            ("memory dumped", whole::<MemoryDumped>()),
            ("listing", whole::<DirectoryListing>()),
            ("processes", whole::<ProcessListing>()),
            ("process that ended", whole::<ProcessOutcome>()),
            ("process ended by a signal", whole::<ProcessOutcome>()),
            ("process that goes on by itself", whole::<ProcessOutcome>()),
            ("registry value", whole::<RegistryValue>()),
            ("registry listing", whole::<RegistryListing>()),
            ("isolated", loose::<Isolated>()),
            ("unisolated", whole::<Unisolated>()),
        ],
    );
}

/// The schema of the arguments of each verb.
fn arguments(verb: Verb) -> Body {
    match verb {
        Verb::GetFile | Verb::GetRawFile => body::<GetFile>(),
        Verb::PutFile => body::<PutFile>(),
        Verb::DeleteFile | Verb::ListDirectory => body::<PathOnly>(),
        Verb::CreateDirectory => body::<CreateDirectory>(),
        Verb::Walk => body::<Walk>(),
        Verb::ListProcesses | Verb::Unisolate => body::<NoArguments>(),
        Verb::KillProcess => body::<KillProcess>(),
        Verb::CreateProcess => body::<CreateProcess>(),
        Verb::Memdump => body::<Memdump>(),
        Verb::Isolate => body::<Isolate>(),
        Verb::SetRegistryValue => body::<SetRegistryValue>(),
        Verb::ListRegistryKeysAndValues
        | Verb::ListRegistryKeys
        | Verb::GetRegistryValue
        | Verb::CreateRegistryKey
        | Verb::DeleteRegistryKey
        | Verb::DeleteRegistryValue => body::<RegistryPath>(),
    }
}

#[test]
fn calls_of_every_verb_are_what_the_schemas_say() {
    for (name, call) in cases("verbs.json") {
        let (word, args) = call
            .as_object()
            .and_then(|call| call.iter().next())
            .expect("a verb");
        let verb: Verb = word.parse().expect("a verb");
        let what = format!("verbs.json: {name}");
        agree(&what, &arguments(verb), args);
        agree(
            &what,
            &body::<RunCommand>(),
            &json!({"verb": verb, "arguments": args}),
        );
        valid(&what, &body::<Step>(), &call);
    }
}

#[test]
fn a_step_has_exactly_one_verb() {
    let step = of_component("Step");
    assert!(step.is_valid(&json!({"list_processes": null})));
    for wrong in [
        json!({}),
        json!({"id": "a"}),
        json!({"list_processes": {}, "walk": {"path": "/"}}),
        json!({"list_processes": []}),
        json!({"reboot": {}}),
    ] {
        assert!(!step.is_valid(&wrong), "{wrong}");
        assert!(serde_json::from_value::<Step>(wrong).is_err());
    }
}

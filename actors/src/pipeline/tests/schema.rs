//! The JSON Schemas against the parser: what the parser takes is valid, and what it refuses for its shape is not.

use super::events::{event, file, host};
use crate::pipeline::schema::{job_schema, map_keys, pipeline_schema};
use crate::pipeline::{RuleSet, yaml};
use jsonschema::Validator;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;
use tripline_protocol::job::JobSpec;
use tripline_protocol::step::{ForEach, Retry, ServerVerb};
use tripline_protocol::verb::{Verb, VerbCall};

static PIPELINE: LazyLock<Validator> = LazyLock::new(|| validator(&pipeline_schema()));
static JOB: LazyLock<Validator> = LazyLock::new(|| validator(&job_schema()));

/// The dialect's own schema is asked first.
fn validator(schema: &Value) -> Validator {
    assert!(jsonschema::draft202012::meta::is_valid(schema));
    jsonschema::options()
        .build(schema)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// What the schemas say against the documents of a text of pipelines and one of named jobs.
pub(super) fn faults(pipelines: &str, jobs: &str) -> Vec<String> {
    [(pipelines, &PIPELINE), (jobs, &JOB)]
        .into_iter()
        .flat_map(|(text, schema)| {
            let documents = yaml::documents(text).unwrap_or_default();
            documents.into_iter().flat_map(move |document| {
                let document = document.to_json();
                let faults = schema.iter_errors(&document);
                faults
                    .map(|fault| format!("{}: {fault}", fault.instance_path()))
                    .collect::<Vec<_>>()
            })
        })
        .collect()
}

/// Parts of what the parser says of things that a schema cannot know.
const BEYOND: [&str; 55] = [
    // What is no YAML, or not one document alone.
    "duplicate",
    "illegal placement",
    "a template needs quotes",
    "is taken already at",
    // Names of things elsewhere.
    "there is no named job",
    "the named job needs the parameter",
    "unknown parameter",
    "takes a string, not",
    "takes an integer, not",
    "takes an integer",
    "two steps have the id",
    "to go on with",
    "goto only leads forward",
    "stands for an element of the list",
    "on belongs to the retry of a job",
    "the pipeline's let has the name",
    // Expressions.
    "the condition",
    "unknown name",
    "has no field",
    "use re(text",
    "pattern of re",
    "the pattern of re must be",
    "a comprehension",
    "+ is not supported",
    "unknown function",
    "map literals",
    "unknown filter",
    "a {{ without its }}",
    "{{ event..x }}:",
    "statements are not supported",
    "is known in named jobs only",
    "there is no earlier step",
    "but not both",
    "name the step",
    "is not known here",
    "there is no parameter",
    "hand it on as a parameter",
    "has no value yet",
    "let has no name",
    "a template cannot be a key",
    "the key \"$late\" is reserved",
    // Sums and measures.
    "names, expected at most",
    "jobs, expected at most",
    "a step waits",
    "finally_timeout is",
    "backoff_max is shorter",
    "and at most",
    "the values are longer than",
    "handled events are not remembered",
    "is no base64",
    "needs a pid",
    "only a step's arguments may use it",
    // Events and expectations of tests.
    "that is no event",
    "there is no event before",
    "expectations for",
];

/// Whether a schema could have known it.
fn is_of_shape(message: &str) -> bool {
    !BEYOND.iter().any(|part| message.contains(part))
}

/// What the parser says of a text of pipelines and one of named jobs.
fn problems(pipelines: &str, jobs: &str) -> Vec<String> {
    let parsed = RuleSet::parse(&[file("p.yaml", pipelines)], &[file("j.yaml", jobs)]);
    let problems = parsed.map_or_else(|error| error.problems, |_| Vec::new());
    problems.into_iter().map(|problem| problem.message).collect()
}

/// Where schema and parser do not agree: one refuses alone, and it is not that the parser knows more.
fn disagreement(what: &str, pipelines: &str, jobs: &str) -> Option<String> {
    let (problems, faults) = (problems(pipelines, jobs), faults(pipelines, jobs));
    let agree = match faults.is_empty() {
        true => !problems.iter().any(|problem| is_of_shape(problem)),
        false => !problems.is_empty(),
    };
    (!agree).then(|| {
        format!("{what}:\n{pipelines}\n{jobs}\nthe parser says {problems:#?}\nthe schema says {faults:#?}")
    })
}

/// Schema and parser agree.
pub(super) fn agree(what: &str, pipelines: &str, jobs: &str) {
    assert_eq!(disagreement(what, pipelines, jobs), None);
}

/// A named job with all keys, which the pipelines of these tests may name.
fn named_job() -> Value {
    json!({
        "name": "j", "description": "A job", "expires": "7d", "timeout": "2m", "priority": "high",
        "params": {
            "text": {"type": "string", "required": true, "description": "A text"},
            "count": {"type": "integer", "required": false, "default": 3},
            "ratio": {"type": "number", "default": 0.5},
            "flag": {"type": "boolean", "default": false},
            "items": {"type": "list", "default": ["x"]},
            "more": {"type": "map", "default": {"x": 1}},
        },
        "let": {"top": "{{ params.text }}", "z_n2": [1, {"x": "{{ vars.top }}"}]},
        "retry": {"attempts": 3, "backoff": "5s", "backoff_max": "1m", "on": ["failed", "timed_out"]},
        "steps": [{"id": "one", "timeout": "5s", "on_error": "continue", "idempotent": true, "list_processes": null}],
        "finally": [{"id": "last", "when": "steps.one.status == 'failed'", "timeout": "5s", "idempotent": true, "unisolate": {}}],
        "finally_timeout": "30s",
    })
}

/// An event with all keys that the first of a test may have.
fn event_of_a_test() -> Value {
    json!({
        "etype": "a", "org": "acme", "id": "e", "source": "s", "age": "3s", "data": {"x": [1]}, "attested_by": "agent",
        "depth": 3,
        "host": {"id": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "hostname": "h", "platform": "linux", "arch": "x",
                 "os_version": "1", "labels": ["a"], "addresses": "10.0.0.1", "attached": true, "protected": true},
    })
}

/// Pipelines that have all keys between them.
fn pipelines() -> Vec<Value> {
    vec![
        json!({
            "name": "p", "description": "A pipeline", "enabled": false, "dry_run": true, "on": ["a", "b.*", ">"],
            "orgs": ["default"], "events": {"max_age": "6h"}, "when": "event.data.x == 1",
            "let": {"x": "{{ event.data.x }}"}, "suppress": {"key": "{{ vars.x }}", "max": 1, "min": 1, "per": "7d", "scope": "host"},
            "max_hosts": {"count": 20, "per": "1h"}, "max_in_flight": 5, "auto_pause": {"failed": 3, "of": 10}, "job": "j", "params": {"text": "{{ vars.x }}x"},
            "tests": [
                {"name": "a", "event": event_of_a_test(), "host": "none",
                 "expect": {"matches": true, "acts": true, "withheld": "suppressed", "dead": "stale",
                            "host_failed": "missing_field", "job": "j",
                            "steps": [{"id": "one"}], "vars": {"x": 1}}},
                {"events": [{"etype": "a", "time": "2026-01-31T12:00:00Z", "host": "none"}, {"etype": "b", "after": "3s"}],
                 "host": {"hostname": "h"}, "expect": [{"acts": true}, {"acts": false}]},
            ],
        }),
        json!({
            "name": "p", "on": "a", "job": "j", "params": {"text": "x"}, "suppress": {"per": "1h", "scope": "global"},
            "target": {
                "labels": ["dmz", "owner:ana"], "platform": "linux", "hostname": "web-*", "attached": "agent",
                "seen_within": "7d", "unseen_for": "1h", "agent_version": "0.1.0",
            },
            "fanout": {
                "in_flight": 20, "per_minute": 60, "canary": 5, "ramp": 3, "standing": true, "expires": "30d",
            },
        }),
        json!({"name": "p", "on": "a", "job": "j", "params": {"text": "x"}, "target": "all"}),
        json!({
            "name": "p", "on": "a", "orgs": "default",
            "job": {
                "expires": "7d", "timeout": "1h 30m", "priority": "low", "let": {"x": {"y": null}},
                "retry": {"attempts": 2, "on": "failed"},
                "steps": [
                    {"id": "a", "list_processes": {}, "on_error": "goto b", "retry": {"attempts": 2, "backoff": "5s"}},
                    {"get_file": {"path": "{{ steps.a.output }}"}, "when": "steps.a.status != 'x'"},
                    {"id": "b", "for_each": {"in": ["x"], "max": 3}, "get_file": {"path": "/x"}},
                    {"for_each": ["x", {"y": 1}], "list_processes": {}},
                    {"for_each": "{{ steps.a.output }}", "list_processes": {}},
                    {"wait": "1m"},
                    {"wait": "{{ event.data.m }}m"},
                ],
                "finally": [{"publish": {"etype": "a"}}],
            },
        }),
    ]
}

/// Arguments of every verb, each argument at least once.
fn arguments() -> Vec<(Verb, Value)> {
    let get = json!({"path": "/x", "offset": 1, "bytes_max": 2});
    let path = json!({"path": "/x"});
    let key = json!({"path": "HKLM\\x"});
    vec![
        (Verb::GetFile, get.clone()),
        (Verb::GetFile, json!({"path": {"b64": "/w=="}})),
        (
            Verb::PutFile,
            json!({"path": "/x", "content": "x", "mode": 420, "overwrite": true}),
        ),
        (Verb::PutFile, json!({"path": "/x", "content_b64": "eA=="})),
        (Verb::PutFile, json!({"path": "/x", "artifact": "0".repeat(64)})),
        (Verb::DeleteFile, path.clone()),
        (Verb::ListDirectory, path.clone()),
        (Verb::CreateDirectory, json!({"path": "/x", "parents": true})),
        (Verb::Walk, json!({"path": "/x", "depth_max": 3})),
        (Verb::ListProcesses, json!({})),
        (
            Verb::KillProcess,
            json!({"pid": 42, "start_time": 7, "wait": "5s"}),
        ),
        (
            Verb::CreateProcess,
            json!({
                "argv": ["a", {"b64": "/w=="}], "working_directory": "/x", "environment": {"k": "v"}, "wait": true,
                "timeout": "1m", "output_path": "/y", "output_bytes_max": 5,
            }),
        ),
        (Verb::CreateProcess, json!({"command": "a b"})),
        (Verb::GetRawFile, get),
        (
            Verb::Memdump,
            json!({"path": "/x", "pid": 42, "start_time": 7, "compress": true}),
        ),
        (
            Verb::Isolate,
            json!({"for": "4h", "persist": true, "allow": ["10.0.0.0/8"]}),
        ),
        (Verb::Unisolate, json!({})),
        (Verb::ListRegistryKeysAndValues, key.clone()),
        (Verb::ListRegistryKeys, key.clone()),
        (Verb::GetRegistryValue, key.clone()),
        (
            Verb::SetRegistryValue,
            json!({"path": "HKLM\\x", "value": 1, "value_type": "REG_DWORD", "overwrite": false}),
        ),
        (Verb::CreateRegistryKey, key.clone()),
        (Verb::DeleteRegistryKey, key.clone()),
        (Verb::DeleteRegistryValue, key),
    ]
}

/// Arguments of what the server does itself, each at least once.
fn server_arguments() -> Vec<(ServerVerb, Value)> {
    vec![
        (ServerVerb::Wait, json!("30s")),
        (
            ServerVerb::Publish,
            json!({"etype": "a.b", "data": {"x": [1]}, "host": "web-1"}),
        ),
        (
            ServerVerb::Detect,
            json!({"etype": "a.b", "cat": "miner", "priority": 3, "data": "x"}),
        ),
    ]
}

/// All changes of a value by one thing, each with what it is.
fn changes(value: &Value, place: &str, give: &mut dyn FnMut(String, Value)) {
    let others = [
        json!(null),
        json!(true),
        json!(7),
        json!(-1),
        json!(1.5),
        json!("no such word!"),
        json!("{{ event.id }}"),
        json!("x{{ event.id }}"),
        json!([]),
        json!([null]),
        json!({}),
        json!({"no_such_key": 1}),
    ];
    for other in others {
        give(format!("{place} as {other}"), other);
    }
    match value {
        Value::Object(map) => {
            let put = |name: &str, value: Option<Value>| {
                let mut map: Map<String, Value> = map.clone();
                match value {
                    Some(value) => drop(map.insert(name.to_owned(), value)),
                    None => drop(map.remove(name)),
                }
                Value::Object(map)
            };
            give(
                format!("{place} and no_such_key"),
                put("no_such_key", Some(json!(1))),
            );
            for (name, inner) in map {
                let place = format!("{place}/{name}");
                give(format!("{place} left out"), put(name, None));
                changes(inner, &place, &mut |what, inner| {
                    give(what, put(name, Some(inner)))
                });
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                changes(inner, &format!("{place}/{index}"), &mut |what, inner| {
                    let mut items = items.clone();
                    items[index] = inner;
                    give(what, Value::Array(items));
                });
            }
        }
        _ => {}
    }
}

/// What is said of a value and of all its changes, put into files.
fn hold(value: &Value, place: &str, files: impl Fn(&Value) -> (String, String)) {
    let (pipelines, jobs) = files(value);
    assert_eq!(problems(&pipelines, &jobs), [""; 0], "{pipelines}");
    let mut wrong: Vec<String> = Vec::new();
    wrong.extend(disagreement("as it is", &pipelines, &jobs));
    changes(value, place, &mut |what, changed| {
        let (pipelines, jobs) = files(&changed);
        wrong.extend(disagreement(&what, &pipelines, &jobs));
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn whatever_is_changed_of_a_pipeline_schema_and_parser_take_or_refuse_it_together() {
    let job = named_job().to_string();
    for pipeline in pipelines() {
        hold(&pipeline, "", |pipeline| (pipeline.to_string(), job.clone()));
    }
}

#[test]
fn whatever_is_changed_of_a_named_job_schema_and_parser_take_or_refuse_it_together() {
    hold(&named_job(), "", |job| (String::new(), job.to_string()));
}

#[test]
fn whatever_is_changed_of_arguments_schema_and_parser_take_or_refuse_it_together() {
    for (verb, arguments) in arguments() {
        hold(&arguments, verb.as_str(), |arguments| {
            let step = json!({verb.as_str(): arguments});
            let pipeline = json!({"name": "p", "on": "a", "job": {"steps": [step]}});
            (pipeline.to_string(), String::new())
        });
    }
}

#[test]
fn whatever_is_changed_of_what_the_server_does_schema_and_parser_take_or_refuse_it_together() {
    for (verb, arguments) in server_arguments() {
        hold(&arguments, verb.as_str(), |arguments| {
            let step = json!({verb.as_str(): arguments});
            let pipeline = json!({"name": "p", "on": "a", "job": {"steps": [step]}});
            (pipeline.to_string(), String::new())
        });
    }
}

/// All keys of maps in a value.
fn keys_in(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.keys().cloned());
            map.values().for_each(|value| keys_in(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| keys_in(item, found)),
        _ => {}
    }
}

#[test]
fn what_is_changed_has_every_key_every_verb_and_every_argument() {
    let mut found = BTreeSet::new();
    pipelines()
        .iter()
        .chain([&named_job()])
        .for_each(|value| keys_in(value, &mut found));
    for map in map_keys() {
        for key in map.keys {
            assert!(
                found.contains(key),
                "give {key:?} of {} in the samples of this test",
                map.what
            );
        }
    }
    for verb in Verb::ALL {
        let unknown = VerbCall::parse(*verb, json!({"no_such_argument": 1}))
            .unwrap_err()
            .reason;
        let known: BTreeSet<&str> = unknown.split('`').skip(3).step_by(2).collect();
        let mut found = BTreeSet::new();
        let of_verb = arguments().into_iter().filter(|(other, _)| other == verb);
        let samples: Vec<Value> = of_verb.map(|(_, arguments)| arguments).collect();
        assert!(!samples.is_empty(), "{verb} has no sample");
        samples.iter().for_each(|value| keys_in(value, &mut found));
        for name in known {
            assert!(
                found.contains(name),
                "give {name:?} of {verb} in the samples of this test"
            );
        }
    }
}

#[test]
fn the_schemas_have_the_keys_of_every_map_and_every_verb_and_no_others() {
    let mut named: Vec<BTreeSet<String>> = Vec::new();
    for schema in [pipeline_schema(), job_schema()] {
        properties(&schema, &mut |properties| {
            let names: BTreeSet<String> = properties.keys().cloned().collect();
            named.push(names);
        });
    }
    for map in map_keys() {
        let mut keys: BTreeSet<String> = map.keys.iter().map(|key| (*key).to_owned()).collect();
        if map.what.starts_with("a step") {
            keys.extend(Verb::ALL.iter().map(|verb| verb.to_string()));
            keys.extend(ServerVerb::ALL.iter().map(|verb| verb.as_str().to_owned()));
        }
        assert!(
            named.contains(&keys),
            "no map of the schemas has the keys of {}",
            map.what
        );
    }
}

/// Shows the properties of every map.
fn properties(schema: &Value, look: &mut dyn FnMut(&Map<String, Value>)) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                look(properties);
            }
            map.values().for_each(|value| properties_of(value, look));
        }
        _ => properties_of(schema, look),
    }
}

fn properties_of(value: &Value, look: &mut dyn FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(_) => properties(value, look),
        Value::Array(items) => items.iter().for_each(|item| properties_of(item, look)),
        _ => {}
    }
}

#[test]
fn every_key_verb_and_argument_says_what_it_is() {
    for schema in [pipeline_schema(), job_schema()] {
        properties(&schema, &mut |properties| {
            for (name, property) in properties {
                // Parts of rules and of forms say nothing of a key.
                let is_part = property.is_boolean()
                    || name == "b64"
                    || property.as_object().is_some_and(|map| map.len() == 1);
                let says = property["description"].as_str().or_else(|| {
                    let those = property["anyOf"].as_array()?;
                    those.iter().find_map(|one| one["description"].as_str())
                });
                assert!(
                    is_part || says.is_some_and(|text| text.len() > 5),
                    "{name}: {property}"
                );
            }
        });
    }
}

#[test]
fn every_reference_of_the_schemas_leads_somewhere_and_everything_is_used() {
    for schema in [pipeline_schema(), job_schema()] {
        let text = schema.to_string();
        let defined: BTreeSet<&str> = schema["$defs"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let used: BTreeSet<&str> = text
            .split("\"#/$defs/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(defined, used);
        assert!(
            !text.contains("#/components"),
            "a reference into another document"
        );
    }
}

#[test]
fn the_examples_are_valid() {
    let mut seen = 0;
    for (folder, schema) in [("pipelines", &PIPELINE), ("jobs", &JOB)] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../examples")
            .join(folder);
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for document in yaml::documents(&text).unwrap() {
                seen += 1;
                let faults: Vec<_> = schema
                    .iter_errors(&document.to_json())
                    .map(|fault| fault.to_string())
                    .collect();
                assert_eq!(faults, [""; 0], "{text}");
            }
        }
    }
    assert!(seen >= 6, "only {seen} were found");
}

#[test]
fn defaults_are_those_that_hold() {
    let default = |map: &str, key: &str| {
        let schema = job_schema();
        let step = &schema["properties"]["steps"]["items"];
        let map = if map == "a step" { step } else { &schema };
        map["properties"][key]["default"].clone()
    };
    for (map, key, holds) in [
        ("a job", "expires", JobSpec::EXPIRES_DEFAULT),
        ("a job", "timeout", JobSpec::TIMEOUT_DEFAULT),
        ("a step", "timeout", JobSpec::STEP_TIMEOUT_DEFAULT),
        ("a job", "finally_timeout", JobSpec::FINALLY_TIMEOUT_DEFAULT),
    ] {
        let said = default(map, key);
        assert_eq!(said.as_str().unwrap().parse(), Ok(holds), "{key} of {map}");
    }
    let schema = job_schema();
    let of_retry = &schema["properties"]["retry"]["properties"];
    let backoff = of_retry["backoff"]["default"].as_str().unwrap();
    assert_eq!(backoff.parse(), Ok(Retry::BACKOFF_DEFAULT));
    let of_list = &schema["properties"]["steps"]["items"]["properties"]["for_each"]["anyOf"][2];
    assert_eq!(
        of_list["properties"]["max"]["default"],
        json!(ForEach::MAX_DEFAULT)
    );
    let rules = RuleSet::parse(
        &[file(
            "p.yaml",
            "name: p\non: a\njob: { steps: [ list_processes: {} ] }\n",
        )],
        &[],
    );
    let rules = rules.unwrap();
    let pipeline = rules.pipelines().next().unwrap();
    let spec = pipeline.render(&event(json!({})), &host()).unwrap().spec;
    assert_eq!(default("a job", "priority"), json!(spec.priority));
    assert_eq!(default("a step", "on_error"), json!(spec.steps[0].on_error));
    assert_eq!(default("a step", "idempotent"), json!(spec.steps[0].idempotent));
    assert_eq!(
        pipeline_schema()["properties"]["enabled"]["default"],
        json!(pipeline.view().enabled)
    );
}

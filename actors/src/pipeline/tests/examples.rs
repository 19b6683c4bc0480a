//! The examples load and do what their texts say.

use super::events::{event, host, parse};
use crate::pipeline::{Match, RuleSet};
use serde_json::json;
use std::path::Path;

fn rules() -> RuleSet {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    crate::trial::load(Some(&examples.join("pipelines")), Some(&examples.join("jobs"))).unwrap()
}

#[test]
fn the_examples_load() {
    let rules = rules();
    let pipelines: Vec<_> = rules
        .pipelines()
        .map(|pipeline| pipeline.name().to_string())
        .collect();
    assert_eq!(
        pipelines,
        ["collect-file-on-alert", "contain-miner", "triage-on-alert"]
    );
    let jobs: Vec<_> = rules.named_jobs().map(|job| job.name().to_string()).collect();
    assert_eq!(jobs, ["collect-file", "kill-and-verify", "triage"]);
}

#[test]
fn the_example_that_contains_a_miner_kills_the_process_the_event_names() {
    let rules = rules();
    let pipeline = rules.pipeline(&"contain-miner".parse().unwrap()).unwrap();
    assert!(pipeline.needs_host_for_condition());
    let event = event(json!({"username": "amelie", "pid": 42}));
    assert_eq!(pipeline.matches(&event, Some(&host())), Match::Yes);
    let spec = pipeline.render(&event, &host()).unwrap().spec;
    assert_eq!(spec.name.as_str(), "contain-miner");
    assert_eq!(spec.steps[1].args, json!({"pid": 42, "start_time": null}));
}

#[test]
fn the_examples_with_named_jobs_render() {
    let rules = rules();
    let event = event(json!({"title": "odd", "file": {"path": "/tmp/x", "size": 10}}));
    for (name, step, args) in [
        (
            "collect-file-on-alert",
            0,
            json!({"path": "/tmp/x", "bytes_max": 104_857_600}),
        ),
        (
            "triage-on-alert",
            4,
            json!({"argv": ["/usr/bin/logger", "--tag", "tripline", "triage of web-1: acme.alert.high odd"]}),
        ),
    ] {
        let pipeline = rules.pipeline(&name.parse().unwrap()).unwrap();
        assert_eq!(pipeline.matches(&event, Some(&host())), Match::Yes, "{name}");
        assert_eq!(
            pipeline.render(&event, &host()).unwrap().spec.steps[step].args,
            args,
            "{name}"
        );
    }
}

const REFERENCE: &str = include_str!("../../../../docs/pipelines.md");

#[test]
fn the_files_shown_in_the_reference_load() {
    let shown = REFERENCE.split("```yaml\n").skip(1);
    let shown = shown.map(|rest| rest.split("```").next().unwrap());
    // Others are keys by themselves.
    let files = shown.filter(|text| text.starts_with("name:"));
    let (pipelines, jobs): (Vec<_>, Vec<_>) = files.partition(|text| text.contains("\non: "));
    assert!(pipelines.len() > 1 && !jobs.is_empty());
    let triage = include_str!("../../../../examples/jobs/triage.yaml");
    let jobs: Vec<_> = jobs.into_iter().chain([triage]).collect();
    let (pipelines, jobs) = (pipelines.join("\n---\n"), jobs.join("\n---\n"));
    parse(&pipelines, &jobs).unwrap();
    super::schema::agree("the reference", &pipelines, &jobs);
}

#[test]
fn rules_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<RuleSet>();
}

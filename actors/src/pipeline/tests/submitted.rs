//! Jobs as they are submitted, which nobody checked before.

use crate::pipeline::{StepFacts, is_late, prepare_submitted, render_late, step_id};
use serde_json::{Map, Value, json};
use tripline_protocol::job::JobSpec;

fn spec(steps: Value) -> JobSpec {
    serde_json::from_value(json!({"name": "j", "steps": steps})).unwrap()
}

#[test]
fn a_submitted_job_keeps_its_literals_and_marks_its_late_arguments() {
    let steps = json!([
        {"id": "one", "list_processes": {}},
        {"create_process": {"argv": ["echo", "{{ steps.one.output.n }}", "}} plain {"]}}
    ]);
    let spec = prepare_submitted(spec(steps)).unwrap();
    assert!(!is_late(&spec.steps[0].args));
    assert!(is_late(&spec.steps[1].args));
    let outputs = Map::from_iter([(
        "one".to_owned(),
        json!({"status": "succeeded", "output": {"n": 3}}),
    )]);
    let args = render_late(&spec.steps[1].args, &StepFacts::over(outputs)).unwrap();
    assert_eq!(args, json!({"argv": ["echo", 3, "}} plain {"]}));
    assert_eq!(
        (step_id(&spec.steps[0], 0), step_id(&spec.steps[1], 1)),
        ("one".into(), "step2".into())
    );
}

#[test]
fn what_is_wrong_with_a_submitted_job_is_told() {
    let list = json!({"list_processes": {}});
    for (steps, code, text) in [
        (json!([]), "bad_job", "job j: 0 steps, expected 1 to 64"),
        (
            json!(vec![list.clone(); 65]),
            "bad_job",
            "job j: 65 steps, expected 1 to 64",
        ),
        (
            json!([{"id": "A", "list_processes": {}}]),
            "bad_job",
            "is not a valid name",
        ),
        (
            json!([{"id": "step2", "list_processes": {}}, list]),
            "bad_job",
            "two steps have the id \"step2\"",
        ),
        (json!([{"get_file": {}}]), "bad_argument", "missing field `path`"),
        (
            json!([{"get_file": {"path": "/x", "b": 1}}]),
            "bad_argument",
            "unknown field `b`",
        ),
        (
            json!([{"get_file": {"path": "{{ event.id }}"}}]),
            "template_error",
            "argument path: the template failed: event is not known here",
        ),
        (
            json!([{"get_file": {"path": "{{ host.id }}"}}]),
            "template_error",
            "host is not known here",
        ),
        (
            json!([{"get_file": {"path": "{{ steps.step1.output }}"}}]),
            "template_error",
            "there is no earlier step \"step1\"",
        ),
        (
            json!([{"get_file": {"path": {"$late": "{{ 1 }}"}}}]),
            "bad_argument",
            "the key \"$late\" is reserved",
        ),
        (
            json!([{"create_process": {"command": "a {{ 1 }}"}}]),
            "bad_argument",
            "argument command: command takes no template",
        ),
        (
            json!([{"when": "event.id == ''", "list_processes": {}}]),
            "condition_error",
            "step step1: the condition failed: unknown name \"event\", expected steps",
        ),
        (
            json!([{"when": {"no": "true"}, "list_processes": {}}]),
            "bad_job",
            "when must be a condition in CEL, as a text",
        ),
        (
            json!([{"on_error": "goto step1", "list_processes": {}}]),
            "bad_job",
            "step step1: goto only leads forward",
        ),
        (
            json!([{"create_process": {"argv": ["a"], "environment": {"{{ 1 }}": "x"}}}]),
            "bad_argument",
            "a template cannot be a key",
        ),
    ] {
        let error = prepare_submitted(spec(steps)).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

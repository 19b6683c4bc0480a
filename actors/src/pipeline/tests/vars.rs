//! `let`: names with values, in their order.

use super::events::{event, host, parse};
use crate::pipeline::{RenderError, RenderedJob, RuleSet};
use serde_json::{Value, json};

/// A pipeline with this `let`, and this one in its job, whose only step is given these.
fn text(of_pipeline: &str, of_job: &str, argv: &str) -> String {
    format!(
        "name: p\non: a\nlet: {of_pipeline}\njob:\n  let: {of_job}\n  steps:\n    - set_registry_value: {{ path: x, value: [{argv}] }}\n"
    )
}

fn render(rules: &RuleSet, data: Value) -> Result<RenderedJob, RenderError> {
    let pipeline = rules.pipelines().next().unwrap();
    pipeline.render(&event(data), &host())
}

fn first_list(job: &RenderedJob) -> &Value {
    &job.spec.steps[0].args["value"]
}

#[test]
fn values_are_rendered_in_order_and_keep_their_type() {
    let pipeline = r#"{ pid: "{{ event.data.pid }}", next: "{{ vars.pid + 1 }}", who: "{{ event.data.who | lower }}@{{ host.hostname }}" }"#;
    let job = r#"{ all: ["{{ vars.who }}", { n: "{{ vars.next }}" }], last: "{{ vars.all[1].n }}" }"#;
    let argv = r#""{{ vars.who }}", "{{ vars.last }}", "{{ vars.all }}""#;
    let rules = parse(&text(pipeline, job, argv), "").unwrap();
    let job = render(&rules, json!({"pid": 41, "who": "AMELIE"})).unwrap();
    let all = json!(["amelie@web-1", {"n": 42}]);
    assert_eq!(first_list(&job), &json!(["amelie@web-1", 42, all]));
    let vars = json!({"pid": 41, "next": 42, "who": "amelie@web-1", "all": all, "last": 42});
    assert_eq!(Value::Object(job.vars), vars);
}

#[test]
fn a_named_job_sees_its_own_values_and_the_pipeline_hands_on_its_by_parameters() {
    let job = "name: j\nparams: { path: { type: string } }\nlet: { folder: \"{{ params.path }}/{{ host.hostname }}\" }\nsteps:\n  - get_file: { path: \"{{ vars.folder }}/x\" }\n";
    let pipeline = "name: p\non: a\nlet: { top: \"/{{ event.data.top }}\" }\njob: j\nparams: { path: \"{{ vars.top }}\" }\n";
    let rules = parse(pipeline, job).unwrap();
    let rendered = render(&rules, json!({"top": "srv"})).unwrap();
    assert_eq!(rendered.spec.steps[0].args, json!({"path": "/srv/web-1/x"}));
    assert_eq!(Value::Object(rendered.vars), json!({"folder": "/srv/web-1"}));
    let unseen = job.replace("vars.folder", "vars.top");
    let problems = parse(pipeline, &unseen).map(drop).unwrap_err().problems;
    assert_eq!((problems.len(), problems[0].line, problems[0].column), (1, 5, 23));
    let expected = "let has no name \"top\", expected one of: folder";
    assert!(problems[0].message.starts_with(expected), "{}", problems[0]);
}

#[test]
fn a_value_that_cannot_be_rendered_makes_no_job_and_is_named() {
    let rules = |value: &str| parse(&text("{}", &format!("{{ a: 1, b: {value} }}"), "x"), "").unwrap();
    for (value, code, says) in [
        (
            "\"{{ event.data.none }}\"",
            "missing_field",
            "pipeline p, let b: {{ event.data.none }} has no value",
        ),
        (
            "[x, { y: \"{{ event.data.none }}\" }]",
            "missing_field",
            "pipeline p, let b[1].y: {{ event.data.none }} has no value",
        ),
        (
            "\"{{ event.data.list }}x\"",
            "template_error",
            "pipeline p, let b: the template failed",
        ),
        (
            "\"{{ event.data.late }}\"",
            "bad_argument",
            "pipeline p, let b: the key \"$late\" is reserved",
        ),
    ] {
        let data = json!({"list": [1], "late": {"$late": "{{ steps.x }}"}});
        let error = render(&rules(value), data).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().starts_with(says), "{error}");
    }
    let defaulted = render(&rules("\"{{ event.data.none | default(7) }}\""), json!({})).unwrap();
    assert_eq!(Value::Object(defaulted.vars), json!({"a": 1, "b": 7}));
}

#[test]
fn text_of_an_event_is_never_a_template_in_a_value_either() {
    let rules = parse(
        &text(
            "{ s: \"{{ event.data.s }}\" }",
            "{ t: \"{{ vars.s }}\" }",
            "\"{{ vars.t }}\"",
        ),
        "",
    )
    .unwrap();
    let job = render(&rules, json!({"s": "{{ host.id }}"})).unwrap();
    assert_eq!(first_list(&job), &json!(["{{ host.id }}"]));
}

#[test]
fn every_mistake_in_let_is_told_with_its_place() {
    let cases: &[(&str, &str, &str, u64, u64, &str)] = &[
        (
            "{ a: \"{{ vars.b }}\", b: 1 }",
            "{}",
            "x",
            3,
            11,
            "vars.b has no value yet: those of let are rendered in their order, put \"b\" before this one",
        ),
        (
            "{ a: \"{{ vars.a }}\" }",
            "{}",
            "x",
            3,
            11,
            "vars.a has no value yet",
        ),
        (
            "{ a: \"{{ vars.b }}\", b: \"{{ vars.a }}\" }",
            "{}",
            "x",
            3,
            11,
            "vars.b has no value yet",
        ),
        (
            "{ a: 1, b: \"{{ vars.aa }}\" }",
            "{}",
            "x",
            3,
            17,
            "let has no name \"aa\", expected one of: a; did you mean \"a\"?",
        ),
        (
            "{ a: 1 }",
            "{ a: 2 }",
            "x",
            5,
            10,
            "the pipeline's let has the name \"a\" already",
        ),
        ("{ a: 1, a: 2 }", "{}", "x", 3, 14, "duplicate"),
        (
            "{ a-b: 1 }",
            "{}",
            "x",
            3,
            8,
            "\"a-b\" is no name for a value, expected 1 to 64 of a-z 0-9 _, the first no digit",
        ),
        ("{ 1a: 1 }", "{}", "x", 3, 8, "\"1a\" is no name for a value"),
        ("[a]", "{}", "x", 3, 6, "expected a map for let, found a list"),
        (
            "{}",
            "{}",
            "\"{{ vars.a }}\"",
            7,
            46,
            "vars is not known here: it has the values of let, and there are none",
        ),
        (
            "{ a: 1 }",
            "{}",
            "\"{{ vars.b }}\"",
            7,
            46,
            "let has no name \"b\", expected one of: a",
        ),
        (
            "{ a: \"{{ steps.x.output }}\" }",
            "{}",
            "x",
            3,
            11,
            "steps is not known here",
        ),
        (
            "{ a: \"{{ params.x }}\" }",
            "{}",
            "x",
            3,
            11,
            "params is known in named jobs only",
        ),
        (
            "{ a: \"{{ even.id }}\" }",
            "{}",
            "x",
            3,
            11,
            "unknown name \"even\", expected one of event, host, vars; did you mean \"event\"?",
        ),
        (
            "{ a: { \"{{ event.id }}\": 1 } }",
            "{}",
            "x",
            3,
            13,
            "a template cannot be a key",
        ),
    ];
    for (of_pipeline, of_job, argv, line, column, says) in cases {
        let text = text(of_pipeline, of_job, argv);
        super::schema::agree("a file with a problem", &text, "");
        let problems = parse(&text, "").map(drop).unwrap_err().problems;
        let first = &problems[0];
        assert_eq!((first.line, first.column), (*line, *column), "{text}{first}");
        assert!(first.message.contains(says), "{text}{first}");
    }
}

#[test]
fn names_and_values_are_taken_up_to_their_bounds() {
    let names = |prefix: &str, count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("{prefix}{n}: 1")).collect();
        format!("{{ {} }}", names.join(", "))
    };
    parse(&text(&names("a", 20), &names("b", 12), "x"), "").unwrap();
    let problems = parse(&text(&names("a", 20), &names("b", 13), "x"), "")
        .map(drop)
        .unwrap_err();
    assert!(
        problems
            .to_string()
            .starts_with("p.yaml:5:8: 33 names, expected at most 32"),
        "{problems}"
    );
    let name = |length: usize| parse(&text(&format!("{{ {}: 1 }}", "a".repeat(length)), "{}", "x"), "");
    name(64).unwrap();
    assert!(
        name(65)
            .map(drop)
            .unwrap_err()
            .to_string()
            .contains("is no name for a value")
    );

    // The name and the quotes are counted, too.
    let most = 64 * 1024 - 3;
    let literal = |bytes: usize| parse(&text(&format!("{{ a: {} }}", "x".repeat(bytes)), "{}", "x"), "");
    literal(most).unwrap();
    let problems = literal(most + 1).map(drop).unwrap_err();
    assert!(
        problems
            .to_string()
            .contains("3:6: the values are longer than 65536 bytes"),
        "{problems}"
    );
    let rules = parse(
        &text(
            "{ a: \"{{ event.data.s }}\" }",
            "{ b: \"{{ event.data.s }}\" }",
            "x",
        ),
        "",
    )
    .unwrap();
    let half = most / 2;
    render(&rules, json!({"s": "x".repeat(half - 1)})).unwrap();
    let error = render(&rules, json!({"s": "x".repeat(half)})).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (
            "too_large",
            "pipeline p, let b: rendered, it is longer than 65536 bytes"
        )
    );
}

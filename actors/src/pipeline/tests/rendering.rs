//! Rendering: from an event and a host to a job.

use super::events::{event, host, parse};
use crate::pipeline::template::REASON_CHARS_MAX;
use crate::pipeline::{RenderError, RuleSet, StepFacts, is_late, render_late};
use serde_json::{Map, Value, json};
use tripline_protocol::job::{JobSpec, Priority};
use tripline_protocol::step::OnError;

/// A pipeline whose last step runs a program with these arguments.
fn rules(argv: &str) -> RuleSet {
    let text = format!(
        "name: p\non: a\njob:\n  steps:\n    - {{ id: one, list_processes: {{}} }}\n    - create_process: {{ argv: [{argv}] }}\n"
    );
    parse(&text, "").unwrap()
}

fn render_with(rules: &RuleSet, data: Value) -> Result<JobSpec, RenderError> {
    rules
        .pipelines()
        .next()
        .unwrap()
        .render(&event(data), &host())
        .map(|job| job.spec)
}

fn argv(template: &str, data: Value) -> Result<Value, RenderError> {
    let template = serde_json::to_string(template).unwrap();
    render_with(&rules(&template), data).map(|spec| spec.steps[1].args["argv"][0].clone())
}

#[test]
fn everything_a_job_says_reaches_its_specification() {
    let text = "name: p\non: a\njob:\n  expires: 7d\n  timeout: 2m\n  priority: high\n  steps:\n    - id: k\n      kill_process: { pid: \"{{ event.data.pid }}\" }\n      timeout: 5s\n      on_error: continue\n      idempotent: true\n";
    let spec = render_with(&parse(text, "").unwrap(), json!({"pid": 7})).unwrap();
    assert_eq!(spec.name.as_str(), "p");
    assert_eq!(spec.expires.unwrap().to_string(), "7d");
    assert_eq!(
        (spec.timeout.unwrap().as_millis(), spec.priority),
        (120_000, Priority::High)
    );
    let step = &spec.steps[0];
    assert_eq!(
        (step.id.as_deref(), step.timeout.unwrap().as_millis()),
        (Some("k"), 5_000)
    );
    assert_eq!(
        (step.on_error.clone(), step.idempotent),
        (OnError::Continue, true)
    );
    assert_eq!(step.args, json!({"pid": 7}));
}

#[test]
fn one_whole_expression_keeps_its_type() {
    let text = "name: p\non: a\njob:\n  steps:\n    - create_process: { argv: \"{{ event.data.argv }}\", environment: \"{{ event.data.env }}\", wait: \"{{ event.data.n > 1 }}\", output_bytes_max: \"{{ event.data.n }}\" }\n";
    let data = json!({"argv": ["a", "b"], "env": {"k": "v"}, "n": 5});
    let spec = render_with(&parse(text, "").unwrap(), data).unwrap();
    let expected =
        json!({"argv": ["a", "b"], "environment": {"k": "v"}, "wait": true, "output_bytes_max": 5});
    assert_eq!(spec.steps[0].args, expected);
}

#[test]
fn within_a_text_values_become_text() {
    let data = json!({"n": 5, "f": 1.5, "b": true, "s": "x y", "l": ["a", 2], "m": {"k": null}});
    for (template, expected) in [
        (
            "{{ event.data.n }}-{{ event.data.f }}-{{ event.data.b }}",
            "5-1.5-true",
        ),
        ("<{{ event.data.s | upper }}>", "<X Y>"),
        ("{{ event.data.l | join(',') }}!", "a,2!"),
        ("{{ event.data.m | tojson }}.", "{\"k\":null}."),
        ("{{ event.data.none | default('d') }}.", "d."),
        (
            "{{ host.id }}/{{ host.labels[0] }}/{{ event.time }}",
            "7d444840-9dc0-11d1-b245-5ffdce74fad2/dmz/2026-11-20T14:00:00Z",
        ),
        ("{{ \"{{\" }} {{ '{%' }}", "{{ {%"),
        ("{{ event.data.s | replace(' ', '_') }}.", "x_y."),
        ("{{ 'yes' if event.data.none is defined else 'no' }}.", "no."),
    ] {
        assert_eq!(
            argv(template, data.clone()).unwrap(),
            json!(expected),
            "{template}"
        );
    }
}

#[test]
fn numbers_keep_their_exact_value() {
    for number in [
        json!(i64::MIN),
        json!(u64::MAX),
        json!(0.1),
        json!(-0.5),
        json!(9_007_199_254_740_993_i64),
    ] {
        let text = "name: p\non: a\njob:\n  steps:\n    - set_registry_value: { path: x, value: \"{{ event.data.n }}\" }\n";
        let spec = render_with(&parse(text, "").unwrap(), json!({"n": number})).unwrap();
        assert_eq!(spec.steps[0].args["value"], number);
    }
}

#[test]
fn a_missing_field_is_an_error_that_names_pipeline_step_and_argument() {
    for template in [
        "{{ event.data.pid }}",
        "x{{ event.data.pid }}",
        "{{ event.data.a.b }}",
        "{{ [event.data.pid] }}",
        "x{{ event.data.nul }}",
    ] {
        let error = argv(template, json!({"nul": null})).unwrap_err();
        assert_eq!(error.code(), "missing_field", "{template}: {error}");
        assert!(
            error
                .to_string()
                .starts_with("pipeline p, step step2, argument argv[0]: {{ "),
            "{error}"
        );
    }
}

#[test]
fn what_does_not_fit_the_verb_is_a_bad_argument() {
    let text = "name: p\non: a\njob:\n  steps:\n    - kill_process: { pid: \"{{ event.data.pid }}\" }\n";
    let rules = parse(text, "").unwrap();
    for pid in [
        json!("42"),
        json!(-1),
        json!(0),
        json!({"$late": "{{ steps.x }}"}),
        json!([[{"$late": 1}]]),
    ] {
        let error = render_with(&rules, json!({"pid": pid})).unwrap_err();
        assert_eq!(error.code(), "bad_argument", "{error}");
    }
}

#[test]
fn a_template_that_fails_is_a_template_error() {
    for template in [
        "{{ event.data.s + 1 }}",
        "{{ event.data.s | int }}x",
        "{{ event.data.l }}x",
        "{{ 1 // 0 }}",
    ] {
        let error = argv(template, json!({"s": "x", "l": [1]})).unwrap_err();
        assert_eq!(error.code(), "template_error", "{template}: {error}");
    }
}

#[test]
fn why_a_template_failed_is_told_up_to_a_bound() {
    let reason = |chars: usize| {
        let name = "a".repeat(chars);
        let error = argv(&format!("x{{{{ event.data.{name} }}}}"), json!({ name: [1] })).unwrap_err();
        let text = error.to_string();
        let (_, reason) = text.split_once("the template failed: ").unwrap();
        assert!(reason.contains("add | tojson or | join"), "{reason}");
        reason.chars().count()
    };
    let around = reason(1) - 1;
    let fits = REASON_CHARS_MAX - around;
    assert_eq!(
        [reason(fits - 1), reason(fits), reason(fits + 1)],
        [REASON_CHARS_MAX - 1, REASON_CHARS_MAX, REASON_CHARS_MAX]
    );
}

#[test]
fn what_is_rendered_has_a_limit() {
    let long = "a".repeat(200_000);
    for (template, code) in [
        ("{{ event.data.s }}{{ event.data.s }}", "too_large"),
        ("{{ [event.data.s, event.data.s] | tojson }}", "template_error"),
        (
            "{{ event.data.s | replace('a', event.data.s) }}",
            "template_error",
        ),
        ("{{ event.data.l | join(event.data.s) }}", "template_error"),
    ] {
        let error = argv(template, json!({"s": long, "l": vec!["b"; 1000]})).unwrap_err();
        assert_eq!(error.code(), code, "{template}: {error}");
    }
}

#[test]
fn text_of_an_event_is_never_a_template() {
    let data = json!({"s": "{{ steps.one.output }}", "m": {"x": "{{ event.id }}"}});
    let rendered = argv("{{ event.data.s }}", data.clone()).unwrap();
    assert_eq!(rendered, json!("{{ steps.one.output }}"));
    let args = render_with(&rules("\"{{ event.data.s }}\", \"{{ steps.one.output }}\""), data)
        .unwrap()
        .steps[1]
        .args
        .clone();
    assert!(is_late(&args));
    let outputs = Map::from_iter([(
        "one".to_owned(),
        json!({"status": "succeeded", "output": "{{ event.id }}"}),
    )]);
    let late = render_late(&args, &StepFacts::over(outputs)).unwrap();
    assert_eq!(
        late,
        json!({"argv": ["{{ steps.one.output }}", "{{ event.id }}"]})
    );
    assert!(!is_late(&late));
}

#[test]
fn late_arguments_wait_and_keep_their_type() {
    let args = render_with(
        &rules("a, \"{{ steps.one.output.n }}\", \"n={{ steps['one'].output.n }}\""),
        json!({}),
    )
    .unwrap()
    .steps[1]
        .args
        .clone();
    let outputs = |output: Value| {
        let one = json!({"status": "succeeded", "output": output});
        StepFacts::over(Map::from_iter([("one".to_owned(), one)]))
    };
    assert_eq!(
        render_late(&args, &outputs(json!({"n": 3}))).unwrap(),
        json!({"argv": ["a", 3, "n=3"]})
    );
    let error = render_late(&args, &outputs(json!({}))).unwrap_err();
    assert_eq!(error.code(), "missing_field");
    assert!(error.to_string().contains("argv[1]"), "{error}");
}

#[test]
fn what_stands_in_the_file_counts_in_what_a_job_renders_to() {
    let step = |content: &str| format!("    - put_file: {{ path: /x, content: {content} }}\n");
    let job = |steps: &str| format!("name: p\non: a\njob:\n  steps:\n{steps}");
    let long = "x".repeat(60 * 1024);
    let anchored = |aliases: usize| step(&format!("&a {long}")) + &step("*a").repeat(aliases);
    let problems = parse(&job(&anchored(4)), "").map(drop).unwrap_err().problems;
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}")
    };
    assert_eq!((problem.line, problem.column), (5, 5));
    assert!(
        problem.message.starts_with("the arguments have 30") && problem.message.ends_with("at most 262144"),
        "{problem}"
    );
    let many = parse(&job(&anchored(40)), "").map(drop).unwrap_err().problems;
    assert_eq!(many.len(), 1, "{many:?}");
    let rules = parse(&job(&(anchored(3) + &step("\"{{ event.data.more }}\""))), "").unwrap();
    let with = |bytes: usize| render_with(&rules, json!({"more": "x".repeat(bytes)}));
    assert!(with(10 * 1024).is_ok());
    assert_eq!(with(30 * 1024).unwrap_err().code(), "too_large");
}

#[test]
fn parameters_are_checked_and_defaults_filled_in() {
    let job = "name: j\nparams:\n  path: { type: string }\n  n: { type: integer, default: 5 }\n  opt: { type: map, required: false }\nsteps:\n  - get_file: { path: \"{{ params.path }}\", bytes_max: \"{{ params.n }}\", offset: \"{{ params.opt.o | default(0) if params.opt is defined else 0 }}\" }\n";
    let rules = parse("", job).unwrap();
    let job = rules.named_job(&"j".parse().unwrap()).unwrap();
    let render = |params: Value| {
        let Value::Object(params) = params else { panic!() };
        job.render(&params, &host())
            .map(|job| job.spec.steps[0].args.clone())
    };
    assert_eq!(
        render(json!({"path": "/x"})).unwrap(),
        json!({"path": "/x", "bytes_max": 5, "offset": 0})
    );
    assert_eq!(
        render(json!({"path": "{{ host.id }}", "n": 6, "opt": {"o": 2}})).unwrap(),
        json!({"path": "{{ host.id }}", "bytes_max": 6, "offset": 2})
    );
    for (params, reason) in [
        (json!({}), "job j: parameter \"path\" is missing"),
        (
            json!({"path": 7}),
            "job j: parameter \"path\" takes a string, not 7",
        ),
        (
            json!({"path": "/x", "n": 1.5}),
            "job j: parameter \"n\" takes an integer, not 1.5",
        ),
        (
            json!({"path": "/x", "m": 1}),
            "job j: unknown parameter \"m\", expected one of: path, n, opt",
        ),
    ] {
        let error = render(params).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), ("bad_params", reason));
    }
    let error = render(json!({"path": "/x", "opt": {"a": {"$late": "{{ steps.x }}"}}})).unwrap_err();
    assert_eq!(error.code(), "bad_argument");
}

#[test]
fn a_pipeline_hands_typed_parameters_to_its_named_job() {
    let job = "name: j\nparams:\n  pid: { type: integer }\nsteps:\n  - kill_process: { pid: \"{{ params.pid }}\" }\n";
    let rules = parse(
        "name: p\non: a\njob: j\nparams: { pid: \"{{ event.data.pid }}\" }\n",
        job,
    )
    .unwrap();
    let spec = render_with(&rules, json!({"pid": 9})).unwrap();
    assert_eq!(
        (spec.name.as_str(), &spec.steps[0].args),
        ("j", &json!({"pid": 9}))
    );
    let error = render_with(&rules, json!({"pid": "9"})).unwrap_err();
    assert_eq!(
        error.to_string(),
        "pipeline p: parameter \"pid\" takes an integer, not \"9\""
    );
    let error = render_with(&rules, json!({})).unwrap_err();
    assert_eq!(
        error.to_string(),
        "pipeline p, parameter pid: {{ event.data.pid }} has no value"
    );
}

#[test]
fn hostile_expressions_in_templates_do_not_overflow_a_small_stack() {
    std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(|| {
            for text in [
                format!("{{{{ steps.one{} }}}}", ".a".repeat(500)),
                format!("{{{{ {}1 }}}}", "not ".repeat(250)),
                format!("{{{{ {}1{} }}}}", "(".repeat(500), ")".repeat(500)),
                format!("{{{{ {}1{} }}}}", "[".repeat(500), "]".repeat(500)),
                format!("{{{{ 1{} }}}}", " and 1".repeat(160)),
                format!("{{{{ 1{} }}}}", " - 1".repeat(250)),
                format!("{{{{ 1{} }}}}", "|int".repeat(250)),
                format!("{{{{ {}1 }}}}", "1 if 1 else ".repeat(84)),
                format!("{{{{ {}1 }}}}", "- ".repeat(500)),
            ] {
                let args = json!({"argv": [{"$late": text}]});
                let outputs = Map::from_iter([("one".to_owned(), json!({}))]);
                drop(render_late(&args, &StepFacts::over(outputs)));
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

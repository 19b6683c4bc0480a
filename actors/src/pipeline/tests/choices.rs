//! Steps that run on a condition: what is decided when the job is made, and what waits.

use super::events::{event, host, parse};
use crate::pipeline::{RenderError, StepFacts, compiled, holds_late};
use serde_json::{Map, Value, json};
use tripline_protocol::step::{Step, When};

/// The first step of a pipeline whose steps are these.
fn steps(steps: &str, data: Value) -> Result<Vec<Step>, RenderError> {
    let rules = parse(&format!("name: p\non: a\njob:\n  steps:\n{steps}"), "").unwrap();
    let pipeline = rules.pipelines().next().unwrap().render(&event(data), &host());
    pipeline.map(|job| job.spec.steps)
}

fn no(condition: &str) -> Option<When> {
    Some(When::No { no: condition.into() })
}

#[test]
fn a_condition_over_the_event_and_its_host_is_decided_when_the_job_is_made() {
    let decided = |condition: &str, data: Value| {
        let text = format!("    - {{ list_processes: {{}}, when: \"{condition}\" }}\n");
        steps(&text, data).map(|steps| steps[0].when.clone())
    };
    assert_eq!(decided("event.data.n > 1", json!({"n": 2})), Ok(None));
    assert_eq!(
        decided("event.data.n > 1", json!({"n": 1})),
        Ok(no("event.data.n > 1"))
    );
    assert_eq!(decided("event.data.x > 1", json!({})), Ok(no("event.data.x > 1")));
    assert_eq!(decided("host.platform == 'linux'", json!({})), Ok(None));
    assert_eq!(decided("false", json!({})), Ok(no("false")));
    let error = decided("event.data.n > 1", json!({"n": "a"})).unwrap_err();
    assert_eq!(error.code(), "condition_error");
    assert!(
        error
            .to_string()
            .starts_with("pipeline p, step step1: the condition failed: "),
        "{error}"
    );
}

#[test]
fn a_step_that_is_ruled_out_needs_nothing_of_what_its_templates_name() {
    let text = "    - list_processes: {}
    - { when: has(event.data.path), get_file: { path: \"{{ event.data.path }}\" } }
    - { when: has(event.data.list), for_each: \"{{ event.data.list }}\", get_file: { path: \"{{ item }}\" } }
    - { when: event.data.pid > 1, kill_process: { pid: \"{{ event.data.pid }}\" } }
  finally:
    - { when: has(event.data.path), delete_file: { path: \"{{ event.data.path }}\" } }\n";
    let rendered = steps(text, json!({"pid": 0})).unwrap();
    let skipped: Vec<_> = rendered
        .iter()
        .map(|step| (step.args.clone(), step.for_each.is_some()))
        .collect();
    assert_eq!(skipped, vec![(json!({}), false); 4]);
    assert_eq!(rendered[1].when, no("has(event.data.path)"));
    let read = serde_json::from_value::<Vec<Step>>(json!(rendered)).unwrap();
    assert_eq!(read, rendered, "they can be stored");
    let wanted = steps(text, json!({"path": "/x", "list": ["/y"], "pid": 7})).unwrap();
    assert_eq!(wanted[1].args, json!({"path": "/x"}));
    assert_eq!(wanted[3].args, json!({"pid": 7}));
    assert!(wanted[2].for_each.is_some() && wanted.iter().all(|step| step.when.is_none()));
}

#[test]
fn a_condition_over_parameters_is_decided_when_a_named_job_is_made() {
    let job = "name: j\nparams: { n: { type: integer } }\nsteps:\n  - { list_processes: {}, when: \"params.n > 1\" }\n";
    let rules = parse("", job).unwrap();
    let named = rules.named_jobs().next().unwrap();
    let when = |n: i64| {
        let given = Map::from_iter([("n".to_owned(), json!(n))]);
        named.render(&given, &host()).unwrap().spec.steps[0].when.clone()
    };
    assert_eq!((when(2), when(1)), (None, no("params.n > 1")));
}

#[test]
fn a_condition_over_earlier_steps_waits_for_them() {
    let text = "    - list_processes: {}\n    - { list_processes: {}, when: \"steps.step1.output.n > 1\" }\n";
    let late = steps(text, json!({})).unwrap().remove(1).when;
    assert_eq!(late, Some(When::Late("steps.step1.output.n > 1".into())));
    assert!(
        compiled::kept("steps.step1.output.n > 1").is_some(),
        "it is compiled before the job begins"
    );
    let holds = |output: Value| {
        let one = json!({"status": "succeeded", "output": output});
        let facts = StepFacts::over(Map::from_iter([("step1".to_owned(), one)]));
        holds_late("steps.step1.output.n > 1", &facts)
    };
    assert_eq!(holds(json!({"n": 2})), Ok(true));
    assert_eq!(holds(json!({"n": 1})), Ok(false));
    assert_eq!(holds(json!({})), Ok(false), "what is missing does not hold");
    assert_eq!(holds(json!({"n": "a"})).unwrap_err().code(), "condition_error");
}

#[test]
fn hostile_conditions_are_compiled_and_asked_on_any_stack() {
    let hostile = || {
        for count in [100, 600, 900] {
            let close = ")".repeat(count);
            for source in [
                format!("{}true{close}", "(".repeat(count)),
                format!("{}steps{}", "[".repeat(count), "]".repeat(count)),
                format!("{}true", "!".repeat(count)),
                format!("steps.one{} == 1", ".a".repeat(count)),
                format!("{}1{close} == 1", "int(".repeat(count / 3)),
            ] {
                let one = Map::from_iter([("one".to_owned(), json!({}))]);
                // Refused or not: the thread lives.
                drop(holds_late(&source, &StepFacts::over(one)));
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(hostile);
    thread.unwrap().join().unwrap();
}

#[test]
fn the_values_of_let_are_known_to_conditions_and_late_arguments_of_steps() {
    let text = "name: p\non: a\nlet: { n: \"{{ event.data.n }}\" }\njob:\n  let: { two: 2 }\n  steps:\n    - { list_processes: {}, when: \"vars.n == vars.two\" }\n    - { list_processes: {}, when: \"vars.n == steps.step1.output.n\" }\n    - get_file: { path: \"/{{ vars.n }}/{{ steps.step1.status }}\" }\n";
    let rules = parse(text, "").unwrap();
    let pipeline = rules.pipelines().next().unwrap();
    let job = |n: i64| pipeline.render(&event(json!({ "n": n })), &host()).unwrap();
    assert_eq!(job(2).spec.steps[0].when, None);
    assert_eq!(job(3).spec.steps[0].when, no("vars.n == vars.two"));
    let late = job(2);
    assert_eq!(
        late.spec.steps[1].when,
        Some(When::Late("vars.n == steps.step1.output.n".into()))
    );
    assert_eq!(
        late.spec.steps[2].args,
        json!({"path": {"$late": "/{{ vars.n }}/{{ steps.step1.status }}"}})
    );
    let one = Map::from_iter([(
        "step1".to_owned(),
        json!({"status": "succeeded", "output": {"n": 2}}),
    )]);
    let facts = StepFacts::over(one).with_vars(late.vars);
    assert_eq!(holds_late("vars.n == steps.step1.output.n", &facts), Ok(true));
}

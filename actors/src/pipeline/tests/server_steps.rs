//! Steps that the server does, tries, steps for the end, and steps over lists: in files and in submitted jobs.

use super::events::{event, host, parse};
use crate::pipeline::{FileProblem, prepare_submitted};
use serde_json::{Value, json};
use tripline_protocol::job::JobSpec;
use tripline_protocol::step::{ForEach, RetryOn, ServerVerb, StepVerb};

fn job(text: &str, data: Value) -> JobSpec {
    let rules = parse(&format!("name: p\non: a\njob:\n{text}"), "").unwrap();
    let pipeline = rules.pipelines().next().unwrap();
    pipeline.render(&event(data), &host()).unwrap().spec
}

fn submitted(job: Value) -> Result<JobSpec, String> {
    let mut whole = json!({"name": "j"});
    for (key, value) in job.as_object().unwrap() {
        whole[key] = value.clone();
    }
    prepare_submitted(serde_json::from_value(whole).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn what_a_file_says_of_tries_waits_and_ends_reaches_the_job() {
    let text = r#"  timeout: 10m
  retry: { attempts: 3, on: [timed_out] }
  steps:
    - list_processes: {}
      retry: { attempts: 2, backoff: 5s, backoff_max: 1m }
    - wait: 5m
    - wait: "{{ event.data.pause }}"
    - publish: { etype: acme.done, data: { pid: "{{ event.data.pid }}" } }
    - detect: { cat: miner, priority: 3 }
  finally:
    - unisolate: {}
    - id: tell
      publish: { etype: "acme.{{ event.data.word }}" }
      when: steps.step1.status == "failed"
  finally_timeout: 30s
"#;
    let job = job(text, json!({"pause": "30s", "pid": 7, "word": "over"}));
    let retry = job.retry.unwrap();
    assert_eq!((retry.attempts, retry.on), (3, vec![RetryOn::TimedOut]));
    assert_eq!(job.steps[0].retry.as_ref().unwrap().backoff.to_string(), "5s");
    assert_eq!(
        (job.steps[1].verb, &job.steps[1].args),
        (ServerVerb::Wait.into(), &json!("5m"))
    );
    assert_eq!(job.steps[2].args, json!("30s"));
    assert_eq!(
        job.steps[3].args,
        json!({"etype": "acme.done", "data": {"pid": 7}})
    );
    assert_eq!(job.steps[4].verb, StepVerb::Server(ServerVerb::Detect));
    let ids: Vec<_> = job.finally.iter().map(|step| step.id.clone().unwrap()).collect();
    assert_eq!(ids, ["finally1", "tell"]);
    assert_eq!(job.finally[1].args, json!({"etype": "acme.over"}));
    assert_eq!(job.finally_timeout.unwrap().to_string(), "30s");
}

#[test]
fn a_list_is_known_when_the_job_is_made_or_when_its_step_is_reached() {
    let text = r#"  steps:
    - list_processes: {}
    - for_each: { in: "{{ event.data.paths }}", max: 7 }
      when: index > 0
      get_file: { path: "{{ item }}" }
    - for_each: "{{ steps.step1.output.processes }}"
      kill_process: { pid: "{{ item.pid }}" }
    - for_each: [a, b]
      get_file: { path: "/{{ item }}" }
"#;
    let job = job(text, json!({"paths": ["/x"]}));
    let list = |items: Value, max| Some(ForEach { items, max });
    assert_eq!(job.steps[1].for_each, list(json!(["/x"]), 7));
    assert_eq!(
        job.steps[2].for_each,
        list(json!({"$late": "{{ steps.step1.output.processes }}"}), 50)
    );
    assert_eq!(job.steps[3].for_each, list(json!(["a", "b"]), 50));
    let rules = parse(
        "name: p\non: a\njob: { steps: [ { for_each: \"{{ event.data.x }}\", list_processes: {} } ] }\n",
        "",
    );
    let rules = rules.unwrap();
    let pipeline = rules.pipelines().next().unwrap();
    let error = pipeline
        .render(&event(json!({"x": "no list"})), &host())
        .unwrap_err();
    assert!(error.to_string().contains("for_each needs a list"), "{error}");
}

#[test]
fn a_submitted_job_may_use_all_of_it() {
    let job = submitted(json!({
        "retry": {"attempts": 2},
        "steps": [
            {"id": "look", "list_processes": {}},
            {"wait": "{{ steps.look.output.pause }}"},
            {"for_each": "{{ steps.look.output.files }}", "get_file": {"path": "{{ item.path }}"}, "when": "index < 3"},
            {"publish": {"etype": "a", "data": "{{ steps.look.output }}"}},
        ],
        "finally": [{"unisolate": null}],
    }));
    let job = job.unwrap();
    assert_eq!(
        job.steps[1].args,
        json!({"$late": "{{ steps.look.output.pause }}"})
    );
    let list = job.steps[2].for_each.clone().unwrap();
    assert_eq!(
        (list.items, list.max),
        (json!({"$late": "{{ steps.look.output.files }}"}), 50)
    );
    assert_eq!(job.finally[0].id.as_deref(), Some("finally1"));
}

#[test]
fn what_is_wrong_with_a_submitted_job_is_told_with_its_step() {
    let look = json!({"id": "look", "list_processes": {}});
    let too_many: Vec<Value> = vec![json!({"unisolate": null}); 17];
    for (job, expected) in [
        (
            json!({"steps": [{"wait": "0s"}]}),
            "step step1: wait: expected a span above zero",
        ),
        (json!({"steps": [{"wait": {}}]}), "step step1: wait: "),
        (
            json!({"timeout": "5m", "steps": [{"wait": "5m"}]}),
            "a step waits 5m, and the job may run 5m in all",
        ),
        (
            json!({"steps": [{"publish": {}}]}),
            "publish: missing field `etype`",
        ),
        (
            json!({"steps": [{"detect": {"cat": ""}}]}),
            "detect: cat must be 1 to 200 characters",
        ),
        (
            json!({"steps": [{"list_processes": {}, "retry": {"attempts": 1}}]}),
            "step step1: retry: 1 attempts",
        ),
        (
            json!({"retry": {"attempts": 20}, "steps": [look]}),
            "retry: 20 attempts",
        ),
        (
            json!({"steps": [look], "finally": too_many}),
            "17 steps, expected 1 to 16",
        ),
        (
            json!({"steps": [look], "finally": [{"wait": "1s"}]}),
            "a step of finally cannot have \"wait\"",
        ),
        (
            json!({"steps": [look], "finally": [look]}),
            "two steps have the id \"look\"",
        ),
        (
            json!({"steps": [look], "finally_timeout": "2h"}),
            "finally_timeout is 2h, expected above zero and at most 1h",
        ),
        (
            json!({"steps": [{"for_each": "x", "list_processes": {}}]}),
            "for_each needs a list",
        ),
        (
            json!({"steps": [{"for_each": {"in": [], "max": 201}, "list_processes": {}}]}),
            "max of for_each is 201, expected 1 to 200",
        ),
        (
            json!({"steps": [{"get_file": {"path": "{{ item }}"}}]}),
            "item is not known here; only a step with for_each has one",
        ),
        (
            json!({"steps": [{"id": "a", "for_each": [1], "list_processes": {}}, {"id": "a-1", "list_processes": {}}]}),
            "the id \"a-1\" stands for an element of the list of step \"a\"",
        ),
    ] {
        let error = submitted(job).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_place() {
    let wrong = |text: &str| {
        let error = parse(
            &format!("name: p\non: a\njob:\n  steps:\n    - list_processes: {{}}\n{text}\n"),
            "",
        );
        let problems = error.unwrap_err().problems;
        let line =
            |problem: &FileProblem| format!("{}:{} {}\n", problem.line, problem.column, problem.message);
        problems.iter().map(line).collect::<String>()
    };
    for (text, expected) in [
        ("    - wait: soon", "6:7 wait: "),
        (
            "    - wait: 8d",
            "6:7 wait: expected a span above zero and at most 7d",
        ),
        (
            "    - wait: 1h",
            "5:5 a step waits 1h, and the job may run 10m in all",
        ),
        (
            "    - publish: { etype: \"a b\" }",
            "6:25 argument \"etype\" of publish: ",
        ),
        (
            "    - publish: { etpye: a }",
            "6:18 publish has no argument \"etpye\", expected one of: etype, data, host; did you mean \"etype\"?",
        ),
        (
            "    - publish: { data: \"{{ event.data }}\" }",
            "6:7 publish needs the argument \"etype\"",
        ),
        (
            "    - detect: { etype: a }",
            "6:7 detect needs the argument \"cat\"",
        ),
        (
            "    - detect: { cat: a, priority: 11 }",
            "6:35 argument \"priority\" of detect: priority 11 is above 10",
        ),
        (
            "    - publish: now",
            "6:16 expected a map for the arguments of publish, found a text",
        ),
        (
            "    - { list_processes: {}, retry: { attempts: 11 } }",
            "6:48 11 is not a whole number from 2 to 10",
        ),
        (
            "    - { list_processes: {}, retry: { tries: 2 } }",
            "6:36 the key \"attempts\" is missing",
        ),
        (
            "    - { list_processes: {}, retry: { attempts: 2, on: [failed] } }",
            "6:36 retry: on belongs to the retry of a job",
        ),
        ("  finally: []", "6:12 0 steps, expected 1 to 16"),
        (
            "  finally: [ { unisolate: {}, on_error: fail } ]",
            "6:41 a step of finally cannot have \"on_error\"",
        ),
        (
            "  finally: [ { unisolate: {}, tiemout: 1m } ]",
            "6:31 unknown key \"tiemout\" in a step of finally, expected a verb or one of id, when, timeout, idempotent; \
             did you mean \"timeout\"?",
        ),
        (
            "  finally: [ { id: step1, unisolate: {} } ]",
            "6:14 two steps have the id \"step1\"",
        ),
        (
            "  finally_timeout: 61m",
            "6:20 finally_timeout is 1h 1m, expected above zero and at most 1h",
        ),
        (
            "    - { for_each: abc, list_processes: {} }",
            "6:19 expected a list, or a template that gives one, found a text",
        ),
        (
            "    - { for_each: { in: [1], max: 0 }, list_processes: {} }",
            "6:35 0 is not a whole number from 1 to 200",
        ),
        (
            "    - { for_each: { on: [1] }, list_processes: {} }",
            "6:19 the key \"in\" is missing, expected a list, or a template that gives one",
        ),
        (
            "    - { for_each: \"{{ item }}\", list_processes: {} }",
            "6:19 item is not known here",
        ),
        (
            "    - { get_file: { path: \"{{ index }}\" } }",
            "6:27 index is not known here",
        ),
        (
            "    - { id: step1-2, list_processes: {} }\n    - { id: a, list_processes: {} }\n    - { id: a-1, for_each: [1], list_processes: {} }\n    - { id: a-1-3, list_processes: {} }",
            "9:7 the id \"a-1-3\" stands for an element of the list of step \"a-1\"",
        ),
    ] {
        let found = wrong(text);
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

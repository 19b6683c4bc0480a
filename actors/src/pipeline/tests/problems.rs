//! Every mistake that a file may have, with its place.

use super::events::parse;
use super::schema;

/// A pipeline around what is to be tested, five lines down.
pub(super) fn pipeline(rest: &str) -> String {
    format!("name: p\non: [a]\n{rest}\n")
}

fn step(step: &str) -> String {
    pipeline(&format!("job:\n  steps:\n    - {step}"))
}

/// File text, then line, column and a part of the message of each problem.
pub(super) type Bad = (String, &'static [(u64, u64, &'static str)]);

fn bad_pipelines() -> Vec<Bad> {
    let job = "job: { steps: [ list_processes: {} ] }";
    vec![
        (
            format!("naem: p\non: [a]\n{job}\n"),
            &[
                (
                    1,
                    1,
                    "unknown key \"naem\" in a pipeline, expected one of name, description, enabled, dry_run, on, orgs, events, when, let, suppress, max_hosts, max_in_flight, auto_pause, job, params, tests; did you mean \"name\"?",
                ),
                (1, 1, "the key \"name\" is missing"),
            ],
        ),
        (
            format!("name: Upper\non: [a]\n{job}\n"),
            &[(1, 7, "\"Upper\" is not a valid name")],
        ),
        (
            format!("name: p\n{job}\n"),
            &[(1, 1, "the key \"on\" is missing, expected a list of etypes")],
        ),
        (
            format!("name: p\non: [a, b.>.c, 7]\n{job}\n"),
            &[
                (2, 9, "\"b.>.c\" is not a valid etype pattern"),
                (
                    2,
                    16,
                    "expected an etype, or a pattern such as acme.alert.*, found a number",
                ),
            ],
        ),
        (
            format!("name: p\non: []\n{job}\n"),
            &[(2, 5, "0 etypes, expected 1 to 256")],
        ),
        (
            pipeline(&format!("enabled: yes\norgs: []\n{job}")),
            &[
                (3, 10, "expected true or false, found a text"),
                (4, 7, "0 orgs, expected 1 to 256"),
            ],
        ),
        (
            pipeline(&format!("orgs: [acme, _, 7]\n{job}")),
            &[
                (3, 14, "\"_\" is not a valid org"),
                (3, 17, "expected an org, found a number"),
            ],
        ),
        (
            pipeline(&format!("events: {{ max_age: 0s }}\n{job}")),
            &[(3, 20, "expected a span of time above zero")],
        ),
        (
            pipeline(&format!("events: {{ maxage: 6h }}\n{job}")),
            &[(
                3,
                11,
                "unknown key \"maxage\" in the events of a pipeline, expected one of max_age; did you mean \"max_age\"?",
            )],
        ),
        (
            pipeline(&format!("events: 6h\n{job}")),
            &[(3, 9, "expected a map for the events of a pipeline, found a text")],
        ),
        (
            pipeline(&format!("canary: {{ hosts: 1 }}\napprovals: []\n{job}")),
            &[
                (3, 1, "key \"canary\" of a pipeline is not supported yet"),
                (4, 1, "key \"approvals\" of a pipeline is not supported yet"),
            ],
        ),
        (
            pipeline("job: { approvals: 2, steps: [ list_processes: {} ] }"),
            &[(3, 8, "key \"approvals\" of a job is not supported yet")],
        ),
        (
            pipeline("job: { tiemout: 3s, steps: [ list_processes: {} ] }"),
            &[(3, 8, "unknown key \"tiemout\" in a job")],
        ),
        (
            pipeline("job: { timeout: soon, expires: 0s, priority: urgent, steps: [ list_processes: {} ] }"),
            &[
                (3, 17, "\"soon\" is not a span of time such as 30s"),
                (3, 32, "expected a span of time above zero"),
                (3, 46, "expected low, normal or high"),
            ],
        ),
        (
            pipeline("job: { steps: [] }"),
            &[(3, 15, "0 steps, expected 1 to 64")],
        ),
        (
            pipeline("job: 7"),
            &[(3, 6, "expected a job or the name of one, found a number")],
        ),
        (
            pipeline("job: triag\nparams: { x: 1 }"),
            &[(3, 6, "there is no named job \"triag\"")],
        ),
        (
            pipeline(&format!("params: {{ x: 1 }}\n{job}")),
            &[(3, 9, "params belong to a named job")],
        ),
        (
            format!("name: p\non: [a]\n{job}\nname: q\n"),
            &[(4, 1, "duplicate")],
        ),
        (
            "name: p\non: [a\njob: x\n".to_owned(),
            &[(3, 4, "illegal placement of ':' indicator")],
        ),
        (
            "- a\n".to_owned(),
            &[(1, 1, "expected a map for a pipeline, found a list")],
        ),
    ]
}

fn bad_conditions() -> Vec<Bad> {
    let job = "job: { steps: [ list_processes: {} ] }";
    let when = |when: &str| pipeline(&format!("when: {when}\n{job}"));
    vec![
        (when("event.data.a =="), &[(3, 7, "the condition is not CEL")]),
        (
            when("evnet.data.a == 1"),
            &[(
                3,
                7,
                "unknown name \"evnet\", expected event or host; did you mean \"event\"?",
            )],
        ),
        (
            when("event.dat.a == 1"),
            &[(
                3,
                7,
                "event has no field \"dat\", expected one of id, org, source, etype, time, data, attested_by, depth; did you mean \"data\"?",
            )],
        ),
        (when("host.name == 'x'"), &[(3, 7, "host has no field \"name\"")]),
        (
            when("event.data.a.matches('x')"),
            &[(3, 7, "use re(text, \"pattern\")")],
        ),
        (
            when("re(event.data.a, event.data.b)"),
            &[(3, 7, "the pattern of re must be a literal text")],
        ),
        (when("re(event.data.a, '(')"), &[(3, 7, "pattern of re:")]),
        (
            when("re(event.data.a, '(a{100}){100}{100}')"),
            &[(3, 7, "pattern of re:")],
        ),
        (
            when("event.data.a.all(x, x.all(y, y > 1))"),
            &[(3, 7, "a comprehension inside another is not supported (character")],
        ),
        (
            when("(event.data.a + event.data.a).all(x, x > 1)"),
            &[(3, 7, "a comprehension must run over a field")],
        ),
        (
            when("event.data.a.exists(x, x + x == 2)"),
            &[(3, 7, "+ is not supported inside a comprehension")],
        ),
        (
            when("event.data.a.startWith('x')"),
            &[(3, 7, "unknown function \"startWith\"")],
        ),
        (
            when("\"{'a': 1} == event.data\""),
            &[(3, 7, "map literals are not supported")],
        ),
        (
            when("true"),
            &[(
                3,
                7,
                "expected a condition in CEL, as a text, found true or false",
            )],
        ),
    ]
}

fn bad_steps() -> Vec<Bad> {
    vec![
        (
            step("list_proceses: {}"),
            &[(
                5,
                7,
                "unknown key \"list_proceses\" in a step, expected a verb or one of id, when, for_each, timeout, on_error, retry, idempotent; did you mean \"list_processes\"?",
            )],
        ),
        (
            step("id: x"),
            &[(5, 7, "a step needs a verb, such as list_processes")],
        ),
        (
            step("{ list_processes: {}, get_file: { path: /x } }"),
            &[(5, 29, "a step has one verb, not list_processes and get_file")],
        ),
        (
            step("{ list_processes: {}, when: true }"),
            &[(
                5,
                35,
                "expected a condition in CEL, as a text, found true or false",
            )],
        ),
        (
            step("{ list_processes: {}, when: \"params.x == 1\" }"),
            &[(5, 35, "unknown name \"params\", expected event or host or steps")],
        ),
        (
            step("{ list_processes: {}, when: \"event.data.x == steps.step1.output\" }"),
            &[(5, 35, "there is no earlier step \"step1\", expected one of: none")],
        ),
        (
            step(
                "list_processes: {}\n    - { list_processes: {}, when: \"steps['setp1'].status == host.id\" }",
            ),
            &[(
                6,
                35,
                "there is no earlier step \"setp1\", expected one of: step1; did you mean \"step1\"?",
            )],
        ),
        (
            step("list_processes: {}\n    - { list_processes: {}, when: \"steps.step1.status == host.id\" }"),
            &[(
                6,
                35,
                "one condition may use event, host and params, or steps, but not both; put the value into let",
            )],
        ),
        (
            step("{ approval: {} }"),
            &[(5, 9, "key \"approval\" of a step is not supported yet")],
        ),
        (
            step("{ list_processes: {}, on_error: goto end }"),
            &[(5, 39, "there is no step \"end\" to go on with")],
        ),
        (
            step("{ list_processes: {}, on_error: goto step1 }"),
            &[(
                5,
                39,
                "goto only leads forward, and step step1 is not after this one",
            )],
        ),
        (
            step("{ list_processes: {}, on_error: goto setp2 }\n    - list_processes: {}"),
            &[(
                5,
                39,
                "there is no step \"setp2\" to go on with; did you mean \"step2\"?",
            )],
        ),
        (
            step("{ list_processes: {}, on_error: ignore }"),
            &[(5, 39, "expected fail, continue or goto ID, found \"ignore\"")],
        ),
        (
            step("{ list_processes: {}, idempotent: yes }"),
            &[(5, 41, "expected true or false, found a text")],
        ),
        (
            step("{ id: No, list_processes: {} }"),
            &[(5, 13, "\"No\" is not a valid name")],
        ),
        (
            step("{ get_file: { paht: /x } }"),
            &[(
                5,
                21,
                "get_file has no argument \"paht\", expected one of: path, offset, bytes_max; did you mean \"path\"?",
            )],
        ),
        (
            step("{ get_file: { paht: \"{{ event.data.x }}\" } }"),
            &[(5, 21, "get_file has no argument \"paht\"")],
        ),
        (step("{ get_file: {} }"), &[(5, 9, "missing field `path`")]),
        (
            step("{ get_file: { offset: \"{{ event.data.x }}\" } }"),
            &[(5, 9, "get_file needs the argument \"path\"")],
        ),
        (
            step("{ kill_process: { pid: many } }"),
            &[(5, 30, "argument \"pid\" of kill_process: invalid type: string")],
        ),
        (
            step("{ kill_process: { pid: \"1{{ event.data.x }}\" } }"),
            &[(5, 30, "argument \"pid\" of kill_process: invalid type: string")],
        ),
        (
            step("{ create_process: { wait: \"{{ event.data.x }}\" } }"),
            &[(
                5,
                9,
                "create_process needs exactly one of the arguments argv, command",
            )],
        ),
        (
            step("{ put_file: { path: \"{{ event.data.x }}\", content: x, content_b64: eA== } }"),
            &[(
                5,
                9,
                "put_file needs exactly one of the arguments content, content_b64, artifact",
            )],
        ),
        (
            step("{ create_process: { command: \"rm {{ event.data.x }}\" } }"),
            &[(5, 36, "command takes no template")],
        ),
        (
            step("{ create_process: { argv: [\"{{ evnt.data.x }}\"] } }"),
            &[(
                5,
                34,
                "unknown name \"evnt\", expected one of event, host, steps; did you mean \"event\"?",
            )],
        ),
        (
            step("{ create_process: { argv: [\"{{ event.data.x | uper }}\"] } }"),
            &[(5, 34, "unknown filter \"uper\"")],
        ),
        (
            step("{ create_process: { argv: [\"{{ event.data.x \"] } }"),
            &[(5, 34, "a {{ without its }}")],
        ),
        (
            step("{ create_process: { argv: [\"{{ event..x }}\"] } }"),
            &[(5, 34, "{{ event..x }}:")],
        ),
        (
            step("{ create_process: { argv: [\"{% if event %}a{% endif %}\"] } }"),
            &[(5, 34, "statements are not supported")],
        ),
        (
            step("{ create_process: { argv: [\"{{ event.name }}\"] } }"),
            &[(5, 34, "event has no field \"name\"")],
        ),
        (
            step("{ create_process: { argv: [\"{{ params.name }}\"] } }"),
            &[(5, 34, "params is known in named jobs only")],
        ),
        (
            step(
                "{ create_process: { argv: [\"{{ steps.later.output }}\"] } }\n    - { id: later, list_processes: {} }",
            ),
            &[(5, 34, "there is no earlier step \"later\"")],
        ),
        (
            step(
                "{ id: a, list_processes: {} }\n    - { create_process: { argv: [\"{{ steps.a.output ~ event.id }}\"] } }",
            ),
            &[(6, 34, "event, host and params, or steps, but not both")],
        ),
        (
            step("{ id: a, list_processes: {} }\n    - { create_process: { argv: [\"{{ steps }}\"] } }"),
            &[(6, 34, "name the step: steps.ID")],
        ),
        (
            step("{ id: step2, list_processes: {} }\n    - { list_processes: {} }"),
            &[(6, 7, "two steps have the id \"step2\"")],
        ),
        (
            step("{ create_process: { argv: [a], environment: { \"{{ event.id }}\": x } } }"),
            &[(5, 53, "a template cannot be a key")],
        ),
        (
            step("{ create_process: { argv: [a], environment: { $late: \"{{ event.id }}\" } } }"),
            &[(5, 53, "the key \"$late\" is reserved")],
        ),
        (
            step("{ get_file: { path: {{ event.data.path }} } }"),
            &[(5, 28, "expected string scalar; a template needs quotes")],
        ),
    ]
}

#[test]
fn every_problem_is_told_with_its_place() {
    let mut wrong = Vec::new();
    for (text, expected) in bad_pipelines()
        .into_iter()
        .chain(super::guards::bad_guards())
        .chain(super::file_tests::bad_tests())
        .chain(bad_conditions())
        .chain(bad_steps())
    {
        let problems = parse(&text, "").map_or_else(|error| error.problems, |_| Vec::new());
        let as_expected = problems.len() == expected.len()
            && problems
                .iter()
                .zip(expected)
                .all(|(problem, (line, column, message))| {
                    (problem.line, problem.column) == (*line, *column) && problem.message.contains(message)
                });
        if !as_expected {
            wrong.push(format!("{text}expected {expected:?}, found {problems:#?}"));
        }
        schema::agree("a file with a problem", &text, "");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_problems_of_named_jobs_and_of_their_callers_are_told() {
    let job = "name: j\nparams:\n  n: { type: integer }\n  s: { type: string, default: x }\nsteps:\n  - kill_process: { pid: \"{{ params.n }}\" }\n";
    let call = |params: &str| format!("name: p\non: a\njob: j\nparams: {params}\n");
    for (pipelines, jobs, line, message) in [
        (
            call("{ n: 1, s: y }"),
            job.replace("integer", "int"),
            3,
            "expected string, integer, number",
        ),
        (
            call("{}"),
            job.replace("default: x", "default: 7"),
            4,
            "parameter \"s\" takes a string, not 7",
        ),
        (
            call("{}"),
            job.replace("default: x", "default: x, required: true"),
            4,
            "no use for a default",
        ),
        (
            call("{}"),
            job.replace("params.n", "params.m"),
            6,
            "there is no parameter \"m\", expected one of: n, s",
        ),
        (
            call("{}"),
            job.replace("params.n", "event.data.n"),
            6,
            "hand it on as a parameter",
        ),
        (
            call("{ n: 1 }"),
            format!("{job}---\n{job}"),
            8,
            "the job name \"j\" is taken already at j.yaml:1",
        ),
        (
            call("{ s: y }"),
            job.to_owned(),
            3,
            "the named job needs the parameter \"n\"",
        ),
        (
            call("{ n: 1, t: y }"),
            job.to_owned(),
            4,
            "unknown parameter \"t\", expected one of: n, s",
        ),
        (
            call("{ n: many }"),
            job.to_owned(),
            4,
            "parameter \"n\" takes an integer, not \"many\"",
        ),
        (
            call("{ n: \"a{{ event.id }}\" }"),
            job.to_owned(),
            4,
            "parameter \"n\" takes an integer",
        ),
        (
            call("{ n: \"{{ steps.x }}\" }"),
            job.to_owned(),
            4,
            "only a step's arguments may use it",
        ),
    ] {
        let problems = parse(&pipelines, &jobs).map(drop).unwrap_err().problems;
        schema::agree("files with a problem", &pipelines, &jobs);
        assert_eq!(problems.len(), 1, "{message}\n{problems:#?}");
        assert_eq!(problems[0].line, line, "{}", problems[0]);
        assert!(problems[0].message.contains(message), "{}", problems[0]);
    }
}

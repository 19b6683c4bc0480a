//! `tests` of pipelines as they are written: what is taken, and every mistake with its place.

use super::events::{file, parse};
use super::problems::{Bad, pipeline};
use crate::pipeline::RuleSet;
use serde_json::json;

const JOB: &str = "job: { steps: [ list_processes: {} ] }";

fn with(tests: &str) -> String {
    pipeline(&format!("{JOB}\ntests:\n{tests}"))
}

pub(super) fn bad_tests() -> Vec<Bad> {
    let of_tests: Vec<Bad> = vec![
        (
            pipeline(&format!("{JOB}\ntests: {{}}")),
            &[(4, 8, "expected a list of tests, found a map")],
        ),
        (
            pipeline(&format!("{JOB}\ntests: []")),
            &[(4, 8, "0 tests, expected 1 to 100")],
        ),
        (
            with("  - { event: { etype: a } }\n  - { expect: { acts: true } }\n  - 3"),
            &[
                (
                    5,
                    5,
                    "the key \"expect\" is missing, expected what the pipeline makes of the event",
                ),
                (
                    6,
                    5,
                    "the key \"event\" is missing, expected an event, or a list of them as \"events\"",
                ),
                (7, 5, "expected a map for a test, found a number"),
            ],
        ),
        (
            with("  - { event: { etype: a }, events: [{ etype: a }], expect: { acts: true } }"),
            &[(5, 36, "a test has event or events, but not both")],
        ),
        (
            with("  - { events: [{ etype: a }, { etype: b }], expect: [{ acts: true }], nam: x }"),
            &[
                (5, 53, "1 expectations for 2 events, expected one for each"),
                (
                    5,
                    71,
                    "unknown key \"nam\" in a test, expected one of name, event, events, host, expect",
                ),
            ],
        ),
        (
            with("  - { event: { etype: a }, expect: {} }\n  - { event: { etype: a }, expect: [{}] }"),
            &[
                (5, 36, "expected at least one key, such as acts: true"),
                (6, 37, "expected at least one key, such as acts: true"),
            ],
        ),
        (
            with("  - { event: { etype: a }, expect: { withheld: supressed, dead: paused, acts: yes } }"),
            &[
                (
                    5,
                    48,
                    "\"supressed\" is none of suppressed, below_threshold, max_in_flight, max_hosts, protected_host; did you mean \"suppressed\"?",
                ),
                (5, 65, "\"paused\" is none of stale, no_host,"),
                (5, 79, "expected true or false, found a text"),
            ],
        ),
        (
            with(
                "  - { event: { etype: a }, expect: { steps: [], vars: [], job: A } }\n  - { event: { etype: a }, expect: { steps: [x] } }",
            ),
            &[
                (5, 45, "0 steps, expected 1 to 80"),
                (5, 55, "expected a map for vars, found a list"),
                (5, 64, "\"A\" is not a valid name"),
                (6, 46, "expected a map for a part of a step, found a text"),
            ],
        ),
    ];
    of_tests.into_iter().chain(bad_events()).collect()
}

fn bad_events() -> Vec<Bad> {
    vec![
        (
            with(
                "  - { event: { data: 3 }, expect: { acts: true } }\n  - { event: { etype: \"a.*\" }, expect: { acts: true } }",
            ),
            &[
                (5, 14, "the key \"etype\" is missing, expected its type"),
                (6, 23, "\"a.*\" is not a valid etype"),
            ],
        ),
        (
            with(
                "  - { event: { etype: a, time: now, age: 0s, depth: 9, attested_by: me }, expect: { acts: true } }",
            ),
            &[
                (5, 32, "\"now\" is not a"),
                (5, 42, "expected a span of time above zero"),
                (5, 53, "9 is not a whole number from 0 to 8"),
                (
                    5,
                    69,
                    "\"me\" is none of agent, littlebrother, limacharlie, publisher",
                ),
            ],
        ),
        (
            with(
                "  - { event: { etype: a, after: 3s, age: 3s, time: \"2026-01-31T12:00:00Z\" }, expect: { acts: true } }",
            ),
            &[
                (5, 33, "there is no event before this one"),
                (5, 42, "an event has a time or an age, but not both"),
            ],
        ),
        (
            with("  - { event: { etype: a, id: \"x\\u0007\" }, expect: { acts: true } }"),
            &[(
                5,
                14,
                "that is no event: attribute id: must not contain control characters",
            )],
        ),
        (
            with(
                "  - { event: { etype: a, host: nobody }, host: { platfrom: linux, id: web-1, labels: [1], attached: 1 }, expect: { acts: true } }",
            ),
            &[
                (5, 32, "expected a map of what the host is, or none, found a text"),
                (
                    5,
                    50,
                    "unknown key \"platfrom\" in the host of a test, expected one of id, hostname, platform,",
                ),
                (5, 71, "\"web-1\" is not a valid host id"),
                (5, 87, "expected a text, found a number"),
                (5, 101, "expected true or false, found a number"),
            ],
        ),
    ]
}

#[test]
fn tests_and_their_events_are_taken_up_to_their_bounds() {
    let test = |events: usize| {
        let events = vec![json!({"etype": "a"}); events];
        json!({"events": events, "expect": {"acts": true}})
    };
    let told = |tests: Vec<serde_json::Value>| {
        let job = json!({"steps": [{"list_processes": {}}]});
        let pipeline = json!({"name": "p", "on": "a", "job": job, "tests": tests}).to_string();
        let parsed = RuleSet::parse(&[file("p.yaml", &pipeline)], &[]);
        parsed.err().map(|error| error.problems[0].message.clone())
    };
    assert_eq!(told(vec![test(1); 100]), None);
    assert_eq!(told(vec![test(1); 101]).unwrap(), "101 tests, expected 1 to 100");
    assert_eq!(told(vec![test(1_000)]), None);
    assert_eq!(
        told(vec![test(1_001)]).unwrap(),
        "1001 events, expected 1 to 1000"
    );
    assert_eq!(told(vec![test(10); 100]), None);
    let many = (0..100).map(|n| test(if n == 0 { 11 } else { 10 })).collect();
    assert_eq!(
        told(many).unwrap(),
        "1001 events in all tests, expected at most 1000"
    );
}

#[test]
fn the_tests_of_all_pipelines_have_so_many_events_and_no_more() {
    let events = ["{ etype: a }"; 1_000].join(", ");
    let file_of = |n: usize, events: &str| {
        let tests = format!("tests: [ {{ events: [{events}], expect: {{ acts: true }} }} ]");
        file(
            &format!("{n}.yaml"),
            &format!("name: p{n}\non: a\n{JOB}\n{tests}\n"),
        )
    };
    let mut files: Vec<_> = (0..100).map(|n| file_of(n, &events)).collect();
    assert!(RuleSet::parse(&files, &[]).is_ok());
    files.push(file_of(100, "{ etype: a }"));
    files.push(file_of(101, "{ etype: a }"));
    let error = RuleSet::parse(&files, &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "100.yaml:1:7: with its tests those of all pipelines have more than 100000 events"
    );
}

#[test]
fn a_long_name_of_a_test_is_cut_in_messages() {
    let name = "n".repeat(200);
    let rules = parse(
        &with(&format!(
            "  - {{ name: {name}, event: {{ etype: b }}, expect: {{ acts: true }} }}"
        )),
        "",
    );
    let error = crate::trial::check(&mut rules.unwrap()).unwrap_err().to_string();
    let label = format!("test \"{}\" of pipeline p does not hold", &name[..80]);
    assert!(error.contains(&label), "{error}");
}

#[test]
fn a_dry_run_is_warned_of_and_listed() {
    let rules = parse(&pipeline(&format!("dry_run: true\n{JOB}")), "").unwrap();
    assert_eq!(
        rules.warnings().found[0].to_string(),
        "p.yaml:3:10: the pipeline is a dry run: it makes no jobs"
    );
    let pipeline = rules.pipelines().next().unwrap();
    assert!(pipeline.is_dry_run() && pipeline.view().dry_run);
}

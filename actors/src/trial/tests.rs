//! Tests in files, run: what holds, what does not and what is said then.

use super::*;
use crate::pipeline::{HostGiven, SourceFile};
use serde_json::{Value, json};

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile {
        path: path.into(),
        text: text.into(),
    }
}

fn rules(pipelines: &str) -> RuleSet {
    RuleSet::parse(&[file("p.yaml", pipelines)], &[]).unwrap()
}

/// What is wrong with the tests of a text, a line each.
fn told(pipelines: &str) -> Vec<String> {
    match check(&mut rules(pipelines)) {
        Ok(()) => Vec::new(),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

const MINER: &str = r#"
name: miner
on: [acme.miner, acme.other.*]
when: event.data.user != "root" && host.platform == "linux"
let: { who: "{{ event.data.user }}" }
job:
  steps:
    - id: kill
      kill_process: { pid: "{{ event.data.pid }}" }
    - id: look
      when: event.data.deep == true
      list_processes: {}
    - create_process: { argv: [logger, "{{ steps.kill.status }}", "{{ vars.who }}"] }
  finally:
    - list_directory: { path: "/home/{{ event.data.user }}" }
tests:
"#;

const EVENT: &str = "{ etype: acme.miner, data: { user: amelie, pid: 42 } }";

fn miner(tests: &str) -> String {
    format!("{}{tests}", MINER.trim_start())
}

#[test]
fn a_test_holds_when_everything_that_it_expects_came() {
    let good = format!(
        r#"
  - event: {EVENT}
    expect: {{ matches: true, acts: true, job: miner, vars: {{ who: amelie }} }}
  - event: {EVENT}
    expect:
      steps:
        - {{ id: kill, kill_process: {{ pid: 42 }}, when: true }}
        - {{ id: look, when: false }}
        - create_process: {{ argv: [logger, "{{{{ steps.kill.status }}}}", amelie] }}
        - {{ id: finally1, list_directory: {{ path: /home/amelie }} }}
  - event: {{ etype: acme.miner, data: {{ user: root }} }}
    expect: {{ matches: false, acts: false }}
  - event: {EVENT}
    host: {{ platform: windows }}
    expect: {{ matches: false }}
  - event: {{ etype: acme.other, data: {{ user: amelie }} }}
    expect: {{ matches: false }}
  - event: {{ etype: acme.other.x, data: {{ user: amelie }} }}
    expect: {{ matches: true, acts: false, dead: missing_field }}
  - event: {EVENT}
    host: none
    expect: {{ matches: true, dead: no_host }}
"#
    );
    // Without a host its fields are missing, so that the condition does not hold.
    let good = good.replace("matches: true, dead: no_host", "matches: false");
    assert_eq!(told(&miner(&good)), [""; 0]);
}

#[test]
fn every_expectation_that_does_not_hold_is_told_with_its_place_and_what_came() {
    let bad = format!(
        r#"  - name: all wrong
    event: {EVENT}
    expect:
      matches: false
      acts: false
      withheld: suppressed
      dead: no_host
      job: other
      steps: [ {{ kill_process: {{ pid: 43 }} }} ]
      vars: {{ who: berta }}
  - event: {{ etype: acme.miner, data: {{ user: root }} }}
    expect: {{ acts: true, steps: [ {{ id: kill }} ], vars: {{}} }}
"#
    );
    let acts = "but it acts: job miner on test-host";
    let unmet = "but its condition does not hold: event.data.user != \"root\" is false; event.data.user is \"root\" \
                 (part 1 of 2)";
    let first = "test \"all wrong\" of pipeline miner does not hold";
    let second = "test 2 of pipeline miner does not hold";
    let expected = [
        format!("p.yaml:19:16: {first}: expected matches: false, {acts}"),
        format!("p.yaml:20:13: {first}: expected acts: false, {acts}"),
        format!("p.yaml:21:17: {first}: expected withheld: suppressed, {acts}"),
        format!("p.yaml:22:13: {first}: expected dead: no_host, {acts}"),
        format!("p.yaml:23:12: {first}: expected job: other, {acts}"),
        format!("p.yaml:24:16: {first}: step kill: kill_process.pid is 42, expected 43"),
        format!("p.yaml:25:13: {first}: vars.who is \"amelie\", expected \"berta\""),
        format!("p.yaml:27:21: {second}: expected acts: true, {unmet}"),
        format!("p.yaml:27:36: {second}: expected steps, {unmet}"),
        format!("p.yaml:27:58: {second}: expected vars, {unmet}"),
    ];
    assert_eq!(told(&miner(&bad)), expected);
}

#[test]
fn steps_are_looked_for_in_their_order() {
    let steps = |steps: &str| {
        let told = told(&miner(&format!(
            "  - event: {EVENT}\n    expect: {{ steps: [ {steps} ] }}\n"
        )));
        told.first()
            .map(|told| told.split("hold: ").last().unwrap().to_owned())
    };
    assert_eq!(steps("{ id: kill }, { id: look }, { id: finally1 }"), None);
    assert_eq!(steps("{ list_processes: {} }, { list_directory: {} }"), None);
    let left = "but the steps that are left are step3 (create_process), finally1 (list_directory)";
    assert_eq!(
        steps("{ id: look }, { id: kill }").unwrap(),
        format!("expected a step with {{\"id\":\"kill\"}}, {left}")
    );
    let all = "kill (kill_process), look (list_processes), step3 (create_process), finally1 (list_directory)";
    assert_eq!(
        steps("{ get_file: {} }").unwrap(),
        format!("expected a step with {{\"get_file\":{{}}}}, but the steps are {all}")
    );
    assert_eq!(
        steps("{ id: look, when: true }").unwrap(),
        "step look: when is false, expected true"
    );
}

fn guarded(guard: &str, tests: &str) -> String {
    format!("name: p\non: a\n{guard}\njob: {{ steps: [ list_processes: {{}} ] }}\ntests:\n{tests}")
}

#[test]
fn suppression_over_several_events_goes_by_the_clock_of_the_test() {
    let tests = "
  - events:
      - { etype: a }
      - { etype: a, after: 29s }
      - { etype: a, after: 1s }
      - { etype: a, after: 29s, data: { hostname: web-2 } }
      - { etype: a, org: acme }
    expect:
      - acts: true
      - withheld: suppressed
      - acts: true
      - withheld: suppressed
      - acts: true
  - event: { etype: a }
    expect: { acts: true }
";
    assert_eq!(told(&guarded("suppress: { per: 30s }", tests)), [""; 0]);
    let tests = "
  - events: [{ etype: a }, { etype: a, after: 5m }, { etype: a, after: 6m }, { etype: a, after: 3m }]
    expect: [{ withheld: below_threshold }, { withheld: below_threshold }, { withheld: below_threshold }, { acts: true }]
";
    let guard = "suppress: { min: 3, per: 10m }";
    assert_eq!(told(&guarded(guard, tests)), [""; 0]);
}

#[test]
fn every_guard_holds_in_a_test() {
    let hosts = "
  - events:
      - { etype: a, host: { hostname: web-1 } }
      - { etype: a, host: { hostname: WEB-1 } }
      - { etype: a, host: { hostname: web-2 } }
      - { etype: a, after: 1h, host: { hostname: web-2 } }
    expect: [{ acts: true }, { acts: true }, { withheld: max_hosts }, { acts: true }]
";
    assert_eq!(told(&guarded("max_hosts: { count: 1, per: 1h }", hosts)), [""; 0]);
    let open = "
  - events: [{ etype: a }, { etype: a, after: 7d }]
    expect: [{ acts: true }, { withheld: max_in_flight }]
";
    assert_eq!(told(&guarded("max_in_flight: 1", open)), [""; 0]);
    let protected = "
  - events:
      - { etype: a, host: { protected: true, labels: [dc, eu] } }
      - { etype: a, host: { labels: [dc, eu] } }
      - { etype: a, host: { protected: true } }
    expect: [{ matches: true, withheld: protected_host }, { acts: true }, { withheld: protected_host }]
";
    assert_eq!(told(&guarded("", protected)), [""; 0]);
}

fn fanning(path: &str, tests: &str) -> String {
    format!(
        "name: p\non: a\ntarget: all\njob: {{ steps: [ delete_file: {{ path: \"{path}\" }} ] }}\ntests:\n{tests}"
    )
}

#[test]
fn a_fan_out_passes_over_a_protected_host_of_a_test() {
    let tests = "
  - events:
      - { etype: a, host: { protected: true, labels: [dc] } }
      - { etype: a, host: { labels: [dc] } }
      - { etype: a, host: none }
    expect: [{ matches: true, acts: false, withheld: protected_host }, { acts: true, job: p }, { acts: true }]
";
    assert_eq!(told(&fanning("/tmp/x", tests)), [""; 0]);
}

#[test]
fn what_a_fan_out_cannot_render_for_the_host_of_a_test_can_be_expected() {
    let tests = "
  - events: [{ etype: a, data: { file: x } }, { etype: a }]
    expect: [{ acts: true }, { matches: true, acts: false, host_failed: missing_field }]
";
    assert_eq!(told(&fanning("{{ event.data.file }}", tests)), [""; 0]);
    let wrong = "  - event: { etype: a }\n    expect: { host_failed: missing_field }\n";
    let told = told(&fanning("/tmp/x", wrong));
    assert!(
        told[0].contains("expected host_failed: missing_field, but it acts: a fan-out"),
        "{told:?}"
    );
}

#[test]
fn a_test_says_of_its_event_what_an_event_has() {
    let condition = r#"when: >-
  event.org == "acme" && event.id == "e1" && event.source == "s" && event.depth == 3
  && event.attested_by == "agent" && event.time == "2026-03-04T05:06:07Z" && event.data == null
  && host.hostname == "web-1" && host.arch == "aarch64" && host.os_version == "12" && !host.attached
  && "dmz" in host.labels && "10.0.0.1" in host.addresses && host.platform == "linux"
  && host.id == "7d444840-9dc0-11d1-b245-5ffdce74fad2""#;
    let tests = "
  - event:
      { etype: a, org: acme, id: e1, source: s, depth: 3, attested_by: agent, time: \"2026-03-04T05:06:07Z\",
        host: { arch: aarch64, labels: dmz, id: 7d444840-9dc0-11d1-b245-5ffdce74fad2 } }
    host: { hostname: web-1, arch: x, os_version: \"12\", addresses: 10.0.0.1, attached: false }
    expect: { acts: true }
";
    assert_eq!(told(&guarded(condition, tests)), [""; 0]);
}

#[test]
fn the_host_is_what_the_event_calls_it() {
    let tests = r#"
  - events:
      - { etype: a, data: { hostname: web-7 } }
      - { etype: a, data: { hostname: web-7 }, host: { hostname: WEB-7 } }
      - { etype: a, data: { hostname: web-7 }, host: { hostname: web-8 } }
      - { etype: a, data: { host_id: 7d444840-9dc0-11d1-b245-5ffdce74fad2 } }
      - { etype: a, data: { sensor_id: 4711 } }
      - { etype: a, data: { sid: not-one-of-ours } }
      - { etype: a, data: { hostname: web-7 }, host: none }
      - { etype: a, host: none }
    expect:
      - acts: true
      - acts: true
      - dead: unknown_host
      - acts: true
      - acts: true
      - dead: unknown_host
      - { matches: true, dead: unknown_host }
      - { matches: true, dead: no_host }
"#;
    assert_eq!(told(&guarded("", tests)), [""; 0]);
}

#[test]
fn an_event_may_be_too_old_or_of_another_org_or_come_twice() {
    let tests = "
  - events:
      - { etype: a, age: 1h, id: e1 }
      - { etype: a, age: 1h 1s }
      - { etype: a, id: e1 }
      - { etype: a, id: e1, source: another }
    expect: [{ acts: true }, { dead: stale, matches: true }, { acts: false, matches: false }, { acts: true }]
";
    assert_eq!(told(&guarded("", tests)), [""; 0]);
    let older = tests.replace("dead: stale, matches: true", "acts: true");
    assert_eq!(told(&guarded("events: { max_age: 2h }", &older)), [""; 0]);
    let orgs = "  - event: { etype: a }\n    expect: { acts: true }\n";
    let told = told(&guarded("orgs: acme", orgs));
    assert!(
        told[0].ends_with("but it is for events of other orgs"),
        "{told:?}"
    );
}

#[test]
fn a_tick_of_the_clock_may_be_as_old_as_its_period_as_in_the_server() {
    let tests = "tests:
  - events:
      - { etype: sensor_per_24h, source: tripline/timekeeper, age: 24h }
      - { etype: sensor_per_24h, source: tripline/timekeeper, age: 24h 1s }
      - { etype: sensor_per_24h, age: 23h }
    expect: [{ acts: true }, { dead: stale }, { dead: stale }]
";
    let daily = "name: daily\non: sensor_per_24h\njob: { steps: [ list_processes: {} ] }\n";
    assert_eq!(told(&format!("{daily}{tests}")), [""; 0]);
}

#[test]
fn tests_hold_whether_or_not_a_pipeline_is_enabled_or_a_dry_run() {
    let tests =
        "  - event: { etype: a }\n    expect: { acts: true, job: p, steps: [ list_processes: {} ] }\n";
    for key in ["enabled: false", "dry_run: true"] {
        assert_eq!(told(&guarded(key, tests)), [""; 0], "{key}");
    }
    let rules = rules(&guarded("enabled: false", tests));
    assert!(
        !rules.pipelines().next().unwrap().view().enabled,
        "only its test is"
    );
}

#[test]
fn what_a_condition_cannot_compare_is_told() {
    let tests = "  - event: { etype: a, data: { n: x } }\n    expect: { matches: true }\n";
    let told = told(&guarded("when: event.data.n + 1 > 1", tests));
    assert!(
        told[0].contains("but its condition does not hold: event.data.n + 1 > 1 has no value: "),
        "{told:?}"
    );
}

#[test]
fn the_tests_of_a_set_are_run_once_and_not_kept() {
    let mut rules = rules(&guarded(
        "",
        "  - event: { etype: b }\n    expect: { acts: true }\n",
    ));
    assert!(check(&mut rules).is_err());
    assert!(check(&mut rules).is_ok(), "there are none left");
}

#[test]
fn a_set_in_a_folder_is_loaded_when_its_tests_hold() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    for (etype, holds) in [("a", true), ("b", false)] {
        let tests = format!("  - event: {{ etype: {etype} }}\n    expect: {{ acts: true }}\n");
        std::fs::write(&path, guarded("", &tests)).unwrap();
        let loaded = load(Some(folder.path()), None);
        assert_eq!(loaded.is_ok(), holds, "{loaded:?}");
    }
    let why = load(Some(folder.path()), None).unwrap_err().to_string();
    let told = format!(
        "{}:7:21: test 1 of pipeline p does not hold: expected acts: true, but it does not listen to the event's etype",
        path.display()
    );
    assert_eq!(why, told);
}

fn tried(pipeline: &str, events: &[Value], host: Option<&Value>) -> Vec<Value> {
    let rules = rules(pipeline);
    let mut trial = Trial::of(rules.pipelines().next().unwrap());
    let host = host.map(|host| HostGiven::from_json(host).unwrap());
    let given = events.iter().map(|event| {
        let given = GivenEvent::from_json(event, host.as_ref()).unwrap();
        json!(trial.give(&given).unwrap())
    });
    given.collect()
}

#[test]
fn a_single_event_is_tried_by_hand() {
    let pipeline = guarded(
        "suppress: { key: \"{{ event.data.k }}\", per: 1h }\ndry_run: true",
        "",
    )
    .replace("\ntests:\n", "\n");
    let event = json!({"etype": "a", "data": {"k": "v"}});
    let host = json!({"hostname": "web-1", "id": "7d444840-9dc0-11d1-b245-5ffdce74fad2"});
    let came = tried(
        &pipeline,
        &[
            event.clone(),
            json!({"etype": "a", "id": "e2", "data": {"k": "v"}}),
        ],
        Some(&host),
    );
    assert_eq!(
        came[0],
        json!({
            "matches": true, "decision": "acts", "job": "p", "dry_run": true,
            "host": {"host_id": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "hostname": "web-1"},
            "steps": [{"id": "step1", "list_processes": {}, "when": true}],
        })
    );
    assert_eq!(
        came[1],
        json!({
            "matches": true, "decision": "withheld", "reason": "suppressed", "key": "v",
            "text": "it acted once within the last 1h, as often as suppress.max allows",
        })
    );
}

#[test]
fn an_event_by_hand_that_is_none_is_refused_with_every_problem() {
    let refused = |event: Value| GivenEvent::from_json(&event, None).unwrap_err();
    assert_eq!(
        refused(json!({"etyp": "a", "age": "x"}))[0],
        "unknown key \"etyp\" in an event of a test, expected one of etype, org, id, source, time, age, data, \
         attested_by, depth, after, host; did you mean \"etype\"?"
    );
    assert_eq!(refused(json!({"etyp": "a", "age": "x"})).len(), 3);
    assert!(refused(json!([]))[0].starts_with("expected a map for an event of a test, found a list"));
    assert!(HostGiven::from_json(&json!({"labels": 1})).is_err());
}

#[test]
fn the_words_that_a_test_may_expect_are_those_of_the_router() {
    for word in crate::pipeline::expected_words().0 {
        assert!(crate::WITHHELD_REASONS.contains(&word), "{word}");
    }
    let reference = include_str!("../../../docs/protocol.md");
    for word in crate::pipeline::expected_words().1 {
        assert!(reference.contains(&format!("`{word}`")), "{word}");
    }
}

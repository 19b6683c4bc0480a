//! What `target` and `fanout` may say, and what else a pipeline may say then.

use super::events::{event, file, host, parse};
use super::problems::{Bad, pipeline};
use crate::FanoutPlan;
use crate::pipeline::RuleSet;
use serde_json::{Value, json};
use tripline_protocol::Span;
use tripline_protocol::fanout::{AutoPause, Pace, Target};

const JOB: &str = "job: { steps: [ list_processes: {} ] }";

fn with(keys: &str) -> String {
    pipeline(&format!("{keys}\n{JOB}"))
}

pub(super) fn bad_targets() -> Vec<Bad> {
    vec![
        (
            with("target: host"),
            &[(
                3,
                9,
                "unknown target \"host\", expected event_host, all, or a map such as { platform: linux }",
            )],
        ),
        (
            with("target: [web-1]"),
            &[(
                3,
                9,
                "expected event_host, all, or a map of what hosts are, found a list",
            )],
        ),
        (
            with("target: {}"),
            &[(3, 9, "an empty target; for every host say all")],
        ),
        (
            with(
                "target: { label: dmz, labels: [a b], attached: maybe, seen_within: 0s, agent_version: 0.1 }",
            ),
            &[
                (3, 11, "unknown key \"label\" in a target"),
                (3, 32, "is not a valid label"),
                (3, 48, "expected agent, littlebrother, yes or no"),
                (3, 68, "expected a span of time above zero"),
                (3, 87, "expected a text, found a number"),
            ],
        ),
        (
            with("target: { labels: [], hostname: \"\", platform: [linux], unseen_for: soon }"),
            &[
                (3, 19, "0 labels, expected 1 to 64"),
                (3, 33, "expected 1 to 255 bytes"),
                (3, 47, "expected a text, found a list"),
                (3, 68, "span"),
            ],
        ),
        (
            with("target: all\nfanout: 50"),
            &[(4, 9, "expected a map for fanout, found a number")],
        ),
        (
            with(
                "target: all\nfanout: { in_flight: 0, per_minute: 60001, canary: 1001, ramp: 1, standing: 1d, expires: 31d }",
            ),
            &[
                (4, 22, "0 is not a whole number from 1 to 10000"),
                (4, 37, "60001 is not a whole number from 1 to 60000"),
                (4, 52, "1001 is not a whole number from 1 to 1000"),
                (4, 64, "1 is not a whole number from 2 to 100"),
                (4, 77, "expected true or false, found a text"),
                (4, 90, "31d is too long, expected at most 30d"),
            ],
        ),
        (
            with("fanout: { canary: 3 }"),
            &[(3, 9, "fanout belongs to a target that is a set of hosts")],
        ),
        (
            with("target: event_host\nfanout: {}"),
            &[(4, 9, "fanout belongs to a target that is a set of hosts")],
        ),
        (
            with("target: all\nsuppress: { per: 1h, scope: host }"),
            &[(4, 29, "this pipeline acts on a set of hosts; expected global")],
        ),
        (
            with("target: { platform: linux }\nsuppress: { per: 1h, key: \"{{ host.id }}\" }"),
            &[(
                4,
                27,
                "host is not known here: the pipeline acts on a set of hosts",
            )],
        ),
        (
            with("target: all\nlet: { x: \"{{ event.id }}\" }\nsuppress: { per: 1h, key: \"{{ vars.x }}\" }"),
            &[(
                5,
                27,
                "vars is not known here: the pipeline acts on a set of hosts",
            )],
        ),
        (
            with("target: all\ncanary: 3\npace: { in_flight: 5 }"),
            &[
                (4, 1, "key \"canary\" of a pipeline belongs into fanout"),
                (5, 1, "key \"pace\" of a pipeline belongs into fanout"),
            ],
        ),
    ]
}

fn fanout(keys: &str) -> Option<FanoutPlan> {
    let rules = parse(&with(keys), "").unwrap();
    rules.pipelines().next().unwrap().fanout().cloned()
}

fn hosts(selector: Value) -> Target {
    serde_json::from_value(selector).unwrap()
}

#[test]
fn a_pipeline_acts_on_the_events_host_unless_its_target_is_a_set() {
    assert_eq!(fanout(""), None);
    assert_eq!(fanout("target: event_host"), None);
    let all = fanout("target: all").unwrap();
    assert_eq!(
        all,
        FanoutPlan {
            target: Target::All,
            pace: Pace::default(),
            standing: false,
            expires: Span::from_secs(24 * 3600),
            max_hosts: None,
            max_in_flight: None,
        }
    );
}

#[test]
fn a_target_has_the_words_of_the_lists_of_hosts() {
    let keys = "target: { labels: dmz, platform: Linux, hostname: \"web-*\", attached: no, seen_within: 30d, \
                unseen_for: 1d, agent_version: \"0.1\" }";
    let wanted = json!({
        "labels": ["dmz"], "platform": "Linux", "hostname": "web-*", "attached": "no", "seen_within": "30d",
        "unseen_for": "1d", "agent_version": "0.1",
    });
    assert_eq!(fanout(keys).unwrap().target, hosts(wanted));
    let several = fanout("target: { labels: [dmz, \"owner:ana\"] }").unwrap();
    assert_eq!(several.target, hosts(json!({"labels": ["dmz", "owner:ana"]})));
}

#[test]
fn the_guards_of_a_pipeline_are_those_of_its_fan_outs() {
    let keys = "target: all\nmax_hosts: { count: 200, per: 1h }\nmax_in_flight: 9\nauto_pause: { failed: 3, of: 10 }\n\
                fanout: { in_flight: 20, per_minute: 60, canary: 5, ramp: 3, standing: true, expires: 30d }";
    let found = fanout(keys).unwrap();
    assert_eq!(
        found.pace,
        Pace {
            in_flight: 20,
            per_minute: Some(60),
            canary: Some(5),
            ramp: 3,
            auto_pause: Some(AutoPause { failed: 3, of: 10 }),
        }
    );
    assert!(found.standing);
    assert_eq!(found.expires, Span::from_secs(30 * 24 * 3600));
    assert_eq!((found.max_hosts, found.max_in_flight), (Some(200), Some(9)));
}

#[test]
fn a_job_is_rendered_for_each_host_of_the_set() {
    let text = pipeline(
        "target: all\nlet: { who: \"{{ host.hostname }}/{{ event.data.n }}\" }\n\
         job: { steps: [ { list_directory: { path: \"/{{ vars.who }}/{{ host.platform }}\" } } ] }",
    );
    let rules = parse(&text, "").unwrap();
    let pipeline = rules.pipelines().next().unwrap();
    let mut other = host();
    other.hostname = "db-1".into();
    for (host, path) in [(host(), "/web-1/7/linux"), (other, "/db-1/7/linux")] {
        let job = pipeline.render(&event(json!({"n": 7})), &host).unwrap();
        assert_eq!(job.spec.steps[0].args, json!({"path": path}));
    }
}

#[test]
fn what_suppress_counts_by_is_known_before_the_hosts_are() {
    let text = with(
        "target: all\nlet: { x: \"{{ host.hostname }}\" }\nsuppress: { per: 1h, key: \"{{ event.data.k }}\" }",
    );
    let rules = parse(&text, "").unwrap();
    let pipeline = rules.pipelines().next().unwrap();
    assert_eq!(
        pipeline.suppress_key(&event(json!({"k": "a"})), None).unwrap(),
        "a"
    );
    let missing = pipeline.suppress_key(&event(json!({})), None).unwrap_err();
    assert_eq!(missing.code(), "missing_field");
}

#[test]
fn a_condition_is_over_the_events_host_also_where_the_target_is_a_set() {
    let rules = parse(
        &with("when: host.platform == \"linux\"\ntarget: { platform: windows }"),
        "",
    )
    .unwrap();
    let pipeline = rules.pipelines().next().unwrap();
    assert!(pipeline.needs_host_for_condition());
}

#[test]
fn a_ramp_without_a_canary_is_warned_of() {
    let text = with("target: all\nfanout: { ramp: 3 }");
    let rules = RuleSet::parse(&[file("p.yaml", &text)], &[]).unwrap();
    let warned: Vec<String> = rules.warnings().found.iter().map(ToString::to_string).collect();
    assert_eq!(warned, ["p.yaml:4:17: ramp does nothing without a canary"]);
}

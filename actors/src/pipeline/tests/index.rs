//! The index over etypes and conditions against a look at every pipeline.

use super::events::{event, parse};
use super::random;
use crate::pipeline::{Match, RuleSet};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use tripline_protocol::Etype;

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn pattern() -> impl Strategy<Value = String> {
    let token = prop_oneof![3 => word(), 1 => Just("*")];
    (prop::collection::vec(token, 0..4), any::<bool>()).prop_map(|(mut tokens, rest)| {
        if rest || tokens.is_empty() {
            tokens.push(">");
        }
        tokens.join(".")
    })
}

/// Pipelines `p0`, `p1` and so on, each of etypes and a condition.
fn rules<'c>(pipelines: impl IntoIterator<Item = (&'c str, String)>) -> RuleSet {
    let mut text = String::new();
    for (index, (on, when)) in pipelines.into_iter().enumerate() {
        let when = serde_json::to_string(&when).unwrap();
        let job = "job: { steps: [ list_processes: {} ] }";
        writeln!(text, "---\nname: p{index}\non: \"{on}\"\nwhen: {when}\n{job}").unwrap();
    }
    parse(&text, "").unwrap()
}

fn may_match(rules: &RuleSet, data: Value) -> Vec<String> {
    let event = event(data);
    let found = rules.may_match(&event).into_iter();
    found.map(|pipeline| pipeline.name().to_string()).collect()
}

/// The event's own etype, and patterns of it.
const ON: [&str; 5] = ["acme.alert.high", "acme.alert.*", "acme.>", "*.alert.high", ">"];

#[test]
fn of_many_pipelines_those_are_found_that_name_what_the_event_has() {
    for on in ON {
        let pipelines = (0..300).map(|n| match n % 3 {
            0 => (
                on,
                format!("event.data.user == 'u{n}' && event.data.kind == 'login'"),
            ),
            1 => (
                on,
                format!("event.data.kind == 'login' && event.data.user in ['u{n}', 'v{n}']"),
            ),
            _ => (
                on,
                format!("event.data.file.path.endsWith('/f{n}.exe') && event.data.kind == 'login'"),
            ),
        });
        let rules = rules(pipelines);
        let of = |user: &str, path: &str| {
            may_match(
                &rules,
                json!({"kind": "login", "user": user, "file": {"path": path}}),
            )
        };
        assert_eq!(of("u30", ""), ["p30"], "{on}");
        assert_eq!(of("v31", "/tmp/f32.exe"), ["p31", "p32"], "{on}");
        assert_eq!(of("u32", "/tmp/f32.exe.txt"), Vec::<String>::new(), "{on}");
        assert_eq!(
            may_match(&rules, json!({"kind": "login"})),
            Vec::<String>::new(),
            "{on}"
        );
    }
}

#[test]
fn a_number_finds_the_bounds_that_it_keeps() {
    let conditions = [
        "n > 7", "n >= 8", "n < 7", "7.5 >= n", "8 < n", "7 <= n", "n == 7",
    ];
    let rules = rules(conditions.map(|when| (">", when.replace('n', "event.data.n"))));
    let of = |n: Value| may_match(&rules, json!({ "n": n }));
    // One that is the bound itself is left to the evaluation.
    assert_eq!(of(json!(7)), ["p0", "p2", "p3", "p5", "p6"]);
    assert_eq!(of(json!(8.0)), ["p0", "p1", "p4", "p5"]);
    assert_eq!(
        of(json!("7")),
        ["p0", "p1", "p2", "p3", "p4", "p5"],
        "errors to tell"
    );
    assert_eq!(may_match(&rules, json!({})), Vec::<String>::new());
}

#[test]
fn a_condition_without_a_comparison_that_must_hold_is_always_evaluated() {
    let conditions = [
        "event.data.n != 1",
        "event.data.user == 'u'",
        "host.platform == 'linux'",
    ];
    let rules = rules(conditions.map(|when| (">", when.to_owned())));
    assert_eq!(may_match(&rules, json!({"user": "v"})), ["p0", "p2"]);
    let always: Vec<bool> = rules
        .pipelines()
        .map(|pipeline| pipeline.is_always_evaluated())
        .collect();
    assert_eq!(always, [true, false, true]);
    let without = parse("name: p\non: a\njob: { steps: [ list_processes: {} ] }\n", "").unwrap();
    assert!(
        without
            .pipelines()
            .all(|pipeline| !pipeline.is_always_evaluated())
    );
}

#[test]
fn an_event_of_another_shape_reaches_the_conditions_that_tell_so() {
    let rules = rules([
        ("acme.>", "event.data.user.name == 'u'".to_owned()),
        ("acme.>", "event.data.other == 'u'".to_owned()),
        ("acme.>", "event.data.user.contains('u')".to_owned()),
    ]);
    assert_eq!(may_match(&rules, json!({"user": 7})), ["p0", "p2"]);
    assert_eq!(may_match(&rules, json!("u")), ["p0", "p1", "p2"]);
    assert_eq!(may_match(&rules, json!({"user": {}})), ["p2"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_trying_every_pattern_finds(
        pipelines in prop::collection::vec(prop::collection::vec(pattern(), 1..4), 0..8),
        etypes in prop::collection::vec(prop::collection::vec(word(), 1..5), 1..8),
    ) {
        let mut text = String::new();
        for (index, patterns) in pipelines.iter().enumerate() {
            let on = patterns.join("\", \"");
            writeln!(text, "---\nname: p{index}\non: [\"{on}\"]\njob: {{ steps: [ list_processes: {{}} ] }}").unwrap();
        }
        let rules = parse(&text, "").unwrap();
        for etype in etypes {
            let etype: Etype = etype.join(".").parse().unwrap();
            let mut found: Vec<_> = rules.candidates(&etype).map(|pipeline| pipeline.name().clone()).collect();
            found.sort();
            let naive: Vec<_> = rules
                .pipelines()
                .filter(|pipeline| pipeline.patterns().iter().any(|pattern| pattern.matches(&etype)))
                .map(|pipeline| pipeline.name().clone())
                .collect();
            prop_assert_eq!(found, naive, "{}", etype);
        }
    }

    #[test]
    fn the_index_leaves_out_only_what_does_not_match(
        pipelines in prop::collection::vec((prop::sample::select(ON.to_vec()), random::condition()), 1..12),
        events in random::events(),
    ) {
        let rules = rules(pipelines);
        for event in events {
            let found: Vec<_> = rules.may_match(&event).into_iter().map(|pipeline| pipeline.name()).collect();
            let once: BTreeSet<_> = found.iter().collect();
            prop_assert_eq!(once.len(), found.len(), "each once");
            let listening: BTreeSet<_> = rules.candidates(&event.etype).map(|pipeline| pipeline.name()).collect();
            prop_assert!(found.iter().all(|name| listening.contains(name)));
            for pipeline in rules.candidates(&event.etype) {
                let is_found = once.contains(&pipeline.name());
                prop_assert_eq!(is_found, !pipeline.is_ruled_out(&event), "{:?} of {}", pipeline, event.data);
                if !is_found {
                    prop_assert_eq!(pipeline.matches(&event, None), Match::No);
                }
            }
        }
    }
}

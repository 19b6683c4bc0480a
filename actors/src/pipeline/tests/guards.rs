//! What guards of a pipeline may say, and keys of suppression.

use super::events::{event, host, parse};
use super::problems::{Bad, pipeline};
use crate::pipeline::{Suppress, SuppressScope};
use serde_json::{Value, json};

const JOB: &str = "job: { steps: [ list_processes: {} ] }";

fn with(guard: &str) -> String {
    pipeline(&format!("{guard}\n{JOB}"))
}

pub(super) fn bad_guards() -> Vec<Bad> {
    vec![
        (
            with("suppress: 30s"),
            &[(3, 11, "expected a map for suppress, found a text")],
        ),
        (
            with("suppress: { max: 1 }"),
            &[(
                3,
                11,
                "the key \"per\" is missing, expected the span of time that is looked at",
            )],
        ),
        (
            with("suppress: { per: 8d, max: 0, min: 1001, scope: org, keey: x }"),
            &[
                (3, 18, "8d is too long, expected at most 7d"),
                (3, 27, "0 is not a whole number from 1 to 1000"),
                (3, 35, "1001 is not a whole number from 1 to 1000"),
                (3, 48, "expected global or host"),
                (3, 53, "unknown key \"keey\" in suppress"),
            ],
        ),
        (
            with("suppress: { per: 0s, max: 1.5, min: \"2\", key: [a] }"),
            &[
                (3, 18, "expected a span of time above zero"),
                (3, 27, "1.5 is not a whole number from 1 to 1000"),
                (3, 37, "expected a whole number from 1 to 1000, found a text"),
                (3, 47, "expected a text, mostly with a template, found a list"),
            ],
        ),
        (
            with("suppress: { per: 1s, key: \"{{ event.dat }}\" }"),
            &[(3, 27, "event has no field \"dat\"")],
        ),
        (
            with("suppress: { per: 1s, key: \"{{ steps.a.output }}\" }"),
            &[(3, 27, "steps is not known here")],
        ),
        (
            with("max_hosts: 5\nmax_in_flight: many\nauto_pause: [3, 10]"),
            &[
                (3, 12, "expected a map for max_hosts, found a number"),
                (4, 16, "expected a whole number from 1 to 10000, found a text"),
                (5, 13, "expected a map for auto_pause, found a list"),
            ],
        ),
        (
            with("max_hosts: {}\nmax_in_flight: 0\nauto_pause: {}"),
            &[
                (3, 12, "the key \"count\" is missing, expected how many hosts"),
                (3, 12, "the key \"per\" is missing"),
                (4, 16, "0 is not a whole number from 1 to 10000"),
                (5, 13, "the key \"failed\" is missing"),
                (5, 13, "the key \"of\" is missing, expected of how many jobs"),
            ],
        ),
        (
            with(
                "max_hosts: { count: 10001, per: 8d }\nmax_in_flight: 10001\nauto_pause: { failed: 3, of: 2 }",
            ),
            &[
                (3, 21, "10001 is not a whole number from 1 to 10000"),
                (3, 33, "8d is too long, expected at most 7d"),
                (4, 16, "10001 is not a whole number from 1 to 10000"),
                (5, 23, "3 of 2 jobs, expected at most 2"),
            ],
        ),
        (
            with("auto_pause: { failed: 1, of: 101, off: 1 }"),
            &[
                (3, 30, "101 is not a whole number from 1 to 100"),
                (3, 35, "unknown key \"off\" in auto_pause"),
            ],
        ),
    ]
}

fn key(text: &str, data: Value) -> Result<String, (&'static str, String)> {
    let text = with(&format!("suppress: {{ per: 1s, key: {} }}", json!(text)));
    let rules = parse(&text, "").unwrap();
    let pipeline = rules.pipelines().next().unwrap();
    let key = pipeline.suppress_key(&event(data), Some(&host()));
    key.map_err(|error| (error.code(), error.to_string()))
}

#[test]
fn a_key_of_suppression_is_a_text_whatever_its_values_are() {
    let data = json!({"n": 5, "l": [1, "a"]});
    for (text, expected) in [
        ("", ""),
        ("all", "all"),
        ("{{ event.data.n }}", "5"),
        ("{{ event.data.l }}", "[1,\"a\"]"),
        ("{{ host.hostname }}/{{ event.data.n }}", "web-1/5"),
    ] {
        assert_eq!(key(text, data.clone()).unwrap(), expected, "{text}");
    }
    let missing = key("{{ event.data.gone }}", json!({})).unwrap_err();
    assert_eq!(missing.0, "missing_field");
    assert!(
        missing.1.starts_with("pipeline p, parameter suppress.key: "),
        "{}",
        missing.1
    );
}

#[test]
fn a_key_of_suppression_is_as_long_as_its_bound() {
    let of = |length: usize| key("{{ event.data.k }}", json!({"k": "x".repeat(length)}));
    assert_eq!(of(512).unwrap().len(), 512);
    for length in [513, 100_000] {
        assert_eq!(of(length).unwrap_err().0, "too_large", "{length}");
    }
}

fn suppress<T>(text: &str, look: impl FnOnce(&Suppress) -> T) -> T {
    let rules = parse(&with(&format!("suppress: {{ {text} }}")), "").unwrap();
    look(rules.pipelines().next().unwrap().suppress().unwrap())
}

#[test]
fn what_suppress_does_not_say_has_a_default() {
    suppress("per: 30s", |suppress| {
        assert_eq!((suppress.min(), suppress.max()), (1, 1));
        assert_eq!(
            (suppress.per().to_string().as_str(), suppress.scope()),
            ("30s", SuppressScope::Global)
        );
    });
}

#[test]
fn what_was_counted_goes_on_as_long_as_key_per_and_scope_are_written_the_same() {
    let identity = |text: &str| suppress(text, Suppress::identity);
    let first = identity("per: 30s, key: \"{{ event.id }}\"");
    assert_eq!(
        identity("key: \"{{ event.id }}\", per: 30s, min: 7, max: 9, scope: global"),
        first
    );
    for other in [
        "per: 31s, key: \"{{ event.id }}\"",
        "per: 30s, key: \"{{ event.source }}\"",
        "per: 30s",
        "per: 30s, key: \"{{ event.id }}\", scope: host",
    ] {
        assert_ne!(identity(other), first, "{other}");
    }
}

#[test]
fn a_key_needs_of_let_what_it_names_and_no_more() {
    let of = |key: &str| {
        let text = format!(
            "name: p\non: a\nlet:\n  user: \"{{{{ event.data.user }}}}\"\n  who: \"{{{{ vars.user | lower }}}}\"\n  \
             path: \"{{{{ event.data.path }}}}\"\nsuppress: {{ key: \"{key}\", per: 1h }}\n\
             job: {{ steps: [ get_file: {{ path: \"{{{{ vars.path }}}}\" }} ] }}\n"
        );
        let rules = parse(&text, "").unwrap();
        let pipeline = rules.pipelines().next().unwrap().clone();
        move |data: serde_json::Value| {
            pipeline
                .suppress_key(&event(data), Some(&host()))
                .map_err(|error| error.code())
        }
    };
    let who = of("{{ vars.who }}");
    assert_eq!(who(json!({"user": "ROOT"})).unwrap(), "root");
    assert_eq!(who(json!({"path": "/x"})), Err("missing_field"));
    assert_eq!(of("{{ host.platform }}")(json!({})).unwrap(), "linux");
    assert_eq!(of("{{ event.data.k }}")(json!({"k": 1})).unwrap(), "1");
    let all = of("{{ vars | tojson }}");
    assert_eq!(all(json!({"user": "a"})), Err("missing_field"));
    assert!(all(json!({"user": "a", "path": "/x"})).unwrap().contains("/x"));
}

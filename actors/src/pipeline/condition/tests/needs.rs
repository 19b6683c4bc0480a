//! What an event must have, read off a condition, against the condition itself.

use super::*;
use crate::pipeline::tests::random;

/// Whether something of `source` can be used to find it.
fn is_found(source: &str) -> bool {
    !compile(source).unwrap().needs().is_empty()
}

#[test]
fn comparisons_with_literals_that_must_hold_are_needs() {
    for source in [
        "event.data.a == 'x'",
        "'x' == event.data.a",
        "event.data.a == 1 && event.data.b != 2",
        "event.data.b != 2 && (has(event.data.c) && event.data.a == -1.5)",
        "event.data.a > 1",
        "1.5 <= event.data.a",
        "event.data.a in ['x', 1, true, null]",
        "event.data['dash-ed'].b == 'x'",
        "event.etype == 'acme.alert' && re(event.data.a, 'x')",
        "event.data.a.startsWith('x') && !event.data.b",
        "event.data.a.endsWith('x') || event.data.b.contains('y')",
        "event.data.a == 'x' || (event.data.b == 'y' && event.data.c != 1)",
        "event.data.a == 'x' && host.platform == 'linux'",
    ] {
        assert!(is_found(source), "{source}");
    }
    for source in [
        "true",
        "host.platform == 'linux'",
        "event.data.a > 'x'",
        "event.data.a > event.data.b",
        "event.data.a != 'x'",
        "!(event.data.a == 'x')",
        "event.data.a == event.data.b",
        "event.data.a in event.data.b",
        "event.data.a in ['x', event.data.b]",
        "'x' in event.data.a",
        "event.data.a == b'x'",
        "event.data.a[0] == 'x'",
        "event.data.a.contains('')",
        "event.data.a.contains(event.data.b)",
        "event.data.a == 'x' || event.data.b != 1",
        "event.data.a == 'x' ? true : false",
        "event.time == '2026-11-20T14:00:00Z'",
        "event.data.l.exists(event, event == 'x')",
        "has(event.data.a)",
        "re(event.data.a, '^x$')",
    ] {
        assert!(!is_found(source), "{source}");
    }
}

#[test]
fn what_is_ruled_out_is_no_match_whatever_the_rest_would_give() {
    let data = json!({"s": "abc", "n": 5});
    // The last comparison of each is an error by itself.
    for source in [
        "event.data.missing == 'x' && event.data.s > 1",
        "event.data.s == 'x' && event.data.s > 1",
        "event.data.missing.contains('x') && event.data.n.contains('5')",
    ] {
        assert_eq!(check(source, data.clone()), Match::No, "{source}");
    }
    for source in [
        "event.data.s == 'abc' && event.data.s > 1",
        "event.data.s.x == 'x'",
        "event.data.n.contains('5')",
        "event.data.s > 1",
        "event.data.missing == 1 || event.data.n.startsWith('5')",
    ] {
        let found = check(source, data.clone());
        assert!(matches!(found, Match::Error(_)), "{source}: {found:?}");
    }
}

#[test]
fn a_text_is_searched_for_parts_up_to_a_bound_and_a_longer_one_is_left_to_the_evaluation() {
    let condition = compile("event.data.s.contains('b')").unwrap();
    let is_ruled_out = |bytes: usize| condition.is_ruled_out(&event(json!({"s": "a".repeat(bytes)})));
    assert!(is_ruled_out(need::SEARCHED_TEXT_BYTES_MAX));
    assert!(!is_ruled_out(need::SEARCHED_TEXT_BYTES_MAX + 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_rules_an_event_out_never_hides_a_match(source in random::condition(), events in random::events()) {
        let condition = compile(&source).unwrap();
        for event in events {
            let host = host();
            let facts = Facts { event: Some(&event), host: Some(&host), values: None };
            let variables = Variables::new(&facts, &condition.regexes, condition.square);
            let evaluated = condition.evaluate(&variables);
            let found = condition.matches(&event, Some(&host));
            if condition.is_ruled_out(&event) {
                prop_assert_ne!(evaluated, Match::Yes, "{} of {}", source, event.data);
                prop_assert_eq!(found, Match::No);
            } else {
                prop_assert_eq!(found, evaluated, "{} of {}", source, event.data);
            }
        }
    }
}

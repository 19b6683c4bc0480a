//! Which part of a condition does not hold, against the condition itself.

use super::*;
use crate::pipeline::tests::random;
use tripline_protocol::api::Shortfall;

fn unmet(source: &str, data: Json) -> String {
    let condition = compile(source).unwrap();
    let unmet = condition.unmet(&event(data), Some(&host()));
    unmet.map_or_else(|| "holds".to_owned(), |unmet| unmet.to_string())
}

#[test]
fn the_first_part_that_does_not_hold_is_named_with_what_it_looked_at() {
    let data = json!({"s": "abc", "n": 5, "l": ["a"], "m": {"k": 1}, "dash-ed": true});
    for (source, told) in [
        ("event.data.n == 5", "holds"),
        ("event.data.n > 7", "event.data.n > 7 is false; event.data.n is 5"),
        (
            "event.data.s == 'abc' && event.data.n > 7 && event.data.n > 8",
            "event.data.n > 7 is false; event.data.n is 5 (part 2 of 3)",
        ),
        (
            "event.data.n == 5 && event.data.user == 'root'",
            "event.data.user is missing, in event.data.user == 'root' (part 2 of 2)",
        ),
        (
            "event.data.m.x.y == 1 || event.data.s == 'x'",
            "event.data.m.x is missing, in event.data.m.x.y == 1 || event.data.s == 'x'; event.data.s is \"abc\"",
        ),
        (
            "has(event.data.m.x) && event.data.s > 1",
            "has(event.data.m.x) is false; event.data.m is a map of 1 (part 1 of 2)",
        ),
        (
            "event.data['dash-ed'] == false",
            "event.data['dash-ed'] == false is false; event.data[\"dash-ed\"] is true",
        ),
        (
            "re(host.hostname, '^x') && true",
            "re(host.hostname, '^x') is false; host.hostname is \"web-1\" (part 1 of 2)",
        ),
        (
            "event.data.l[3] == 'a'",
            "an element of a list is missing, in event.data.l[3] == 'a'; event.data.l is a list of 1",
        ),
    ] {
        assert_eq!(unmet(source, data.clone()), told, "{source}");
    }
}

#[test]
fn a_part_without_a_value_is_named_only_where_no_other_decides() {
    let data = json!({"s": "abc"});
    let condition = compile("event.data.s > 1 && event.data.s == 'x'").unwrap();
    let found = condition.unmet(&event(data.clone()), None).unwrap();
    assert_eq!((found.why, found.number), (Shortfall::False, 2));
    let condition = compile("event.data.s == 'abc' && event.data.s > 1").unwrap();
    let found = condition.unmet(&event(data), None).unwrap();
    assert_eq!((found.why, found.number), (Shortfall::Error, 2));
    assert!(found.error.is_some() && found.field.is_none());
}

#[test]
fn of_an_event_without_a_host_the_fields_of_host_are_missing() {
    let condition = compile("event.data.n == 5 && host.platform == 'linux'").unwrap();
    let found = condition.unmet(&event(json!({"n": 5})), None).unwrap();
    assert_eq!(found.why, Shortfall::Missing);
    assert_eq!(found.field.as_deref(), Some("host.platform"));
}

#[test]
fn values_and_how_many_there_are_have_bounds() {
    let fields: Vec<String> = (0..9).map(|n| format!("event.data.f{n} == 'x'")).collect();
    let condition = compile(&format!("({})", fields.join(" || "))).unwrap();
    let data: Json = (0..9)
        .map(|n| (format!("f{n}"), Json::from("y".repeat(500))))
        .collect();
    let found = condition.unmet(&event(data), None).unwrap();
    assert_eq!(found.seen.len(), 8);
    assert_eq!(found.seen[0].value, format!("\"{}\"…", "y".repeat(120)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_part_is_named_exactly_when_the_condition_does_not_hold_and_does_not_hold_by_itself(
        source in random::condition(),
        events in random::events(),
    ) {
        let condition = compile(&source).unwrap();
        let host = host();
        for event in events {
            let unmet = condition.unmet(&event, Some(&host));
            let holds = condition.matches(&event, Some(&host)) == Match::Yes;
            prop_assert_eq!(unmet.is_none(), holds, "{} of {}", source, event.data);
            if let Some(unmet) = unmet {
                if let Some(told) = unmet.part.strip_suffix('…') {
                    prop_assert!(source.contains(told), "{} of {}", told, source);
                    continue;
                }
                let part = compile(&unmet.part).unwrap().matches(&event, Some(&host));
                let as_told = match unmet.why {
                    Shortfall::False | Shortfall::Missing => part == Match::No,
                    Shortfall::Error => part != Match::Yes,
                };
                prop_assert!(as_told, "{} of {}: {:?}", source, event.data, unmet);
            }
        }
    }
}

//! Conditions and events made at random from few words, so that they often meet.

use super::events::event;
use proptest::prelude::*;
use serde_json::{Value, json};
use tripline_protocol::Event;

/// Fields of the event; some are missing in most events, some lead through what is no map in others.
fn field() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "event.data.a",
        "event.data.a",
        "event.data.b",
        "event.data['b']",
        "event['data'].a",
        "event.data.m.a",
        "event.data.m['b'].a",
        "event.data.m",
        "event.data",
        "event.etype",
        "event.depth",
        "event.time",
    ])
}

fn literal() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "'x'",
        "'y'",
        "'xy'",
        "''",
        "'acme.alert.high'",
        "1",
        "1.0",
        "1u",
        "-1",
        "0",
        "-0.0",
        "9007199254740993",
        "9007199254740992.0",
        "9223372036854775808u",
        "true",
        "false",
        "null",
        "b'x'",
    ])
}

fn comparison() -> impl Strategy<Value = String> {
    let list = prop::collection::vec(literal(), 0..4).prop_map(|list| list.join(", "));
    let order = prop::sample::select(vec![">", ">=", "<", "<="]);
    let method = prop::sample::select(vec!["startsWith", "endsWith", "contains"]);
    prop_oneof![
        4 => (field(), literal()).prop_map(|(field, literal)| format!("{field} == {literal}")),
        1 => (field(), literal()).prop_map(|(field, literal)| format!("{literal} == {field}")),
        3 => (field(), list).prop_map(|(field, list)| format!("{field} in [{list}]")),
        3 => (field(), method, prop::sample::select(vec!["x", "y", "xy", ""]))
            .prop_map(|(field, method, part)| format!("{field}.{method}('{part}')")),
        1 => (field(), literal()).prop_map(|(field, literal)| format!("{field} != {literal}")),
        3 => (field(), order, literal()).prop_map(|(field, order, literal)| format!("{field} {order} {literal}")),
        1 => (field(), literal()).prop_map(|(field, literal)| format!("{literal} < {field}")),
        1 => (field(), field()).prop_map(|(one, other)| format!("{one} == {other}")),
        1 => (field(), literal()).prop_map(|(field, literal)| format!("{literal} in {field}")),
        1 => prop::sample::select(vec![
            "has(event.data.a)",
            "event.data.a",
            "size(event.data.a) > 0",
            "host.platform == 'linux'",
            "event.data.l.exists(event, event == 'x')",
            "true",
        ])
        .prop_map(str::to_owned),
    ]
}

/// Conditions; many of them can be indexed in part.
pub(crate) fn condition() -> impl Strategy<Value = String> {
    comparison().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            4 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" && "))),
            3 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" || "))),
            1 => inner.clone().prop_map(|inner| format!("!({inner})")),
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!("x"),
        json!("x"),
        json!("y"),
        json!("xy"),
        json!(""),
        json!(1),
        json!(1.0),
        json!(-1),
        json!(-0.0),
        json!(9_007_199_254_740_992_i64),
        json!(9_007_199_254_740_993_i64),
        json!(9_223_372_036_854_775_808_u64),
        json!(true),
        json!(null),
        json!(["x"]),
        json!({"a": "x"}),
        json!({"a": 1, "b": {"a": "y"}}),
        json!({"b": "x"}),
    ])
}

fn data() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec!["a", "b", "m", "l"]);
    prop_oneof![
        8 => prop::collection::btree_map(names, value(), 0..4)
            .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        1 => value(),
    ]
}

/// Events of etype `acme.alert.high`.
pub(crate) fn events() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(data().prop_map(event), 1..12)
}

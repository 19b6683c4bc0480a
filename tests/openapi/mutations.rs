//! Changes of a body by one thing each: to ask of two readers whether they take and refuse the same.

use serde_json::{Value, json};

/// What is free in form: whoever reads it takes anything.
const FREE: [&str; 9] = [
    "data",
    "arguments",
    "output",
    "origin",
    "params",
    "detail",
    "value",
    "value_data",
    "headers",
];

/// A body with one change, and what was changed.
pub(crate) struct Mutation {
    pub(crate) what: String,
    pub(crate) body: Value,
}

/// All changes of `body` by one thing.
pub(crate) fn of(body: &Value) -> Vec<Mutation> {
    let mut found = Vec::new();
    collect(body, "", &mut |what, body| found.push(Mutation { what, body }));
    found
}

type Give<'a> = dyn FnMut(String, Value) + 'a;

fn collect(value: &Value, place: &str, give: &mut Give<'_>) {
    match value {
        Value::Object(map) => {
            let mut more = map.clone();
            more.insert("no_such_field".into(), json!(1));
            give(format!("{place} and no_such_field"), Value::Object(more));
            for (name, inner) in map {
                let mut without = map.clone();
                without.remove(name);
                give(format!("{place}/{name} left out"), Value::Object(without));
                if FREE.contains(&name.as_str()) {
                    continue;
                }
                let mut put = |what: String, inner: Value| {
                    let mut changed = map.clone();
                    changed.insert(name.clone(), inner);
                    give(what, Value::Object(changed));
                };
                let place = format!("{place}/{name}");
                replaced(inner, &place, &mut put);
                collect(inner, &place, &mut put);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                let mut put = |what: String, inner: Value| {
                    let mut changed = items.clone();
                    changed[index] = inner;
                    give(what, Value::Array(changed));
                };
                let place = format!("{place}/{index}");
                replaced(inner, &place, &mut put);
                collect(inner, &place, &mut put);
            }
        }
        _ => {}
    }
}

/// Other values in the place of one.
fn replaced(value: &Value, place: &str, put: &mut Give<'_>) {
    let others = match value {
        Value::String(_) => vec![
            json!(null),
            json!(7),
            json!({}),
            json!(["x"]),
            json!("no such word!"),
        ],
        Value::Number(_) => vec![json!(null), json!("x"), json!(-1), json!(1.5), json!({})],
        Value::Bool(_) => vec![json!(null), json!("true"), json!(1)],
        Value::Array(_) => vec![json!(null), json!({}), json!("x"), json!([null]), json!([{}])],
        _ => vec![json!(null), json!(7), json!("x")],
    };
    for other in others {
        put(format!("{place} as {other}"), other);
    }
}

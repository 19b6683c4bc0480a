//! Whether a value contains what is wanted of it: maps may have more keys, everything else is the same.

use super::outcome::shown;
use serde_json::{Number, Value};

/// The first place at which `found` is not what is wanted; `None`: it contains it. A value that is wanted to be nothing
/// may be missing.
pub(super) fn difference(wanted: &Value, found: Option<&Value>, path: &str) -> Option<String> {
    match (wanted, found) {
        (Value::Object(wanted), Some(Value::Object(found))) => {
            let mut entries = wanted.iter();
            entries.find_map(|(key, wanted)| difference(wanted, found.get(key), &inside(path, key)))
        }
        (Value::Array(wanted), Some(Value::Array(found))) if wanted.len() == found.len() => {
            let mut pairs = wanted.iter().zip(found).enumerate();
            pairs.find_map(|(index, (wanted, found))| {
                difference(wanted, Some(found), &format!("{path}[{index}]"))
            })
        }
        (Value::Null, None) => None,
        (Value::Number(wanted), Some(Value::Number(found))) if same(wanted, found) => None,
        (wanted, Some(found)) if wanted == found => None,
        (wanted, Some(found)) => Some(format!("{path} is {}, expected {}", shown(found), shown(wanted))),
        (wanted, None) => Some(format!("{path} is missing, expected {}", shown(wanted))),
    }
}

/// Numbers are the same whichever way they are written.
fn same(wanted: &Number, found: &Number) -> bool {
    let is_whole = |number: &Number| number.is_i64() || number.is_u64();
    match is_whole(wanted) && is_whole(found) {
        true => wanted == found,
        false => wanted.as_f64() == found.as_f64(),
    }
}

fn inside(path: &str, key: &str) -> String {
    match path.is_empty() {
        true => key.to_owned(),
        false => format!("{path}.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_map_contains_its_parts_and_a_list_only_itself() {
        let found = json!({"a": 1, "b": {"c": [1, {"d": 2, "e": null}]}, "f": 2.0});
        for wanted in [
            json!({}),
            json!({"a": 1}),
            json!({"a": 1.0, "f": 2}),
            json!({"b": {"c": [1, {"d": 2}]}}),
            json!({"g": null}),
        ] {
            assert_eq!(difference(&wanted, Some(&found), ""), None, "{wanted}");
        }
        for (wanted, told) in [
            (json!({"a": 2}), "a is 1, expected 2"),
            (json!({"a": "1"}), "a is 1, expected \"1\""),
            (
                json!({"b": {"c": [1]}}),
                "b.c is [1,{\"d\":2,\"e\":null}], expected [1]",
            ),
            (json!({"b": {"c": [1, {"d": 3}]}}), "b.c[1].d is 2, expected 3"),
            (json!({"g": false}), "g is missing, expected false"),
            (json!({"a": null}), "a is 1, expected null"),
        ] {
            assert_eq!(difference(&wanted, Some(&found), "").as_deref(), Some(told));
        }
    }
}

//! The document's texts: as the code's own, without what only a reader of the code understands.

use serde_json::{Map, Value};
use tripline_protocol::{limit, littlebrother, session};

/// Constants that descriptions in the code refer to, as what they are.
fn constants() -> Vec<(&'static str, String)> {
    vec![
        ("NESTING_MAX", limit::NESTING_MAX.to_string()),
        ("STEPS_MAX", limit::STEPS_MAX.to_string()),
        ("LIST_ENTRIES_MAX", limit::LIST_ENTRIES_MAX.to_string()),
        ("COMMAND_TIMEOUT_MAX", session::COMMAND_TIMEOUT_MAX.to_string()),
        ("ORIGIN_BYTES_MAX", format!("{} bytes", session::ORIGIN_BYTES_MAX)),
        ("VERSION", littlebrother::VERSION.to_owned()),
        ("Action::ALL", "the actions that docs/audit.md lists".to_owned()),
    ]
}

/// Replaces references to constants in all descriptions, joins lines that are one paragraph, and spells formats right.
pub(super) fn tidy(value: &mut Value) {
    let constants = constants();
    walk(value, &constants);
}

fn walk(value: &mut Value, constants: &[(&str, String)]) {
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                match value {
                    Value::String(text) if name == "description" => *text = readable(text, constants),
                    // As the registry of formats spells them.
                    Value::String(text) if name == "format" => *text = text.replace("u-int", "uint"),
                    value => walk(value, constants),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, constants)),
        _ => {}
    }
}

fn readable(text: &str, constants: &[(&str, String)]) -> String {
    let mut parts = text.split("[`");
    let mut readable = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (reference, rest) = part.split_once("`]").unwrap_or((part, ""));
        let meant = constants.iter().find(|(name, _)| reference.ends_with(name));
        readable.push_str(meant.map_or(reference, |(_, meant)| meant));
        readable.push_str(rest);
    }
    joined(&readable)
}

/// Lines of a paragraph follow each other; rows of a table stay.
fn joined(text: &str) -> String {
    let paragraph = |paragraph: &str| match paragraph.contains("\n|") {
        true => paragraph.to_owned(),
        false => paragraph.lines().collect::<Vec<_>>().join(" "),
    };
    text.split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n\n")
}

/// The same with the names of all objects in order, whatever order they are kept in.
pub(super) fn in_order(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<(String, Value)> = map.into_iter().collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            let fields = fields.into_iter().map(|(name, value)| (name, in_order(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(in_order).collect()),
        plain => plain,
    }
}

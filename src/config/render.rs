//! Prints a configuration: as TOML, as JSON, and its keys as a Markdown table.

use super::Config;
use super::section::key;
use std::fmt::Write;

/// Every key in force; those that are not set as comments.
pub(super) fn toml(config: &Config) -> String {
    let mut out = String::new();
    for section in config.sections() {
        if !section.name().is_empty() {
            let _ = writeln!(out, "\n[{}]", section.name());
        }
        for field in section.fields() {
            // Writing to a String cannot fail.
            let _ = match field.shown {
                Some(value) => writeln!(out, "{} = {value}", field.name),
                None => writeln!(out, "# {} is not set", field.name),
            };
        }
    }
    out
}

/// The same as an object of objects; those that are not set are null.
pub(super) fn json(config: &Config) -> serde_json::Value {
    let mut root = serde_json::Map::new();
    for section in config.sections() {
        let fields = section.fields().into_iter().map(|field| {
            let value = field.shown.and_then(|value| serde_json::to_value(value).ok());
            (field.name.to_owned(), value.unwrap_or_default())
        });
        if section.name().is_empty() {
            root.extend(fields);
        } else {
            root.insert(section.name().to_owned(), fields.collect());
        }
    }
    root.into()
}

/// `| key | default | meaning |`, a line per key.
pub(super) fn markdown(defaults: &Config) -> String {
    let mut out = String::from("| key | default | meaning |\n| --- | --- | --- |\n");
    for section in defaults.sections() {
        for field in section.fields() {
            let default = field
                .shown
                .map_or_else(|| "–".to_owned(), |value| format!("`{value}`"));
            let _ = writeln!(
                out,
                "| `{}` | {default} | {} |",
                key(section.name(), field.name),
                field.doc
            );
        }
    }
    out
}

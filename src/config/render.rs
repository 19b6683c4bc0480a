//! Prints a configuration: as TOML, as JSON, and its keys as a Markdown table.

use super::Config;
use super::section::{Field, key};
use std::fmt::Write;

/// Every key in force; those that are not set as comments.
pub(super) fn toml(config: &Config) -> String {
    let mut out = String::new();
    for section in config.sections() {
        if !section.name().is_empty() {
            let _ = writeln!(out, "\n[{}]", section.name());
        }
        let (tables, keys): (Vec<Field>, Vec<Field>) = section
            .fields()
            .into_iter()
            .partition(|field| !field.inner.is_empty());
        for field in &keys {
            // Writing to a String cannot fail.
            let _ = match &field.shown {
                Some(value) => writeln!(out, "{} = {value}", field.name),
                None => writeln!(out, "# {} is not set", field.name),
            };
        }
        for field in &tables {
            toml_tables(&mut out, &key(section.name(), field.name), field);
        }
    }
    out
}

/// A list of tables, which must come after the plain keys of its section.
fn toml_tables(out: &mut String, key: &str, field: &Field) {
    let tables = field.shown.as_ref().and_then(toml::Value::as_array);
    let tables = tables.into_iter().flatten().filter_map(toml::Value::as_table);
    for table in tables {
        let _ = writeln!(out, "\n[[{key}]]");
        let shown = field
            .inner
            .iter()
            .filter_map(|inner| Some((inner.name, table.get(inner.name)?)));
        for (name, value) in shown {
            let _ = writeln!(out, "{name} = {value}");
        }
    }
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
            let key = key(section.name(), field.name);
            row(&mut out, &key, &field);
            for inner in &field.inner {
                row(&mut out, &format!("{key}[].{}", inner.name), inner);
            }
        }
    }
    out
}

fn row(out: &mut String, key: &str, field: &Field) {
    let shown = field.shown.as_ref();
    let default = shown.map_or_else(|| "–".to_owned(), |value| format!("`{value}`"));
    let _ = writeln!(out, "| `{key}` | {default} | {} |", field.doc);
}

//! The JSON Schemas of the files, made of the [`Shape`]s that the parser reads by: for editors, and for whoever makes
//! such files.
//!
//! Arguments of verbs have the schemas of their types (`tripline_protocol::openapi`), to which templates are added.
//! What a schema cannot know is left to the parser: what expressions mean, which jobs and steps there are, sums of
//! sizes. It refuses nothing that the parser takes.

mod arguments;
mod forms;

use super::shape::{Field, Form, Shape, Takes};
use super::{named_job, pipeline};
use forms::reference;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tripline_protocol::step::ServerVerb;
use tripline_protocol::verb::Verb;

/// What the schemas are written in.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of a document of a pipelines' file.
pub fn pipeline_schema() -> Value {
    document(
        &pipeline::SHAPE,
        "A pipeline of Tripline",
        "tripline pipeline schema",
    )
}

/// The schema of a document of a named jobs' file.
pub fn job_schema() -> Value {
    document(
        &named_job::SHAPE,
        "A named job of Tripline",
        "tripline pipeline schema --jobs",
    )
}

/// A map of the language with the keys it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapKeys {
    /// In messages: `a pipeline`.
    pub what: &'static str,
    /// Keys in force.
    pub keys: Vec<&'static str>,
    /// Keys that are not built yet.
    pub later: &'static [&'static str],
}

/// Every map of the language, for tests of what describes it.
pub fn map_keys() -> Vec<MapKeys> {
    let mut found = BTreeMap::new();
    for shape in [&pipeline::SHAPE, &named_job::SHAPE] {
        gather(shape, &mut found);
    }
    let keys = |shape: &'static Shape| MapKeys {
        what: shape.what,
        keys: shape.names().collect(),
        later: shape.later,
    };
    found.into_values().map(keys).collect()
}

fn gather(shape: &'static Shape, found: &mut BTreeMap<&'static str, &'static Shape>) {
    if found.insert(shape.what, shape).is_none() {
        shape.keys.iter().for_each(|field| gather_in(&field.takes, found));
    }
}

fn gather_in(takes: &'static Takes, found: &mut BTreeMap<&'static str, &'static Shape>) {
    match takes {
        Takes::Map(shape) | Takes::Step(shape) => gather(shape, found),
        Takes::OneOrMany(inner, _) | Takes::List(inner, _) | Takes::Names { takes: inner, .. } => {
            gather_in(inner, found);
        }
        Takes::Either(those) => those.iter().for_each(|inner| gather_in(inner, found)),
        Takes::AnyText
        | Takes::Flag
        | Takes::Count(..)
        | Takes::Text(_)
        | Takes::Condition { .. }
        | Takes::Value
        | Takes::WholeTemplate
        | Takes::Literal => {}
    }
}

fn document(shape: &'static Shape, title: &str, command: &str) -> Value {
    let mut schema = map(shape);
    schema.insert("$schema".into(), DIALECT.into());
    schema.insert("$comment".into(), format!("Made by `{command}`.").into());
    schema.insert("title".into(), title.into());
    let mut definitions = arguments::definitions();
    definitions.extend(forms::definitions());
    let mut schema = Value::Object(schema);
    keep_used(&schema, &mut definitions);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$defs".into(), Value::Object(definitions));
    }
    // Whatever order other crates ask serde_json for.
    schema.sort_all_objects();
    schema
}

/// Removes the definitions that nothing leads to.
fn keep_used(schema: &Value, definitions: &mut Map<String, Value>) {
    let mut open = vec![schema.clone()];
    let mut used = Map::new();
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                let name = map.get("$ref").and_then(Value::as_str).and_then(forms::referred);
                if let Some((name, definition)) = name.and_then(|name| definitions.remove_entry(name)) {
                    open.push(definition.clone());
                    used.insert(name, definition);
                }
                open.extend(map.into_values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    *definitions = used;
}

/// A map with the keys of a shape.
fn map(shape: &'static Shape) -> Map<String, Value> {
    let properties: Map<String, Value> = shape
        .keys
        .iter()
        .map(|field| (field.name.to_owned(), property(field)))
        .collect();
    let needed = shape.keys.iter().filter(|field| field.is_needed);
    let needed: Vec<&str> = needed.map(|field| field.name).collect();
    let mut schema = Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), Value::Object(properties)),
        ("additionalProperties".to_owned(), json!(false)),
    ]);
    if !needed.is_empty() {
        schema.insert("required".into(), json!(needed));
    }
    let rules = (shape.rules)();
    if !rules.is_empty() {
        schema.insert("allOf".into(), Value::Array(rules));
    }
    schema
}

fn property(field: &'static Field) -> Value {
    let mut schema = of(&field.takes);
    schema.insert("description".into(), field.says.into());
    if let Some(default) = field.default {
        let default = serde_json::from_str(default).unwrap_or_else(|_| default.into());
        schema.insert("default".into(), default);
    }
    Value::Object(schema)
}

fn of(takes: &'static Takes) -> Map<String, Value> {
    let schema = match takes {
        Takes::AnyText => json!({"type": "string"}),
        Takes::Flag => json!({"type": "boolean"}),
        Takes::Count(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Takes::Text(form) => reference(*form),
        Takes::Condition { bytes_max } => {
            json!({"type": "string", "minLength": 1, "maxLength": bytes_max})
        }
        Takes::Value | Takes::Literal => json!({}),
        Takes::WholeTemplate => forms::to(forms::WHOLE_TEMPLATE),
        Takes::OneOrMany(one, most) => json!({"anyOf": [of(one), list(one, *most)]}),
        Takes::List(item, most) => list(item, *most),
        Takes::Map(shape) => return map(shape),
        Takes::Names { names, most, takes } => return named(*names, *most, takes),
        Takes::Step(shape) => return step(shape),
        Takes::Either(those) => json!({"anyOf": those.iter().map(of).collect::<Vec<_>>()}),
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

fn list(item: &'static Takes, most: usize) -> Value {
    json!({"type": "array", "items": of(item), "minItems": 1, "maxItems": most})
}

fn named(names: Option<Form>, most: Option<usize>, takes: &'static Takes) -> Map<String, Value> {
    let entries = [
        Some(("type", json!("object"))),
        Some(("additionalProperties", Value::Object(of(takes)))),
        names.map(|form| ("propertyNames", reference(form))),
        most.map(|most| ("maxProperties", json!(most))),
    ];
    let entries = entries.into_iter().flatten();
    entries.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A map with the keys of a step and exactly one verb.
fn step(shape: &'static Shape) -> Map<String, Value> {
    let mut schema = map(shape);
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(
            Verb::ALL
                .iter()
                .map(|verb| (verb.to_string(), arguments::of(*verb))),
        );
        properties.extend(
            ServerVerb::ALL
                .iter()
                .map(|verb| (verb.as_str().to_owned(), arguments::of_server(*verb))),
        );
    }
    let verbs = Verb::ALL.iter().map(|verb| verb.as_str());
    let verbs = verbs.chain(ServerVerb::ALL.iter().map(|verb| verb.as_str()));
    let one = verbs.map(|verb| json!({"required": [verb]}));
    schema.insert("oneOf".into(), Value::Array(one.collect()));
    schema
}

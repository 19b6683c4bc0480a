//! Arguments of verbs: the schemas of their types, with templates wherever a step may have them.

use super::forms::{TEMPLATE, WHOLE_TEMPLATE, to, types};
use crate::pipeline::steps::{ONE_OF, plain_arguments};
use serde_json::{Map, Value, json};
use tripline_protocol::openapi::{Schemas, add};
use tripline_protocol::step::{Detect, Publish, ServerVerb};
use tripline_protocol::verb::Verb;

/// The names of the schemas of what the server publishes.
const PUBLISH: &str = "Publish";
const DETECT: &str = "Detect";

/// The schemas of all arguments, and of what is in them.
pub(super) fn definitions() -> Map<String, Value> {
    let of_server = [PUBLISH, DETECT].map(str::to_owned);
    let names = Verb::ALL.iter().map(|verb| definition_of(*verb));
    let names: Vec<String> = names.chain(of_server).collect();
    let mut definitions: Map<String, Value> = types(add_all)
        .into_iter()
        .map(|(name, schema)| {
            // All arguments together are a map in any case.
            let schema = with_templates(&schema, !names.contains(&name));
            (name, schema)
        })
        .collect();
    for verb in Verb::ALL {
        if let Some(schema) = definitions.get_mut(&definition_of(*verb)) {
            restrict(*verb, schema);
        }
    }
    definitions
}

fn add_all(schemas: &mut Schemas) {
    Verb::add_arguments(schemas);
    add::<Publish>(schemas);
    add::<Detect>(schemas);
}

/// A step's arguments of what the server does itself.
pub(super) fn of_server(verb: ServerVerb) -> Value {
    let (schema, says) = match verb {
        ServerVerb::Wait => (
            json!({"anyOf": [to("span"), to(TEMPLATE)]}),
            "The job waits so long, at most 7d, without a slot.",
        ),
        ServerVerb::Publish => (to(PUBLISH), "Publishes an event."),
        ServerVerb::Detect => (to(DETECT), "Publishes a detection."),
    };
    let mut schema = schema;
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".into(), says.into());
    }
    schema
}

fn definition_of(verb: Verb) -> String {
    verb.name_of_arguments().into_owned()
}

/// A step's arguments of a verb. Where it needs none, nothing is as good as an empty map.
pub(super) fn of(verb: Verb) -> Value {
    let definition = definition_of(verb);
    let says = verb.description();
    let needs_some = types(Verb::add_arguments)
        .get(&definition)
        .is_some_and(|schema| schema.get("required").is_some())
        || ONE_OF.iter().any(|(other, _)| *other == verb);
    let mut schema = match needs_some {
        true => to(&definition),
        false => json!({"anyOf": [to(&definition), {"type": "null"}]}),
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".into(), says.into());
    }
    schema
}

/// What the parser asks of arguments beside their types.
fn restrict(verb: Verb, schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    for (_, names) in ONE_OF.iter().filter(|(other, _)| *other == verb) {
        let given =
            |name: &&str| json!({"required": [name], "properties": {*name: {"not": {"type": "null"}}}});
        schema.insert("oneOf".into(), names.iter().map(given).collect());
    }
    let arguments = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, argument) in arguments.into_iter().flatten() {
        if let (true, Some(argument)) = (
            plain_arguments(verb).contains(&name.as_str()),
            argument.as_object_mut(),
        ) {
            argument.insert("not".into(), to(TEMPLATE));
        }
    }
}

/// A schema in which templates may stand for values; `whole`: for all of it, too.
fn with_templates(schema: &Value, whole: bool) -> Value {
    let Value::Object(map) = schema else {
        return schema.clone();
    };
    let inside = |value: &Value| with_templates(value, true);
    let changed = map.iter().map(|(key, value)| match (key.as_str(), value) {
        ("properties", Value::Object(properties)) => {
            let properties = properties
                .iter()
                .map(|(name, value)| (name.clone(), inside(value)));
            (key.clone(), Value::Object(properties.collect()))
        }
        ("items" | "additionalProperties", Value::Object(_)) => (key.clone(), inside(value)),
        // A template may fit several of them.
        ("oneOf" | "anyOf", Value::Array(those)) => ("anyOf".to_owned(), those.iter().map(inside).collect()),
        _ => (key.clone(), value.clone()),
    });
    let changed: Map<String, Value> = changed.collect();
    match template_for(map).filter(|_| whole) {
        Some(template) => beside(changed, template),
        None => Value::Object(changed),
    }
}

/// The schema or a template; what is said of it stands in front.
fn beside(mut schema: Map<String, Value>, template: &str) -> Value {
    let said = ["description", "examples"];
    let said: Vec<_> = said
        .into_iter()
        .filter_map(|key| schema.remove_entry(key))
        .collect();
    let mut either = Map::from_iter([("anyOf".to_owned(), json!([schema, to(template)]))]);
    either.extend(said);
    Value::Object(either)
}

/// Which template may stand in the place of a value: any for a text, a whole one for what is none. `None` where every
/// text will do, or where what it is made of, or leads to, lets templates through.
fn template_for(schema: &Map<String, Value>) -> Option<&'static str> {
    let kind = schema.get("type")?;
    let is = |wanted: &str| {
        kind == wanted
            || kind
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind == wanted))
    };
    let is_bounded = ["pattern", "enum"].iter().any(|key| schema.contains_key(*key));
    match (is("string"), kind == "null") {
        (true, _) => is_bounded.then_some(TEMPLATE),
        (false, true) => None,
        (false, false) => Some(WHOLE_TEMPLATE),
    }
}

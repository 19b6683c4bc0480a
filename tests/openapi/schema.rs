//! The document's schemas as validators of JSON.

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The document of this build.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text = tripline::http::document().expect("a document");
    serde_json::from_str(&text).expect("JSON")
});

/// The same, its schemas refusing every property that they do not name.
static STRICT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = DOCUMENT.clone();
    let parts = parts_of_others(&document);
    let schemas = document["components"]["schemas"]
        .as_object_mut()
        .expect("schemas");
    for (name, schema) in schemas {
        let is_whole = !parts.contains(name) && schema["additionalProperties"].is_null();
        let schema = schema.as_object_mut().expect("a schema");
        if is_whole && (schema.contains_key("properties") || schema.contains_key("allOf")) {
            schema.insert("unevaluatedProperties".into(), json!(false));
        }
    }
    document
});

/// Schemas that are a part of others: what one of them does not name, another may.
fn parts_of_others(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(document, &mut |schema| {
        for part in schema["allOf"].as_array().into_iter().flatten() {
            walk(part, &mut |inner| {
                let reference = inner["$ref"]
                    .as_str()
                    .and_then(|reference| reference.rsplit('/').next());
                found.extend(reference.map(str::to_owned));
            });
        }
    });
    found
}

/// Shows every object of `value`.
pub(crate) fn walk(value: &Value, look: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(map) => {
            look(value);
            map.values().for_each(|value| walk(value, look));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, look)),
        _ => {}
    }
}

fn validator(document: &Value, schema: &Value) -> Validator {
    let mut whole = Map::new();
    whole.insert(
        "$schema".into(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    whole.insert("components".into(), document["components"].clone());
    whole.insert("allOf".into(), json!([schema]));
    jsonschema::options()
        .should_validate_formats(true)
        .build(&Value::Object(whole))
        .unwrap_or_else(|error| panic!("{schema}: {error}"))
}

/// Of a component, as it is.
pub(crate) fn of_component(name: &str) -> Validator {
    validator(&DOCUMENT, &reference(name))
}

/// Of a schema of the document, refusing what it does not name.
pub(crate) fn strict(schema: &Value) -> Validator {
    validator(&STRICT, schema)
}

/// A reference to a component.
pub(crate) fn reference(name: &str) -> Value {
    assert!(
        DOCUMENT["components"]["schemas"][name].is_object(),
        "no schema {name}"
    );
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// What is wrong with an instance, each with its place.
pub(crate) fn faults(validator: &Validator, instance: &Value) -> Vec<String> {
    validator
        .iter_errors(instance)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

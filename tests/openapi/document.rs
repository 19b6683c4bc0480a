//! The document checked in, and that it is sound OpenAPI 3.1.

use crate::schema::{DOCUMENT, walk};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_document_checked_in_is_the_codes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let checked_in = std::fs::read_to_string(path).expect("docs/openapi.json");
    let now = tripline::http::document().expect("a document");
    let first = checked_in
        .lines()
        .zip(now.lines())
        .enumerate()
        .find(|(_, (old, new))| old != new);
    assert!(
        checked_in == now,
        "the HTTP API has changed: look at what `make openapi` (or `tripline openapi > docs/openapi.json`) changes in \
         docs/openapi.json, and check that in. The first line that differs: {first:?}"
    );
}

#[test]
fn it_is_of_openapi_3_1_with_everything_that_needs() {
    assert_eq!(DOCUMENT["openapi"], "3.1.0");
    assert_eq!(DOCUMENT["info"]["version"], env!("CARGO_PKG_VERSION"));
    for field in ["title", "description"] {
        assert!(DOCUMENT["info"][field].is_string(), "{field}");
    }
    let fields: Vec<&String> = DOCUMENT.as_object().expect("an object").keys().collect();
    assert_eq!(
        fields,
        ["components", "info", "openapi", "paths", "servers", "tags"]
    );
}

#[test]
fn every_reference_leads_somewhere() {
    let mut seen = 0;
    walk(&DOCUMENT, &mut |object| {
        if let Some(reference) = object["$ref"].as_str() {
            seen += 1;
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(DOCUMENT.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    });
    assert!(seen > 300, "only {seen} references were found");
}

#[test]
fn every_component_is_used() {
    let mut used = BTreeSet::new();
    walk(&DOCUMENT, &mut |object| {
        used.extend(object["$ref"].as_str().map(str::to_owned));
    });
    // What comes in a text: an event of a stream, a line of records. And arguments of a step that may be templates, which
    // descriptions name.
    let in_texts = [
        "Publish",
        "Detect",
        "StreamedEvent",
        "StreamGap",
        "JobChange",
        "HostChange",
        "HostsReady",
        "ChangeGap",
    ];
    for (kind, components) in DOCUMENT["components"].as_object().expect("components") {
        for name in components.as_object().expect("by name").keys() {
            let is_used = kind == "securitySchemes"
                || in_texts.contains(&name.as_str())
                || used.contains(&format!("#/components/{kind}/{name}"));
            assert!(is_used, "nothing refers to {kind}/{name}");
        }
    }
}

#[test]
fn every_schema_is_a_schema() {
    let schemas = DOCUMENT["components"]["schemas"].as_object().expect("schemas");
    assert!(schemas.len() > 90, "only {} were found", schemas.len());
    for (name, schema) in schemas {
        let sound = jsonschema::draft202012::meta::validate(schema);
        assert!(sound.is_ok(), "{name}: {}", sound.expect_err("it is wrong"));
    }
}

#[test]
fn every_operation_is_secured_by_a_scheme_that_there_is_and_answers_with_descriptions() {
    let schemes = &DOCUMENT["components"]["securitySchemes"];
    let mut seen = 0;
    for (path, item) in DOCUMENT["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            seen += 1;
            let what = format!("{method} {path}");
            for requirement in operation["security"].as_array().expect("security") {
                for name in requirement.as_object().expect("a requirement").keys() {
                    assert!(schemes[name].is_object(), "{what}: {name}");
                }
            }
            for (status, response) in operation["responses"].as_object().expect("responses") {
                assert!(status.parse::<u16>().is_ok(), "{what}: {status}");
                let described = response["$ref"].is_string() || response["description"].is_string();
                assert!(described, "{what}: {status}");
            }
            same_answers_for_all_of_v1(&what, path, operation);
        }
    }
    assert!(seen > 80, "only {seen} operations were found");
}

/// Who needs a token is told when it is missing, too weak, or asks too often.
fn same_answers_for_all_of_v1(what: &str, path: &str, operation: &Value) {
    let is_secured = operation["security"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    if path.starts_with("/v1") && is_secured {
        for status in ["401", "429", "500", "503"] {
            assert!(operation["responses"][status].is_object(), "{what}: {status}");
        }
    }
}

#[test]
fn bounds_in_schemas_are_those_of_the_code() {
    use tripline_protocol::limit;
    for (place, bound) in [
        ("JobSpec/properties/steps/maxItems", limit::STEPS_MAX),
        ("SetLabels/properties/labels/maxItems", limit::LABELS_MAX),
        ("Isolate/properties/allow/maxItems", limit::ISOLATION_ALLOW_MAX),
        (
            "CreateProcess/properties/output_bytes_max/maximum",
            limit::OUTPUT_BYTES_MAX,
        ),
        (
            "DirectoryListing/properties/files/maxItems",
            limit::LIST_ENTRIES_MAX,
        ),
        (
            "ProcessListing/properties/processes/maxItems",
            limit::LIST_ENTRIES_MAX,
        ),
        ("Etype/maxLength", limit::ETYPE_BYTES_MAX),
    ] {
        let found = DOCUMENT.pointer(&format!("/components/schemas/{place}"));
        let found = found.and_then(Value::as_f64).map(|found| found as usize);
        assert_eq!(found, Some(bound), "{place}");
    }
}

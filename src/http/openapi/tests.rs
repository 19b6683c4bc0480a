//! The document beside the router, and what every operation has to say.

use super::super::limacharlie;
use super::super::littlebrother;
use super::super::routes;
use super::*;
use actix_web::dev::Service;
use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, web};
use serde_json::Value;
use std::collections::BTreeSet;
use tripline_actors::Core;

/// Those that a path can take.
const METHODS: [Method; 8] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::HEAD,
    Method::OPTIONS,
    Method::TRACE,
];
/// What is asked of a product's API that is not offered here; every method is answered 404.
const NOT_OFFERED: &str = "/api/v{version:[0-9]+}/{rest:.*}";

/// A path and a method.
type Route = (String, String);

fn all(config: &mut web::ServiceConfig) {
    config
        .configure(routes::configure)
        .configure(littlebrother::configure::<Core>)
        .configure(limacharlie::configure);
}

/// The patterns that the router has, as its map of them shows them.
async fn patterns() -> BTreeSet<String> {
    let app = init_service(App::new().configure(all)).await;
    let response = call_service(&app, TestRequest::get().uri("/healthz").to_request()).await;
    let map = format!("{:?}", response.request().resource_map());
    let mut found = BTreeSet::new();
    for rest in map.split("patterns: ").skip(1) {
        let list = rest.split(", is_prefix").next().expect("a list");
        found.extend(list.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    // The same paths, asked for with one slash more.
    found.retain(|pattern| !pattern.is_empty() && !pattern.starts_with("//") && pattern != NOT_OFFERED);
    found
}

/// What the router answers: a method that a path does not take is a 405.
async fn registered() -> BTreeSet<Route> {
    let app = init_service(App::new().configure(all)).await;
    let mut found = BTreeSet::new();
    for pattern in patterns().await {
        let parts = pattern.split('/').map(|part| match part.starts_with('{') {
            true => "1",
            false => part,
        });
        let uri = parts.collect::<Vec<_>>().join("/");
        for method in METHODS {
            let request = TestRequest::default()
                .method(method.clone())
                .uri(&uri)
                .to_request();
            let status = match app.call(request).await {
                Ok(response) => response.status(),
                Err(error) => error.as_response_error().status_code(),
            };
            if status != 405 {
                found.insert((pattern.clone(), method.to_string()));
            }
        }
    }
    found
}

fn read() -> Value {
    serde_json::from_str(&document().expect("a document")).expect("JSON")
}

/// Every operation of the document with its path and method.
fn operations(document: &Value) -> Vec<(Route, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let item = item.as_object().expect("a path item").clone();
        let path = path.clone();
        let operation =
            move |(method, operation): (String, Value)| ((path.clone(), method.to_uppercase()), operation);
        item.into_iter().map(operation).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

#[actix_web::test]
async fn every_route_is_in_the_document_and_nothing_else_is() {
    let registered = registered().await;
    assert!(
        registered.len() > 80,
        "the router's map is understood: {registered:?}"
    );
    let described: BTreeSet<Route> = operations(&read()).into_iter().map(|(route, _)| route).collect();
    let missing: Vec<_> = registered.difference(&described).collect();
    let gone: Vec<_> = described.difference(&registered).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "describe these in src/http/openapi: {missing:?}; these are no routes any more: {gone:?}"
    );
}

#[test]
fn every_operation_says_what_it_is_under_a_name_of_its_own() {
    let document = read();
    let tags = document["tags"].as_array().expect("tags").iter();
    let tags: Vec<&Value> = tags.map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for ((path, method), operation) in operations(&document) {
        let what = format!("{method} {path}");
        let id = operation["operationId"].as_str().expect("an operationId");
        assert!(ids.insert(id.to_owned()), "{what}: {id} is there twice");
        assert!(
            operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
            "{what}"
        );
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{what}");
        assert!(tags.contains(&&operation["tags"][0]), "{what}");
        assert!(operation["security"].is_array(), "{what}");
        let responses = operation["responses"].as_object().expect("responses");
        assert!(
            responses.keys().any(|status| status.starts_with(['1', '2'])),
            "{what} succeeds somehow"
        );
    }
}

#[test]
fn every_parameter_is_described() {
    for ((path, method), operation) in operations(&read()) {
        let none = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&none);
        let mut in_path = BTreeSet::new();
        for parameter in parameters.iter().filter(|parameter| parameter["$ref"].is_null()) {
            let what = format!("{method} {path}: {parameter}");
            assert!(
                parameter["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{what}"
            );
            assert!(parameter["schema"].is_object(), "{what}");
            if parameter["in"] == "path" {
                in_path.insert(parameter["name"].as_str().expect("a name"));
            }
        }
        let wanted: BTreeSet<&str> = path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
            .collect();
        assert_eq!(in_path, wanted, "{method} {path}");
    }
}

/// Every text of `value` under the name `description`.
fn descriptions<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if name == "description" => found.push(text),
                    value => descriptions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| descriptions(item, found)),
        _ => {}
    }
}

#[test]
fn descriptions_are_for_people_who_do_not_read_the_code() {
    let document = read();
    let mut found = Vec::new();
    descriptions(&document, &mut found);
    assert!(found.len() > 300, "only {} were found", found.len());
    for text in found {
        assert!(!text.contains("[`") && !text.contains("::"), "{text}");
    }
}

#[actix_web::test]
async fn the_document_is_served_to_everybody_and_not_sent_twice() {
    let app = init_service(App::new().configure(routes::configure)).await;
    let get = || TestRequest::get().uri("/v1/openapi.json");
    let response = call_service(&app, get().to_request()).await;
    assert_eq!(response.status(), 200);
    let etag = response.headers().get(ETAG).expect("a validator").clone();
    let body = actix_web::test::read_body(response).await;
    assert_eq!(body, document().expect("a document").as_bytes());
    let again = call_service(&app, get().insert_header((IF_NONE_MATCH, etag)).to_request()).await;
    assert_eq!(again.status(), 304);
}

#[test]
fn no_two_schemas_have_one_name() {
    let mut known = std::collections::BTreeMap::new();
    for operation in GROUPS.iter().flat_map(|group| (group.operations)()) {
        for (name, schema) in operation.schemas() {
            let other = known.insert(name.clone(), schema.clone());
            assert!(
                other.is_none_or(|other| other == *schema),
                "{name} is two schemas"
            );
        }
    }
    assert!(known.len() > 90, "only {} were found", known.len());
}

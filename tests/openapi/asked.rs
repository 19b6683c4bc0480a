//! A running server beside the document: what it asks for, in queries and bodies.

use crate::harness::{Api, Server, Site};
use crate::schema::DOCUMENT;
use crate::served::essence;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The names that a reader says it expected when it was given one that it does not know.
fn expected(detail: &str) -> BTreeSet<String> {
    let (_, list) = detail.rsplit_once("expected").unwrap_or(("", ""));
    let list = list
        .trim_start()
        .trim_start_matches("one of")
        .replace(" or ", ",");
    let list = list.split(" at line").next().unwrap_or_default();
    let names = list
        .split(',')
        .map(|name| name.trim().trim_matches('`').to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

/// A document's path with something in the place of what is in braces.
fn filled(path: &str) -> String {
    let part = |part: &str| {
        if part.starts_with('{') {
            "1".to_owned()
        } else {
            part.to_owned()
        }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn parameters(operation: &Value) -> BTreeSet<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| parameter["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[tokio::test]
async fn queries_and_bodies_have_the_fields_that_the_document_says() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let api = server.api();
    let (mut queries, mut bodies) = (0, 0);
    for (path, item) in DOCUMENT["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let what = format!("{method} {path}");
            let query = parameters(operation);
            if path.starts_with("/v1") && !query.is_empty() {
                queries += 1;
                let answer = send(&api, &method, &format!("{}?no_such=1", filled(path)), None).await;
                assert_eq!(expected(&answer), query, "{what}: {answer}");
            } else if path.starts_with("/v1") && method == Method::GET {
                let answer = send(&api, &method, &format!("{}?no_such=1", filled(path)), None).await;
                assert!(!answer.contains("unknown field"), "{what} has a query: {answer}");
            }
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let Some(reference) = schema.as_str() else {
                continue;
            };
            let schema = DOCUMENT
                .pointer(reference.trim_start_matches('#'))
                .expect("a schema");
            if schema["additionalProperties"] == json!(false) {
                bodies += 1;
                let answer = send(&api, &method, &filled(path), Some(json!({"no_such": 1}))).await;
                let fields = schema["properties"]
                    .as_object()
                    .expect("properties")
                    .keys()
                    .cloned()
                    .collect();
                assert_eq!(expected(&answer), fields, "{what}: {answer}");
            }
        }
    }
    assert!(
        queries > 10 && bodies > 10,
        "{queries} queries and {bodies} bodies"
    );
}

/// The detail of the problem that is answered, or nothing.
async fn send(api: &Api, method: &Method, uri: &str, body: Option<Value>) -> String {
    let request = api.request(method.clone(), uri);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let answer = request.send().await.expect("an answer");
    let is_problem = essence(answer.headers()).is_some_and(|kind| kind == "application/problem+json");
    match is_problem {
        true => answer.json::<Value>().await.expect("JSON")["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        false => String::new(),
    }
}

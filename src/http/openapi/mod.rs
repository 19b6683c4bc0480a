//! The document of the HTTP API in OpenAPI 3.1: printed by `tripline openapi`, served at `/v1/openapi.json`, and checked
//! in as `docs/openapi.json`.
//!
//! Shapes of bodies come from the types themselves, names of query parameters from the handlers' own structs. Which
//! routes there are is in `routes`: a test asks the router, and a route that is missing here fails it. Each group of
//! routes has its file with one operation after the other; a new route is one more there.
//!
//! Deliberately not here: what crosses other borders (NATS, the agent channel), and the bodies of the dialects of
//! other products, which are those products'.

mod access;
mod carbonblack;
mod control;
mod events;
mod fanouts;
mod hosts;
mod info;
mod jobs;
mod limacharlie;
mod littlebrother;
mod messages;
mod operation;
mod parameter;
mod problem;
mod records;
mod server;
mod services;
mod sessions;
mod streams;
#[cfg(test)]
mod tests;
mod text;

use actix_web::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use operation::Operation;
use std::sync::LazyLock;
use tripline_protocol::Sha256;
use utoipa::openapi::path::Paths;
use utoipa::openapi::{Components, OpenApi, OpenApiBuilder};

/// A group of routes: its tag, what it is about, and its operations.
pub(super) struct Group {
    tag: &'static str,
    about: &'static str,
    operations: fn() -> Vec<Operation>,
}

/// All groups, in the order of the documentation.
const GROUPS: [Group; 16] = [
    hosts::GROUP,
    jobs::GROUP,
    fanouts::GROUP,
    sessions::GROUP,
    events::GROUP,
    streams::GROUP,
    services::GROUP,
    control::GROUP,
    messages::GROUP,
    records::GROUP,
    access::GROUP,
    server::GROUP,
    access::AGENTS,
    carbonblack::GROUP,
    littlebrother::GROUP,
    limacharlie::GROUP,
];

/// The document, as types.
fn described() -> OpenApi {
    let mut paths = Paths::new();
    let mut components = problem::components(Components::new());
    for group in GROUPS {
        for operation in (group.operations)() {
            operation.add_to(group.tag, &mut paths, &mut components);
        }
    }
    OpenApiBuilder::new()
        .info(info::info())
        .servers(Some([info::server()]))
        .tags(Some(GROUPS.iter().map(|group| info::tag(group.tag, group.about))))
        .paths(paths)
        .components(Some(components))
        .build()
}

/// The document: JSON with its names in order, so that it changes only where the API does.
///
/// # Errors
/// It cannot be written as JSON.
pub fn document() -> Result<String, serde_json::Error> {
    let mut document = serde_json::to_value(described())?;
    text::tidy(&mut document);
    let mut text = serde_json::to_string_pretty(&text::in_order(document))?;
    text.push('\n');
    Ok(text)
}

/// The document and its validator, made once.
static DOCUMENT: LazyLock<Option<(Bytes, String)>> = LazyLock::new(|| {
    let document = document().ok()?;
    let sha256 = Sha256::from_digest(&<sha2::Sha256 as sha2::Digest>::digest(&document).into());
    Some((document.into(), format!("\"{sha256}\"")))
});

/// `GET /v1/openapi.json`: needs no token, as everybody can have it from the source.
pub(super) async fn show(request: HttpRequest) -> Result<HttpResponse, super::problem::ApiError> {
    let Some((document, etag)) = DOCUMENT.as_ref() else {
        let why = "it cannot be written as JSON";
        return Err(super::problem::ApiError::internal("describe the API", why));
    };
    let known = request.headers().get(IF_NONE_MATCH);
    let known = known.and_then(|known| known.to_str().ok());
    if super::range::is_unchanged(known, etag) {
        return Ok(HttpResponse::NotModified()
            .insert_header((ETAG, etag.as_str()))
            .finish());
    }
    Ok(HttpResponse::Ok()
        .insert_header((ETAG, etag.as_str()))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .content_type("application/json")
        .body(document.clone()))
}

//! Health, metrics, and this document.

use super::Group;
use super::operation::{Operation, get};
use super::problem::BEARER;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

pub(super) const GROUP: Group = Group {
    tag: "server",
    about: "For process supervisors, load balancers, Prometheus and tools.",
    operations,
};

/// The body of `/readyz`.
struct Ready;

impl ToSchema for Ready {}

impl PartialSchema for Ready {
    fn schema() -> RefOr<Schema> {
        let parts = [
            ("ready", "Whether every part is."),
            ("store", "The store takes writes."),
            ("disk", "The disk has room."),
            ("outbox", "The outbox has room for new work."),
            ("actors", "The actors run."),
            ("broker", "The broker is connected."),
            ("paused", "No new jobs start; that leaves the server ready."),
            ("draining", "It is ending, and takes no new work."),
        ];
        let detail = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Which broker, or why there is none."));
        let body = ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("broker_detail", detail)
            .required("broker_detail");
        let flag = |text| {
            ObjectBuilder::new()
                .schema_type(Type::Boolean)
                .description(Some(text))
        };
        parts
            .into_iter()
            .fold(body, |body, (name, text)| {
                body.property(name, flag(text)).required(name)
            })
            .into()
    }
}

fn operations() -> Vec<Operation> {
    vec![
        get("/healthz", "isAlive", "Whether the process serves at all").answers_text("It does.", "text/plain"),
        get("/readyz", "isReady", "Whether the server can do its work")
            .answers::<Ready>(200, "It can.")
            .answers::<Ready>(503, "It cannot; the body says which part."),
        get("/metrics", "showMetrics", "Metrics in the text format of Prometheus")
            .says("From the loopback interface no token is needed, from elsewhere one of role `viewer`. The names: docs/operations.md.")
            .secured(BEARER, &["viewer"])
            .without_token()
            .refused(401, &["unauthenticated"])
            .refused(403, &["forbidden"])
            .refused(429, &["too_many_requests"])
            .answers_text("The metrics.", "text/plain; version=0.0.4; charset=utf-8"),
        get("/v1/openapi.json", "showOpenapi", "This document")
            .says("`ETag` and `If-None-Match` are understood. `tripline openapi` prints the same.")
            .answers_with(
                200,
                "OpenAPI 3.1.",
                "application/json",
                Some(ObjectBuilder::new().schema_type(Type::Object).into()),
            ),
    ]
}

//! What every part of the document refers to: problems and their answers, headers, how a caller says who it is.

use super::operation::header;
use tripline_protocol::api::Problem;
use utoipa::ToSchema;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ComponentsBuilder, ContentBuilder, Ref, RefOr, Required};

/// The scheme of `/v1`.
pub(super) const BEARER: &str = "bearer";
/// The scheme of agents.
pub(super) const AGENT_KEY: &str = "agentKey";
/// The scheme of the Carbon Black dialect.
pub(super) const X_AUTH_TOKEN: &str = "xAuthToken";

const REQUEST_ID: &str = "X-Request-Id";
const IDEMPOTENCY_KEY: &str = "IdempotencyKey";

/// Answers that are the same wherever they are given: status, name, codes, what they mean.
const SHARED: [(u16, &str, &[&str], &str); 5] = [
    (
        401,
        "Unauthenticated",
        &["unauthenticated"],
        "`unauthenticated`: there is no token, or it is unknown, revoked or expired.",
    ),
    (
        403,
        "Forbidden",
        &["forbidden"],
        "`forbidden`: the token's role or org does not allow it.",
    ),
    (
        429,
        "TooManyRequests",
        &["too_many_requests"],
        "`too_many_requests`: the token asks too often, or too many wrong tokens and keys came from the caller's address.",
    ),
    (
        500,
        "Internal",
        &["internal"],
        "`internal`: the server's own fault; its log says more.",
    ),
    (
        503,
        "Unavailable",
        &["busy", "unavailable"],
        "`busy`: a bound is reached. `unavailable`: the server is stopping, cannot write, or needs the broker, which is away.",
    ),
];

/// The answer to what is refused.
pub(super) fn response(status: u16, codes: &[&str]) -> RefOr<Response> {
    let shared = SHARED
        .iter()
        .find(|(known, _, their, _)| *known == status && *their == codes);
    match shared {
        Some((_, name, _, _)) => RefOr::Ref(Ref::from_response_name(*name)),
        None => {
            let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
            RefOr::T(refused(status, format!("Refused: {}.", codes.join(", "))))
        }
    }
}

fn refused(status: u16, description: String) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name())));
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content.build())
        .header_ref(REQUEST_ID, request_id());
    match status {
        401 => response.header("WWW-Authenticate", header("`Bearer`, with what is wrong.")),
        429 | 503 => response.header("Retry-After", header("Seconds after which to come again.")),
        416 => response.header("Content-Range", header("How many bytes there are.")),
        _ => response,
    }
    .build()
}

/// The header by which a request is found in the server's log.
pub(super) fn request_id() -> Ref {
    Ref::new("#/components/headers/RequestId")
}

/// The header of a request that is to be carried out once.
pub(super) fn idempotency_key() -> Ref {
    Ref::new(format!("#/components/parameters/{IDEMPOTENCY_KEY}"))
}

/// Adds what operations refer to.
pub(super) fn components(components: Components) -> Components {
    let mut builder: ComponentsBuilder = components.into();
    builder = builder
        .schema_from::<Problem>()
        .header(
            "RequestId",
            header("By which the request is found in the server's log; the caller's own, if it sent a short plain one."),
        )
        .parameter(IDEMPOTENCY_KEY, once().build());
    for (status, name, _, description) in SHARED {
        builder = builder.response(name, refused(status, description.to_owned()));
    }
    schemes(builder).build()
}

fn once() -> ParameterBuilder {
    let key = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(200))
        .pattern(Some("^[!-~]+$"));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Within 24 h the same token's same request with the same key makes nothing again: it is answered with what \
             the first one made, as it is now.",
        ))
        .schema(Some(key))
}

fn schemes(components: ComponentsBuilder) -> ComponentsBuilder {
    let bearer = |description: &str| {
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(description))
                .build(),
        )
    };
    let token = ApiKeyValue::with_description("X-Auth-Token", "A token, as `cbapi` sends it.");
    components
        .security_scheme(
            BEARER,
            bearer("A token of `tripline token create`. The roles that an operation names are those that may do it."),
        )
        .security_scheme(AGENT_KEY, bearer("The key that an agent made and enrolled with."))
        .security_scheme(X_AUTH_TOKEN, SecurityScheme::ApiKey(ApiKey::Header(token)))
}

//! How an operation is described: one method of one path, in a few words each.

use super::super::body::BODY_BYTES_MAX;
use super::{parameter, problem};
use std::collections::BTreeMap;
use tripline_protocol::api::Role;
use tripline_protocol::openapi::{Schemas, add};
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Components, ContentBuilder, Ref, RefOr, Required, Schema};
use utoipa::{IntoParams, ToSchema};

/// One method of one path.
pub(super) struct Operation {
    method: HttpMethod,
    path: &'static str,
    built: OperationBuilder,
    parameters: Vec<Parameter>,
    description: Vec<String>,
    security: Vec<SecurityRequirement>,
    problems: BTreeMap<u16, Vec<&'static str>>,
    schemas: Schemas,
}

pub(super) fn get(path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new(HttpMethod::Get, path, id, summary)
}

pub(super) fn post(path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new(HttpMethod::Post, path, id, summary)
}

pub(super) fn put(path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new(HttpMethod::Put, path, id, summary)
}

pub(super) fn patch(path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new(HttpMethod::Patch, path, id, summary)
}

pub(super) fn delete(path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new(HttpMethod::Delete, path, id, summary)
}

/// A text of any content, such as a body that is no JSON.
fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

impl Operation {
    fn new(method: HttpMethod, path: &'static str, id: &str, summary: &str) -> Self {
        Self {
            method,
            path,
            built: OperationBuilder::new()
                .operation_id(Some(id))
                .summary(Some(summary)),
            parameters: parameter::of_path(path),
            description: Vec::new(),
            security: Vec::new(),
            problems: BTreeMap::new(),
            schemas: Vec::new(),
        }
    }

    /// One more paragraph of its description.
    pub(super) fn says(mut self, paragraph: impl Into<String>) -> Self {
        self.description.push(paragraph.into());
        self
    }

    /// Needs a token of this role, and is refused as every request of one may be.
    pub(super) fn role(mut self, role: Role) -> Self {
        self.security
            .push(SecurityRequirement::new(problem::BEARER, [role.to_string()]));
        let paragraph = format!("Needs a token of role `{role}`.");
        self.says(paragraph)
            .refused(401, &["unauthenticated"])
            .refused(403, &["forbidden"])
            .refused(429, &["too_many_requests"])
            .refused(500, &["internal"])
            .refused(503, &["busy", "unavailable"])
    }

    /// The token must be bound to no org.
    pub(super) fn all_orgs(self) -> Self {
        self.says("The token must not be bound to an org.")
    }

    /// Another way to say who calls, which has its own answers.
    pub(super) fn secured(mut self, scheme: &str, roles: &[&str]) -> Self {
        self.security
            .push(SecurityRequirement::new(scheme, roles.iter().copied()));
        self
    }

    /// Some callers need no token.
    pub(super) fn without_token(mut self) -> Self {
        self.security.push(SecurityRequirement::default());
        self
    }

    /// Takes the fields of `Q` in its query.
    pub(super) fn query<Q: IntoParams>(mut self) -> Self {
        let found = Q::into_params(|| Some(ParameterIn::Query));
        self.parameters.extend(
            found
                .into_iter()
                .map(|found| parameter::of_query(found, self.path)),
        );
        self.refused(400, &["bad_parameter"])
    }

    /// Takes a parameter that no struct of a handler names.
    pub(super) fn parameter(mut self, parameter: ParameterBuilder) -> Self {
        self.parameters.push(parameter.build());
        self.refused(400, &["bad_parameter"])
    }

    /// Takes JSON.
    pub(super) fn body<B: ToSchema>(mut self) -> Self {
        add::<B>(&mut self.schemas);
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(B::name())));
        self.body_of("application/json", content.build(), BODY_BYTES_MAX)
    }

    /// The same with a limit of its own.
    pub(super) fn body_within<B: ToSchema>(mut self, bytes_max: usize) -> Self {
        add::<B>(&mut self.schemas);
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(B::name())));
        self.body_of("application/json", content.build(), bytes_max)
    }

    fn body_of(mut self, media_type: &str, content: utoipa::openapi::Content, bytes_max: usize) -> Self {
        let body = RequestBodyBuilder::new()
            .description(Some(format!("At most {bytes_max} bytes.")))
            .required(Some(Required::True))
            .content(media_type, content);
        self.built = self.built.request_body(Some(body.build()));
        self.refused(400, &["bad_json", "body_broken"])
            .refused(408, &["body_too_slow"])
            .refused(413, &["body_too_large"])
    }

    /// Takes any content as its body.
    pub(super) fn body_of_bytes(mut self, description: &str) -> Self {
        let body = RequestBodyBuilder::new()
            .description(Some(description))
            .required(Some(Required::True))
            .content("application/octet-stream", ContentBuilder::new().build());
        self.built = self.built.request_body(Some(body.build()));
        self.refused(400, &["body_broken"])
            .refused(408, &["body_too_slow"])
    }

    /// Takes JSON of another product, which is not described.
    pub(super) fn body_not_described(mut self, media_type: &str) -> Self {
        let body = RequestBodyBuilder::new()
            .description(Some("That product's; not described here."))
            .content(media_type, ContentBuilder::new().build());
        self.built = self.built.request_body(Some(body.build()));
        self
    }

    /// May carry an `Idempotency-Key`.
    pub(super) fn once(mut self) -> Self {
        self.built = self.built.parameter_ref(problem::idempotency_key());
        self.refused(409, &["idempotency_gone"])
            .refused(422, &["bad_idempotency_key", "idempotency_key_reused"])
    }

    /// Answers with JSON.
    pub(super) fn answers<A: ToSchema>(mut self, status: u16, description: &str) -> Self {
        add::<A>(&mut self.schemas);
        let schema = Ref::from_schema_name(A::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        self.with(
            status,
            ResponseBuilder::new()
                .description(description)
                .content("application/json", content),
        )
    }

    /// Answers 201 with JSON, and says in `Location` where what was made is.
    pub(super) fn makes<A: ToSchema>(mut self, description: &str) -> Self {
        add::<A>(&mut self.schemas);
        let schema = Ref::from_schema_name(A::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/json", content)
            .header("Location", header("Where it is."));
        self.with(201, response)
    }

    /// Answers 204.
    pub(super) fn answers_nothing(self, description: &str) -> Self {
        self.with(204, ResponseBuilder::new().description(description))
    }

    /// Answers with something else than JSON; `schema` describes it where there is something to say.
    pub(super) fn answers_with(
        self,
        status: u16,
        description: &str,
        media_type: &str,
        schema: Option<RefOr<Schema>>,
    ) -> Self {
        let content = ContentBuilder::new().schema(schema).build();
        let response = ResponseBuilder::new()
            .description(description)
            .content(media_type, content);
        self.with(status, response)
    }

    /// Answers with a text.
    pub(super) fn answers_text(self, description: &str, media_type: &str) -> Self {
        self.answers_with(200, description, media_type, Some(string().into()))
    }

    /// Answers with JSON of another product, which is not described.
    pub(super) fn answers_json(self) -> Self {
        let description = "That product's; not described here.";
        self.answers_with(200, description, "application/json", None)
    }

    /// Answers with the kept content of a file: whole, a range of it, or that it is unchanged.
    pub(super) fn answers_content(self) -> Self {
        self.contents(whole("The whole content."))
    }

    /// Answers with JSON, or with a kept content where that is too large.
    pub(super) fn answers_json_or_content<A: ToSchema>(mut self, description: &str) -> Self {
        add::<A>(&mut self.schemas);
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(A::name())));
        self.contents(whole(description).content("application/json", content.build()))
    }

    fn contents(mut self, all: ResponseBuilder) -> Self {
        for (name, text) in [
            ("Range", "One range of bytes."),
            (
                "If-Range",
                "The range only if the content has this `ETag`, else the whole.",
            ),
            ("If-None-Match", "304 if the content has one of these `ETag`s."),
        ] {
            self.parameters.push(header_parameter(name, text).build());
        }
        let part = whole("The range that was asked for.")
            .header("Content-Range", header("Which bytes these are, and of how many."));
        let unchanged = ResponseBuilder::new()
            .description("The caller has it already.")
            .header("ETag", header("SHA-256 of the content, in quotes."));
        self.with(200, all)
            .with(206, part)
            .with(304, unchanged)
            .refused(416, &["range_not_satisfiable"])
            .says(
                "A content never changes: its `ETag` is its SHA-256 in quotes. One range is served (`Range`, `If-Range`); \
                 of several at once, the whole.",
            )
    }

    /// Answers with server-sent events; the `data` of each is JSON of one of the schemas that were added for it.
    pub(super) fn streams(self, description: &str) -> Self {
        let schema = string().description(Some("Server-sent events."));
        self.answers_with(200, description, "text/event-stream", Some(schema.into()))
            .refused(429, &["too_many_streams"])
    }

    /// A schema that no body is of as a whole, such as that of an event on a stream.
    pub(super) fn with_schema<T: ToSchema>(mut self) -> Self {
        add::<T>(&mut self.schemas);
        self
    }

    /// Another answer that is described elsewhere.
    pub(super) fn with(mut self, status: u16, response: ResponseBuilder) -> Self {
        let response = response.header_ref("X-Request-Id", problem::request_id()).build();
        self.built = self.built.response(status.to_string(), response);
        self
    }

    /// May be refused with this status for these reasons.
    pub(super) fn refused(mut self, status: u16, codes: &[&'static str]) -> Self {
        let known = self.problems.entry(status).or_default();
        for code in codes {
            if !known.contains(code) {
                known.push(code);
            }
        }
        self
    }

    /// The schemas that it refers to, by name.
    #[cfg(test)]
    pub(super) fn schemas(&self) -> &[(String, RefOr<Schema>)] {
        &self.schemas
    }

    /// Puts it where it belongs.
    pub(super) fn add_to(self, tag: &str, paths: &mut Paths, components: &mut Components) {
        let description = self.description.join("\n\n");
        let mut built = self
            .built
            .tag(tag)
            .description(Some(description).filter(|text| !text.is_empty()))
            .securities(Some(self.security));
        for parameter in self.parameters {
            built = built.parameter(parameter);
        }
        for (status, codes) in self.problems {
            built = built.response(status.to_string(), problem::response(status, &codes));
        }
        paths.add_path_operation(self.path, vec![self.method], built.build());
        components.schemas.extend(self.schemas);
    }
}

/// A kept content as an answer.
fn whole(description: &str) -> ResponseBuilder {
    ResponseBuilder::new()
        .description(description)
        .content("application/octet-stream", ContentBuilder::new().build())
        .header("ETag", header("SHA-256 of the content, in quotes."))
        .header("Accept-Ranges", header("`bytes`"))
        .header("Content-Disposition", header("The file's name."))
}

fn parameter_of(name: &str, place: ParameterIn, description: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(string()))
}

/// A parameter of a query that is a text.
pub(super) fn text_parameter(name: &str, description: &str) -> ParameterBuilder {
    parameter_of(name, ParameterIn::Query, description)
}

/// A header of a request.
pub(super) fn header_parameter(name: &str, description: &str) -> ParameterBuilder {
    parameter_of(name, ParameterIn::Header, description)
}

/// A header whose value is a text.
pub(super) fn header(description: &str) -> Header {
    utoipa::openapi::header::HeaderBuilder::new()
        .schema(Some(string()))
        .description(Some(description))
        .build()
}

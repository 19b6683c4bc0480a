//! Parameters of paths and queries: a name means the same wherever it is, but for the few that are told apart here.

use super::super::body::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use tripline_protocol::fanout::{FanoutHostState, FanoutState};
use tripline_protocol::job::JobState;
use tripline_protocol::session::{FILE_NAME_BYTES_MAX, SessionState};
use tripline_protocol::{FanoutId, Name, Org, Sha256, Span, Timestamp};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Required, Schema};
use utoipa::{PartialSchema, ToSchema};

type Known = (&'static str, RefOr<Schema>);

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn plain() -> RefOr<Schema> {
    text().into()
}

fn number(least: i64) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(least))
        .into()
}

fn flag() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Boolean).into()
}

/// At most as long as a name or word of a selector.
fn word() -> RefOr<Schema> {
    text().min_length(Some(1)).max_length(Some(255)).into()
}

fn schema_of<T: ToSchema>() -> RefOr<Schema> {
    <T as PartialSchema>::schema()
}

/// A span, or a number of seconds.
fn wait() -> RefOr<Schema> {
    AnyOfBuilder::new()
        .item(schema_of::<Span>())
        .item(text().pattern(Some("^[0-9]+$")))
        .into()
}

/// A time, or how long ago.
fn moment() -> RefOr<Schema> {
    AnyOfBuilder::new()
        .item(schema_of::<Timestamp>())
        .item(schema_of::<Span>())
        .into()
}

fn limit() -> RefOr<Schema> {
    let most = i64::try_from(PAGE_ITEMS_MAX).unwrap_or(i64::MAX);
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(most))
        .default(Some(PAGE_ITEMS_DEFAULT.into()))
        .into()
}

/// The parameters that a path has in braces.
pub(super) fn of_path(path: &str) -> Vec<Parameter> {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let parameter = |name: &str| {
        let (description, schema) = in_path(name, path);
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(schema))
            .build()
    };
    names.map(parameter).collect()
}

fn in_path(name: &str, path: &str) -> Known {
    match name {
        "host" => ("Id, sensor id or name of a host.", plain()),
        "job_id" => ("The job.", schema_of::<tripline_protocol::JobId>()),
        "event_key" if path.ends_with("/explain") => (
            "The event's identity, as `key` of its publication and in the stream of events; or the id of a job.",
            schema_of::<tripline_protocol::EventKey>(),
        ),
        "fanout_id" => ("The fan-out.", schema_of::<FanoutId>()),
        "event_key" => (
            "The event's identity: `key` of its publication and in the stream of events.",
            schema_of::<tripline_protocol::EventKey>(),
        ),
        "pipeline" => ("A pipeline's name.", schema_of::<tripline_protocol::Name>()),
        "sha256" => ("Of the content.", schema_of::<Sha256>()),
        "sequence" => ("Its number.", number(0)),
        "service" => ("The service's name.", schema_of::<Name>()),
        "resource" => ("Its name.", plain()),
        "id" if path.starts_with("/v1/services") => ("The job's id, which the service made.", plain()),
        "id" => ("The token's id.", plain()),
        "org" => ("An org, or `_` for what concerns the server itself.", plain()),
        "session" if path.starts_with("/v1") => ("Id or number of a session.", plain()),
        "session" | "sensor" | "group" | "command" | "file" => ("Its number.", number(0)),
        "number" => ("Its number.", number(0)),
        _ => ("", plain()),
    }
}

/// A parameter of a handler's query, with what its name means.
pub(super) fn of_query(mut parameter: Parameter, path: &str) -> Parameter {
    if let Some((description, schema)) = in_query(&parameter.name, path) {
        parameter.description = Some(description.to_owned());
        parameter.schema = Some(schema);
    }
    parameter.required = Required::False;
    parameter
}

fn in_query(name: &str, path: &str) -> Option<Known> {
    of_lists(name, path).or_else(|| of_hosts(name)).or_else(|| {
        Some(match name {
            "wait" => (
                "Answer only when there is something to say, at the latest after so long: a span or a number of seconds, at \
                 most 60 s.",
                wait(),
            ),
            "force" => ("Cancel its open jobs and close its open sessions first.", flag()),
            "name" if path.ends_with("/files") => (
                "The file's name, without folders; `file` when it is absent.",
                text().min_length(Some(1)).max_length(Some(FILE_NAME_BYTES_MAX)).into(),
            ),
            "name" if path == "/v1/fanouts" => ("Only those whose jobs have this name.", schema_of::<Name>()),
            "name" => ("Only jobs of this name.", schema_of::<Name>()),
            "fanout" => ("Only jobs of this fan-out.", schema_of::<FanoutId>()),
            "dry_run" => ("Make nothing, and say which hosts it would have.", flag()),
            "deleted" => ("Also those that were deleted.", flag()),
            "artifacts" => ("Also the contents of files.", flag()),
            "open" => ("Only those that have not ended.", flag()),
            "owner" => ("Only those of this token, by its id.", plain()),
            "reason" => ("Only those with this reason.", plain()),
            "who" => ("Only what this actor did, by its id or name.", plain()),
            "action" => ("Only this action, such as `job.submit`, or all of a noun, such as `job`.", plain()),
            "until" => ("Only what was before then: a time, or how long ago.", moment()),
            _ => return None,
        })
    })
}

fn of_lists(name: &str, path: &str) -> Option<Known> {
    Some(match name {
        "org" if path == "/v1/audit" => (
            "Only records of this org, or `_` for those of the server itself.",
            plain(),
        ),
        "org" => (
            "Only of this org; absent: of all that the token may see.",
            schema_of::<Org>(),
        ),
        "after" => (
            "Go on behind this place: what `next` of the page before said.",
            plain(),
        ),
        "from" => ("Go on at this number.", number(0)),
        "limit" => ("Most items of the page.", limit()),
        "state" if path == "/v1/jobs" => ("Only those in this state.", schema_of::<JobState>()),
        "state" if path == "/v1/fanouts" => ("Only those in this state.", schema_of::<FanoutState>()),
        "state" if path.starts_with("/v1/fanouts") => {
            ("Only those in this state.", schema_of::<FanoutHostState>())
        }
        "state" => ("Only those in this state.", schema_of::<SessionState>()),
        "since" => ("Only what was from then on: a time, or how long ago.", moment()),
        _ => return None,
    })
}

fn of_hosts(name: &str) -> Option<Known> {
    Some(match name {
        "host" => ("Only of this host: its id, sensor id or name.", plain()),
        "label" => (
            "Only hosts with this label; of several with commas, with all of them.",
            plain(),
        ),
        "platform" => ("Only hosts of this platform, such as `linux`.", word()),
        "hostname" => (
            "Only hosts whose name fits: `*` is any number of characters, `?` one.",
            word(),
        ),
        "attached" => (
            "Only hosts that are attached so.",
            text()
                .enum_values(Some(["agent", "littlebrother", "yes", "no"]))
                .into(),
        ),
        "seen_within" => (
            "Only hosts that were seen at most so long ago.",
            schema_of::<Span>(),
        ),
        "unseen_for" => (
            "Only hosts that were not seen for longer than this.",
            schema_of::<Span>(),
        ),
        "agent_version" => ("Only hosts whose agent has this version.", word()),
        _ => return None,
    })
}

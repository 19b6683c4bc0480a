//! Schemas of types that write and read themselves, for the document of the HTTP API (feature `openapi`).
//!
//! What serde derives has a derived schema beside it, in its own file. Deliberately not here: paths, parameters and
//! answers, which are the server's.

mod texts;
mod verbs;

pub use verbs::{Arguments, Outputs, Schemas, add};

use crate::api::{Page, Pause, PauseView};
use crate::fanout::{FanoutHostState, FanoutOutcome, FanoutState, Target};
use crate::job::{JobState, Outcome};
use crate::path::RemotePath;
use crate::selector::HostSelector;
use std::borrow::Cow;
use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, AnyOfBuilder, ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaType,
    Type, empty,
};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

impl ToSchema for JobState {}

impl PartialSchema for JobState {
    fn schema() -> RefOr<Schema> {
        let open = [Self::Queued, Self::AwaitingApproval, Self::Running, Self::Paused];
        let words = open.into_iter().chain(OUTCOMES.map(Self::Ended));
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "Where a job is that has not ended (`queued`, `awaiting_approval`, `running`, `paused`), or how it ended.",
            ))
            .enum_values(Some(words.map(Self::as_str)))
            .into()
    }
}

const OUTCOMES: [Outcome; 6] = [
    Outcome::Succeeded,
    Outcome::Failed,
    Outcome::TimedOut,
    Outcome::Expired,
    Outcome::Cancelled,
    Outcome::Interrupted,
];

impl ToSchema for FanoutState {}

impl PartialSchema for FanoutState {
    fn schema() -> RefOr<Schema> {
        let open = [Self::Resolving, Self::Running, Self::Paused];
        let ended = [
            FanoutOutcome::Succeeded,
            FanoutOutcome::Failed,
            FanoutOutcome::Expired,
            FanoutOutcome::Cancelled,
        ];
        let words = open.into_iter().chain(ended.map(Self::Ended));
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "Where a fan-out is that has not ended (`resolving`, `running`, `paused`), or how it ended.",
            ))
            .enum_values(Some(words.map(Self::as_str)))
            .into()
    }
}

impl ToSchema for FanoutHostState {}

impl PartialSchema for FanoutHostState {
    fn schema() -> RefOr<Schema> {
        let open = [Self::Pending, Self::InFlight, Self::Skipped];
        let words = open.into_iter().chain(OUTCOMES.map(Self::Ended));
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "Where a host of a fan-out is (`pending`, `in_flight`, `skipped`), or how it ended there.",
            ))
            .enum_values(Some(words.map(Self::as_str)))
            .into()
    }
}

impl ToSchema for Target {
    fn schemas(schemas: &mut Schemas) {
        add::<HostSelector>(schemas);
    }
}

impl PartialSchema for Target {
    fn schema() -> RefOr<Schema> {
        let all = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["all"]));
        let asks = |name: &str, kind: Type| {
            let part = ObjectBuilder::new().schema_type(kind);
            ObjectBuilder::new().property(name, part).required(name)
        };
        let texts = [
            "platform",
            "hostname",
            "attached",
            "seen_within",
            "unseen_for",
            "agent_version",
        ];
        let something = AnyOfBuilder::new().item(asks("labels", Type::Array));
        let something = texts.into_iter().fold(something, |something, name| {
            something.item(asks(name, Type::String))
        });
        let hosts = AllOfBuilder::new()
            .item(Ref::from_schema_name(HostSelector::name()))
            .item(something);
        OneOfBuilder::new()
            .description(Some(
                "Which hosts of an org: all of them, or those that are as a map says, which asks for something.",
            ))
            .item(all)
            .item(hosts)
            .into()
    }
}

/// Bytes in base64, where a text cannot hold them.
fn encoded() -> ObjectBuilder {
    let bytes = ObjectBuilder::new()
        .schema_type(Type::String)
        .content_encoding("base64")
        .pattern(Some(
            "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        ));
    ObjectBuilder::new()
        .property("b64", bytes)
        .required("b64")
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// A text or bytes, neither with a NUL.
fn text_or_bytes(description: &str, least: usize) -> RefOr<Schema> {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(least))
        .pattern(Some(r"^[^\u0000]*$"));
    OneOfBuilder::new()
        .description(Some(description))
        .item(text)
        .item(encoded())
        .into()
}

impl ToSchema for RemotePath {}

impl PartialSchema for RemotePath {
    fn schema() -> RefOr<Schema> {
        text_or_bytes(
            "A path or file name on a host: a text, or `{\"b64\": \"…\"}` when it is no UTF-8.",
            1,
        )
    }
}

/// An argument of a program: written as paths are, but it may be empty.
#[derive(Debug)]
pub struct Argument;

impl ToSchema for Argument {
    fn name() -> Cow<'static, str> {
        "ProgramArgument".into()
    }
}

impl PartialSchema for Argument {
    fn schema() -> RefOr<Schema> {
        let description =
            "An argument of a program: a text, or `{\"b64\": \"…\"}` when it is no UTF-8; it may be empty.";
        text_or_bytes(description, 0)
    }
}

/// Any JSON.
pub(crate) fn anything() -> RefOr<Schema> {
    empty().into()
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> Cow<'static, str> {
        format!("PageOf{}", T::name()).into()
    }

    fn schemas(schemas: &mut Schemas) {
        add::<T>(schemas);
    }
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let items = ArrayBuilder::new()
            .items(Ref::from_schema_name(T::name()))
            .description(Some("The items."));
        let next = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some(
                "Give it as `after` to get the next page; absent on the last.",
            ));
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("A page of a list."))
            .property("items", items)
            .required("items")
            .property("next", next)
            .into()
    }
}

impl ToSchema for PauseView {
    fn schemas(schemas: &mut Schemas) {
        add::<Pause>(schemas);
    }
}

impl PartialSchema for PauseView {
    /// The fields of `Pause` are there, or none of them is.
    fn schema() -> RefOr<Schema> {
        let paused = |value: bool| {
            let paused = ObjectBuilder::new()
                .schema_type(Type::Boolean)
                .description(Some("Whether no new jobs start."))
                .enum_values(Some([value]));
            ObjectBuilder::new()
                .schema_type(Type::Object)
                .property("paused", paused)
                .required("paused")
        };
        let with_its_pause = AllOfBuilder::new()
            .item(paused(true))
            .item(Ref::from_schema_name(Pause::name()));
        OneOfBuilder::new()
            .description(Some(
                "Whether no new jobs start, and if so since when, by whom and why.",
            ))
            .item(paused(false))
            .item(with_its_pause)
            .into()
    }
}

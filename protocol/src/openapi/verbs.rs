//! Verbs, their arguments and what they return.

use super::anything;
use crate::limit::STEPS_MAX;
use crate::step::{Detect, OnError, Publish, Retry, ServerVerb, Step, StepVerb, When};
use crate::time::Span;
use crate::verb::*;
use std::borrow::Cow;
use std::fmt::Write;
use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, AnyOfBuilder, ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaType,
    Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Names with their schemas, as they are gathered for a document.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// Adds a schema and what it refers to.
pub fn add<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

macro_rules! outputs {
    ($($type:ident: $($verb:ident)|+;)*) => {
        /// The name of the schema of what a verb returns.
        fn output_of(verb: Verb) -> Cow<'static, str> {
            match verb {
                $($(Verb::$verb)|+ => $type::name(),)*
            }
        }

        fn add_outputs(schemas: &mut Schemas) {
            $(add::<$type>(schemas);)*
        }

        fn names_of_outputs() -> Vec<Cow<'static, str>> {
            vec![$($type::name(),)*]
        }
    };
}

outputs! {
    FileFetched: GetFile | GetRawFile;
    FileWritten: PutFile;
    DirectoryListing: ListDirectory | Walk;
    ProcessListing: ListProcesses;
    ProcessOutcome: CreateProcess;
    MemoryDumped: Memdump;
    Isolated: Isolate;
    Unisolated: Unisolate;
    RegistryListing: ListRegistryKeysAndValues | ListRegistryKeys;
    RegistryValue: GetRegistryValue;
    NoOutput: DeleteFile | CreateDirectory | KillProcess | SetRegistryValue | CreateRegistryKey | DeleteRegistryKey
        | DeleteRegistryValue;
}

impl ToSchema for Verb {}

impl PartialSchema for Verb {
    fn schema() -> RefOr<Schema> {
        let mut description =
            "What a host is asked to do.\n\n| verb | arguments | output | |\n| --- | --- | --- | --- |"
                .to_owned();
        for verb in Verb::ALL {
            let effect = match verb.effect() {
                Effect::Reads => "only reads",
                Effect::Mutates => "changes the host",
            };
            // Writing to a String cannot fail.
            let _ = write!(
                description,
                "\n| `{verb}` | `{}` | `{}` | {effect} |",
                verb.name_of_arguments(),
                output_of(*verb)
            );
        }
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(description))
            .enum_values(Some(Verb::ALL.iter().map(|verb| verb.as_str())))
            .into()
    }
}

/// The arguments of any verb.
#[derive(Debug)]
pub struct Arguments;

impl ToSchema for Arguments {
    fn name() -> Cow<'static, str> {
        "VerbArguments".into()
    }

    fn schemas(schemas: &mut Schemas) {
        Verb::add_arguments(schemas);
    }
}

impl PartialSchema for Arguments {
    fn schema() -> RefOr<Schema> {
        let mut names: Vec<_> = Verb::ALL.iter().map(|verb| verb.name_of_arguments()).collect();
        names.sort_unstable();
        names.dedup();
        let none = ObjectBuilder::new().schema_type(Type::Null);
        let any = AnyOfBuilder::new().description(Some(
            "The arguments of a verb; which, the table of `Verb` says. Absent and null: none.",
        ));
        names
            .into_iter()
            .fold(any, |any, name| any.item(Ref::from_schema_name(name)))
            .item(none)
            .into()
    }
}

/// What any verb returns.
#[derive(Debug)]
pub struct Outputs;

impl ToSchema for Outputs {
    fn name() -> Cow<'static, str> {
        "VerbOutput".into()
    }

    fn schemas(schemas: &mut Schemas) {
        add_outputs(schemas);
    }
}

impl PartialSchema for Outputs {
    fn schema() -> RefOr<Schema> {
        let any = AnyOfBuilder::new().description(Some(
            "What a verb returned; the table of `Verb` says which schema it has. It is as the agent wrote it: one of \
             another version may say more.",
        ));
        names_of_outputs()
            .into_iter()
            .fold(any, |any, name| any.item(Ref::from_schema_name(name)))
            .item(anything())
            .into()
    }
}

impl ToSchema for StepVerb {
    fn schemas(schemas: &mut Schemas) {
        add::<Verb>(schemas);
    }
}

impl PartialSchema for StepVerb {
    fn schema() -> RefOr<Schema> {
        let server = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("What the server does itself."))
            .enum_values(Some(ServerVerb::ALL.iter().map(|verb| verb.as_str())));
        OneOfBuilder::new()
            .description(Some(
                "What a step does: a verb of its host, or something the server does itself.",
            ))
            .item(Ref::from_schema_name(Verb::name()))
            .item(server)
            .into()
    }
}

impl ToSchema for Step {
    fn schemas(schemas: &mut Schemas) {
        add::<Span>(schemas);
        add::<OnError>(schemas);
        add::<When>(schemas);
        add::<Retry>(schemas);
        add::<Publish>(schemas);
        add::<Detect>(schemas);
        add::<Arguments>(schemas);
    }
}

impl PartialSchema for Step {
    /// Exactly one of its keys is a verb.
    fn schema() -> RefOr<Schema> {
        let verbs = Verb::ALL.iter().map(|verb| verb.as_str());
        let verbs = verbs.chain(ServerVerb::ALL.iter().map(|verb| verb.as_str()));
        let one_verb = verbs.fold(OneOfBuilder::new(), |one, verb| {
            one.item(ObjectBuilder::new().required(verb))
        });
        let description = format!(
            "A step of a job: a map with exactly one verb, of its host or the server's, whose value are its arguments. At most {STEPS_MAX} are in a job."
        );
        AllOfBuilder::new()
            .description(Some(description))
            .item(keys_of_a_step())
            .item(one_verb)
            .into()
    }
}

fn keys_of_a_step() -> ObjectBuilder {
    let or_null = |described: RefOr<Schema>| {
        let null = ObjectBuilder::new().schema_type(Type::Null);
        OneOfBuilder::new().item(described).item(null)
    };
    let text = |description: &str| {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some(description))
    };
    let flag = ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .description(Some("Whether it may be run again when its outcome is unknown."));
    let timeout = or_null(Ref::from_schema_name(Span::name()).into());
    let keys = ObjectBuilder::new()
        .property(
            "id",
            text("Unique in its job; `step<N>`, from 1, when it is absent."),
        )
        .property(
            "timeout",
            timeout.description(Some("How long it may run; default 2 minutes.")),
        )
        .property("when", or_null(Ref::from_schema_name(When::name()).into()))
        .property("for_each", list_of_a_step())
        .property("on_error", Ref::from_schema_name(OnError::name()))
        .property("retry", or_null(Ref::from_schema_name(Retry::name()).into()))
        .property("idempotent", flag)
        .property("wait", wait_of_a_step())
        .property(
            "publish",
            server_arguments("An event that the server publishes, as in `Publish`."),
        )
        .property(
            "detect",
            server_arguments("A detection that the server publishes, as in `Detect`."),
        )
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    Verb::ALL.iter().fold(keys, |keys, verb| {
        keys.property(verb.as_str(), arguments_of_a_step(*verb))
    })
}

fn list_of_a_step() -> OneOfBuilder {
    let of = |kind: Type| ObjectBuilder::new().schema_type(kind);
    let whole = of(Type::Object)
        .property("in", anything())
        .property("max", of(Type::Integer).minimum(Some(0)))
        .required("in")
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    OneOfBuilder::new()
        .description(Some(
            "The step runs once for every element of a list: the list, a template over `steps.*` that gives one, or \
             `{in, max}` with either and its longest length (default 50, at most 200). The step's templates and \
             condition know the element as `item` and its place, from 0, as `index`.",
        ))
        .examples([serde_json::json!({"in": "{{ steps.look.output.processes }}", "max": 20})])
        .item(whole)
        .item(of(Type::String))
        .item(ArrayBuilder::new().items(anything()))
        .item(of(Type::Null))
}

fn server_arguments(what: &str) -> ObjectBuilder {
    let description =
        format!("{what} A text may be a template over `steps.*`; it is rendered before the step runs.");
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .description(Some(description))
}

fn wait_of_a_step() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(
            "The server waits so long, at most 7 days, and the job holds no slot meanwhile. It may be a template over \
             `steps.*`.",
        ))
        .examples(["30s"])
}

fn arguments_of_a_step(verb: Verb) -> ObjectBuilder {
    let description = format!(
        "Its arguments, as in `{}`. A text may be a template over `steps.*`; it is rendered before the step runs.",
        verb.name_of_arguments()
    );
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .description(Some(description))
}

//! Ids, names, times: texts with a form of their own.

use crate::id::{
    CommandId, EventKey, FanoutId, HostId, InstallId, JobId, Label, Name, Org, SessionId, Sha256, TransferId,
};
use crate::network::Network;
use crate::selector::{Attached, Glob, Word};
use crate::step::{OnError, When};
use crate::subject::{Etype, EtypePattern};
use crate::time::{Span, Timestamp, UNITS};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// One word of an etype, as a pattern.
const WORD: &str = r"[^\s\u0000-\u001f\u007f-\u009f.*>]+";

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
}

fn formed(description: &str, pattern: impl Into<String>, example: &str) -> RefOr<Schema> {
    text(description)
        .pattern(Some(pattern))
        .examples([example])
        .into()
}

fn of_format(description: &str, format: SchemaFormat, example: &str) -> RefOr<Schema> {
    text(description).format(Some(format)).examples([example]).into()
}

macro_rules! schemas {
    ($($type:ty => $schema:expr;)*) => {$(
        impl ToSchema for $type {}
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema
            }
        }
    )*};
}

fn id(description: &str) -> RefOr<Schema> {
    of_format(
        description,
        SchemaFormat::Custom("uuid".into()),
        "6a476cc7-fafe-5985-9fb8-67233a7efb39",
    )
}

schemas! {
    HostId => id("A host.");
    JobId => id("A job.");
    FanoutId => id("A fan-out.");
    EventKey => id("An event's identity, derived from org, source and id.");
    SessionId => id("A session.");
    CommandId => id("A verb sent to a host; never executed twice by an agent.");
    InstallId => id("What an agent makes at its first start and keeps.");
    TransferId => id("A transfer of a file, in all of its attempts.");
    Word => text("A text that is compared whole and without case.").min_length(Some(1)).max_length(Some(255)).examples(["linux"]).into();
    Glob => text("A pattern of names: `*` is any number of characters, `?` is one. Compared without case.")
        .min_length(Some(1)).max_length(Some(255)).examples(["web-*"]).into();
    Attached => text("How a host is attached: by an agent, as a LittleBrother client, somehow, or not at all.")
        .enum_values(Some(["agent", "littlebrother", "yes", "no"])).into();
    Org => formed("A tenant.", "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", "default");
    Name => formed("The name of a pipeline or a job.", "^[a-z0-9][a-z0-9_-]{0,63}$", "contain-miner");
    Sha256 => formed("SHA-256 in lower-case hexadecimal.", "^[0-9a-f]{64}$",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    Label => formed("A word that groups hosts.", "^[A-Za-z0-9][A-Za-z0-9._:/=-]{0,63}$", "owner:ana");
    Timestamp => of_format("Date and time of RFC 3339. Written in UTC with up to six decimals; any offset is read.",
        SchemaFormat::KnownFormat(KnownFormat::DateTime), "2026-11-20T14:00:00Z");
    OnError => formed(
        "What a step's failure means for its job: it fails, it goes on, or it goes on with a later step.",
        "^(fail|continue|goto +[a-z0-9][a-z0-9_-]{0,63} *)$", "goto tell");
    When => text("A condition in CEL over `steps`, asked when the step is about to run; if it does not hold, the step is skipped.")
        .max_length(Some(2048))
        .examples(["steps.look.output.processes.exists(p, p.pid == 42)"]).into();
    Span => formed("A span of time: numbers, each with its unit (`w d h m s ms`).", span(), "1h 30m");
    Network => text("An IP address or a range of addresses.")
        .pattern(Some("^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"))
        .examples(["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"]).into();
    Etype => text("An event's type: words with dots between them.")
        .pattern(Some(format!(r"^{WORD}(\.{WORD})*$")))
        .max_length(Some(200))
        .examples(["acme.alert.high"]).into();
    EtypePattern => text("A pattern over etypes: `*` is one word, a last `>` one or more.")
        .pattern(Some(format!(r"^(({WORD}|\*)(\.({WORD}|\*))*(\.>)?|>)$")))
        .max_length(Some(200))
        .examples(["acme.alert.*"]).into();
}

fn span() -> String {
    let names = UNITS.iter().flat_map(|(_, names)| names.iter().copied());
    let units: Vec<&str> = names.collect();
    format!(r"^\s*([0-9]+\s*({})\s*)+$", units.join("|"))
}

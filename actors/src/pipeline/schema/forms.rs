//! Definitions of the schemas: forms of texts, and templates.

use crate::pipeline::SuppressScope;
use crate::pipeline::file_test::{DEAD, HOST_FAILED, NOBODY, WITHHELD};
use crate::pipeline::params::TYPES;
use crate::pipeline::shape::Form;
use crate::pipeline::target;
use serde_json::{Map, Value, json};
use tripline_protocol::job::Priority;
use tripline_protocol::openapi::{Schemas, add};
use tripline_protocol::selector::{Attached, Glob, Word};
use tripline_protocol::step::{OnError, RetryOn};
use tripline_protocol::subject::EtypePattern;
use tripline_protocol::{Attestation, Etype, Label, Name, Org, Span};

/// Where the document of the HTTP API has its definitions.
const THERE: &str = "#/components/schemas/";
/// Where these schemas have theirs.
const HERE: &str = "#/$defs/";
/// A text with a template in it.
pub(super) const TEMPLATE: &str = "template";
/// A text that is one template and so may have a value of any type.
pub(super) const WHOLE_TEMPLATE: &str = "whole_template";

const ALL: [Form; 24] = [
    Form::Name,
    Form::EtypePattern,
    Form::Org,
    Form::Span,
    Form::Priority,
    Form::OnError,
    Form::SuppressScope,
    Form::TargetWord,
    Form::Label,
    Form::HostWord,
    Form::HostGlob,
    Form::Attached,
    Form::RetryOn,
    Form::ParamType,
    Form::ParamName,
    Form::VarName,
    Form::Etype,
    Form::HostId,
    Form::Time,
    Form::NoHost,
    Form::Attestation,
    Form::Withheld,
    Form::Dead,
    Form::HostFailed,
];

/// Its name among the definitions. Those of arguments begin with a capital.
const fn name(form: Form) -> &'static str {
    match form {
        Form::Name => "name",
        Form::EtypePattern => "etype_pattern",
        Form::Org => "org",
        Form::Span => "span",
        Form::Priority => "priority",
        Form::OnError => "on_error",
        Form::SuppressScope => "suppress_scope",
        Form::TargetWord => "target_word",
        Form::Label => "label",
        Form::HostWord => "host_word",
        Form::HostGlob => "host_pattern",
        Form::Attached => "attached",
        Form::RetryOn => "retry_on",
        Form::ParamType => "parameter_type",
        Form::ParamName => "parameter_name",
        Form::VarName => "let_name",
        Form::Etype => "etype",
        Form::HostId => "host_id",
        Form::Time => "time",
        Form::NoHost => "no_host",
        Form::Attestation => "attestation",
        Form::Withheld => "withheld",
        Form::Dead => "dead",
        Form::HostFailed => "host_failed",
    }
}

/// A reference to its definition.
pub(super) fn reference(form: Form) -> Value {
    to(name(form))
}

/// A reference to a definition.
pub(super) fn to(name: &str) -> Value {
    json!({"$ref": format!("{HERE}{name}")})
}

/// The name of the definition that a reference leads to.
pub(super) fn referred(reference: &str) -> Option<&str> {
    reference.strip_prefix(HERE)
}

/// The definitions of all forms and templates.
pub(super) fn definitions() -> Map<String, Value> {
    let mut definitions: Map<String, Value> = ALL
        .into_iter()
        .map(|form| (name(form).to_owned(), definition(form)))
        .collect();
    let text = |says: &str, pattern: &str| json!({"type": "string", "description": says, "pattern": pattern});
    definitions.insert(
        TEMPLATE.into(),
        text("A text with templates in it: `{{ … }}`.", r"\{\{"),
    );
    definitions.insert(
        WHOLE_TEMPLATE.into(),
        text(
            "One whole template, `{{ … }}`, which keeps the type of its value.",
            r"^\{\{[\s\S]*\}\}$",
        ),
    );
    definitions
}

fn definition(form: Form) -> Value {
    let named =
        |says: &str, pattern: &str| json!({"type": "string", "description": says, "pattern": pattern});
    match form {
        Form::Name => type_of(add::<Name>),
        Form::EtypePattern => type_of(add::<EtypePattern>),
        Form::Org => type_of(add::<Org>),
        // One of its digits is not 0.
        Form::Span => json!({"allOf": [type_of(add::<Span>), {"pattern": "[1-9]"}]}),
        Form::Priority => type_of(add::<Priority>),
        Form::OnError => type_of(add::<OnError>),
        Form::SuppressScope => json!({"enum": SuppressScope::WORDS}),
        Form::TargetWord => json!({"enum": target::WORDS}),
        Form::Label => type_of(add::<Label>),
        Form::HostWord => type_of(add::<Word>),
        Form::HostGlob => type_of(add::<Glob>),
        Form::Attached => type_of(add::<Attached>),
        Form::RetryOn => type_of(add::<RetryOn>),
        Form::ParamType => {
            let types: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
            json!({"enum": types})
        }
        Form::ParamName => named(
            "1 to 64 of a-z 0-9 _, the first a letter or digit.",
            "^[a-z0-9][a-z0-9_]{0,63}$",
        ),
        Form::VarName => named(
            "1 to 64 of a-z 0-9 _, the first no digit.",
            "^[a-z_][a-z0-9_]{0,63}$",
        ),
        Form::Etype => type_of(add::<Etype>),
        Form::HostId => named("The id of a host: a UUID.", "^[0-9a-fA-F{}:urnid-]{32,45}$"),
        Form::Time => named(
            "A time such as 2026-01-31T12:00:00Z.",
            r"^[0-9]{4}-[0-9]{2}-[0-9]{2}.[0-9]{2}:[0-9]{2}:[0-9]{2}",
        ),
        Form::NoHost => json!({"const": NOBODY}),
        Form::Attestation => type_of(add::<Attestation>),
        Form::Withheld => json!({"enum": WITHHELD}),
        Form::Dead => json!({"enum": DEAD}),
        Form::HostFailed => json!({"enum": HOST_FAILED}),
    }
}

/// The schema of one type that refers to no other.
fn type_of(add: fn(&mut Schemas)) -> Value {
    let mut schemas = Schemas::new();
    add(&mut schemas);
    let schema = schemas.first().map(|(_, schema)| as_json(schema));
    schema.unwrap_or_default()
}

/// Schemas of types by their names, as they are in JSON, with references to definitions here.
pub(super) fn types(add: impl FnOnce(&mut Schemas)) -> Map<String, Value> {
    let mut schemas = Schemas::new();
    add(&mut schemas);
    let schemas = schemas.into_iter();
    schemas.map(|(name, schema)| (name, as_json(&schema))).collect()
}

/// A schema always has a form in JSON: it is made of maps with texts as keys.
fn as_json(schema: &impl serde::Serialize) -> Value {
    let mut schema = serde_json::to_value(schema).unwrap_or_default();
    adapt(&mut schema);
    schema
}

/// References lead here, what is said is one line, and how wide a number is stays with the HTTP API.
fn adapt(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref") {
                *reference = reference.replacen(THERE, HERE, 1);
            }
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            if map.get("format").is_some_and(Value::is_string) {
                map.remove("format");
            }
            map.values_mut().for_each(adapt);
        }
        Value::Array(items) => items.iter_mut().for_each(adapt),
        _ => {}
    }
}

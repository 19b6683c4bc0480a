//! Typed parameters of named jobs.

use super::fields::{self, Field, Fields, Form, Shape, Takes};
use super::pipeline::DESCRIPTION;
use super::problem::Problems;
use super::render_error::{Cause, RenderError};
use super::yaml::{Key, Node};
use serde_json::{Map, Value, json};
use tripline_protocol::Name;

pub(super) const SHAPE: Shape = Shape::new(
    "a parameter",
    &[
        Field::new("type", Takes::Text(Form::ParamType), "What its values are.").needed(),
        Field::new(
            "required",
            Takes::Flag,
            "Whether it must be given. Absent: true without a default, else false.",
        ),
        Field::new("default", Takes::Literal, "What holds when it is not given."),
        DESCRIPTION,
    ],
    &[],
)
.with_rules(defaults_fit);

/// As [`param`] asks: a default is of the parameter's type, and there is none where one must be given.
fn defaults_fit() -> Vec<Value> {
    let of_type = |(name, kind): &(&str, ParamKind)| {
        json!({
            "if": {"required": ["type"], "properties": {"type": {"const": name}}},
            "then": {"properties": {"default": {"type": kind.json_type()}}},
        })
    };
    let none = json!({
        "if": {"required": ["required"], "properties": {"required": {"const": true}}},
        "then": {"properties": {"default": false}},
    });
    TYPES.iter().map(of_type).chain([none]).collect()
}

/// A declared parameter.
#[derive(Debug)]
pub(super) struct Param {
    pub(super) name: String,
    kind: ParamKind,
    required: bool,
    default: Option<Value>,
}

/// What values of a parameter are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParamKind {
    String,
    Integer,
    Number,
    Boolean,
    List,
    Map,
}

/// Their names in files.
pub(super) const TYPES: [(&str, ParamKind); 6] = [
    ("string", ParamKind::String),
    ("integer", ParamKind::Integer),
    ("number", ParamKind::Number),
    ("boolean", ParamKind::Boolean),
    ("list", ParamKind::List),
    ("map", ParamKind::Map),
];

impl std::str::FromStr for ParamKind {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let found = TYPES.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, kind)| *kind)
            .ok_or("expected string, integer, number, boolean, list or map")
    }
}

impl ParamKind {
    fn accepts(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Map => value.is_object(),
        }
    }

    /// The word of JSON Schema.
    fn json_type(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::List => "array",
            Self::Map => "object",
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::List => "a list",
            Self::Map => "a map",
        }
    }
}

impl Param {
    /// Why `value` is no value of it.
    pub(super) fn refuses(&self, value: &Value) -> Option<String> {
        let (name, kind) = (&self.name, self.kind.describe());
        (!self.kind.accepts(value)).then(|| format!("parameter {name:?} takes {kind}, not {}", brief(value)))
    }

    /// What its values are, as files say it.
    pub(super) fn type_name(&self) -> &'static str {
        let named = TYPES.iter().find(|(_, kind)| *kind == self.kind);
        named.map_or("string", |(name, _)| name)
    }

    /// Whether it must be given.
    pub(super) fn is_required(&self) -> bool {
        self.required
    }
}

/// A value in a message, cut.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 {
        text
    } else {
        text.chars().take(60).chain("…".chars()).collect()
    }
}

/// Reads `params:` of a named job; those with a problem are left out.
pub(super) fn read(entries: &[(Key, Node)], problems: &mut Problems<'_>) -> Vec<Param> {
    let mut read = |(key, node): &(Key, Node)| {
        let legal = !key.text.contains('-') && key.text.parse::<Name>().is_ok();
        if !legal {
            return problems.add(
                key.at,
                format!("{:?} is no name of a parameter, expected a-z 0-9 _", key.text),
            );
        }
        param(&key.text, node, problems)
    };
    entries.iter().filter_map(&mut read).collect()
}

fn param(name: &str, node: &Node, problems: &mut Problems<'_>) -> Option<Param> {
    let fields = Fields::of(node, &SHAPE, problems)?;
    let expected = "string, integer, number, boolean, list or map";
    let kind: ParamKind = fields::parsed(fields.need("type", expected, problems)?, expected, problems)?;
    if let Some(description) = fields.get("description") {
        fields::text(description, "a text", problems);
    }
    let default = fields.get("default");
    let required = match fields.get("required") {
        Some(node) => fields::boolean(node, problems)?,
        None => default.is_none(),
    };
    if let Some(node) = default.filter(|_| required) {
        return problems.add(node.at, "a required parameter has no use for a default");
    }
    let param = Param {
        name: name.to_owned(),
        kind,
        required,
        default: default.map(Node::to_json),
    };
    if let (Some(node), Some(reason)) = (
        default,
        param.default.as_ref().and_then(|value| param.refuses(value)),
    ) {
        return problems.add(node.at, reason);
    }
    Some(param)
}

/// Checks what was given against what was declared, and adds the defaults.
pub(super) fn fill(params: &[Param], given: &Map<String, Value>) -> Result<Map<String, Value>, RenderError> {
    let bad = |reason: String| RenderError::from(Cause::BadParams { reason });
    if let Some(name) = given
        .keys()
        .find(|name| params.iter().all(|param| param.name != **name))
    {
        return Err(bad(unknown(params, name)));
    }
    let mut filled = Map::new();
    for param in params {
        match given.get(&param.name).or(param.default.as_ref()) {
            Some(value) => {
                if let Some(reason) = param.refuses(value) {
                    return Err(bad(reason));
                }
                filled.insert(param.name.clone(), value.clone());
            }
            None if param.required => return Err(bad(format!("parameter {:?} is missing", param.name))),
            None => {}
        }
    }
    Ok(filled)
}

/// The message for a parameter nobody declared.
pub(super) fn unknown(params: &[Param], name: &str) -> String {
    let names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
    let hint = super::problem::suggestion(name, names.iter().copied());
    let names = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    let name: String = name.chars().take(80).collect();
    format!("unknown parameter {name:?}, expected one of: {names}{hint}")
}

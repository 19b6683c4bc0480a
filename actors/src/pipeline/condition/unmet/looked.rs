//! The fields that a part of a condition looks at, and what is there.

use crate::pipeline::condition::need::operands;
use crate::pipeline::facts::Facts;
use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use serde_json::Value;
use std::borrow::Cow;
use tripline_protocol::Event;
use tripline_protocol::api::SeenField;

/// Fields that are told.
const SEEN_MAX: usize = 8;
/// Characters of a value that are told.
const VALUE_CHARS_MAX: usize = 120;

/// The names on the way to a field, `event` or `host` first.
type Path<'x> = Vec<&'x str>;

/// What is at the end of a path.
enum Looked<'v> {
    There(Cow<'v, Value>),
    /// So many names of the path lead somewhere.
    Missing(usize),
    /// It leads through something that is no map.
    Blocked,
}

/// The fields that are there, with their values.
pub(super) fn seen_fields(part: &IdedExpr, facts: &Facts<'_>) -> Vec<SeenField> {
    let seen = paths(part)
        .into_iter()
        .filter_map(|path| match look(facts, &path) {
            Looked::There(value) => Some(SeenField {
                field: written(&path),
                value: short(&value),
            }),
            Looked::Missing(_) | Looked::Blocked => None,
        });
    seen.take(SEEN_MAX).collect()
}

/// The first field that is not there for want of `name`, as it is written.
pub(super) fn missing_field(part: &IdedExpr, facts: &Facts<'_>, name: &str) -> Option<String> {
    paths(part).into_iter().find_map(|path| match look(facts, &path) {
        Looked::Missing(known) if path.get(known) == Some(&name) => path.get(..=known).map(written),
        _ => None,
    })
}

/// The paths in an expression, each once, in the order in which they are evaluated. Within a comprehension names stand
/// for elements; only what it runs over is looked at.
fn paths(part: &IdedExpr) -> Vec<Path<'_>> {
    let mut found: Vec<Path<'_>> = Vec::new();
    let mut open = vec![part];
    while let Some(node) = open.pop() {
        if let Some(path) = path(node) {
            if !found.contains(&path) {
                found.push(path);
            }
            continue;
        }
        match &node.expr {
            Expr::Select(select) => open.push(&select.operand),
            Expr::Call(call) => open.extend(call.target.as_deref().into_iter().chain(&call.args).rev()),
            Expr::List(list) => open.extend(list.elements.iter().rev()),
            Expr::Comprehension(each) => open.push(&each.iter_range),
            _ => {}
        }
    }
    found
}

fn path(node: &IdedExpr) -> Option<Path<'_>> {
    let mut names = Vec::new();
    let mut at = node;
    loop {
        match &at.expr {
            Expr::Select(select) if !select.test => {
                names.push(select.field.as_str());
                at = &select.operand;
            }
            Expr::Ident(name) if matches!(name.as_str(), "event" | "host") && !names.is_empty() => {
                names.push(name);
                names.reverse();
                return Some(names);
            }
            other => {
                let (operand, index) = operands(other, operators::INDEX)?;
                let Expr::Literal(LiteralValue::String(name)) = &index.expr else {
                    return None;
                };
                names.push(name.inner());
                at = operand;
            }
        }
    }
}

fn look<'v>(facts: &Facts<'v>, path: &[&str]) -> Looked<'v> {
    let [root, field, rest @ ..] = path else {
        return Looked::Blocked;
    };
    let value = match *root {
        "event" => facts.event.and_then(|event| event_field(event, field)),
        _ => facts.host.and_then(|host| {
            let mut host = serde_json::to_value(host).ok()?;
            host.get_mut(field).map(|value| Cow::Owned(value.take()))
        }),
    };
    match value {
        Some(Cow::Borrowed(value)) => within(value, rest),
        Some(value) if rest.is_empty() => Looked::There(value),
        Some(_) => Looked::Blocked,
        None => Looked::Missing(1),
    }
}

fn within<'v>(mut value: &'v Value, rest: &[&str]) -> Looked<'v> {
    for (index, name) in rest.iter().enumerate() {
        let Value::Object(map) = value else {
            return Looked::Blocked;
        };
        match map.get(*name) {
            Some(inner) => value = inner,
            None => return Looked::Missing(index + 2),
        }
    }
    Looked::There(Cow::Borrowed(value))
}

fn event_field<'v>(event: &'v Event, name: &str) -> Option<Cow<'v, Value>> {
    Some(Cow::Owned(match name {
        "data" => return Some(Cow::Borrowed(&event.data)),
        "id" => event.id.as_str().into(),
        "org" => event.org.as_str().into(),
        "source" => event.source.as_str().into(),
        "etype" => event.etype.as_str().into(),
        "time" => event.time.to_string().into(),
        "attested_by" => event.attested_by.as_str().into(),
        "depth" => event.depth.into(),
        _ => return None,
    }))
}

/// As an author would write it.
fn written(path: &[&str]) -> String {
    let mut text = String::new();
    for name in path {
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty();
        match (is_plain, text.is_empty()) {
            (true, true) => text.push_str(name),
            (true, false) => text.extend([".", name]),
            (false, _) => text.push_str(&format!("[{}]", Value::from(*name))),
        }
    }
    text
}

/// A value in few words.
fn short(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(map) => format!("a map of {}", map.len()),
        Value::String(text) if text.chars().count() > VALUE_CHARS_MAX => {
            let start: String = text.chars().take(VALUE_CHARS_MAX).collect();
            format!("{}…", Value::from(start))
        }
        plain => plain.to_string(),
    }
}

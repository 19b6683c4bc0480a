//! `for_each` of a step in a file: the list that it runs over, and how long it may be.

use super::argument::Argument;
use super::fields::{self, Field, Fields, Shape, Takes};
use super::problem::Problems;
use super::template::Scope;
use super::yaml::{Kind, Node};
use tripline_protocol::limit::FOR_EACH_MAX;
use tripline_protocol::step::ForEach;

/// A list, or a template that gives one.
const LIST: [Takes; 2] = [
    Takes::List(&Takes::Value, FOR_EACH_MAX as usize),
    Takes::WholeTemplate,
];

/// What `for_each` takes.
pub(super) const TAKES: [Takes; 3] = [
    Takes::List(&Takes::Value, FOR_EACH_MAX as usize),
    Takes::WholeTemplate,
    Takes::Map(&SHAPE),
];

/// With how long the list may be.
pub(super) const SHAPE: Shape = Shape::new(
    "for_each",
    &[
        Field::new(
            "in",
            Takes::Either(&LIST),
            "The list, or a template that gives one.",
        )
        .needed(),
        Field::new(
            "max",
            Takes::Count(1, FOR_EACH_MAX),
            "Its longest length: a longer one fails the step.",
        )
        .or("50"),
    ],
    &[],
);

/// Reads it.
pub(super) fn read(node: &Node, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Option<(Argument, u32)> {
    let Kind::Map(_) = &node.kind else {
        return Some((list(node, scope, problems)?, ForEach::MAX_DEFAULT));
    };
    let fields = Fields::of(node, &SHAPE, problems)?;
    let items = fields
        .need("in", "a list, or a template that gives one", problems)
        .and_then(|node| list(node, scope, problems));
    let max = match fields.get("max") {
        Some(node) => fields::count(node, 1..=FOR_EACH_MAX, problems)?,
        None => ForEach::MAX_DEFAULT,
    };
    Some((items?, max))
}

fn list(node: &Node, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Option<Argument> {
    let compiled = Argument::compile(node, scope, problems)?;
    match &node.kind {
        Kind::List(items) if !(1..=FOR_EACH_MAX as usize).contains(&items.len()) => problems.add(
            node.at,
            format!("{} elements, expected 1 to {FOR_EACH_MAX}", items.len()),
        ),
        Kind::List(_) => Some(compiled),
        Kind::Text(_) if compiled.example().is_none() => Some(compiled),
        _ => problems.add(
            node.at,
            format!(
                "expected a list, or a template that gives one, found {}",
                node.describe()
            ),
        ),
    }
}

//! Reading a map of a file: which keys it may have, and values of a certain kind. A reader that finds
//! something else notes the problem and gives `None`.

use super::problem::{At, Problems, suggestion};
pub(super) use super::shape::{Field, Form, Shape, Takes};
use super::yaml::{Key, Kind, Node};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use tripline_protocol::Span;

/// A map with the keys of a [`Shape`]; other keys are gone, with a problem noted for each.
pub(super) struct Fields<'n> {
    pub(super) at: At,
    entries: Vec<(&'n Key, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// Reads a map.
    pub(super) fn of(node: &'n Node, shape: &Shape, problems: &mut Problems<'_>) -> Option<Self> {
        let entries = map(node, shape.what, problems)?;
        let mut fields = Self {
            at: node.at,
            entries: Vec::new(),
        };
        for (key, value) in entries {
            let name = key.text.as_str();
            if shape.names().any(|known| known == name) {
                fields.entries.push((key, value));
            } else {
                let known: Vec<&str> = shape.names().collect();
                unknown_key(key, shape, &known, problems);
            }
        }
        Some(fields)
    }

    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries
            .iter()
            .find(|(key, _)| key.text == name)
            .map(|(_, node)| *node)
    }

    /// The value of `name`, whose absence is a problem.
    pub(super) fn need(&self, name: &str, expected: &str, problems: &mut Problems<'_>) -> Option<&'n Node> {
        self.get(name).or_else(|| {
            problems.add(
                self.at,
                format!("the key {name:?} is missing, expected {expected}"),
            )
        })
    }
}

/// Notes a key that is not there, or not yet.
pub(super) fn unknown_key(key: &Key, shape: &Shape, known: &[&str], problems: &mut Problems<'_>) {
    let (name, what) = (&key.text, shape.what);
    if shape.later.contains(&name.as_str()) {
        problems.add::<()>(key.at, format!("key {name:?} of {what} is not supported yet"));
        return;
    }
    if let Some((_, map)) = shape.inside.iter().find(|(inside, _)| inside == name) {
        problems.add::<()>(key.at, format!("key {name:?} of {what} belongs into {map}"));
        return;
    }
    let hint = suggestion(name, known.iter().chain(shape.later).copied());
    let keys = shape.names().collect::<Vec<_>>().join(", ");
    problems.add::<()>(
        key.at,
        format!("unknown key {name:?} in {what}, expected one of {keys}{hint}"),
    );
}

fn unexpected<T>(node: &Node, expected: &str, problems: &mut Problems<'_>) -> Option<T> {
    problems.add(node.at, format!("expected {expected}, found {}", node.describe()))
}

/// The entries of a map.
pub(super) fn map<'n>(node: &'n Node, what: &str, problems: &mut Problems<'_>) -> Option<&'n [(Key, Node)]> {
    node.entries()
        .or_else(|| unexpected(node, &format!("a map for {what}"), problems))
}

/// The items of a list.
pub(super) fn list<'n>(node: &'n Node, expected: &str, problems: &mut Problems<'_>) -> Option<&'n [Node]> {
    match &node.kind {
        Kind::List(items) => Some(items),
        _ => unexpected(node, expected, problems),
    }
}

/// One text, or the items of a list of 1 to `most`; `what` they are is for messages.
pub(super) fn one_or_many<'n>(
    node: &'n Node,
    what: &str,
    most: usize,
    problems: &mut Problems<'_>,
) -> Option<&'n [Node]> {
    let items = match &node.kind {
        Kind::Text(_) => std::slice::from_ref(node),
        _ => list(node, &format!("a list of {what}"), problems)?,
    };
    if !(1..=most).contains(&items.len()) {
        return problems.add(node.at, format!("{} {what}, expected 1 to {most}", items.len()));
    }
    Some(items)
}

/// Every item as a type that parses itself.
pub(super) fn all_parsed<T: FromStr<Err: Display>>(
    items: &[Node],
    expected: &str,
    problems: &mut Problems<'_>,
) -> Option<Vec<T>> {
    let parsed: Vec<_> = items
        .iter()
        .map(|item| parsed(item, expected, problems))
        .collect();
    parsed.into_iter().collect()
}

/// A text.
pub(super) fn text<'n>(node: &'n Node, expected: &str, problems: &mut Problems<'_>) -> Option<&'n str> {
    match &node.kind {
        Kind::Text(text) => Some(text),
        _ => unexpected(node, expected, problems),
    }
}

/// `true` or `false`.
pub(super) fn boolean(node: &Node, problems: &mut Problems<'_>) -> Option<bool> {
    match &node.kind {
        Kind::Scalar(serde_json::Value::Bool(value)) => Some(*value),
        _ => unexpected(node, "true or false", problems),
    }
}

/// A whole number in `range`.
pub(super) fn count(node: &Node, range: RangeInclusive<u32>, problems: &mut Problems<'_>) -> Option<u32> {
    let (least, most) = (range.start(), range.end());
    let Kind::Scalar(serde_json::Value::Number(number)) = &node.kind else {
        return unexpected(node, &format!("a whole number from {least} to {most}"), problems);
    };
    let found = number.as_u64().and_then(|number| u32::try_from(number).ok());
    match found.filter(|found| range.contains(found)) {
        Some(found) => Some(found),
        None => problems.add(
            node.at,
            format!("{number} is not a whole number from {least} to {most}"),
        ),
    }
}

/// One of some words.
pub(super) fn word(node: &Node, words: &[&'static str], problems: &mut Problems<'_>) -> Option<&'static str> {
    let found = text(node, &format!("one of {}", words.join(", ")), problems)?;
    let word = words.iter().find(|word| **word == found);
    word.copied().or_else(|| {
        let (hint, words) = (suggestion(found, words.iter().copied()), words.join(", "));
        let found: String = found.chars().take(80).collect();
        problems.add(node.at, format!("{found:?} is none of {words}{hint}"))
    })
}

/// A text of a type that parses itself.
pub(super) fn parsed<T: FromStr<Err: Display>>(
    node: &Node,
    expected: &str,
    problems: &mut Problems<'_>,
) -> Option<T> {
    match text(node, expected, problems)?.parse() {
        Ok(value) => Some(value),
        Err(error) => problems.add(node.at, error.to_string()),
    }
}

/// A span of time above zero.
pub(super) fn span(node: &Node, problems: &mut Problems<'_>) -> Option<Span> {
    let span: Span = parsed(node, "a span of time such as 30s, 2m, 24h or 7d", problems)?;
    if span == Span::ZERO {
        return problems.add(node.at, "expected a span of time above zero");
    }
    Some(span)
}

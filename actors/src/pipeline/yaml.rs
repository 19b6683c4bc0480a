//! YAML into a tree in which every key and value knows its place in the file.
//!
//! Deliberately not here: what the keys mean. Aliases are bounded, merge keys and unknown tags refused,
//! `yes` and `on` are words (YAML 1.2).

use super::problem::At;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{
    DefaultMessageFormatter, Error, Location, MergeKeyPolicy, MessageFormatter, Options, Spanned,
};
use std::fmt;

/// Deepest nesting of lists and maps.
const DEPTH_MAX: usize = 32;
/// Most values in one file, aliases expanded.
const NODES_MAX: usize = 50_000;
/// Most bytes of the texts in one file, aliases expanded.
const TEXTS_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A value and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) kind: Kind,
}

/// A key and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) at: At,
    pub(super) text: String,
}

/// What a value is. Scalars are null, a boolean or a number.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar(Value),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

impl Node {
    /// The kind in words, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(Value::Null) => "nothing",
            Kind::Scalar(Value::Bool(_)) => "true or false",
            Kind::Scalar(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The entries, if it is a map.
    pub(super) fn entries(&self) -> Option<&[(Key, Node)]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// A value that stands in no file.
    pub(super) fn from_json(value: &Value) -> Self {
        let kind = match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Kind::Scalar(value.clone()),
            Value::String(text) => Kind::Text(text.clone()),
            Value::Array(items) => Kind::List(items.iter().map(Self::from_json).collect()),
            Value::Object(map) => Kind::Map(map.iter().map(Self::entry).collect()),
        };
        Self {
            at: At::default(),
            kind,
        }
    }

    fn entry((name, value): (&String, &Value)) -> (Key, Self) {
        let key = Key {
            at: At::default(),
            text: name.clone(),
        };
        (key, Self::from_json(value))
    }

    /// The value without places.
    pub(super) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, node)| (key.text.clone(), node.to_json()))
                    .collect(),
            ),
        }
    }
}

/// The documents of a file; empty ones are left out. The error is the first thing that is no YAML.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, (At, String)> {
    serde_saphyr::from_multiple_with_options::<Spanned<Kind>>(text, options())
        .map(|documents| documents.into_iter().map(node).collect())
        .map_err(|error| problem(&error, text))
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_total_scalar_bytes: TEXTS_BYTES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: NODES_MAX },
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn problem(error: &Error, text: &str) -> (At, String) {
    let error = error.without_snippet();
    let mut message = DefaultMessageFormatter.format_message(error).into_owned();
    if let Error::AliasError { .. } = error {
        message = error.to_string();
    }
    let at = error.location().map(place).unwrap_or_default();
    // A template without quotes is a map in a map to YAML, whose inner map stands where a key should.
    if text
        .get(at.byte.saturating_sub(1)..)
        .is_some_and(|text| text.starts_with("{{"))
    {
        message.push_str("; a template needs quotes: \"{{ … }}\"");
    }
    (at, message)
}

fn place(location: Location) -> At {
    let byte = location.span().byte_offset().unwrap_or_default();
    At {
        line: location.line(),
        column: location.column(),
        byte: usize::try_from(byte).unwrap_or(usize::MAX),
    }
}

fn node(spanned: Spanned<Kind>) -> Node {
    Node {
        at: place(spanned.referenced),
        kind: spanned.value,
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Spanned<Kind>>()? {
            items.push(node(item));
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let key = Key {
                at: place(key.referenced),
                text: key.value,
            };
            entries.push((key, node(map.next_value::<Spanned<Kind>>()?)));
        }
        Ok(Kind::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_know_their_places() {
        let nodes = documents("# c\nname: x\non: [yes, 2]\n---\na:\n  b: \"é\"\n  c: d\n").unwrap();
        let Kind::Map(first) = &nodes[0].kind else {
            panic!()
        };
        assert_eq!((first[1].0.at.line, first[1].0.at.column), (3, 1));
        let Kind::List(items) = &first[1].1.kind else {
            panic!()
        };
        assert!(matches!(&items[0].kind, Kind::Text(text) if text == "yes"));
        assert_eq!((items[1].at.line, items[1].at.column), (3, 11));
        let Kind::Map(second) = &nodes[1].kind else {
            panic!()
        };
        let Kind::Map(inner) = &second[0].1.kind else {
            panic!()
        };
        assert_eq!((inner[1].1.at.line, inner[1].1.at.column), (7, 6));
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(documents(&text).is_err());
    }

    #[test]
    fn nesting_and_values_are_taken_up_to_their_bounds() {
        let nested = |depth: usize| format!("{}{}\n", "[".repeat(depth), "]".repeat(depth));
        let block = |depth: usize| {
            (0..depth)
                .map(|level| format!("{}a:\n", " ".repeat(level)))
                .collect()
        };
        for deep in [&nested as &dyn Fn(usize) -> String, &block] {
            documents(&deep(DEPTH_MAX)).expect("as deep as may be");
            documents(&deep(DEPTH_MAX + 1)).expect_err("deeper");
        }
        // The list is a value, too.
        let values = |count: usize| "- x\n".repeat(count - 1);
        documents(&values(NODES_MAX)).expect("as many as may be");
        documents(&values(NODES_MAX + 1)).expect_err("more");
        // Of an anchor and its aliases.
        let texts = |count: usize| {
            let text = "x".repeat(TEXTS_BYTES_MAX / 8);
            format!("- &a {text}\n{}", "- *a\n".repeat(count - 1))
        };
        documents(&texts(8)).expect("as long as may be");
        documents(&texts(9)).expect_err("longer");
    }

    #[test]
    fn a_duplicate_key_and_a_merge_key_are_refused_with_their_place() {
        let (at, message) = documents("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!((at.line, at.column), (3, 1), "{message}");
        let (at, _) = documents("a: &x {b: 1}\nc:\n  <<: *x\n").unwrap_err();
        assert_eq!(at.line, 3);
    }
}

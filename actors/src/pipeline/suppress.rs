//! `suppress`: how often a pipeline acts. What is counted, and where, is the router's.

use super::argument::Argument;
use super::fields::{self, Field, Fields, Form, Shape, Takes};
use super::problem::Problems;
use super::render_error::{Cause, RenderError};
use super::template::{Budget, Scope, Uses};
use super::yaml::Node;
use serde_json::Value;
use tripline_protocol::Span;
use uuid::Uuid;

pub(super) const SHAPE: Shape = Shape::new(
    "suppress",
    &[
        Field::new(
            "key",
            Takes::AnyText,
            "What is counted by itself, mostly a template over `event`, `host` and `vars`. Absent: all together.",
        ),
        Field::new(
            "max",
            Takes::Count(1, TIMES_MAX),
            "It acts at most so many times within `per`.",
        )
        .or("1"),
        Field::new(
            "min",
            Takes::Count(1, TIMES_MAX),
            "It acts from so many matches within `per` on.",
        )
        .or("1"),
        Field::new(
            "per",
            Takes::Text(Form::Span),
            "The span of time that is looked at, at most 7d.",
        )
        .needed(),
        Field::new(
            "scope",
            Takes::Text(Form::SuppressScope),
            "Over what is counted: all hosts of an org together, or each by itself.",
        )
        .or("global"),
    ],
    &[],
);

pub(super) const SUPPRESS: Field = Field::new(
    "suppress",
    Takes::Map(&SHAPE),
    "How often it acts. Absent: whenever it matches.",
);

/// The longest window, of `suppress` and of other guards.
pub(super) const PER_MAX: Span = Span::from_secs(7 * 24 * 3600);
/// The highest `min` and `max`.
const TIMES_MAX: u32 = 1_000;
/// The longest rendered key, in bytes.
const KEY_BYTES_MAX: usize = 512;
/// What rendering a key may use: more than is taken, so that a key that is too long is told from one that grows.
const KEY_BUDGET_BYTES: usize = 16 * 1024;

/// Over what matches and acts are counted together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SuppressScope {
    /// All hosts of an org.
    #[default]
    Global,
    /// Each host by itself.
    Host,
}

impl SuppressScope {
    /// The words for them.
    pub(super) const WORDS: [&'static str; 2] = ["global", "host"];
}

impl std::str::FromStr for SuppressScope {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "global" => Ok(Self::Global),
            "host" => Ok(Self::Host),
            _ => Err("expected global or host"),
        }
    }
}

/// A pipeline acts if it matched at least `min` times within `per`, this time included, and acted fewer than `max`
/// times within it.
#[derive(Debug)]
pub struct Suppress {
    key: Option<Argument>,
    min: u32,
    max: u32,
    per: Span,
    scope: SuppressScope,
    identity: Uuid,
}

impl Suppress {
    /// Reads it, with what its key may name; its problems are noted.
    pub(super) fn read(node: &Node, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let before = problems.count();
        let fields = Fields::of(node, &SHAPE, problems)?;
        let key = fields.get("key");
        let source = key.and_then(|node| fields::text(node, "a text, mostly with a template", problems));
        let compiled = key.and_then(|node| Argument::compile(node, scope, problems));
        let mut times = |name| {
            let node = fields.get(name);
            node.and_then(|node| fields::count(node, 1..=TIMES_MAX, problems))
        };
        let (min, max) = (times("min"), times("max"));
        let per = fields.need("per", "the span of time that is looked at, such as 30s", problems);
        let per = per.and_then(|node| window(node, problems));
        let counted = fields
            .get("scope")
            .and_then(|node| read_scope(node, scope, problems));
        if problems.count() > before {
            return None;
        }
        let (per, scope) = (per?, counted.unwrap_or_default());
        Some(Self {
            key: compiled,
            min: min.unwrap_or(1),
            max: max.unwrap_or(1),
            per,
            scope,
            identity: identity(source, per, scope),
        })
    }

    /// Least matches within [`Suppress::per`] before it acts; 1 or more.
    pub fn min(&self) -> u32 {
        self.min
    }

    /// Most acts within [`Suppress::per`]; 1 or more.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// The span that is looked at, up to now.
    pub fn per(&self) -> Span {
        self.per
    }

    /// Over what is counted.
    pub fn scope(&self) -> SuppressScope {
        self.scope
    }

    /// The same as long as `key`, `per` and `scope` are written the same: what was counted then goes on.
    pub fn identity(&self) -> Uuid {
        self.identity
    }

    /// What must be there to render the key; `None`: there is none.
    pub(super) fn key_uses(&self) -> Option<Uses> {
        self.key.as_ref().map(Argument::uses)
    }

    /// The key over these values; empty without one.
    pub(super) fn key(&self, context: &minijinja::Value) -> Result<String, RenderError> {
        let Some(key) = &self.key else {
            return Ok(String::new());
        };
        let rendered = key
            .render(context, &mut Budget::new(KEY_BUDGET_BYTES))
            .map_err(|error| error.under("suppress.key"))?;
        let text = match rendered {
            Value::String(text) => text,
            other => other.to_string(),
        };
        if text.len() > KEY_BYTES_MAX {
            let cause = Cause::TooLarge {
                bytes_max: KEY_BYTES_MAX,
            };
            return Err(RenderError::new(cause).under("suppress.key"));
        }
        Ok(text)
    }
}

fn read_scope(node: &Node, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Option<SuppressScope> {
    let counted = fields::parsed(node, "global or host", problems)?;
    if counted == SuppressScope::Host && !scope.host {
        return problems.add(
            node.at,
            "scope host counts each event's host by itself, and this pipeline acts on a set of hosts; expected global",
        );
    }
    Some(counted)
}

/// A span that guards look at.
pub(super) fn window(node: &Node, problems: &mut Problems<'_>) -> Option<Span> {
    let per = fields::span(node, problems)?;
    if per > PER_MAX {
        return problems.add(node.at, format!("{per} is too long, expected at most {PER_MAX}"));
    }
    Some(per)
}

fn identity(key: Option<&str>, per: Span, scope: SuppressScope) -> Uuid {
    let written = format!("{scope:?}/{}/{}", per.as_millis(), key.unwrap_or_default());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, written.as_bytes())
}

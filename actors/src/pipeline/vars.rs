//! `let`: named values of a pipeline or a job, rendered in their order before the job is accepted. Templates see
//! them as `vars`.

use super::argument::Argument;
use super::fields::{self, Field, Fields, Form, Takes};
use super::problem::Problems;
use super::render_error::{Cause, RenderError};
use super::template::{Budget, Scope, Uses, from_json};
use super::yaml::Key;
use serde_json::{Map, Value};

/// Most names that are seen as `vars`, of a pipeline and its inline job together.
const NAMES_MAX: usize = 32;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Most bytes that all of them have as JSON, with their names.
const VALUES_BYTES_MAX: usize = 64 * 1024;

/// `let` of a pipeline or a job.
pub(super) const LET: Field = Field::new(
    "let",
    Takes::Names {
        names: Some(Form::VarName),
        most: Some(NAMES_MAX),
        takes: &Takes::Value,
    },
    "Named values, rendered in their order before the job is accepted; templates see them as `vars.NAME`.",
);

/// The values of one `let`, in their order.
#[derive(Debug, Default)]
pub(super) struct Let(Vec<(String, Argument)>);

/// As much of a `let` as something needs.
#[derive(Debug)]
pub(super) struct Part {
    /// The event must be there for it.
    pub(super) event: bool,
    /// For each value whether it is needed.
    values: Box<[bool]>,
}

/// The names of a `let`, right or wrong, so that one mistake is told once.
pub(super) fn names<'n>(fields: &Fields<'n>) -> Vec<&'n str> {
    let entries = fields.get("let").and_then(|node| node.entries());
    entries
        .unwrap_or_default()
        .iter()
        .map(|(key, _)| key.text.as_str())
        .collect()
}

impl Let {
    /// Reads `let`; what is wrong is noted and left out. `scope` has the names that are known before.
    pub(super) fn read(fields: &Fields<'_>, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Self {
        let Some(node) = fields.get("let") else {
            return Self::default();
        };
        let entries = fields::map(node, "let", problems).unwrap_or_default();
        let all: Vec<&str> = scope.vars.iter().copied().chain(names(fields)).collect();
        if all.len() > NAMES_MAX {
            let message = format!("{} names, expected at most {NAMES_MAX}", all.len());
            problems.add::<()>(node.at, message);
            return Self::default();
        }
        let mut read = Vec::new();
        for (index, (key, value)) in entries.iter().enumerate() {
            check_name(key, scope.vars, problems);
            let (known, later) = all.split_at_checked(scope.vars.len() + index).unwrap_or_default();
            let scope = Scope {
                vars: known,
                vars_later: later,
                ..scope.clone()
            };
            let value = Argument::compile(value, &scope, problems);
            read.extend(value.map(|value| (key.text.clone(), value)));
        }
        let literals = read.iter().map(|(name, value)| size(name, &value.literal()));
        if literals.sum::<usize>() > VALUES_BYTES_MAX {
            problems.add::<()>(
                node.at,
                format!("the values are longer than {VALUES_BYTES_MAX} bytes"),
            );
        }
        Self(read)
    }
}

impl Let {
    /// The values that something needs, and those that these need.
    pub(super) fn part(&self, mut uses: Uses) -> Part {
        // Each value names only those before it.
        let values = self.0.iter().rev().map(|(name, value)| {
            let is_needed = uses.all_vars || uses.vars.contains(name);
            if is_needed {
                uses.add(&value.uses());
            }
            is_needed
        });
        let mut values: Box<[bool]> = values.collect();
        values.reverse();
        Part {
            event: uses.event,
            values,
        }
    }
}

/// Templates name it behind a dot, and so may conditions.
fn check_name(key: &Key, taken: &[&str], problems: &mut Problems<'_>) {
    let name = key.text.as_str();
    let legal = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.len() <= NAME_BYTES_MAX;
    if !legal {
        let name: String = name.chars().take(80).collect();
        problems.add::<()>(
            key.at,
            format!(
                "{name:?} is no name for a value, expected 1 to {NAME_BYTES_MAX} of a-z 0-9 _, the first no digit"
            ),
        );
    }
    if taken.contains(&name) {
        problems.add::<()>(
            key.at,
            format!("the pipeline's let has the name {name:?} already"),
        );
    }
}

/// Bytes of a value as JSON, with its name; nothing for one that is not known yet.
fn size(name: &str, value: &Option<Value>) -> usize {
    value
        .as_ref()
        .map_or(0, |value| name.len() + value.to_string().len())
}

/// What templates see: what is known by name, and the values of `let` as far as they are rendered.
#[derive(Debug)]
pub(super) struct Context {
    roots: Vec<(&'static str, minijinja::Value)>,
    vars: Map<String, Value>,
    seen: Vec<(String, minijinja::Value)>,
    bytes: usize,
}

impl Context {
    /// Knows these, and no `vars` yet.
    pub(super) fn new(roots: impl IntoIterator<Item = (&'static str, minijinja::Value)>) -> Self {
        Self {
            roots: roots.into_iter().collect(),
            vars: Map::new(),
            seen: Vec::new(),
            bytes: 0,
        }
    }

    /// For templates.
    pub(super) fn value(&self) -> minijinja::Value {
        let vars = minijinja::Value::from_pairs(self.seen.iter().cloned());
        minijinja::Value::from_pairs(self.roots.iter().cloned().chain([("vars", vars)]))
    }

    /// Renders values over what is known, each known to the next.
    pub(super) fn define(&mut self, values: &Let) -> Result<(), RenderError> {
        self.define_each(values.0.iter())
    }

    /// Renders only some of them.
    pub(super) fn define_part(&mut self, values: &Let, part: &Part) -> Result<(), RenderError> {
        let needed = values.0.iter().zip(&part.values);
        self.define_each(
            needed
                .filter(|(_, is_needed)| **is_needed)
                .map(|(value, _)| value),
        )
    }

    fn define_each<'v>(
        &mut self,
        values: impl Iterator<Item = &'v (String, Argument)>,
    ) -> Result<(), RenderError> {
        for (name, value) in values {
            let value = value
                .render(&self.value(), &mut Budget::new(VALUES_BYTES_MAX))
                .map_err(|error| error.in_let(name))?;
            let seen = from_json(&value);
            let value = Some(value);
            self.bytes += size(name, &value);
            if self.bytes > VALUES_BYTES_MAX {
                let bytes_max = VALUES_BYTES_MAX;
                return Err(RenderError::from(Cause::TooLarge { bytes_max }).in_let(name));
            }
            self.seen.push((name.clone(), seen));
            self.vars.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(())
    }

    /// The values as far as they are rendered.
    pub(super) fn vars(&self) -> &Map<String, Value> {
        &self.vars
    }

    /// The values, for what is rendered later.
    pub(super) fn into_vars(self) -> Map<String, Value> {
        self.vars
    }
}

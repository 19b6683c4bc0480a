//! Templates in arguments: texts with minijinja expressions between `{{` and `}}`.
//!
//! Only expressions: no loops, no assignments, no includes, no escaping. A text that is one expression
//! keeps the type of its value; any other gives a text. What is rendered is data and is never looked at
//! for templates again.

mod engine;
mod scan;
mod value;

use super::host::{EVENT_FIELDS, HOST_FIELDS, HostFacts};
use super::problem::suggestion;
use super::render_error::Cause;
use minijinja::ErrorKind;
use scan::{Segment, Use};
use serde_json::Value;
use std::fmt::Display;
use std::sync::Arc;
use tripline_protocol::Event;

pub(super) use scan::has_template;
pub(super) use value::{Budget, from_json, len_bytes};

/// Longest reason of a failed template, in characters.
pub(super) const REASON_CHARS_MAX: usize = 300;

/// What a template may name where it stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope<'a> {
    /// `event` is known.
    pub(super) event: bool,
    /// `host` is known.
    pub(super) host: bool,
    /// Parameters of the named job.
    pub(super) params: Option<&'a [&'a str]>,
    /// Names of `let` that have their values.
    pub(super) vars: &'a [&'a str],
    /// Names of the same `let` that get theirs later.
    pub(super) vars_later: &'a [&'a str],
    /// Ids of earlier steps, where outputs may be used.
    pub(super) steps: Option<&'a [String]>,
    /// The step runs over a list, and its element is known.
    pub(super) item: bool,
}

/// When a name has its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Before the job is accepted.
    Early,
    /// When the step is about to run.
    Late,
    /// Before the job is accepted, and it is kept.
    Always,
}

impl Scope<'_> {
    /// When `root` has its value, if it is known here.
    pub(super) fn known(&self, root: &str) -> Option<Known> {
        match root {
            "event" if self.event => Some(Known::Early),
            "host" if self.host => Some(Known::Early),
            "params" if self.params.is_some() => Some(Known::Early),
            "vars" if self.has_vars() => Some(Known::Always),
            "steps" if self.steps.is_some() => Some(Known::Late),
            "item" | "index" if self.item => Some(Known::Late),
            _ => None,
        }
    }

    /// Whether there is a `let`.
    fn has_vars(&self) -> bool {
        !self.vars.is_empty() || !self.vars_later.is_empty()
    }

    /// Whether it is of a pipeline that acts on a set of hosts, before they are known.
    fn is_before_hosts(&self) -> bool {
        self.event && !self.host
    }

    /// All names that are known here.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let names = ["event", "host", "params", "vars", "steps", "item", "index"];
        names
            .into_iter()
            .filter(|name| self.known(name).is_some())
            .collect()
    }
}

/// A compiled template.
pub(super) struct Template {
    pieces: Vec<Piece>,
    late: bool,
    uses: Uses,
}

/// What a template needs to be there of what is made for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// It looks at the event.
    pub(super) event: bool,
    /// Values of `let`, by their names.
    pub(super) vars: Vec<String>,
    /// Any of them: it does not say which.
    pub(super) all_vars: bool,
}

impl Uses {
    /// Adds what another one needs.
    pub(super) fn add(&mut self, other: &Self) {
        self.event |= other.event;
        self.all_vars |= other.all_vars;
        self.vars.extend(other.vars.iter().cloned());
    }

    fn note(&mut self, used: &Use<'_>) {
        match (used.root, used.field) {
            ("event", _) => self.event = true,
            ("vars", Some(name)) => self.vars.push(name.to_owned()),
            ("vars", None) => self.all_vars = true,
            _ => {}
        }
    }
}

enum Piece {
    Text(String),
    Expression {
        source: String,
        compiled: Arc<engine::Compiled>,
    },
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Expression { source, .. } => format!("{{{{ {source} }}}}"),
        });
        f.debug_list().entries(pieces).finish()
    }
}

impl Template {
    /// Compiles `text`; `None` when there is no template in it. The error says what was expected.
    pub(super) fn compile(text: &str, scope: &Scope<'_>) -> Result<Option<Self>, String> {
        if !has_template(text) {
            return Ok(None);
        }
        let mut pieces = Vec::new();
        let (mut early, mut late) = (false, false);
        let mut used = Uses::default();
        for segment in scan::segments(text)? {
            pieces.push(match segment {
                Segment::Text(text) => Piece::Text(text.to_owned()),
                Segment::Expression(source) => {
                    let compiled = engine::compile(source)?;
                    let uses = scan::uses(source)?;
                    check(&compiled, &uses, scope, &mut early, &mut late)?;
                    uses.iter().for_each(|one| used.note(one));
                    Piece::Expression {
                        source: source.to_owned(),
                        compiled,
                    }
                }
            });
        }
        if early && late {
            return Err(
                "one argument may use event, host and params, or steps, but not both; put the value into let"
                    .into(),
            );
        }
        pieces.shrink_to_fit();
        used.vars.shrink_to_fit();
        Ok(Some(Self {
            pieces,
            late,
            uses: used,
        }))
    }

    /// Whether it uses `steps` and so waits until its step is about to run.
    pub(super) fn is_late(&self) -> bool {
        self.late
    }

    /// What must be there for it.
    pub(super) fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Whether it is one expression and so may give a value of any type.
    pub(super) fn is_typed(&self) -> bool {
        matches!(self.pieces.as_slice(), [Piece::Expression { .. }])
    }

    /// Renders it over the variables in `context`.
    pub(super) fn render(&self, context: &minijinja::Value, budget: &mut Budget) -> Result<Value, Cause> {
        if let [Piece::Expression { source, compiled }] = self.pieces.as_slice() {
            return evaluate(source, compiled, context, budget);
        }
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => {
                    budget.spend(piece.len())?;
                    text.push_str(piece);
                }
                Piece::Expression { source, compiled } => {
                    append(&mut text, source, evaluate(source, compiled, context, budget)?)?;
                }
            }
        }
        Ok(Value::String(text))
    }
}

/// Why rendering failed, in so many characters.
fn failed(reason: impl Display) -> Cause {
    Cause::Template {
        reason: reason.to_string().chars().take(REASON_CHARS_MAX).collect(),
    }
}

/// Adds a value to a text. Nothing, lists and maps have no single form as text.
fn append(text: &mut String, source: &str, value: Value) -> Result<(), Cause> {
    match value {
        Value::String(value) => text.push_str(&value),
        Value::Null => {
            return Err(Cause::Missing {
                expression: source.to_owned(),
            });
        }
        Value::Array(_) | Value::Object(_) => {
            return Err(failed(format!(
                "a list or map within a text, add | tojson or | join: {{{{ {source} }}}}"
            )));
        }
        scalar => text.push_str(&scalar.to_string()),
    }
    Ok(())
}

fn evaluate(
    source: &str,
    compiled: &engine::Compiled,
    context: &minijinja::Value,
    budget: &mut Budget,
) -> Result<Value, Cause> {
    let missing = || Cause::Missing {
        expression: source.to_owned(),
    };
    let value = compiled
        .eval(context.clone())
        .map_err(|error| match error.kind() {
            ErrorKind::UndefinedError => missing(),
            _ => failed(error),
        })?;
    value::to_json(&value, budget, 0)?.ok_or_else(missing)
}

/// Refuses names that are not there; notes whether the expression is early or late.
fn check(
    compiled: &engine::Compiled,
    uses: &[Use<'_>],
    scope: &Scope<'_>,
    early: &mut bool,
    late: &mut bool,
) -> Result<(), String> {
    for root in &compiled.undeclared_variables(false) {
        match scope.known(root) {
            Some(Known::Early) => *early = true,
            Some(Known::Late) => *late = true,
            Some(Known::Always) => {}
            None => return Err(unknown(root, scope)),
        }
    }
    uses.iter().try_for_each(|used| check_field(used, scope))
}

fn unknown(root: &str, scope: &Scope<'_>) -> String {
    match root {
        "event" => "event is not known here; hand it on as a parameter".into(),
        "host" | "vars" if scope.is_before_hosts() => format!(
            "{root} is not known here: the pipeline acts on a set of hosts, and this is before they are known; only event is"
        ),
        "host" => "host is not known here; only outputs of earlier steps are".into(),
        "params" => "params is known in named jobs only".into(),
        "vars" => "vars is not known here: it has the values of let, and there are none".into(),
        "steps" => "steps is not known here; only a step's arguments may use it".into(),
        "item" | "index" => format!("{root} is not known here; only a step with for_each has one"),
        other => {
            let known = scope.names();
            let hint = suggestion(other, known.iter().copied());
            format!(
                "unknown name {other:?}, expected one of {}{hint}",
                known.join(", ")
            )
        }
    }
}

/// Refuses a field that `root` has not.
pub(super) fn unknown_field(root: &str, field: &str, scope: &Scope<'_>) -> Result<(), String> {
    let field = Some(field);
    check_field(&Use { root, field }, scope)
}

fn check_field(used: &Use<'_>, scope: &Scope<'_>) -> Result<(), String> {
    let steps: Vec<&str>;
    let (known, what): (&[&str], &str) = match used.root {
        "event" => (EVENT_FIELDS, "event has no field"),
        "host" => (HOST_FIELDS, "host has no field"),
        "params" => (scope.params.unwrap_or_default(), "there is no parameter"),
        "vars" => (scope.vars, "let has no name"),
        "steps" => {
            steps = scope
                .steps
                .unwrap_or_default()
                .iter()
                .map(String::as_str)
                .collect();
            (&steps, "there is no earlier step")
        }
        _ => return Ok(()),
    };
    match used.field {
        Some(field) if known.contains(&field) => Ok(()),
        Some(field) if used.root == "vars" && scope.vars_later.contains(&field) => Err(format!(
            "vars.{field} has no value yet: those of let are rendered in their order, put {field:?} before this one"
        )),
        Some(field) => {
            let hint = suggestion(field, known.iter().copied());
            let expected = if known.is_empty() {
                "none".into()
            } else {
                known.join(", ")
            };
            Err(format!("{what} {field:?}, expected one of: {expected}{hint}"))
        }
        None if used.root == "steps" => {
            Err("name the step: steps.ID, or steps[\"ID\"] for an id with a hyphen".into())
        }
        None => Ok(()),
    }
}

/// `event` as templates see it.
pub(super) fn event_value(event: &Event) -> minijinja::Value {
    minijinja::Value::from_pairs([
        ("id", minijinja::Value::from(event.id.as_str())),
        ("org", event.org.as_str().into()),
        ("source", event.source.as_str().into()),
        ("etype", event.etype.as_str().into()),
        ("time", event.time.to_string().into()),
        ("data", from_json(&event.data)),
        ("attested_by", event.attested_by.as_str().into()),
        ("depth", event.depth.into()),
    ])
}

/// `host` as templates see it.
pub(super) fn host_value(host: &HostFacts) -> minijinja::Value {
    minijinja::Value::from(minijinja::value::Serde(host))
}

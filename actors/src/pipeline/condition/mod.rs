//! `when`: a CEL expression, checked when it is loaded and evaluated over events that others wrote.
//!
//! This module is the only one that knows the `cel` crate, whose interpreter recurses over the tree and
//! has no limit of its own. So: source ≤ 2 KiB, compiled on the loader's large stack, tree ≤ 64 deep, no
//! comprehension in another, lists ≤ 1,000 elements (200 where the work is a product of two), own `re`
//! compiled at load, a fixed list of functions.
//!
//! Values borrow from the event (see `value`), so its size does not matter; `cargo bench -p tripline-actors --bench
//! condition` says what an evaluation costs. What an event must have for a condition to hold is looked at first, and
//! without the interpreter (see `need`).

mod check;
pub(super) mod need;
mod unmet;
mod value;

use super::HostFacts;
use super::facts::Facts;
use super::template::Scope;
use cel::common::ast::IdedExpr;
use cel::common::types::{CelBool, CelString, STRING_TYPE};
use cel::common::value::CowVal;
use cel::{Context, Env, ExecutionError, Value};
use check::{Findings, Refused};
use need::Need;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use tripline_protocol::Event;
use value::{Pattern, Variables};

/// Longest source of a condition, in bytes.
pub(super) const SOURCE_BYTES_MAX: usize = 2 * 1024;
/// Longest reason of a failed evaluation, in characters.
const REASON_CHARS_MAX: usize = 300;
/// Bytes of a compiled condition without its regular expressions, roughly and rather more than less.
const TREE_BYTES: usize = 16 * 1024;

/// Whether a pipeline wants an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// It does.
    Yes,
    /// It does not: the condition is false, or a field it names is missing.
    No,
    /// It does not, because the condition could not be evaluated (a type error, a list too long); the text
    /// says why.
    Error(String),
}

/// A compiled condition.
pub(super) struct Condition {
    source: String,
    expression: IdedExpr,
    regexes: Vec<Pattern>,
    regexes_bytes: usize,
    needs: Box<[Need]>,
    host: bool,
    late: bool,
    item: bool,
    square: bool,
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Condition").field(&self.source).finish()
    }
}

/// Why a condition is refused.
#[derive(Debug)]
pub(super) struct Invalid {
    /// Characters from the start of the source, where that is known.
    pub(super) offset: Option<usize>,
    pub(super) reason: String,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)?;
        match self.offset {
            Some(offset) => write!(f, " (character {} of the condition)", offset + 1),
            None => Ok(()),
        }
    }
}

/// The functions of CEL and `re`; no optional values.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    // Fails only for an overload that exists, and the standard library has no `re`.
    let added = env.add_overload(
        "re",
        "re_string_regex",
        vec![STRING_TYPE, Pattern::cel_type()],
        re,
    );
    debug_assert!(added.is_ok(), "{added:?}");
    Arc::new(env)
});

static ROOT: LazyLock<Context<'static, 'static>> = LazyLock::new(|| Context::with_env(Arc::clone(&ENV)));

fn re<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, pattern] = arguments.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, arguments.len()));
    };
    match (
        text.downcast_ref::<CelString>(),
        pattern.downcast_ref::<Pattern>(),
    ) {
        (Some(text), Some(pattern)) => Ok(CowVal::owned(CelBool::from(pattern.0.is_match(text.inner())))),
        _ => Err(ExecutionError::function_error(
            "re",
            "expected a text and a pattern",
        )),
    }
}

impl Condition {
    /// Compiles and checks `source` over the names of `scope`. Must run on a large stack: parsing and dropping what is
    /// refused recurse as deep as the source says.
    pub(super) fn compile(source: &str, scope: &Scope<'_>) -> Result<Self, Invalid> {
        if source.len() > SOURCE_BYTES_MAX {
            let reason = format!(
                "the condition has {} bytes, at most {SOURCE_BYTES_MAX} are taken",
                source.len()
            );
            return Err(Invalid { offset: None, reason });
        }
        let program = ENV.compile(source).map_err(|errors| syntax(source, &errors))?;
        let invalid = |refused: Refused| {
            let start = program
                .source_info()
                .offset_for(refused.node)
                .map(|(start, _)| start);
            Invalid {
                offset: start.and_then(|start| usize::try_from(start).ok()),
                reason: refused.reason,
            }
        };
        check::depth(program.expression()).map_err(invalid)?;
        let mut expression = program.expression().clone();
        let mut findings = Findings::over(scope);
        findings.walk(&mut expression).map_err(invalid)?;
        let Findings {
            host,
            early,
            late,
            item,
            square,
            regexes,
            regexes_bytes,
            ..
        } = findings;
        if early && late {
            let reason = "one condition may use event, host and params, or steps, but not both; put the value into let";
            return Err(Invalid {
                offset: None,
                reason: reason.to_owned(),
            });
        }
        Ok(Self {
            source: source.to_owned(),
            needs: need::of(&expression).into(),
            expression,
            regexes,
            regexes_bytes,
            host,
            late,
            item,
            square,
        })
    }

    /// As it was written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// About how much memory it takes.
    pub(super) fn len_bytes(&self) -> usize {
        TREE_BYTES + self.regexes_bytes
    }

    /// Whether it names `host`.
    pub(super) fn needs_host(&self) -> bool {
        self.host
    }

    /// What an event must have for it to hold, each of them.
    pub(super) fn needs(&self) -> &[Need] {
        &self.needs
    }

    /// Whether `event` lacks something it needs. Then it is no match, and neither the rest of the condition nor the
    /// host is looked at.
    pub(super) fn is_ruled_out(&self, event: &Event) -> bool {
        !self.needs.iter().all(|need| need::may_hold(need, event))
    }

    /// Whether it names what is known only when a step is about to run.
    pub(super) fn is_late(&self) -> bool {
        self.late
    }

    /// Whether it names the element of the list that a step runs over.
    pub(super) fn asks_item(&self) -> bool {
        self.item
    }

    /// Evaluates it over an event and its host, if it has one.
    pub(super) fn matches(&self, event: &Event, host: Option<&HostFacts>) -> Match {
        if self.is_ruled_out(event) {
            return Match::No;
        }
        self.holds(&Facts {
            event: Some(event),
            host,
            values: None,
        })
    }

    /// Evaluates it. Never panics: what the crate's interpreter might do becomes [`Match::Error`].
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Match {
        let variables = Variables::new(facts, &self.regexes, self.square);
        catch_unwind(AssertUnwindSafe(|| self.evaluate(&variables)))
            .unwrap_or_else(|_| Match::Error(PANICKED.to_owned()))
    }

    fn evaluate(&self, variables: &Variables<'_>) -> Match {
        let mut context = ROOT.new_inner_scope();
        context.set_variable_resolver(variables);
        match value_of(&self.expression, &context) {
            Ok(()) => Match::Yes,
            Err(Failed::False | Failed::Missing(_)) => Match::No,
            Err(Failed::Error(why)) => Match::Error(why),
        }
    }
}

/// Why an expression is not true.
#[derive(Debug)]
enum Failed {
    False,
    /// It names what is not there: a field by this name, or an element of a list.
    Missing(Option<String>),
    Error(String),
}

/// What is said where the interpreter panicked.
const PANICKED: &str = "the condition could not be evaluated";

fn value_of(expression: &IdedExpr, context: &Context<'_, '_>) -> Result<(), Failed> {
    match Value::resolve_val(expression, context) {
        Ok(value) => match value.downcast_ref::<CelBool>() {
            Some(matches) if *matches.inner() => Ok(()),
            Some(_) => Err(Failed::False),
            None => Err(Failed::Error(format!(
                "the condition gives {}, not true or false",
                value.get_type().name()
            ))),
        },
        Err(ExecutionError::NoSuchKey(name)) => Err(Failed::Missing(Some(name.to_string()))),
        Err(ExecutionError::IndexOutOfBounds(_)) => Err(Failed::Missing(None)),
        Err(error) => Err(Failed::Error(
            error.to_string().chars().take(REASON_CHARS_MAX).collect(),
        )),
    }
}

/// The first syntax error; the others mostly follow from it.
fn syntax(source: &str, errors: &cel::ParseErrors) -> Invalid {
    let Some(error) = errors.errors.first() else {
        return Invalid {
            offset: None,
            reason: "the condition is not CEL".to_owned(),
        };
    };
    let (line, column) = (
        usize::try_from(error.pos.0).unwrap_or(1),
        usize::try_from(error.pos.1).unwrap_or(1),
    );
    let before: usize = source
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(|line| line.chars().count())
        .sum();
    let reason = format!(
        "the condition is not CEL: {}",
        error.msg.lines().next().unwrap_or_default()
    );
    Invalid {
        offset: Some(before + column.saturating_sub(1)),
        reason,
    }
}

#[cfg(test)]
mod tests;

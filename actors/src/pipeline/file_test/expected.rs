//! What a test expects of its pipeline.

use crate::pipeline::fields::{self, Field, Fields, Form, Shape, Takes};
use crate::pipeline::problem::{At, Problems};
use crate::pipeline::yaml::{Kind, Node};
use serde_json::{Value, json};
use tripline_protocol::Name;

/// Any map.
const PARTIAL: Takes = Takes::Names {
    names: None,
    most: None,
    takes: &Takes::Literal,
};

pub(super) const SHAPE: Shape = Shape::new(
    "an expectation",
    &[
        Field::new("matches", Takes::Flag, "Whether the pipeline wants the event."),
        Field::new(
            "acts",
            Takes::Flag,
            "Whether it makes a job, or would if it were no dry run.",
        ),
        Field::new(
            "withheld",
            Takes::Text(Form::Withheld),
            "It matches and does not act, for this reason.",
        ),
        Field::new(
            "dead",
            Takes::Text(Form::Dead),
            "The event becomes a dead letter, for this reason.",
        ),
        Field::new(
            "host_failed",
            Takes::Text(Form::HostFailed),
            "Its fan-out begins and fails on the host, for this reason.",
        ),
        Field::new("job", Takes::Text(Form::Name), "The name of its job."),
        Field::new(
            "steps",
            Takes::List(&PARTIAL, STEPS_EXPECTED_MAX),
            "Parts of the rendered steps of its job, in their order; others may stand between them.",
        ),
        Field::new(
            "vars",
            PARTIAL,
            "Values of `let` that the job has, or parts of them.",
        ),
    ],
    &[],
)
.with_rules(|| vec![json!({"minProperties": 1})]);

/// Most steps that an expectation names: all of a job, those for its end included.
const STEPS_EXPECTED_MAX: usize = 80;

/// Reasons not to act that a test can meet: nobody pauses its pipeline, and no job of it ends.
pub(in crate::pipeline) const WITHHELD: [&str; 5] = [
    "suppressed",
    "below_threshold",
    "max_in_flight",
    "max_hosts",
    "protected_host",
];
/// Reasons of dead letters that a test can meet.
pub(in crate::pipeline) const DEAD: [&str; 10] = [
    "stale",
    "no_host",
    "unknown_host",
    "missing_field",
    "template_error",
    "condition_error",
    "bad_argument",
    "bad_params",
    "bad_job",
    "too_large",
];

/// Reasons for which the host that stands for all of a fan-out's set can fail before it has a job: what cannot be rendered
/// for it. Of a job on the event's host they make a dead letter.
pub(in crate::pipeline) const HOST_FAILED: [&str; 7] = [
    "missing_field",
    "template_error",
    "condition_error",
    "bad_argument",
    "bad_params",
    "bad_job",
    "too_large",
];

/// What is wanted, and where the file says so.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<T> {
    pub(crate) at: At,
    pub(crate) value: T,
}

/// What a test expects of one event; what it does not say may be anything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(crate) matches: Option<Wanted<bool>>,
    pub(crate) acts: Option<Wanted<bool>>,
    pub(crate) withheld: Option<Wanted<&'static str>>,
    pub(crate) dead: Option<Wanted<&'static str>>,
    pub(crate) host_failed: Option<Wanted<&'static str>>,
    pub(crate) job: Option<Wanted<Name>>,
    /// Maps that the rendered steps must contain, in their order.
    pub(crate) steps: Vec<Wanted<Value>>,
    /// A map that the job's values must contain.
    pub(crate) vars: Option<Wanted<Value>>,
}

impl Expected {
    pub(super) fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        let before = problems.count();
        let fields = Fields::of(node, &SHAPE, problems)?;
        if node.entries().is_some_and(<[_]>::is_empty) {
            return problems.add(node.at, "expected at least one key, such as acts: true");
        }
        let mut flag = |name| {
            let node = fields.get(name)?;
            wanted(node, fields::boolean(node, problems))
        };
        let (matches, acts) = (flag("matches"), flag("acts"));
        let mut word = |name, words| {
            let node = fields.get(name)?;
            wanted(node, fields::word(node, words, problems))
        };
        let (withheld, dead) = (word("withheld", &WITHHELD), word("dead", &DEAD));
        let host_failed = word("host_failed", &HOST_FAILED);
        let job = fields.get("job");
        let job = job.and_then(|node| wanted(node, fields::parsed(node, "the name of a job", problems)));
        let steps = fields.get("steps").and_then(|node| steps(node, problems));
        let vars = fields
            .get("vars")
            .and_then(|node| partial(node, "vars", problems));
        (problems.count() == before).then(|| Self {
            matches,
            acts,
            withheld,
            dead,
            host_failed,
            job,
            steps: steps.unwrap_or_default(),
            vars,
        })
    }
}

fn wanted<T>(node: &Node, value: Option<T>) -> Option<Wanted<T>> {
    let at = node.at;
    value.map(|value| Wanted { at, value })
}

fn steps(node: &Node, problems: &mut Problems<'_>) -> Option<Vec<Wanted<Value>>> {
    let items = fields::list(node, "a list of parts of steps", problems)?;
    super::bounded(node.at, items.len(), STEPS_EXPECTED_MAX, "steps", problems)?;
    let steps = items
        .iter()
        .map(|item| partial(item, "a part of a step", problems));
    steps.collect()
}

/// A map that is contained in another one.
fn partial(node: &Node, what: &str, problems: &mut Problems<'_>) -> Option<Wanted<Value>> {
    match &node.kind {
        Kind::Map(_) => wanted(node, Some(node.to_json())),
        _ => problems.add(
            node.at,
            format!("expected a map for {what}, found {}", node.describe()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::limit::{FINALLY_MAX, STEPS_MAX};

    #[test]
    fn all_steps_of_a_job_can_be_expected() {
        assert_eq!(STEPS_EXPECTED_MAX, STEPS_MAX + FINALLY_MAX);
    }
}

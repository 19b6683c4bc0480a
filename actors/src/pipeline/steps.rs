//! The steps of a job in a file: one verb each, its arguments checked as far as templates allow.

use super::argument::Argument;
use super::condition::SOURCE_BYTES_MAX;
use super::fields::{self, Field, Form, Shape, Takes, unknown_key};
use super::for_each;
use super::late::{COMMAND_TEMPLATE, implicit_id, taken_by_list};
use super::problem::{Found, Problems, suggestion};
use super::retry;
use super::server_step;
use super::template::Scope;
use super::when::{StepWhen, goto_problem};
use super::yaml::{Key, Kind, Node};
use serde_json::{Map, Value, json};
use tripline_protocol::limit::{FINALLY_MAX, STEPS_MAX};
use tripline_protocol::step::{OnError, Retry, ServerVerb, StepVerb};
use tripline_protocol::verb::{Verb, VerbCall};
use tripline_protocol::{Name, Span};

const ID: Field = Field::new(
    "id",
    Takes::Text(Form::Name),
    "How later steps and results name it; unique in its job. Absent: `step<N>`, from 1.",
);
const WHEN: Field = Field::new(
    "when",
    Takes::Condition {
        bytes_max: SOURCE_BYTES_MAX,
    },
    "A condition in CEL: when it does not hold, the step is skipped.",
);
const TIMEOUT: Field = Field::new("timeout", Takes::Text(Form::Span), "How long it may run.").or("2m");
const IDEMPOTENT: Field = Field::new(
    "idempotent",
    Takes::Flag,
    "Whether it may be run again when nobody knows how it ended.",
)
.or("false");

pub(super) const SHAPE: Shape = Shape::new(
    "a step",
    &[
        ID,
        WHEN,
        Field::new(
            "for_each",
            Takes::Either(&for_each::TAKES),
            "A list: the step runs once for every element, known as `item`.",
        ),
        TIMEOUT,
        Field::new(
            "on_error",
            Takes::Text(Form::OnError),
            "What its failure means: `fail` ends the job, `continue` goes on and counts the failure, `goto ID` goes on with \
             that later step.",
        )
        .or("fail"),
        Field::new(
            "retry",
            Takes::Map(&retry::SHAPE),
            "Tried again, after a while, when it failed.",
        ),
        IDEMPOTENT,
    ],
    &["let", "approval"],
);

/// A step for the end of its job.
pub(super) const FINALLY_SHAPE: Shape =
    Shape::new("a step of finally", &[ID, WHEN, TIMEOUT, IDEMPOTENT], &[]).with_rules(no_wait);

/// As [`not_in_finally`] says.
fn no_wait() -> Vec<Value> {
    vec![json!({"properties": {"wait": false}})]
}

/// Arguments of which a step gives exactly one.
pub(super) const ONE_OF: [(Verb, &[&str]); 2] = [
    (Verb::CreateProcess, &["argv", "command"]),
    (Verb::PutFile, &["content", "content_b64", "artifact"]),
];

/// Arguments that take no template.
pub(super) const fn plain_arguments(verb: Verb) -> &'static [&'static str] {
    match verb {
        Verb::CreateProcess => &["command"],
        _ => &[],
    }
}

/// What a step of `finally` cannot have of what others can: keys that its shape has not, and what rests.
pub(super) fn not_in_finally() -> impl Iterator<Item = &'static str> {
    let is_gone = |key: &&str| FINALLY_SHAPE.names().all(|name| name != *key);
    SHAPE.names().filter(is_gone).chain([ServerVerb::Wait.as_str()])
}

/// A step whose arguments are still templates.
#[derive(Debug)]
pub(super) struct StepTemplate {
    pub(super) id: Option<String>,
    pub(super) verb: StepVerb,
    pub(super) args: Argument,
    // What few steps have is in boxes: there may be ten thousand pipelines.
    pub(super) when: Option<Box<StepWhen>>,
    /// The list that it runs over, and its longest length.
    pub(super) for_each: Option<Box<(Argument, u32)>>,
    pub(super) timeout: Option<Span>,
    pub(super) on_error: OnError,
    pub(super) retry: Option<Box<Retry>>,
    pub(super) idempotent: bool,
}

/// Which steps of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Its own.
    Steps,
    /// Those for its end.
    Finally,
}

impl Part {
    /// Most of them.
    pub(super) fn most(self) -> usize {
        match self {
            Self::Steps => STEPS_MAX,
            Self::Finally => FINALLY_MAX,
        }
    }

    /// The keys that one may have beside its verb.
    fn shape(self) -> &'static Shape {
        match self {
            Self::Steps => &SHAPE,
            Self::Finally => &FINALLY_SHAPE,
        }
    }

    /// Whether one cannot have a key that others can.
    fn refuses(self, key: &str) -> bool {
        self == Self::Finally && not_in_finally().any(|other| other == key)
    }

    /// The id of one that was given none.
    pub(super) fn implicit_id(self, index: usize) -> String {
        match self {
            Self::Steps => implicit_id(index),
            Self::Finally => format!("finally{}", index + 1),
        }
    }
}

/// The ids of the steps of a job that were read.
#[derive(Debug, Default)]
pub(super) struct Ids {
    all: Vec<String>,
    /// Of those that run over a list.
    lists: Vec<String>,
}

/// Reads a list of steps; `scope` is what their templates may name, apart from the steps themselves, `ids` are those of
/// the steps before them, and then also of these.
pub(super) fn read(
    node: &Node,
    part: Part,
    scope: &Scope<'_>,
    ids: &mut Ids,
    problems: &mut Problems<'_>,
) -> Option<Vec<StepTemplate>> {
    let Ids { all: earlier, lists } = ids;
    let items = fields::list(node, "a list of steps", problems)?;
    let most = part.most();
    if !(1..=most).contains(&items.len()) {
        return problems.add(node.at, format!("{} steps, expected 1 to {most}", items.len()));
    }
    let before = earlier.len();
    // It keeps its room when it is collected.
    let mut steps = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let scope = Scope {
            steps: Some(earlier),
            ..scope.clone()
        };
        let step = read_step(item, part, &scope, problems);
        let id = given_id(item).map_or_else(|| part.implicit_id(index), str::to_owned);
        if earlier.contains(&id) {
            problems.add::<()>(item.at, format!("two steps have the id {id:?}"));
        }
        earlier.push(id);
        steps.push(step);
    }
    let own = items.iter().zip(earlier.iter().skip(before));
    let over_list = own.filter(|(item, _)| value_of(item, "for_each").is_some());
    lists.extend(over_list.map(|(_, id)| id.clone()));
    for (item, id) in items.iter().zip(earlier.iter().skip(before)) {
        if let Some(problem) = taken_by_list(id, lists.iter().map(String::as_str)) {
            problems.add::<()>(item.at, problem);
        }
    }
    for (index, item) in items.iter().enumerate() {
        check_goto(item, before + index, earlier, problems);
    }
    steps.into_iter().collect()
}

/// The value of a step's key, whatever else is in it.
fn value_of<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Kind::Map(entries) = &node.kind else {
        return None;
    };
    let (_, value) = entries.iter().find(|(key, _)| key.text == name)?;
    Some(value)
}

/// The id as it is written, so that a step with another problem can still be named by later ones.
fn given_id(node: &Node) -> Option<&str> {
    match &value_of(node, "id")?.kind {
        Kind::Text(id) => Some(id),
        _ => None,
    }
}

/// Notes a failure that leads nowhere; `ids` are those of all steps.
fn check_goto(node: &Node, index: usize, ids: &[String], problems: &mut Problems<'_>) {
    let Some(value) = value_of(node, "on_error") else {
        return;
    };
    let Kind::Text(text) = &value.kind else { return };
    if let Ok(on_error) = text.parse()
        && let Some(problem) = goto_problem(&on_error, index, ids)
    {
        problems.add::<()>(value.at, problem);
    }
}

fn read_step(
    node: &Node,
    part: Part,
    scope: &Scope<'_>,
    problems: &mut Problems<'_>,
) -> Option<StepTemplate> {
    let entries = fields::map(node, "a step", problems)?;
    let before = problems.count();
    let of_list = scope;
    let scope = &Scope {
        item: value_of(node, "for_each").is_some(),
        ..scope.clone()
    };
    let mut list = None;
    let (mut id, mut timeout, mut on_error, mut idempotent) = (None, None, None, None);
    let (mut when, mut again) = (None, None);
    let mut verbs: Vec<(StepVerb, &Key, &Node)> = Vec::new();
    for (key, value) in entries {
        match key.text.as_str() {
            name if part.refuses(name) => {
                problems.add::<()>(value.at, format!("a step of finally cannot have {name:?}"));
            }
            "id" => id = fields::parsed::<Name>(value, "an id", problems),
            "when" => when = StepWhen::read(value, scope, problems),
            "timeout" => timeout = fields::span(value, problems),
            "on_error" => on_error = fields::parsed(value, "fail, continue or goto ID", problems),
            "idempotent" => idempotent = fields::boolean(value, problems),
            "for_each" => list = for_each::read(value, of_list, problems),
            "retry" => again = retry::read(value, false, problems),
            name => match name.parse::<StepVerb>() {
                Ok(verb) => verbs.push((verb, key, value)),
                Err(_) => unknown_verb(key, part, problems),
            },
        }
    }
    let (verb, key, args) = match verbs.as_slice() {
        [one] => *one,
        // An unknown key was most likely meant to be the verb.
        [] if problems.count() > before => return None,
        [] => return problems.add(node.at, "a step needs a verb, such as list_processes"),
        [(first, ..), (second, key, _), ..] => {
            return problems.add(key.at, format!("a step has one verb, not {first} and {second}"));
        }
    };
    let args = match verb {
        StepVerb::Host(verb) => arguments(verb, key, args, scope, problems),
        StepVerb::Server(verb) => server_step::arguments(verb, key, args, scope, problems),
    };
    if problems.count() > before {
        return None;
    }
    Some(StepTemplate {
        id: id.map(|id| id.as_str().to_owned()),
        verb,
        args: args?,
        when: when.map(Box::new),
        for_each: list.map(Box::new),
        timeout,
        on_error: on_error.unwrap_or_default(),
        retry: again.map(Box::new),
        idempotent: idempotent.unwrap_or_default(),
    })
}

fn unknown_verb(key: &Key, part: Part, problems: &mut Problems<'_>) {
    let shape = part.shape();
    let known: Vec<&str> = shape
        .names()
        .chain(Verb::ALL.iter().map(|verb| verb.as_str()))
        .chain(ServerVerb::ALL.iter().map(|verb| verb.as_str()))
        .filter(|name| !part.refuses(name))
        .collect();
    if shape.later.contains(&key.text.as_str()) {
        unknown_key(key, shape, &known, problems);
        return;
    }
    let hint = suggestion(&key.text, known.iter().copied());
    let expected = shape.names().collect::<Vec<_>>().join(", ");
    let (name, what) = (&key.text, shape.what);
    let message = format!("unknown key {name:?} in {what}, expected a verb or one of {expected}{hint}");
    problems.add::<()>(key.at, message);
}

/// Compiles a verb's arguments and checks what can be checked before anything is rendered.
fn arguments(
    verb: Verb,
    key: &Key,
    node: &Node,
    scope: &Scope<'_>,
    problems: &mut Problems<'_>,
) -> Option<Argument> {
    let entries = match &node.kind {
        Kind::Map(entries) => entries.as_slice(),
        Kind::Scalar(Value::Null) => &[],
        _ => {
            let found = node.describe();
            return problems.add(
                node.at,
                format!("expected a map of arguments for {verb}, found {found}"),
            );
        }
    };
    let before = problems.count();
    let args = match &node.kind {
        Kind::Map(_) => Argument::compile(node, scope, problems),
        _ => Some(Argument::Literal(Value::Object(Map::new()))),
    };
    for (key, value) in entries {
        check_argument(verb, key, value, scope, problems);
    }
    let args = args?;
    if problems.count() == before {
        check_together(verb, key, entries, &args, problems);
    }
    Some(args)
}

/// Checks one argument by itself: its name, and its type where that is known.
fn check_argument(verb: Verb, key: &Key, node: &Node, scope: &Scope<'_>, problems: &mut Problems<'_>) {
    // Problems within the template are noted already.
    let mut ignored = Found::default();
    let compiled = Argument::compile(node, scope, &mut Problems::new("", &mut ignored));
    let literal = compiled.as_ref().and_then(Argument::literal);
    let example = compiled.as_ref().and_then(Argument::example);
    if plain_arguments(verb).contains(&key.text.as_str()) && literal.is_none() {
        problems.add::<()>(node.at, COMMAND_TEMPLATE);
        return;
    }
    match refusal(verb, &key.text, example.unwrap_or_default()) {
        Some(reason) if reason.starts_with("unknown field") => {
            let names = backticked(&reason);
            let hint = suggestion(&key.text, names.iter().skip(1).copied());
            let expected = names.get(1..).unwrap_or_default().join(", ");
            let expected = if expected.is_empty() {
                "none".to_owned()
            } else {
                expected
            };
            let name = &key.text;
            problems.add::<()>(
                key.at,
                format!("{verb} has no argument {name:?}, expected one of: {expected}{hint}"),
            );
        }
        Some(reason)
            if literal.is_some()
                || (compiled.is_some_and(|value| value.example().is_some())
                    && reason.starts_with("invalid type")) =>
        {
            problems.add::<()>(node.at, format!("argument {:?} of {verb}: {reason}", key.text));
        }
        _ => {}
    }
}

/// Why the verb refuses this argument, whatever the others are. The words are those of serde's derive and
/// of `VerbCall::parse`; `every_verb_names_its_arguments` fails when they change.
fn refusal(verb: Verb, name: &str, value: Value) -> Option<String> {
    let args = Value::Object(Map::from_iter([(name.to_owned(), value)]));
    let reason = VerbCall::parse(verb, args).err()?.reason;
    // The argument's name stands in front; the caller says it in its own words.
    let reason = match reason.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")) {
        Some(rest) => rest.to_owned(),
        None => reason,
    };
    let of_others = reason.starts_with("missing field") || reason.starts_with("exactly one of");
    (!of_others).then_some(reason)
}

fn backticked(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Checks that nothing is missing and that the arguments fit each other.
fn check_together(
    verb: Verb,
    key: &Key,
    entries: &[(Key, Node)],
    args: &Argument,
    problems: &mut Problems<'_>,
) {
    if let Some(literal) = args.literal() {
        if let Err(error) = VerbCall::parse(verb, literal) {
            problems.add::<()>(key.at, error.to_string());
        }
        return;
    }
    let reason = VerbCall::parse(verb, Value::Object(Map::new()))
        .err()
        .map(|error| error.reason);
    let reason = reason
        .filter(|reason| reason.starts_with("missing field"))
        .unwrap_or_default();
    for missing in backticked(&reason) {
        if entries.iter().all(|(key, _)| key.text != missing) {
            problems.add::<()>(key.at, format!("{verb} needs the argument {missing:?}"));
        }
    }
    check_one_of(verb, key, entries, problems);
}

/// Whether exactly one is given of those that exclude each other, whatever it will be.
fn check_one_of(verb: Verb, key: &Key, entries: &[(Key, Node)], problems: &mut Problems<'_>) {
    let is_given = |name: &&str| {
        entries
            .iter()
            .any(|(key, node)| key.text == *name && !matches!(node.kind, Kind::Scalar(Value::Null)))
    };
    for (_, names) in ONE_OF.iter().filter(|(other, _)| *other == verb) {
        if names.iter().filter(|name| is_given(name)).count() != 1 {
            let names = names.join(", ");
            problems.add::<()>(
                key.at,
                format!("{verb} needs exactly one of the arguments {names}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_names_its_arguments() {
        for verb in Verb::ALL {
            let reason = refusal(*verb, "no_such_argument", Value::Null).unwrap_or_default();
            assert!(
                reason.starts_with("unknown field `no_such_argument`"),
                "{verb}: {reason}"
            );
        }
        assert_eq!(refusal(Verb::KillProcess, "start_time", 3.into()), None);
        assert_eq!(refusal(Verb::PutFile, "content", "x".into()), None);
        assert!(
            refusal(Verb::KillProcess, "pid", "x".into())
                .unwrap()
                .starts_with("invalid type")
        );
        let missing = VerbCall::parse(Verb::GetFile, Value::Object(Map::new()))
            .unwrap_err()
            .reason;
        assert_eq!(backticked(&missing), ["path"]);
    }
}

//! Steps that the server does itself: their arguments in a file, checked as far as templates allow.

use super::argument::Argument;
use super::fields;
use super::problem::{Found, Problems, suggestion};
use super::template::Scope;
use super::yaml::{Key, Node};
use serde_json::{Map, Value};
use tripline_protocol::Span;
use tripline_protocol::job::JobSpec;
use tripline_protocol::step::{ServerCall, ServerVerb, StepVerb};

/// Compiles the arguments of a server-side action.
pub(super) fn arguments(
    verb: ServerVerb,
    key: &Key,
    node: &Node,
    scope: &Scope<'_>,
    problems: &mut Problems<'_>,
) -> Option<Argument> {
    let args = Argument::compile(node, scope, problems)?;
    match keys_of(verb) {
        None => drop(fields::text(
            node,
            "a span of time such as 30s, 2m, 24h or 7d",
            problems,
        )?),
        Some(keys) => check_keys(verb, keys, (key, node), scope, problems)?,
    }
    if let Some(literal) = args.literal()
        && let Err(error) = ServerCall::parse(verb, literal)
    {
        return problems.add(key.at, error.to_string());
    }
    Some(args)
}

/// The arguments of a verb, and those of them that must be there; `None`: it takes no map.
fn keys_of(verb: ServerVerb) -> Option<(&'static [&'static str], &'static str)> {
    match verb {
        ServerVerb::Wait => None,
        ServerVerb::Publish => Some((&["etype", "data", "host"], "etype")),
        ServerVerb::Detect => Some((&["etype", "cat", "priority", "data"], "cat")),
    }
}

/// Notes arguments that the verb has not, that are of a wrong type, or that are missing.
fn check_keys(
    verb: ServerVerb,
    (known, needed): (&[&str], &str),
    (key, node): (&Key, &Node),
    scope: &Scope<'_>,
    problems: &mut Problems<'_>,
) -> Option<()> {
    let name_of_verb = verb.as_str();
    let entries = fields::map(node, &format!("the arguments of {name_of_verb}"), problems)?;
    let before = problems.count();
    for (key, value) in entries {
        let name = key.text.as_str();
        if !known.contains(&name) {
            let hint = suggestion(name, known.iter().copied());
            let expected = known.join(", ");
            let message =
                format!("{name_of_verb} has no argument {name:?}, expected one of: {expected}{hint}");
            problems.add::<()>(key.at, message);
        } else if let Some(reason) = refusal(verb, needed, name, value, scope) {
            problems.add::<()>(value.at, format!("argument {name:?} of {reason}"));
        }
    }
    if entries.iter().all(|(key, _)| key.text != needed) {
        problems.add::<()>(key.at, format!("{name_of_verb} needs the argument {needed:?}"));
    }
    (problems.count() == before).then_some(())
}

/// Why the verb refuses one argument, whatever the others are; `needed` is the one it must have.
fn refusal(verb: ServerVerb, needed: &str, name: &str, value: &Node, scope: &Scope<'_>) -> Option<String> {
    // Problems within the template are noted already.
    let mut ignored = Found::default();
    let compiled = Argument::compile(value, scope, &mut Problems::new("", &mut ignored))?;
    let example = compiled.example()?;
    let mut args = Map::from_iter([(needed.to_owned(), Value::from("x"))]);
    args.insert(name.to_owned(), example);
    let refused = ServerCall::parse(verb, Value::Object(args)).err();
    refused.map(|error| error.to_string())
}

/// What is wrong with the waits of a job that may run so long.
pub(super) fn wait_problem(
    timeout: Option<Span>,
    steps: impl Iterator<Item = (StepVerb, Option<Value>)>,
) -> Option<String> {
    let timeout = timeout.unwrap_or(JobSpec::TIMEOUT_DEFAULT);
    let wait = |(verb, args): (StepVerb, Option<Value>)| {
        let StepVerb::Server(verb @ ServerVerb::Wait) = verb else {
            return None;
        };
        match ServerCall::parse(verb, args?) {
            Ok(ServerCall::Wait(span)) => Some(span),
            _ => None,
        }
    };
    let longest = steps.filter_map(wait).max().filter(|span| *span >= timeout)?;
    Some(format!(
        "a step waits {longest}, and the job may run {timeout} in all, waits included; raise its timeout"
    ))
}

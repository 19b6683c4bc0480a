//! Steps that the server does itself: their arguments in a file, checked as far as templates allow.

use super::argument::Argument;
use super::fields;
use super::problem::{Problems, suggestion};
use super::template::{Scope, has_template};
use super::yaml::{Key, Kind, Node};
use tripline_protocol::job::JobSpec;
use tripline_protocol::step::{ServerCall, ServerVerb, StepVerb};
use tripline_protocol::{Etype, Span};

/// Compiles the arguments of a server-side action.
pub(super) fn arguments(
    verb: ServerVerb,
    key: &Key,
    node: &Node,
    scope: &Scope<'_>,
    problems: &mut Problems<'_>,
) -> Option<Argument> {
    let args = Argument::compile(node, scope, problems)?;
    check_keys(verb, key, node, problems)?;
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

/// Notes arguments that the verb has not, or that are missing, and an etype that is none.
fn check_keys(verb: ServerVerb, key: &Key, node: &Node, problems: &mut Problems<'_>) -> Option<()> {
    let Some((known, needed)) = keys_of(verb) else {
        return Some(());
    };
    let verb = verb.as_str();
    let entries = fields::map(node, &format!("the arguments of {verb}"), problems)?;
    let before = problems.count();
    for (key, value) in entries {
        if !known.contains(&key.text.as_str()) {
            let hint = suggestion(&key.text, known.iter().copied());
            let (name, expected) = (&key.text, known.join(", "));
            let message = format!("{verb} has no argument {name:?}, expected one of: {expected}{hint}");
            problems.add::<()>(key.at, message);
        }
        if let ("etype", Kind::Text(text)) = (key.text.as_str(), &value.kind)
            && !has_template(text)
        {
            fields::parsed::<Etype>(value, "an etype", problems);
        }
    }
    if entries.iter().all(|(key, _)| key.text != needed) {
        problems.add::<()>(key.at, format!("{verb} needs the argument {needed:?}"));
    }
    (problems.count() == before).then_some(())
}

/// What is wrong with the waits of a job that may run so long.
pub(super) fn wait_problem(
    timeout: Option<Span>,
    steps: impl Iterator<Item = (StepVerb, Option<serde_json::Value>)>,
) -> Option<String> {
    let timeout = timeout.unwrap_or(JobSpec::TIMEOUT_DEFAULT);
    let wait = |(verb, args): (StepVerb, Option<serde_json::Value>)| {
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

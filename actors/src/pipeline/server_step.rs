//! Steps that the server does itself: their arguments in a file, checked as far as templates allow.

use super::argument::Argument;
use super::problem::Problems;
use super::template::Scope;
use super::yaml::{Key, Node};
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
    if let Some(literal) = args.literal()
        && let Err(error) = ServerCall::parse(verb, literal)
    {
        return problems.add(key.at, error.to_string());
    }
    Some(args)
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
            Err(_) => None,
        }
    };
    let longest = steps.filter_map(wait).max().filter(|span| *span >= timeout)?;
    Some(format!(
        "a step waits {longest}, and the job may run {timeout} in all, waits included; raise its timeout"
    ))
}

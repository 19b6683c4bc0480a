//! `when` of a step: decided before the job is accepted, or asked when the step is about to run.

use super::aside::aside;
use super::compiled;
use super::condition::{Condition, Match};
use super::facts::{Facts, StepFacts};
use super::fields;
use super::problem::{Problems, suggestion};
use super::render_error::{Cause, RenderError};
use super::template::Scope;
use super::yaml::Node;
use std::sync::Arc;
use tripline_protocol::step::{OnError, When};

/// The condition of a step in a file.
#[derive(Debug)]
pub(super) enum StepWhen {
    /// Over what is known before the job is accepted.
    Early(Condition),
    /// Over what is known when the step is about to run.
    Late(Arc<Condition>),
}

impl StepWhen {
    /// Reads it; `None` when that is a problem, which is noted.
    pub(super) fn read(node: &Node, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let condition = condition(node, scope, problems)?;
        Some(match condition.is_late() {
            true => Self::Late(Arc::new(condition)),
            false => Self::Early(condition),
        })
    }

    /// What the step keeps of it; `None`: it holds. What is asked later is kept compiled.
    pub(super) fn decide(&self, facts: &Facts<'_>) -> Result<Option<When>, RenderError> {
        match self {
            Self::Late(condition) => {
                compiled::keep(condition);
                Ok(Some(When::Late(condition.source().to_owned())))
            }
            Self::Early(condition) => match condition.holds(facts) {
                Match::Yes => Ok(None),
                Match::No => Ok(Some(When::No {
                    no: condition.source().to_owned(),
                })),
                Match::Error(reason) => Err(Cause::Condition { reason }.into()),
            },
        }
    }
}

/// A condition in a file.
pub(super) fn condition(node: &Node, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Option<Condition> {
    let source = fields::text(node, "a condition in CEL, as a text", problems)?;
    match Condition::compile(source, scope) {
        Ok(condition) => Some(condition),
        // Where in the file is known for a condition on one line; in a block it is the block's place.
        Err(invalid) => problems.add(node.at, invalid.to_string()),
    }
}

/// Compiles a condition on any thread.
fn compile_late(
    source: &str,
    vars: &[&str],
    ids: &[String],
    item: bool,
) -> Result<Arc<Condition>, RenderError> {
    let scope = Scope {
        vars,
        steps: Some(ids),
        item,
        ..Scope::default()
    };
    let refused = |reason: String| RenderError::from(Cause::Condition { reason });
    let condition = aside(|| Condition::compile(source, &scope).map_err(|invalid| invalid.to_string()))
        .and_then(|compiled| compiled)
        .map_err(refused)?;
    let condition = Arc::new(condition);
    compiled::keep(&condition);
    Ok(condition)
}

/// The condition of a step that is about to run. Only after a restart, or when very many are in use, it has to be
/// compiled again.
fn late(source: &str, facts: &StepFacts, item: bool) -> Result<Arc<Condition>, RenderError> {
    match compiled::kept(source) {
        Some(condition) => Ok(condition),
        None => compile_late(source, &facts.vars(), &facts.ids(), item),
    }
}

/// Checks the condition of a submitted step behind the steps of these ids.
pub(super) fn check_submitted(when: Option<&When>, ids: &[String], item: bool) -> Result<(), RenderError> {
    match when {
        None => Ok(()),
        Some(When::Late(source)) => compile_late(source, &[], ids, item).map(drop),
        Some(When::No { .. }) => Err(RenderError::bad_job("when must be a condition in CEL, as a text")),
    }
}

/// Whether the condition of a step that is about to run holds. It was checked when the job was accepted.
///
/// # Errors
///
/// `condition_error` when it has no value.
pub fn holds_late(source: &str, facts: &StepFacts) -> Result<bool, RenderError> {
    holds(&*late(source, facts, facts.has_item())?, facts)
}

/// The same of a step over a list, before the list is looked at; `None`: it depends on the element.
///
/// # Errors
///
/// As [`holds_late`].
pub fn holds_for_all(source: &str, facts: &StepFacts) -> Result<Option<bool>, RenderError> {
    let condition = late(source, facts, true)?;
    match condition.asks_item() {
        true => Ok(None),
        false => holds(&condition, facts).map(Some),
    }
}

fn holds(condition: &Condition, facts: &StepFacts) -> Result<bool, RenderError> {
    let known = Facts {
        values: Some(facts.values()),
        ..Facts::default()
    };
    match condition.holds(&known) {
        Match::Yes => Ok(true),
        Match::No => Ok(false),
        Match::Error(reason) => Err(Cause::Condition { reason }.into()),
    }
}

/// What is wrong with where a step's failure leads; `ids` are those of all steps, in order.
pub(super) fn goto_problem(on_error: &OnError, index: usize, ids: &[String]) -> Option<String> {
    let OnError::Goto(target) = on_error else {
        return None;
    };
    match ids.iter().position(|id| id == target.as_str()) {
        Some(at) if at > index => None,
        Some(_) => Some(format!(
            "goto only leads forward, and step {target} is not after this one"
        )),
        None => {
            let later = ids.iter().skip(index + 1).map(String::as_str);
            let hint = suggestion(target.as_str(), later);
            Some(format!(
                "there is no step {:?} to go on with{hint}",
                target.as_str()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    #[test]
    fn a_condition_that_waits_is_compiled_once_for_all_elements_tries_and_jobs() {
        let source = "steps.first.output.n > 1 && item.size < 10";
        let one = json!({"first": {"status": "succeeded", "output": {"n": 2}}});
        let facts = |size: u64| {
            let steps = one.as_object().cloned().unwrap_or_default();
            StepFacts::over(steps).at(json!({ "size": size }), 0)
        };
        assert_eq!(holds_for_all(source, &facts(1)), Ok(None));
        let compiled = compiled::kept(source).unwrap();
        assert_eq!(holds_late(source, &facts(1)), Ok(true));
        assert_eq!(holds_late(source, &facts(10)), Ok(false));
        assert!(Arc::ptr_eq(&compiled, &compiled::kept(source).unwrap()));

        let submitted = "steps.first.status == 'failed' || 1 == 2";
        check_submitted(Some(&When::Late(submitted.into())), &["first".into()], false).unwrap();
        let compiled = compiled::kept(submitted).expect("it is compiled where it is checked");
        assert_eq!(holds_late(submitted, &StepFacts::over(Map::new())), Ok(false));
        assert!(Arc::ptr_eq(&compiled, &compiled::kept(submitted).unwrap()));
    }
}

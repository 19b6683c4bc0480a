//! Whether what came is what a test expects.

use super::difference::difference;
use super::outcome::{Decided, Outcome, TriedJob, shown};
use crate::pipeline::{At, Expected, Wanted};
use serde_json::Value;
use tripline_protocol::step::StepVerb;

/// Everything that is not as expected, with its place.
pub(super) fn faults(expected: &Expected, outcome: &Outcome) -> Vec<(At, String)> {
    let Expected {
        matches,
        acts,
        withheld,
        dead,
        host_failed,
        job,
        steps,
        vars,
    } = expected;
    let came = &outcome.decided;
    let (mut came_withheld, mut came_dead, mut came_failed) = (None, None, None);
    match came {
        Decided::Withheld { reason, .. } => came_withheld = Some(*reason),
        Decided::Dead { reason, .. } => came_dead = Some(*reason),
        Decided::HostFailed { reason, .. } => came_failed = Some(*reason),
        _ => {}
    }
    let made = outcome.job();
    let but = |what: &str, value: &dyn std::fmt::Display| format!("expected {what}: {value}, but {came}");
    let mut faults = Vec::new();
    let mut hold = |at: At, holds: bool, fault: String| {
        if !holds {
            faults.push((at, fault));
        }
    };
    if let Some(Wanted { at, value }) = matches {
        hold(*at, outcome.matches == *value, but("matches", value));
    }
    if let Some(Wanted { at, value }) = acts {
        hold(*at, made.is_some() == *value, but("acts", value));
    }
    if let Some(Wanted { at, value }) = withheld {
        hold(*at, came_withheld == Some(*value), but("withheld", value));
    }
    if let Some(Wanted { at, value }) = dead {
        hold(*at, came_dead == Some(*value), but("dead", value));
    }
    if let Some(Wanted { at, value }) = host_failed {
        hold(*at, came_failed == Some(*value), but("host_failed", value));
    }
    if let Some(Wanted { at, value }) = job {
        hold(
            *at,
            made.is_some_and(|made| made.job == *value),
            but("job", value),
        );
    }
    faults.extend(of_steps(steps, outcome));
    faults.extend(vars.as_ref().and_then(|vars| of_vars(vars, outcome)));
    faults
}

/// The first step that is wanted and not there.
fn of_steps(wanted: &[Wanted<Value>], outcome: &Outcome) -> Option<(At, String)> {
    let first = wanted.first()?;
    let Some(made) = outcome.job() else {
        return Some((first.at, format!("expected steps, but {}", outcome.decided)));
    };
    let rendered: Vec<&Value> = made.steps.iter().chain(&made.finally).collect();
    let mut rest = rendered.as_slice();
    for Wanted { at, value } in wanted {
        let found = rest
            .iter()
            .position(|step| difference(value, Some(step), "").is_none());
        match found {
            Some(index) => rest = rest.get(index + 1..).unwrap_or_default(),
            None => return Some((*at, missing(value, rest, made))),
        }
    }
    None
}

/// Why none of these steps is the wanted one: what is different in the one that was most likely meant.
fn missing(wanted: &Value, among: &[&Value], made: &TriedJob) -> String {
    let same = |key: &str| {
        let wanted = wanted.get(key)?;
        among.iter().find(|step| step.get(key) == Some(wanted))
    };
    let verb = verb_of(wanted);
    let alike = same("id").or_else(|| {
        let verb = verb?;
        among.iter().find(|step| step.get(verb).is_some())
    });
    match alike {
        Some(step) => {
            let difference = difference(wanted, Some(step), "").unwrap_or_default();
            format!("step {}: {difference}", id_of(step))
        }
        None => {
            let (wanted, steps) = (shown(wanted), names(among));
            let all = made.steps.len() + made.finally.len();
            let which = if among.len() < all { " that are left" } else { "" };
            format!("expected a step with {wanted}, but the steps{which} are {steps}")
        }
    }
}

fn names(steps: &[&Value]) -> String {
    let name = |step: &&Value| format!("{} ({})", id_of(step), verb_of(step).unwrap_or_default());
    match steps {
        [] => "none".to_owned(),
        steps => steps.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

fn id_of(step: &Value) -> &str {
    step.get("id").and_then(Value::as_str).unwrap_or_default()
}

fn verb_of(step: &Value) -> Option<&str> {
    let mut keys = step.as_object()?.keys();
    keys.find(|key| key.parse::<StepVerb>().is_ok())
        .map(String::as_str)
}

fn of_vars(Wanted { at, value }: &Wanted<Value>, outcome: &Outcome) -> Option<(At, String)> {
    let Some(made) = outcome.job() else {
        return Some((*at, format!("expected vars, but {}", outcome.decided)));
    };
    let vars = Value::Object(made.vars.clone());
    let difference = difference(value, Some(&vars), "vars")?;
    Some((*at, difference))
}

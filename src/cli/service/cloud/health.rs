//! What a service says of itself, and whether a cloud can go by it.

use super::caller::Outcome;
use super::verdict::{Judged, envelope};
use std::str::FromStr;
use tripline_protocol::limacharlie::{
    Answer, Health, Mtd, ParameterKind, RetryAdvice, ServiceEtype, VERSION,
};

/// What the service wants, if it said so in a way that can be read.
pub(super) fn read(outcome: &Outcome) -> Option<Mtd> {
    let Outcome::Answered(answered) = outcome else {
        return None;
    };
    let answer = envelope(answered).ok()?;
    let health: Health = serde_json::from_value(answer.data).ok()?;
    Some(health.mtd)
}

pub(super) fn judge(answer: &Answer) -> Judged {
    if answer.advice() != RetryAdvice::Done {
        let text = answer.problem().unwrap_or("no text");
        return Judged::wrong(
            format!("it does not answer how it is: {text}"),
            "answer health always",
        );
    }
    match serde_json::from_value::<Health>(answer.data.clone()) {
        Err(error) => Judged::wrong(
            format!("data cannot be read: {error}"),
            "answer with version, start_time, calls_in_progress and mtd",
        ),
        Ok(health) => figures(&health).or_worse(wishes(&health.mtd)),
    }
}

fn figures(health: &Health) -> Judged {
    if health.version != VERSION {
        let why = format!("the version is {}", health.version);
        return Judged::wrong(why, "there is only version 1");
    }
    if health.calls_in_progress == 0 {
        return Judged::differs(
            "calls_in_progress is 0; this call was one of them",
            "count health itself, too",
        );
    }
    if health.start_time <= 0 {
        return Judged::differs("start_time is no time", "write Unix seconds");
    }
    Judged::ok()
}

fn wishes(mtd: &Mtd) -> Judged {
    let has = |etype: ServiceEtype| mtd.callbacks.iter().any(|name| name == etype.as_str());
    let unknown = mtd
        .callbacks
        .iter()
        .find(|name| ServiceEtype::from_str(name).is_err());
    let other = mtd
        .request_params
        .iter()
        .find(|(_, parameter)| parameter.kind == ParameterKind::Other);
    let empty = mtd
        .request_params
        .iter()
        .find(|(_, parameter)| parameter.kind == ParameterKind::Enum && parameter.values.is_empty());
    let has_detections = !mtd.detect_subscriptions.is_empty();
    if has_detections && !has(ServiceEtype::Detection) {
        return Judged::wrong(
            "it subscribes to detections that callbacks does not let through",
            "handle detection, or subscribe to none",
        );
    }
    if let Some((name, _)) = empty {
        return Judged::wrong(
            format!("the parameter {name} is an enum without values"),
            "list its values",
        );
    }
    if let Some(name) = unknown {
        return Judged::differs(
            format!("callbacks has {name:?}, which no cloud sends"),
            "names of etypes are compared exactly",
        );
    }
    if let Some((name, _)) = other {
        return Judged::differs(
            format!("the parameter {name} is of a type that the Python implementation refuses always"),
            "use str, int, bool or enum",
        );
    }
    if !has(ServiceEtype::Health) {
        return Judged::differs("callbacks has no health", "name health among them");
    }
    if !has_detections && has(ServiceEtype::Detection) {
        return Judged::differs(
            "it handles detections and subscribes to none: no cloud sends any",
            "name in detect_subscriptions which it wants",
        );
    }
    Judged::ok()
}

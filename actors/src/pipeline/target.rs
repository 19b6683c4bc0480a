//! `target` and `fanout`: on which hosts a pipeline acts, and how it goes about a set of them.
//!
//! Deliberately not here: finding those hosts, and keeping the pace. That is the fan-outs' actor's.

use super::fields::{self, Field, Fields, Form, Shape, Takes};
use super::guards::PipelineGuards;
use super::problem::Problems;
use super::yaml::{Kind, Node};
use crate::fanout::FanoutPlan;
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use tripline_protocol::Span;
use tripline_protocol::fanout::{AutoPause, Pace, SubmitFanout, Target};
use tripline_protocol::limit::{
    FANOUT_CANARY_MAX, FANOUT_EXPIRES_MAX, FANOUT_IN_FLIGHT_MAX, FANOUT_PER_MINUTE_MAX, FANOUT_RAMP_MAX,
    LABELS_MAX,
};
use tripline_protocol::selector::HostSelector;

const OF_HOSTS: Shape = Shape::new(
    "a target",
    &[
        Field::new(
            "labels",
            Takes::OneOrMany(&Takes::Text(Form::Label), LABELS_MAX),
            "They have all of these labels.",
        ),
        Field::new(
            "platform",
            Takes::Text(Form::HostWord),
            "Their platform, such as linux.",
        ),
        Field::new(
            "hostname",
            Takes::Text(Form::HostGlob),
            "Their names fit: `*` is any number of characters, `?` is one.",
        ),
        Field::new("attached", Takes::Text(Form::Attached), "They are attached so."),
        Field::new(
            "seen_within",
            Takes::Text(Form::Span),
            "They were last seen at most so long ago.",
        ),
        Field::new(
            "unseen_for",
            Takes::Text(Form::Span),
            "They were last seen longer ago than this.",
        ),
        Field::new(
            "agent_version",
            Takes::Text(Form::HostWord),
            "Their agents' version.",
        ),
    ],
    &[],
)
.with_rules(|| vec![json!({"minProperties": 1})]);

const OF_FANOUT: Shape = Shape::new(
    "fanout",
    &[
        Field::new(
            "in_flight",
            Takes::Count(1, FANOUT_IN_FLIGHT_MAX),
            "On how many hosts it is under way at a time.",
        )
        .or("50"),
        Field::new(
            "per_minute",
            Takes::Count(1, FANOUT_PER_MINUTE_MAX),
            "On how many hosts it begins within a minute. Absent: as fast as `in_flight` lets it.",
        ),
        Field::new(
            "canary",
            Takes::Count(1, FANOUT_CANARY_MAX),
            "On so many hosts first; the others follow when it succeeded on all of these.",
        ),
        Field::new(
            "ramp",
            Takes::Count(2, FANOUT_RAMP_MAX),
            "By how much it grows after the canary with each wave that went well, up to `in_flight`.",
        )
        .or("2"),
        Field::new(
            "standing",
            Takes::Flag,
            "Hosts that come to be such later join it, until it expires.",
        )
        .or("false"),
        Field::new(
            "expires",
            Takes::Text(Form::Span),
            "How long it waits for hosts that are not attached, at most 30d.",
        )
        .or("24h"),
    ],
    &[],
);

pub(super) const TARGET: Field = Field::new(
    "target",
    Takes::Either(&[Takes::Text(Form::TargetWord), Takes::Map(&OF_HOSTS)]),
    "On which hosts it acts: on the event's host, on all hosts of the event's org, or on those of them that are such.",
)
.or(EVENT_HOST);
pub(super) const FANOUT: Field = Field::new(
    "fanout",
    Takes::Map(&OF_FANOUT),
    "How it goes about a set of hosts, where `target` is one.",
);

/// Keys of `fanout` that are looked for beside it.
pub(super) const INSIDE: [(&str, &str); 6] = [
    ("in_flight", "fanout"),
    ("per_minute", "fanout"),
    ("canary", "fanout"),
    ("ramp", "fanout"),
    ("standing", "fanout"),
    ("pace", "fanout"),
];

/// The target of a pipeline that does not say.
const EVENT_HOST: &str = "event_host";
/// Every host of the event's org.
const ALL: &str = "all";
/// The words for targets.
pub(super) const WORDS: [&str; 2] = [EVENT_HOST, ALL];

/// A pipeline's rules about its target, as parts of a schema of it.
pub(super) fn rules() -> [Value; 2] {
    let is_set = json!({
        "required": ["target"],
        "properties": {"target": {"not": {"const": EVENT_HOST}}},
    });
    [
        json!({"if": is_set, "else": {"properties": {"fanout": false}}}),
        json!({
            "if": is_set,
            "then": {"properties": {"suppress": {"properties": {"scope": {"not": {"const": "host"}}}}}},
        }),
    ]
}

/// `target` and `fanout` as they are read.
pub(super) struct Reach {
    /// Whether the target is a set of hosts, right or wrong.
    pub(super) is_set: bool,
    /// What is right of it.
    pub(super) plan: Option<FanoutPlan>,
}

impl Reach {
    const EVENT_HOST: Self = Self {
        is_set: false,
        plan: None,
    };

    /// Reads them from a pipeline; problems are noted.
    pub(super) fn read(pipeline: &Fields<'_>, guards: &PipelineGuards, problems: &mut Problems<'_>) -> Self {
        let fanout = pipeline.get("fanout");
        let target = match pipeline.get("target") {
            Some(node) if !is_event_host(node) => node,
            _ => {
                if let Some(fanout) = fanout {
                    let message = "fanout belongs to a target that is a set of hosts; this pipeline acts on the \
                                   event's host";
                    problems.add::<()>(fanout.at, message);
                }
                return Self::EVENT_HOST;
            }
        };
        let target = read_target(target, problems);
        let fanout = match fanout {
            Some(node) => Fields::of(node, &OF_FANOUT, problems),
            None => None,
        };
        let found = read_fanout(fanout.as_ref(), guards, problems);
        Self {
            is_set: true,
            plan: target.map(|target| FanoutPlan { target, ..found }),
        }
    }
}

fn is_event_host(node: &Node) -> bool {
    matches!(&node.kind, Kind::Text(text) if text == EVENT_HOST)
}

fn read_target(node: &Node, problems: &mut Problems<'_>) -> Option<Target> {
    match &node.kind {
        Kind::Text(text) if text == ALL => Some(Target::All),
        Kind::Map(_) => read_hosts(node, problems).map(Target::Hosts),
        Kind::Text(text) => problems.add(
            node.at,
            format!(
                "unknown target {text:?}, expected event_host, all, or a map such as {{ platform: linux }}"
            ),
        ),
        _ => problems.add(
            node.at,
            format!(
                "expected event_host, all, or a map of what hosts are, found {}",
                node.describe()
            ),
        ),
    }
}

fn read_hosts(node: &Node, problems: &mut Problems<'_>) -> Option<HostSelector> {
    let before = problems.count();
    if node.entries().is_some_and(<[_]>::is_empty) {
        return problems.add(node.at, "an empty target; for every host say all");
    }
    let fields = Fields::of(node, &OF_HOSTS, problems)?;
    let labels = fields.get("labels").and_then(|node| {
        let items = fields::one_or_many(node, "labels", LABELS_MAX, problems)?;
        fields::all_parsed(items, "a label", problems)
    });
    let text = "a text";
    let selector = HostSelector {
        labels: labels.unwrap_or_default(),
        platform: fields
            .get("platform")
            .and_then(|node| fields::parsed(node, text, problems)),
        hostname: fields
            .get("hostname")
            .and_then(|node| fields::parsed(node, text, problems)),
        attached: fields
            .get("attached")
            .and_then(|node| fields::parsed(node, "agent, littlebrother, yes or no", problems)),
        seen_within: fields
            .get("seen_within")
            .and_then(|node| fields::span(node, problems)),
        unseen_for: fields
            .get("unseen_for")
            .and_then(|node| fields::span(node, problems)),
        agent_version: fields
            .get("agent_version")
            .and_then(|node| fields::parsed(node, text, problems)),
    };
    (problems.count() == before).then_some(selector)
}

/// What is absent or wrong has its default.
fn read_fanout(
    fields: Option<&Fields<'_>>,
    guards: &PipelineGuards,
    problems: &mut Problems<'_>,
) -> FanoutPlan {
    let get = |name| fields.and_then(|fields| fields.get(name));
    let mut count = |name, range: RangeInclusive<u32>| {
        let node = get(name)?;
        fields::count(node, range, problems)
    };
    let default = Pace::default();
    let pace = Pace {
        in_flight: count("in_flight", 1..=FANOUT_IN_FLIGHT_MAX).unwrap_or(default.in_flight),
        per_minute: count("per_minute", 1..=FANOUT_PER_MINUTE_MAX),
        canary: count("canary", 1..=FANOUT_CANARY_MAX),
        ramp: count("ramp", 2..=FANOUT_RAMP_MAX).unwrap_or(default.ramp),
        auto_pause: guards.auto_pause.map(|guard| AutoPause {
            failed: guard.failed,
            of: guard.of,
        }),
    };
    if let (Some(ramp), None) = (get("ramp"), get("canary")) {
        problems.warn(ramp.at, "ramp does nothing without a canary");
    }
    let standing = get("standing").and_then(|node| fields::boolean(node, problems));
    let expires = get("expires").and_then(|node| expires(node, problems));
    FanoutPlan {
        target: Target::All,
        pace,
        standing: standing.unwrap_or(false),
        expires: expires.unwrap_or(SubmitFanout::EXPIRES_DEFAULT),
        max_hosts: guards.max_hosts.map(|guard| guard.count),
        max_in_flight: guards.max_in_flight,
    }
}

fn expires(node: &Node, problems: &mut Problems<'_>) -> Option<Span> {
    let expires = fields::span(node, problems)?;
    if expires > FANOUT_EXPIRES_MAX {
        return problems.add(
            node.at,
            format!("{expires} is too long, expected at most {FANOUT_EXPIRES_MAX}"),
        );
    }
    Some(expires)
}

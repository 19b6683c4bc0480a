//! `max_hosts`, `max_in_flight`, `auto_pause`: how much a pipeline may do. What is counted is the router's.

use super::fields::{self, Field, Fields, Form, Shape, Takes};
use super::problem::Problems;
use super::suppress::window;
use super::yaml::Node;
use tripline_protocol::Span;

const OF_HOSTS: Shape = Shape::new(
    "max_hosts",
    &[
        Field::new("count", Takes::Count(1, HOSTS_MAX), "On how many hosts it acts.").needed(),
        Field::new(
            "per",
            Takes::Text(Form::Span),
            "The span of time that is looked at, at most 7d.",
        )
        .needed(),
    ],
    &[],
);

const OF_PAUSE: Shape = Shape::new(
    "auto_pause",
    &[
        Field::new("failed", Takes::Count(1, ENDS_MAX), "How many jobs that failed.").needed(),
        Field::new(
            "of",
            Takes::Count(1, ENDS_MAX),
            "Of how many of its last jobs, at least `failed`.",
        )
        .needed(),
    ],
    &[],
);

pub(super) const HOST_GUARD: Field = Field::new(
    "max_hosts",
    Takes::Map(&OF_HOSTS),
    "On how many hosts it acts within a span of time. Absent: on any number.",
);
pub(super) const FLIGHT_GUARD: Field = Field::new(
    "max_in_flight",
    Takes::Count(1, IN_FLIGHT_MAX),
    "How many of its jobs may be open. Absent: any number.",
);
pub(super) const PAUSE_GUARD: Field = Field::new(
    "auto_pause",
    Takes::Map(&OF_PAUSE),
    "It is paused when so many of its last jobs failed. Absent: it goes on.",
);

/// The highest `max_hosts.count`.
const HOSTS_MAX: u32 = 10_000;
/// The highest `max_in_flight`.
const IN_FLIGHT_MAX: u32 = 10_000;
/// The highest `auto_pause.of`.
const ENDS_MAX: u32 = 100;

/// At most `count` hosts within `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxHosts {
    /// How many, 1 or more.
    pub count: u32,
    /// The span that is looked at, up to now.
    pub per: Span,
}

/// The pipeline is paused when `failed` of its last `of` jobs failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoPause {
    /// How many, 1 or more.
    pub failed: u32,
    /// Of how many, at least `failed`.
    pub of: u32,
}

/// What bounds a pipeline beside `suppress`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PipelineGuards {
    /// On how many hosts it may act.
    pub max_hosts: Option<MaxHosts>,
    /// How many of its jobs may be open.
    pub max_in_flight: Option<u32>,
    /// When it is paused by itself.
    pub auto_pause: Option<AutoPause>,
}

impl PipelineGuards {
    /// Reads them from a pipeline; problems are noted.
    pub(super) fn read(pipeline: &Fields<'_>, problems: &mut Problems<'_>) -> Self {
        let max_hosts = pipeline.get("max_hosts");
        let in_flight = pipeline.get("max_in_flight");
        let auto_pause = pipeline.get("auto_pause");
        Self {
            max_hosts: max_hosts.and_then(|node| read_max_hosts(node, problems)),
            max_in_flight: in_flight.and_then(|node| fields::count(node, 1..=IN_FLIGHT_MAX, problems)),
            auto_pause: auto_pause.and_then(|node| read_auto_pause(node, problems)),
        }
    }
}

fn read_max_hosts(node: &Node, problems: &mut Problems<'_>) -> Option<MaxHosts> {
    let fields = Fields::of(node, &OF_HOSTS, problems)?;
    let count = fields.need("count", "how many hosts", problems);
    let count = count.and_then(|node| fields::count(node, 1..=HOSTS_MAX, problems));
    let per = fields.need("per", "the span of time that is looked at, such as 1h", problems);
    let per = per.and_then(|node| window(node, problems));
    Some(MaxHosts {
        count: count?,
        per: per?,
    })
}

fn read_auto_pause(node: &Node, problems: &mut Problems<'_>) -> Option<AutoPause> {
    let fields = Fields::of(node, &OF_PAUSE, problems)?;
    let mut count = |name, expected| {
        let node = fields.need(name, expected, problems)?;
        Some((node.at, fields::count(node, 1..=ENDS_MAX, problems)?))
    };
    let failed = count("failed", "how many jobs that failed");
    let of = count("of", "of how many jobs");
    let ((at, failed), (_, of)) = (failed?, of?);
    if failed > of {
        return problems.add(at, format!("{failed} of {of} jobs, expected at most {of}"));
    }
    Some(AutoPause { failed, of })
}

//! What a pipeline asks of an event before its condition is looked at: whether it acts at all, on the events of
//! which orgs, and how old they may be.

use super::fields::{self, Field, Fields, Form, Shape, Takes};
use super::problem::Problems;
use super::yaml::Node;
use tripline_protocol::{Event, Org, Span};

/// `events` of a pipeline.
pub(super) const EVENTS: Shape = Shape::new(
    "the events of a pipeline",
    &[Field::new(
        "max_age",
        Takes::Text(Form::Span),
        "The oldest event it acts on, at most 7d. Absent: the server's `events.max_age`.",
    )],
    &[],
);

pub(super) const ENABLED: Field = Field::new(
    "enabled",
    Takes::Flag,
    "Whether it acts. A pipeline that is disabled is loaded, checked and listed.",
)
.or("true");
pub(super) const DRY_RUN: Field = Field::new(
    "dry_run",
    Takes::Flag,
    "Whether it only records what it would do: everything is as ever, but it makes no jobs.",
)
.or("false");
pub(super) const ORGS: Field = Field::new(
    "orgs",
    Takes::OneOrMany(&Takes::Text(Form::Org), ORGS_MAX),
    "The orgs on whose events it acts. Absent: all.",
);
pub(super) const OF_EVENTS: Field = Field::new(
    "events",
    Takes::Map(&EVENTS),
    "What it asks of events beside `on` and `when`.",
);

/// Most orgs in `orgs`.
const ORGS_MAX: usize = 256;
/// The oldest event a pipeline may take. The marks of handled events are kept as long: one that was stored again
/// later is too old for everybody, and not handled twice.
pub(crate) const AGE_MAX: Span = Span::from_secs(7 * 24 * 3600);

/// Why a pipeline that listens to an event's etype does not look at the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It is not enabled.
    Disabled,
    /// It is for events of other orgs.
    WrongOrg,
    /// The event is older than it takes.
    Stale {
        /// The oldest it takes.
        age_max: Span,
    },
}

impl Closed {
    /// A stable word: `disabled`, `wrong_org`, `stale`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::WrongOrg => "wrong_org",
            Self::Stale { .. } => "stale",
        }
    }
}

/// `enabled`, `dry_run`, `orgs` and `events` of a pipeline.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) enabled: bool,
    pub(super) dry_run: bool,
    /// `None`: of every org.
    pub(super) orgs: Option<Vec<Org>>,
    /// `None`: what the server takes.
    pub(super) age_max: Option<Span>,
}

impl Gate {
    /// Reads the keys of a pipeline; what is wrong is noted, and stands for what is absent.
    pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems<'_>) -> Self {
        let enabled = fields.get("enabled").and_then(|node| {
            let enabled = fields::boolean(node, problems)?;
            if !enabled {
                problems.warn(node.at, "the pipeline is disabled: it never acts");
            }
            Some(enabled)
        });
        let dry_run = fields.get("dry_run").and_then(|node| {
            let dry_run = fields::boolean(node, problems)?;
            if dry_run {
                problems.warn(node.at, "the pipeline is a dry run: it makes no jobs");
            }
            Some(dry_run)
        });
        let orgs = fields.get("orgs").and_then(|node| {
            let items = fields::one_or_many(node, "orgs", ORGS_MAX, problems)?;
            let orgs: Vec<Org> = fields::all_parsed(items, "an org", problems)?;
            warn_of_repeats(items, &orgs, problems);
            Some(orgs)
        });
        let events = fields
            .get("events")
            .and_then(|node| Fields::of(node, &EVENTS, problems));
        let age_max = events
            .and_then(|events| events.get("max_age"))
            .and_then(|node| age(node, problems));
        Self {
            enabled: enabled.unwrap_or(true),
            dry_run: dry_run.unwrap_or_default(),
            orgs,
            age_max,
        }
    }

    /// Why it is closed to an event of this age; `age_max` holds where the pipeline does not say.
    pub(super) fn closed_to(&self, event: &Event, age: Span, age_max: Span) -> Option<Closed> {
        if !self.enabled {
            return Some(Closed::Disabled);
        }
        if self.orgs.as_ref().is_some_and(|orgs| !orgs.contains(&event.org)) {
            return Some(Closed::WrongOrg);
        }
        let age_max = self.age_max.unwrap_or(age_max);
        (age > age_max).then_some(Closed::Stale { age_max })
    }
}

/// Warns of orgs that stand there before.
fn warn_of_repeats(items: &[Node], orgs: &[Org], problems: &mut Problems<'_>) {
    for (index, (item, org)) in items.iter().zip(orgs).enumerate() {
        if orgs.iter().take(index).any(|earlier| earlier == org) {
            problems.warn(item.at, format!("the org {:?} is given twice", org.as_str()));
        }
    }
}

fn age(node: &Node, problems: &mut Problems<'_>) -> Option<Span> {
    let age = fields::span(node, problems)?;
    if age > AGE_MAX {
        return problems.add(
            node.at,
            format!("expected at most {AGE_MAX}: handled events are not remembered for longer"),
        );
    }
    Some(age)
}

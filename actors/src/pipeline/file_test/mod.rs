//! `tests` of a pipeline: events, and what it is expected to make of them.
//!
//! What is written is read here whole: each event as if it had come from the broker, when it is handled by the clock
//! of its test, and its host. Deliberately not here: deciding about them, and whether what is expected came; that is
//! `crate::trial`.

mod event;
mod expected;
mod host;

pub(crate) use event::Given;
pub use event::GivenEvent;
pub(super) use expected::{DEAD, HOST_FAILED, WITHHELD};
pub(crate) use expected::{Expected, Wanted};
pub(super) use host::NOBODY;
pub use host::{GivenHost, HostGiven};

use super::fields::{self, Field, Fields, Shape, Takes};
use super::problem::{At, Problems};
use super::yaml::{Kind, Node};
use event::Clock;
use serde_json::{Value, json};

const SHAPE: Shape = Shape::new(
    "a test",
    &[
        Field::new("name", Takes::AnyText, "What it shows, for people."),
        Field::new("event", Takes::Map(&event::SHAPE), "The event that it is about."),
        Field::new(
            "events",
            Takes::List(&Takes::Map(&event::SHAPE), EVENTS_MAX),
            "In the place of `event`: several, handled one after the other.",
        ),
        Field::new(
            "host",
            Takes::Either(&host::TAKES),
            "The host that its events concern. Absent: a Linux host; `none`: nobody knows it.",
        ),
        Field::new(
            "expect",
            Takes::OneOrMany(&Takes::Map(&expected::SHAPE), EVENTS_MAX),
            "What the pipeline makes of the last event, or a list: of each.",
        )
        .needed(),
    ],
    &[],
)
.with_rules(one_of_event_and_events);

pub(super) const TESTS: Field = Field::new(
    "tests",
    Takes::List(&Takes::Map(&SHAPE), TESTS_MAX),
    "What it makes of events: held to when it is checked, and before it is in force.",
);

/// Most tests of a pipeline.
const TESTS_MAX: usize = 100;
/// Most events of all tests of a pipeline.
const EVENTS_MAX: usize = 1_000;
/// Most events of the tests of all pipelines: what a set of rules may cost before it is in force.
pub(super) const SET_EVENTS_MAX: usize = 100_000;
/// Longest name of a test in messages, in characters.
const NAME_CHARS_MAX: usize = 80;

fn one_of_event_and_events() -> Vec<Value> {
    vec![json!({"oneOf": [{"required": ["event"]}, {"required": ["events"]}]})]
}

/// A test of a pipeline.
#[derive(Debug)]
pub struct FileTest {
    /// `test "NAME"`, or `test N`.
    pub(crate) label: String,
    pub(crate) given: Vec<Given>,
    /// What is expected of which event, from 0.
    expected: Vec<(usize, Expected)>,
}

impl FileTest {
    /// What is expected of an event, from 0. Either of the last one, or of each.
    pub(crate) fn expected_of(&self, event: usize) -> Option<&Expected> {
        let first = self.expected.first().map(|(of, _)| *of)?;
        let (of, expected) = self.expected.get(event.checked_sub(first)?)?;
        (*of == event).then_some(expected)
    }
}

/// Reads the tests of a pipeline; their problems are noted.
pub(super) fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Vec<FileTest>> {
    let items = fields::list(node, "a list of tests", problems)?;
    bounded(node.at, items.len(), TESTS_MAX, "tests", problems)?;
    let tests = items.iter().enumerate();
    let tests: Vec<Option<FileTest>> = tests
        .map(|(index, item)| read_test(item, index + 1, problems))
        .collect();
    let tests: Vec<FileTest> = tests.into_iter().collect::<Option<_>>()?;
    let events: usize = tests.iter().map(|test| test.given.len()).sum();
    if events > EVENTS_MAX {
        return problems.add(
            node.at,
            format!("{events} events in all tests, expected at most {EVENTS_MAX}"),
        );
    }
    Some(tests)
}

fn bounded(at: At, count: usize, most: usize, what: &str, problems: &mut Problems<'_>) -> Option<()> {
    match (1..=most).contains(&count) {
        true => Some(()),
        false => problems.add(at, format!("{count} {what}, expected 1 to {most}")),
    }
}

fn read_test(node: &Node, number: usize, problems: &mut Problems<'_>) -> Option<FileTest> {
    let before = problems.count();
    let fields = Fields::of(node, &SHAPE, problems)?;
    let name = fields.get("name");
    let name = name.and_then(|node| fields::text(node, "a text", problems));
    let host = fields
        .get("host")
        .and_then(|node| HostGiven::read(node, problems));
    let events = events(&fields, problems);
    let mut clock = Clock::default();
    let given: Vec<Option<Given>> = events
        .unwrap_or_default()
        .iter()
        .map(|node| event::read(node, host.as_ref(), &mut clock, problems))
        .collect();
    let expect = fields.need("expect", "what the pipeline makes of the event", problems);
    let expected = expect.and_then(|node| expectations(node, events.map(<[Node]>::len), problems));
    if problems.count() > before {
        return None;
    }
    let label = match name {
        Some(name) => format!("test {:?}", name.chars().take(NAME_CHARS_MAX).collect::<String>()),
        None => format!("test {number}"),
    };
    Some(FileTest {
        label,
        given: given.into_iter().collect::<Option<_>>()?,
        expected: expected?,
    })
}

fn events<'n>(fields: &Fields<'n>, problems: &mut Problems<'_>) -> Option<&'n [Node]> {
    match (fields.get("event"), fields.get("events")) {
        (Some(event), None) => Some(std::slice::from_ref(event)),
        (None, Some(events)) => {
            let items = fields::list(events, "a list of events", problems)?;
            bounded(events.at, items.len(), EVENTS_MAX, "events", problems)?;
            Some(items)
        }
        (Some(_), Some(events)) => problems.add(events.at, "a test has event or events, but not both"),
        (None, None) => problems.add(
            fields.at,
            "the key \"event\" is missing, expected an event, or a list of them as \"events\"",
        ),
    }
}

/// Of the last of `count` events, or of each of them.
fn expectations(
    node: &Node,
    count: Option<usize>,
    problems: &mut Problems<'_>,
) -> Option<Vec<(usize, Expected)>> {
    let Kind::List(items) = &node.kind else {
        let expected = Expected::read(node, problems)?;
        return Some(vec![(count?.checked_sub(1)?, expected)]);
    };
    let expected: Vec<Option<Expected>> = items.iter().map(|item| Expected::read(item, problems)).collect();
    let count = count?;
    if items.len() != count {
        let found = items.len();
        return problems.add(
            node.at,
            format!("{found} expectations for {count} events, expected one for each"),
        );
    }
    let expected = expected.into_iter().collect::<Option<Vec<_>>>()?;
    Some(expected.into_iter().enumerate().collect())
}

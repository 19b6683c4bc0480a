//! The events of tests: each as if it had come from the broker, and when it is handled.

use super::host::{self, GivenHost, HostGiven};
use crate::pipeline::fields::{self, Field, Fields, Form, Shape, Takes};
use crate::pipeline::problem::{Found, Problems};
use crate::pipeline::yaml::Node;
use serde_json::{Map, Value, json};
use std::str::FromStr;
use tripline_protocol::event::{HostHint, WireEvent};
use tripline_protocol::limit::TRIPDEPTH_MAX;
use tripline_protocol::{Attestation, Etype, Event, Org, Span, Timestamp};

pub(super) const SHAPE: Shape = Shape::new(
    "an event of a test",
    &[
        Field::new("etype", Takes::Text(Form::Etype), "Its type.").needed(),
        Field::new("org", Takes::Text(Form::Org), "Its tenant.").or("default"),
        Field::new(
            "id",
            Takes::AnyText,
            "Its id: events of one id and source are one event. Absent: each has its own.",
        ),
        Field::new("source", Takes::AnyText, "Who made it.").or("test"),
        Field::new(
            "time",
            Takes::Text(Form::Time),
            "When it happened. Absent: when it is handled, or `age` before that.",
        ),
        Field::new(
            "age",
            Takes::Text(Form::Span),
            "How old it is when it is handled, in the place of `time`.",
        ),
        Field::new("data", Takes::Literal, "Its payload."),
        Field::new(
            "attested_by",
            Takes::Text(Form::Attestation),
            "Who vouches for it.",
        )
        .or("publisher"),
        Field::new("depth", Takes::Count(0, DEPTH), "How many pipelines led to it.").or("0"),
        Field::new(
            "after",
            Takes::Text(Form::Span),
            "How long after the event before it is handled. Absent: at the same time.",
        ),
        Field::new(
            "host",
            Takes::Either(&host::TAKES),
            "What its host is, over what the test says of it.",
        ),
    ],
    &[],
);

const DEPTH: u32 = TRIPDEPTH_MAX as u32;
const SOURCE: &str = "test";
/// When the first event of a test is handled: 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// Who may vouch for an event.
pub(in crate::pipeline) const ATTESTATIONS: [Attestation; 4] = [
    Attestation::Agent,
    Attestation::Littlebrother,
    Attestation::Limacharlie,
    Attestation::Publisher,
];

/// An event, when it is handled, and its host.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) event: Event,
    pub(crate) now: Timestamp,
    /// `None`: nobody knows it.
    pub(crate) host: Option<GivenHost>,
}

/// An event that a pipeline is tried on.
#[derive(Debug, Clone)]
pub struct GivenEvent(pub(crate) Given);

/// The clock of a test.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// When the event before was handled.
    now: Option<Timestamp>,
    /// How many events there were.
    events: usize,
}

impl Given {
    /// The event with its host, which it means unless it says another one.
    fn new(mut event: Event, now: Timestamp, host: &HostGiven) -> Self {
        let host = host.of(&event);
        let hint = host.as_ref().map(|host| HostHint::HostId(host.facts.host_id));
        event.host = event.host.or(hint);
        Self { event, now, host }
    }
}

impl GivenEvent {
    /// An event in the form that tests have it in, as JSON.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, a line each.
    pub fn from_json(event: &Value, host: Option<&HostGiven>) -> Result<Self, Vec<String>> {
        read_json(event, |node, problems| {
            read(node, host, &mut Clock::default(), problems).map(Self)
        })
    }

    /// An event as it came, handled as old as it is then.
    pub fn new(event: Event, host: Option<&HostGiven>) -> Self {
        let now = event.time;
        Self(Given::new(event, now, &host.cloned().unwrap_or_default()))
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.0.event
    }

    /// When it is handled.
    pub fn now(&self) -> Timestamp {
        self.0.now
    }

    /// The same as another event, `number`, handled so much later.
    pub fn again(&self, number: usize, later: Span) -> Self {
        let mut given = self.0.clone();
        let event = &mut given.event;
        event.id = format!("{}-{number}", event.id);
        event.key = tripline_protocol::EventKey::derive(&event.org, &event.source, &event.id);
        event.time = event.time.after(later);
        given.now = given.now.after(later);
        Self(given)
    }
}

/// Reads what has no place in a file.
pub(super) fn read_json<T>(
    value: &Value,
    read: impl FnOnce(&Node, &mut Problems<'_>) -> Option<T>,
) -> Result<T, Vec<String>> {
    let mut found = Found::default();
    let read = read(&Node::from_json(value), &mut Problems::new("", &mut found));
    let problems = || {
        found
            .problems
            .iter()
            .map(|problem| problem.message.clone())
            .collect()
    };
    read.filter(|_| found.problems.is_empty()).ok_or_else(problems)
}

/// What a map says of an event.
struct Said {
    etype: Option<Etype>,
    org: Org,
    id: Option<String>,
    source: Option<String>,
    time: Option<Timestamp>,
    age: Span,
    after: Span,
    attested_by: Attestation,
    depth: u32,
}

/// Reads an event, by the clock of its test; `host` is what the test says of it.
pub(super) fn read(
    node: &Node,
    host: Option<&HostGiven>,
    clock: &mut Clock,
    problems: &mut Problems<'_>,
) -> Option<Given> {
    let before = problems.count();
    clock.events += 1;
    let fields = Fields::of(node, &SHAPE, problems)?;
    let own = fields.get("host");
    let own = own.and_then(|node| HostGiven::read(node, problems));
    let said = Said::read(&fields, clock, problems);
    if problems.count() > before {
        return None;
    }
    let now = match clock.now {
        None => said.time.unwrap_or(START),
        Some(earlier) => earlier.after(said.after),
    };
    clock.now = Some(now);
    let data = fields.get("data").map_or(Value::Null, Node::to_json);
    let attested_by = said.attested_by;
    match said.into_event(data, clock.events, now) {
        Ok(event) => {
            let event = Event { attested_by, ..event };
            let host = match &own {
                Some(own) => own.or(host),
                None => host.cloned().unwrap_or_default(),
            };
            Some(Given::new(event, now, &host))
        }
        Err(reason) => problems.add(node.at, format!("that is no event: {reason}")),
    }
}

impl Said {
    fn read(fields: &Fields<'_>, clock: &Clock, problems: &mut Problems<'_>) -> Self {
        let etype = fields.need("etype", "its type", problems);
        let etype = etype.and_then(|node| fields::parsed(node, "an etype", problems));
        let org = of(fields, "org", "an org", problems);
        let text = |name, problems: &mut Problems<'_>| {
            let node = fields.get(name)?;
            fields::text(node, "a text", problems).map(str::to_owned)
        };
        let (id, source) = (text("id", problems), text("source", problems));
        let time = of(fields, "time", "a time such as 2026-01-31T12:00:00Z", problems);
        let span = |name, problems: &mut Problems<'_>| {
            let node = fields.get(name)?;
            Some((node.at, fields::span(node, problems)?))
        };
        let (age, after) = (span("age", problems), span("after", problems));
        if let (Some((at, _)), Some(_)) = (age, fields.get("time")) {
            problems.add::<()>(at, "an event has a time or an age, but not both");
        }
        if let (Some((at, _)), None) = (after, clock.now) {
            problems.add::<()>(at, "there is no event before this one");
        }
        let attested_by = fields.get("attested_by").and_then(|node| {
            let words = ATTESTATIONS.map(Attestation::as_str);
            let found = fields::word(node, &words, problems)?;
            ATTESTATIONS.into_iter().find(|one| one.as_str() == found)
        });
        let depth = fields.get("depth");
        let depth = depth.and_then(|node| fields::count(node, 0..=DEPTH, problems));
        Self {
            etype,
            org: org.unwrap_or_else(Org::default_org),
            id,
            source,
            time,
            age: age.map_or(Span::ZERO, |(_, age)| age),
            after: after.map_or(Span::ZERO, |(_, after)| after),
            attested_by: attested_by.unwrap_or_default(),
            depth: depth.unwrap_or_default(),
        }
    }

    /// The event, read as a message of the broker.
    fn into_event(self, data: Value, number: usize, now: Timestamp) -> Result<Event, String> {
        let etype = self.etype.ok_or("it has no etype")?;
        let message = Map::from_iter([
            ("specversion".to_owned(), json!("1.0")),
            (
                "id".to_owned(),
                json!(self.id.unwrap_or_else(|| format!("test-{number}"))),
            ),
            (
                "source".to_owned(),
                json!(self.source.as_deref().unwrap_or(SOURCE)),
            ),
            (
                "time".to_owned(),
                json!(self.time.unwrap_or_else(|| now.before(self.age))),
            ),
            ("tripdepth".to_owned(), json!(self.depth)),
            ("data".to_owned(), data),
        ]);
        let payload = Value::Object(message).to_string();
        let wire = WireEvent {
            org: &self.org,
            etype: &etype,
            headers: &[],
            payload: payload.as_bytes(),
            stream: SOURCE,
            sequence: u64::try_from(number).unwrap_or(u64::MAX),
            stored_at: now,
        };
        Event::from_wire(&wire).map_err(|invalid| invalid.to_string())
    }
}

fn of<T: FromStr<Err: std::fmt::Display>>(
    fields: &Fields<'_>,
    name: &str,
    expected: &str,
    problems: &mut Problems<'_>,
) -> Option<T> {
    fields::parsed(fields.get(name)?, expected, problems)
}

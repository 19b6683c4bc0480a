//! Pipelines: on which etypes, when, which job.

use super::condition::need::{self, Need};
use super::condition::{Condition, Match, SOURCE_BYTES_MAX};
use super::fields::{self, Field, Fields, Form, Shape, Takes};
use super::file_test::{self, FileTest};
use super::gate::{self, Closed, Gate};
use super::guards::{self, PipelineGuards};
use super::job::{INLINE, RenderedJob};
use super::pipeline_job::{PipelineJob, Source};
use super::problem::{At, Problems};
use super::render_error::RenderError;
use super::suppress::{self, Suppress};
use super::target::{self, Reach};
use super::template::{Scope, event_value, host_value};
use super::vars::{self, Context, LET, Let};
use super::when::condition;
use super::yaml::Node;
use super::{HostFacts, version};
use crate::fanout::FanoutPlan;
use serde_json::{Value, json};
use tripline_protocol::api::{PipelineView, Unmet};
use tripline_protocol::subject::EtypePattern;
use tripline_protocol::{Etype, Event, Name, Org, Sha256, Span};

pub(super) const SHAPE: Shape = Shape::new(
    "a pipeline",
    &[
        Field::new(
            "name",
            Takes::Text(Form::Name),
            "Its name, which no other pipeline has.",
        )
        .needed(),
        DESCRIPTION,
        gate::ENABLED,
        gate::DRY_RUN,
        Field::new(
            "on",
            Takes::OneOrMany(&Takes::Text(Form::EtypePattern), PATTERNS_MAX),
            "The etypes it listens to: one, or a list.",
        )
        .needed(),
        gate::ORGS,
        gate::OF_EVENTS,
        Field::new(
            "when",
            Takes::Condition {
                bytes_max: SOURCE_BYTES_MAX,
            },
            "A condition in CEL over `event` and `host`. Absent: always; a missing field means no.",
        ),
        target::TARGET,
        target::FANOUT,
        LET,
        suppress::SUPPRESS,
        guards::HOST_GUARD,
        guards::FLIGHT_GUARD,
        guards::PAUSE_GUARD,
        Field::new(
            "job",
            Takes::Either(&[Takes::Text(Form::Name), Takes::Map(&INLINE)]),
            "The name of a named job, or a job.",
        )
        .needed(),
        Field::new(
            "params",
            Takes::Names {
                names: None,
                most: None,
                takes: &Takes::Value,
            },
            "Parameters of the named job. Values may be templates over `event`, `host` and `vars`.",
        ),
        file_test::TESTS,
    ],
    &["approvals", "protected"],
)
.with_inside(&target::INSIDE)
.with_rules(rules);

/// What a pipeline, a named job or a parameter is for.
pub(super) const DESCRIPTION: Field =
    Field::new("description", Takes::AnyText, "What it is for, for people.");

/// As [`PipelineJob::read`] and [`Reach::read`] ask.
fn rules() -> Vec<Value> {
    let params_need_a_named_job = json!({
        "if": {"required": ["job"], "properties": {"job": {"type": "object"}}},
        "then": {"properties": {"params": false}},
    });
    let of_target = target::rules();
    [params_need_a_named_job].into_iter().chain(of_target).collect()
}

/// What a pipeline's condition may name, and its job beside `vars`.
const OF_EVENT: Scope<'static> = Scope {
    event: true,
    host: true,
    params: None,
    vars: &[],
    vars_later: &[],
    steps: None,
    item: false,
};

/// What is known before the hosts of a set are.
const OF_EVENT_ALONE: Scope<'static> = Scope {
    host: false,
    ..OF_EVENT
};

/// Most patterns in `on`.
const PATTERNS_MAX: usize = 256;

/// A pipeline.
#[derive(Debug)]
pub struct Pipeline {
    name: Name,
    version: Sha256,
    /// There where a fan-out keeps it.
    text: Option<Box<str>>,
    file: String,
    at: At,
    description: Option<String>,
    gate: Gate,
    on: Vec<EtypePattern>,
    when: Option<Condition>,
    values: Let,
    // What few pipelines have is in boxes.
    suppress: Option<Box<Suppress>>,
    /// What the key of `suppress` needs, if there is one.
    key_part: Option<vars::Part>,
    guards: PipelineGuards,
    fanout: Option<Box<FanoutPlan>>,
    job: PipelineJob,
    tests: Vec<FileTest>,
}

impl Pipeline {
    /// Reads a document; its problems are noted.
    pub(super) fn read(node: &Node, source: &Source<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let before = problems.count();
        let fields = Fields::of(node, &SHAPE, problems)?;
        let name = fields.need("name", "the pipeline's name", problems);
        let at = name.map_or(node.at, |name| name.at);
        let name: Option<Name> = name.and_then(|name| fields::parsed(name, "a name", problems));
        let description = fields
            .get("description")
            .and_then(|node| fields::text(node, "a text", problems));
        let gate = Gate::read(&fields, problems);
        let on = fields
            .need("on", "a list of etypes", problems)
            .and_then(|node| patterns(node, problems));
        let when = fields
            .get("when")
            .and_then(|node| condition(node, &OF_EVENT, problems));
        let values = Let::read(&fields, &OF_EVENT, problems);
        let known = vars::names(&fields);
        let scope = Scope {
            vars: &known,
            ..OF_EVENT
        };
        let guards = PipelineGuards::read(&fields, problems);
        let reach = Reach::read(&fields, &guards, problems);
        let counted = if reach.is_set { &OF_EVENT_ALONE } else { &scope };
        let suppress = fields
            .get("suppress")
            .and_then(|node| Suppress::read(node, counted, problems));
        let key_uses = suppress.as_ref().and_then(Suppress::key_uses);
        let job = fields
            .need("job", "a job, or the name of one", problems)
            .and_then(|node| PipelineJob::read(node, name.as_ref(), &fields, &scope, source, problems));
        let tests = fields
            .get("tests")
            .and_then(|node| file_test::read(node, problems));
        if problems.count() > before {
            return None;
        }
        let job = job?;
        Some(Self {
            name: name?,
            version: version([source.text, job.version()]),
            text: reach.plan.is_some().then(|| source.text.into()),
            file: source.file.to_owned(),
            at,
            description: description.map(str::to_owned),
            gate,
            on: on?,
            when,
            key_part: key_uses.map(|uses| values.part(uses)),
            values,
            suppress: suppress.map(Box::new),
            guards,
            fanout: reach.plan.map(Box::new),
            job,
            tests: tests.unwrap_or_default(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// SHA-256 over its text and that of its named job.
    pub fn version(&self) -> &Sha256 {
        &self.version
    }

    /// The file it came from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What it is for, in its author's words.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Whether it only says what it would do.
    pub fn is_dry_run(&self) -> bool {
        self.gate.dry_run
    }

    /// Whether it listens to events of this etype.
    pub fn listens_to(&self, etype: &Etype) -> bool {
        self.on.iter().any(|pattern| pattern.matches(etype))
    }

    /// The texts of which a field of the event, from `event` on, must be one for the condition to hold; `None`: the condition does
    /// not say so.
    pub fn wanted_texts(&self, path: &[&str]) -> Option<Vec<&str>> {
        let needs = self.when.as_ref().map(Condition::needs).unwrap_or_default();
        needs.iter().find_map(|need| need::texts_of(need, path))
    }

    /// The same, whether or not it is enabled.
    pub(super) fn into_enabled(mut self) -> Self {
        self.gate.enabled = true;
        self
    }

    /// Its tests, which are not kept with it.
    pub(super) fn take_tests(&mut self) -> Vec<FileTest> {
        std::mem::take(&mut self.tests)
    }

    pub(crate) fn at(&self) -> At {
        self.at
    }

    pub(super) fn patterns(&self) -> &[EtypePattern] {
        &self.on
    }

    /// The name its jobs carry.
    pub fn job_name(&self) -> &Name {
        self.job.name()
    }

    /// As lists show it; what it is doing is the router's to add.
    pub fn view(&self) -> PipelineView {
        PipelineView {
            name: self.name.clone(),
            version: self.version.clone(),
            file: self.file.clone(),
            enabled: self.gate.enabled,
            dry_run: self.gate.dry_run,
            orgs: self.gate.orgs.clone(),
            events_max_age: self.gate.age_max,
            on: self
                .on
                .iter()
                .map(|pattern| pattern.as_str().to_owned())
                .collect(),
            when: self.when.as_ref().map(|when| when.source().to_owned()),
            target: self.fanout().map(|plan| plan.target.clone()),
            job: self.job_name().clone(),
            pause: None,
            in_flight: 0,
            withheld: Vec::new(),
        }
    }

    /// Why it does not look at an event of this age, whose etype is one of its candidates' already; `age_max` is
    /// what the server takes, and holds where the pipeline does not say.
    pub fn closed_to(&self, event: &Event, age: Span, age_max: Span) -> Option<Closed> {
        self.gate.closed_to(event, age, age_max)
    }

    /// The oldest event that it takes, where the server takes `age_max`.
    pub fn age_max(&self, age_max: Span) -> Span {
        self.gate.age_max.unwrap_or(age_max)
    }

    /// Whether `when` names `host`.
    pub fn needs_host_for_condition(&self) -> bool {
        self.when.as_ref().is_some_and(Condition::needs_host)
    }

    /// The orgs for which it listens, none of them being all; `None`: it is disabled.
    pub(crate) fn listens_for(&self) -> Option<&[Org]> {
        let orgs = self.gate.orgs.as_deref().unwrap_or_default();
        self.gate.enabled.then_some(orgs)
    }

    /// What an event must have for `when` to hold, each of them.
    pub(super) fn needs(&self) -> &[Need] {
        self.when.as_ref().map(Condition::needs).unwrap_or_default()
    }

    /// Whether it has a condition that must be evaluated for every event of its etypes, because nothing in it says
    /// what an event must have for it to hold.
    pub fn is_always_evaluated(&self) -> bool {
        self.when.as_ref().is_some_and(|when| when.needs().is_empty())
    }

    /// Whether `event` lacks what `when` needs of it, whatever its host is: then it does not match, and nothing else
    /// of the condition is looked at.
    pub fn is_ruled_out(&self, event: &Event) -> bool {
        self.when.as_ref().is_some_and(|when| when.is_ruled_out(event))
    }

    /// Whether it wants this event, whose etype is one of its candidates' already. Without a host every
    /// field of `host` is missing. Never panics.
    pub fn matches(&self, event: &Event, host: Option<&HostFacts>) -> Match {
        self.when
            .as_ref()
            .map_or(Match::Yes, |when| when.matches(event, host))
    }

    /// Which part of `when` does not hold, and why; `None`: it wants the event.
    pub fn unmet(&self, event: &Event, host: Option<&HostFacts>) -> Option<Unmet> {
        self.when.as_ref().and_then(|when| when.unmet(event, host))
    }

    /// How often it acts; `None`: whenever it matches.
    pub fn suppress(&self) -> Option<&Suppress> {
        self.suppress.as_deref()
    }

    /// How it acts on a set of hosts; `None`: it acts on the event's host.
    pub fn fanout(&self) -> Option<&FanoutPlan> {
        self.fanout.as_deref()
    }

    /// Its text, which is read as the file was; kept where its target is a set of hosts, and else empty.
    pub(crate) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// The text of its named job, if it has one.
    pub(crate) fn job_text(&self) -> Option<&str> {
        self.job.text()
    }

    /// What bounds it beside `suppress`.
    pub fn guards(&self) -> &PipelineGuards {
        &self.guards
    }

    /// The key under which it is counted how often it acts; empty without one. Most events of a flood come only so far, so
    /// no more is rendered than the key needs; what only the job needs may be missing. `host` is absent where it acts on a
    /// set of hosts, which are not known then.
    ///
    /// # Errors
    ///
    /// What the key's templates give over these values; see [`RenderError::code`].
    pub fn suppress_key(&self, event: &Event, host: Option<&HostFacts>) -> Result<String, RenderError> {
        let (Some(suppress), Some(part)) = (&self.suppress, &self.key_part) else {
            return Ok(String::new());
        };
        let seen = part.event.then(|| ("event", event_value(event)));
        let host = host.map(|host| ("host", host_value(host)));
        let mut context = Context::new(seen.into_iter().chain(host));
        let key = context
            .define_part(&self.values, part)
            .and_then(|()| suppress.key(&context.value()));
        key.map_err(|error| error.in_subject("pipeline", &self.name))
    }

    /// What its templates know.
    fn context(&self, event: &Event, host: &HostFacts) -> Result<Context, RenderError> {
        let mut context = Context::new([("event", event_value(event)), ("host", host_value(host))]);
        context.define(&self.values)?;
        Ok(context)
    }

    /// Makes its job for `host`.
    ///
    /// # Errors
    ///
    /// What its templates give over these values; see [`RenderError::code`].
    pub fn render(&self, event: &Event, host: &HostFacts) -> Result<RenderedJob, RenderError> {
        self.render_job(event, host)
            .map_err(|error| error.in_subject("pipeline", &self.name))
    }

    fn render_job(&self, event: &Event, host: &HostFacts) -> Result<RenderedJob, RenderError> {
        self.job.render((event, host), self.context(event, host)?)
    }
}

fn patterns(node: &Node, problems: &mut Problems<'_>) -> Option<Vec<EtypePattern>> {
    let items = fields::one_or_many(node, "etypes", PATTERNS_MAX, problems)?;
    let patterns = fields::all_parsed(items, "an etype, or a pattern such as acme.alert.*", problems)?;
    warn_of_covered(items, &patterns, problems);
    Some(patterns)
}

/// Warns of etypes that add nothing: others of the list cover them.
fn warn_of_covered(items: &[Node], patterns: &[EtypePattern], problems: &mut Problems<'_>) {
    for (index, (item, pattern)) in items.iter().zip(patterns).enumerate() {
        let mut before = patterns.iter().take(index);
        let text = pattern.as_str();
        if before.any(|earlier| earlier == pattern) {
            problems.warn(item.at, format!("the etype {text:?} is given twice"));
            continue;
        }
        let wider = patterns
            .iter()
            .find(|other| *other != pattern && other.covers(pattern));
        if let Some(wider) = wider {
            let wider = wider.as_str();
            problems.warn(
                item.at,
                format!("the etype {text:?} adds nothing: {wider:?} covers it"),
            );
        }
    }
}

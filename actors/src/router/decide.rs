//! The decision over one event: pure, given the rules, the hosts and what guards counted. Tests in files are held to
//! the same function (`crate::trial`), with hosts and guards in memory.

use super::guard::{Guards, No, Wish};
use super::lookup::{Hosts, Resolution};
use super::remember::Kept;
use super::withheld::{Why, Withheld};
use crate::fanout::{self, NewFanout};
use crate::ingest::Dead;
use crate::pipeline::{Closed, HostFacts, Match, Pipeline, RenderError, RenderedJob};
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::scheduler::NewJob;
use std::sync::Arc;
use tripline_protocol::event::HostHint;
use tripline_protocol::job::PipelineRef;
use tripline_protocol::{Event, JobId, Name, Span, Timestamp};

/// The reason of an event that is too old.
pub(super) const STALE: &str = "stale";

/// How old an event is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Age {
    pub(crate) age: Span,
    /// The oldest that is taken by pipelines that do not say.
    pub(crate) age_max: Span,
}

/// What an event causes.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    pub(crate) jobs: Vec<NewJob>,
    /// What begins on sets of hosts.
    pub(crate) fanouts: Vec<NewFanout>,
    /// Those of pipelines that only say what they would do.
    pub(crate) dry_runs: Vec<NewJob>,
    /// What these would begin on sets of hosts.
    pub(crate) dry_fanouts: Vec<NewFanout>,
    pub(crate) dead: Option<Dead>,
    /// Pipelines that it matches and that do not act.
    pub(crate) withheld: Vec<Withheld>,
    /// Pipelines whose condition has no value, and why.
    pub(crate) errors: Vec<(Name, String)>,
    /// Whether a guard counted it, so that it must not be counted again.
    pub(crate) counted: bool,
    /// Whether services get it.
    pub(crate) delivers: bool,
}

impl Decision {
    /// Whether something came of the event. That it is too old is nothing: a pipeline may be changed, and the
    /// event replayed.
    pub(super) fn acts(&self) -> bool {
        let is_dead = self.dead.as_ref().is_some_and(|dead| dead.reason != STALE);
        is_dead || self.causes()
    }

    /// Whether somebody acts on the event, or a service gets it.
    fn causes(&self) -> bool {
        self.delivers || !self.jobs.is_empty() || !self.fanouts.is_empty()
    }

    /// How the event's mark is kept, if it has one.
    pub(super) fn kept(&self) -> Kept {
        match (self.causes(), self.acts()) {
            (true, _) => Kept::Acted,
            (false, true) => Kept::Dead,
            (false, false) => Kept::Settled,
        }
    }

    /// Services want it, and it is too old: it may not be lost in silence.
    pub(super) fn too_old_for_services(&mut self, age: Span, age_max: Span) {
        if !self.acts() && self.dead.is_none() {
            self.dead = Some(too_old(age, age_max));
        }
    }

    /// The pipelines that decided for good not to act, or only to say what they would do.
    pub(super) fn settled(&self) -> impl Iterator<Item = &Name> {
        let withheld = self.withheld.iter();
        let withheld = withheld.filter(|withheld| self.counted || withheld.why.is_final());
        let dry_runs = self.dry_runs.iter().map(|job| &job.pipeline);
        let dry_fanouts = self.dry_fanouts.iter().map(|fanout| &fanout.record.pipeline);
        let dry = dry_runs.chain(dry_fanouts).flatten();
        withheld
            .map(|withheld| &withheld.pipeline)
            .chain(dry.map(|pipeline| &pipeline.name))
    }

    /// Whether the event is not to be decided again.
    pub(crate) fn is_final(&self) -> bool {
        self.acts() || self.settled().next().is_some()
    }
}

/// What a pipeline makes of an event.
enum Verdict {
    No,
    Error(String),
    Job(Box<NewJob>),
    Fanout(Box<NewFanout>),
    Dead(Dead),
    Withheld(Withheld),
}

/// The event's host, looked up once and only when a pipeline asks for it.
pub(super) struct EventHost<'a> {
    event: &'a Event,
    hosts: &'a dyn Hosts,
    found: Option<Result<(HostRecord, HostFacts), Dead>>,
}

impl<'a> EventHost<'a> {
    pub(super) fn new(event: &'a Event, hosts: &'a dyn Hosts) -> Self {
        Self {
            event,
            hosts,
            found: None,
        }
    }

    /// Whether the event names one.
    pub(super) fn is_named(&self) -> bool {
        self.event.host.is_some()
    }

    pub(super) fn get(&mut self) -> Result<&Result<(HostRecord, HostFacts), Dead>, Refusal> {
        if self.found.is_none() {
            self.found = Some(self.resolve()?);
        }
        self.found.as_ref().ok_or(Refusal::Unavailable {
            detail: "no host was looked up",
        })
    }

    fn resolve(&self) -> Result<Result<(HostRecord, HostFacts), Dead>, Refusal> {
        let Some(hint) = &self.event.host else {
            let text = "a pipeline needs the event's host and the event names none".into();
            return Ok(Err(Dead {
                reason: "no_host",
                text,
            }));
        };
        Ok(match self.hosts.resolve(&self.event.org, hint)? {
            Resolution::Found(record) => {
                let facts = self.hosts.facts(&record)?;
                Ok((*record, facts))
            }
            Resolution::Unknown if matches!(hint, HostHint::Subject(_)) => {
                // A CloudEvents subject need not be a host.
                let text = "a pipeline needs the event's host, and its subject names no known one".into();
                Err(Dead {
                    reason: "no_host",
                    text,
                })
            }
            Resolution::Unknown => {
                let text = format!("org {} has no host {}", self.event.org, hint_text(hint));
                Err(Dead {
                    reason: "unknown_host",
                    text,
                })
            }
            Resolution::Ambiguous(count) => {
                let text = format!(
                    "{} names {count} hosts of org {}",
                    hint_text(hint),
                    self.event.org
                );
                Err(Dead {
                    reason: "ambiguous_host",
                    text,
                })
            }
        })
    }
}

fn hint_text(hint: &HostHint) -> String {
    match hint {
        HostHint::HostId(id) => id.to_string(),
        HostHint::SensorId(id) => format!("with sensor id {id}"),
        HostHint::Sid(text) | HostHint::Hostname(text) | HostHint::Subject(text) => {
            text.chars().take(80).collect::<String>()
        }
    }
}

/// Every candidate decides by itself. An event is `stale` when none that takes it matches, and one would that finds it too
/// old.
pub(crate) fn decide<'a>(
    candidates: impl Iterator<Item = &'a Arc<Pipeline>>,
    (event, run): (&Event, u32),
    Age { age, age_max }: Age,
    hosts: &dyn Hosts,
    guards: &mut Guards,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let mut host = EventHost::new(event, hosts);
    let mut decision = Decision::default();
    let (mut matched, mut too_old_for) = (false, None);
    for pipeline in candidates {
        let verdict = match pipeline.closed_to(event, age, age_max) {
            None => consider(pipeline, (event, run), &mut host, guards, now)?,
            Some(Closed::Stale { age_max }) => {
                // Without a host that it asks for nobody knows whether it matches: as little may be lost in silence.
                match wants(pipeline, event, &mut host)? {
                    Ok(Match::No) => {}
                    Ok(Match::Error(why)) => decision.errors.push((pipeline.name().clone(), why)),
                    Ok(Match::Yes) | Err(_) => {
                        too_old_for = too_old_for.max(Some(age_max));
                        decision.withheld.push(stale(pipeline, age, age_max));
                    }
                }
                continue;
            }
            Some(Closed::Disabled | Closed::WrongOrg) => continue,
        };
        matched |= !matches!(verdict, Verdict::No | Verdict::Error(_));
        match verdict {
            Verdict::No => {}
            Verdict::Error(why) => decision.errors.push((pipeline.name().clone(), why)),
            Verdict::Job(job) if pipeline.is_dry_run() => decision.dry_runs.push(*job),
            Verdict::Job(job) => decision.jobs.push(*job),
            Verdict::Fanout(fanout) if pipeline.is_dry_run() => decision.dry_fanouts.push(*fanout),
            Verdict::Fanout(fanout) => decision.fanouts.push(*fanout),
            Verdict::Dead(dead) => add_dead(&mut decision, pipeline, dead),
            Verdict::Withheld(withheld) => decision.withheld.push(withheld),
        }
    }
    if let Some(age_max) = too_old_for.filter(|_| !matched) {
        decision.dead = Some(too_old(age, age_max));
    }
    decision.counted = guards.take_counted();
    Ok(decision)
}

fn too_old(age: Span, age_max: Span) -> Dead {
    Dead {
        reason: STALE,
        text: format!("the event is {age} old, at most {age_max} is taken"),
    }
}

fn stale(pipeline: &Pipeline, age: Span, age_max: Span) -> Withheld {
    let text = format!("the event is {age} old, it takes at most {age_max}");
    Withheld::new(pipeline.name(), Why::Stale, text)
}

/// One dead letter per event: the first reason counts, every pipeline's text is kept.
fn add_dead(decision: &mut Decision, pipeline: &Pipeline, dead: Dead) {
    let text = format!("pipeline {}: {}", pipeline.name(), dead.text);
    match &mut decision.dead {
        None => {
            decision.dead = Some(Dead {
                reason: dead.reason,
                text,
            })
        }
        Some(first) => {
            first.text.push_str("; ");
            first.text.push_str(&text);
        }
    }
}

/// Whether the condition of a pipeline holds. The inner `Err`: it asks for a host that nobody knows.
fn wants(
    pipeline: &Pipeline,
    event: &Event,
    host: &mut EventHost<'_>,
) -> Result<Result<Match, Dead>, Refusal> {
    let facts = if pipeline.needs_host_for_condition() && event.host.is_some() {
        match host.get()? {
            Ok((_, facts)) => Some(facts),
            Err(dead) => return Ok(Err(dead.clone())),
        }
    } else {
        None
    };
    Ok(Ok(pipeline.matches(event, facts)))
}

fn consider(
    pipeline: &Arc<Pipeline>,
    (event, run): (&Event, u32),
    host: &mut EventHost<'_>,
    guards: &mut Guards,
    now: Timestamp,
) -> Result<Verdict, Refusal> {
    match wants(pipeline, event, host)? {
        Ok(Match::No) => return Ok(Verdict::No),
        Ok(Match::Error(why)) => return Ok(Verdict::Error(why)),
        Ok(Match::Yes) => {}
        // A pipeline that does not act asks for no host.
        Err(dead) => {
            let paused = guards.pauses.withheld(pipeline.name());
            return Ok(paused.map_or(Verdict::Dead(dead), Verdict::Withheld));
        }
    }
    if let Some(withheld) = guards.pauses.withheld(pipeline.name()) {
        return Ok(Verdict::Withheld(withheld));
    }
    let wish = Wish {
        pipeline,
        event,
        run,
        facts: None,
        now,
    };
    if let Some(fanout) = fanout::from_pipeline(pipeline, event, run, now) {
        return Ok(begin(&wish, fanout, guards));
    }
    Ok(match host.get()? {
        Ok(found) => act(&wish, found, guards),
        Err(dead) => Verdict::Dead(dead.clone()),
    })
}

/// The pipeline matches, and its target is a set of hosts.
fn begin(wish: &Wish<'_>, fanout: NewFanout, guards: &mut Guards) -> Verdict {
    match guards.ask(wish) {
        Ok(permit) => {
            guards.acted(wish, permit);
            Verdict::Fanout(Box::new(fanout))
        }
        Err(No::Withheld(withheld)) => Verdict::Withheld(withheld),
        Err(No::Unrenderable(error)) => Verdict::Dead(dead(&error)),
    }
}

/// The pipeline matches: it acts, unless a guard is in the way.
fn act(wish: &Wish<'_>, (record, facts): &(HostRecord, HostFacts), guards: &mut Guards) -> Verdict {
    let wish = &Wish {
        facts: Some(facts),
        ..*wish
    };
    let permit = match guards.ask(wish) {
        Ok(permit) => permit,
        Err(No::Withheld(withheld)) => return Verdict::Withheld(withheld),
        Err(No::Unrenderable(error)) => return Verdict::Dead(dead(&error)),
    };
    match wish.pipeline.render(wish.event, facts) {
        Ok(rendered) => {
            guards.acted(wish, permit);
            Verdict::Job(Box::new(new_job(wish, record, rendered)))
        }
        Err(error) => Verdict::Dead(dead(&error)),
    }
}

fn dead(error: &RenderError) -> Dead {
    Dead {
        reason: error.code(),
        text: error.to_string(),
    }
}

fn new_job(wish: &Wish<'_>, record: &HostRecord, rendered: RenderedJob) -> NewJob {
    let Wish {
        pipeline, event, run, ..
    } = wish;
    NewJob {
        job_id: JobId::derive(event.key, pipeline.name(), record.host_id, *run),
        run: *run,
        org: event.org.clone(),
        spec: rendered.spec,
        vars: rendered.vars,
        host: record.to_ref(),
        pipeline: Some(PipelineRef {
            name: pipeline.name().clone(),
            version: pipeline.version().clone(),
        }),
        event: Some(event.to_ref()),
        fanout: None,
        traceparent: event.traceparent.clone(),
        investigation_id: None,
        depth: event.depth,
        by: None,
    }
}

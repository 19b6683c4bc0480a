//! The decision over one event: pure, given the rules and the hosts.

use super::lookup::{HostBook, Resolution};
use crate::ingest::Dead;
use crate::pipeline::{Closed, HostFacts, Match, Pipeline};
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::scheduler::NewJob;
use std::sync::Arc;
use tripline_protocol::event::HostHint;
use tripline_protocol::job::PipelineRef;
use tripline_protocol::{Event, JobId, Span};

/// The reason of an event that is too old.
pub(super) const STALE: &str = "stale";

/// How old an event is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Age {
    pub(super) age: Span,
    /// The oldest that is taken by pipelines that do not say.
    pub(super) age_max: Span,
}

/// What an event causes.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) jobs: Vec<NewJob>,
    pub(super) dead: Option<Dead>,
}

/// The event's host, looked up once and only when a pipeline asks for it.
struct EventHost<'a> {
    event: &'a Event,
    book: &'a HostBook<'a>,
    found: Option<Result<(HostRecord, HostFacts), Dead>>,
}

impl EventHost<'_> {
    fn get(&mut self) -> Result<&Result<(HostRecord, HostFacts), Dead>, Refusal> {
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
        Ok(match self.book.resolve(&self.event.org, hint)? {
            Resolution::Found(record) => {
                let facts = self.book.facts(&record)?;
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

/// Every candidate decides by itself. An event is `stale` only when all that could act on it find it too old.
pub(super) fn decide<'a>(
    candidates: impl Iterator<Item = &'a Arc<Pipeline>>,
    (event, run): (&Event, u32),
    Age { age, age_max }: Age,
    book: &HostBook<'_>,
) -> Result<Decision, Refusal> {
    let mut host = EventHost {
        event,
        book,
        found: None,
    };
    let mut decision = Decision::default();
    let (mut looked_at, mut too_old_for) = (false, None);
    for pipeline in candidates {
        match pipeline.closed_to(event, age, age_max) {
            None => looked_at = true,
            Some(Closed::Stale { age_max }) => {
                too_old_for = too_old_for.max(Some(age_max));
                continue;
            }
            Some(Closed::Disabled | Closed::WrongOrg) => continue,
        }
        match consider(pipeline, (event, run), &mut host)? {
            Ok(Some(job)) => decision.jobs.push(job),
            Ok(None) => {}
            Err(dead) => add_dead(&mut decision, pipeline, dead),
        }
    }
    if let Some(age_max) = too_old_for.filter(|_| !looked_at) {
        decision.dead = Some(Dead {
            reason: STALE,
            text: format!("the event is {age} old, at most {age_max} is taken"),
        });
    }
    Ok(decision)
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

fn consider(
    pipeline: &Arc<Pipeline>,
    (event, run): (&Event, u32),
    host: &mut EventHost<'_>,
) -> Result<Result<Option<NewJob>, Dead>, Refusal> {
    let facts = if pipeline.needs_host_for_condition() && event.host.is_some() {
        match host.get()? {
            Ok((_, facts)) => Some(facts),
            Err(dead) => return Ok(Err(dead.clone())),
        }
    } else {
        None
    };
    match pipeline.matches(event, facts) {
        Match::No => return Ok(Ok(None)),
        Match::Error(why) => {
            metrics::counter!("tripline_router_condition_errors_total").increment(1);
            tracing::warn!(pipeline = %pipeline.name(), event = %event.key, why, "condition has no value");
            return Ok(Ok(None));
        }
        Match::Yes => {}
    }
    let (record, facts) = match host.get()? {
        Ok(found) => found,
        Err(dead) => return Ok(Err(dead.clone())),
    };
    Ok(match pipeline.render(event, facts) {
        Ok(rendered) => Ok(Some(NewJob {
            job_id: JobId::derive(event.key, pipeline.name(), record.host_id, run),
            run,
            org: event.org.clone(),
            spec: rendered.spec,
            vars: rendered.vars,
            host: record.to_ref(),
            pipeline: Some(PipelineRef {
                name: pipeline.name().clone(),
                version: pipeline.version().clone(),
            }),
            event: Some(event.to_ref()),
            traceparent: event.traceparent.clone(),
            depth: event.depth,
            by: None,
        })),
        Err(error) => Err(Dead {
            reason: error.code(),
            text: error.to_string(),
        }),
    })
}

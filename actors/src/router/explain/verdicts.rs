//! What each pipeline made of an event: as it is recorded, or as the version in force decides it now.

use super::recorded::Recorded;
use super::{EventHost, FoundEvent};
use crate::fanout::FanoutRecord;
use crate::ground::Ground;
use crate::ingest::Dead;
use crate::pipeline::{Closed, HostFacts, Pipeline, RenderError, RuleSet};
use crate::record::JobRecord;
use crate::refusal::Refusal;
use crate::router::age_taken;
use crate::router::withheld::{DecisionRecord, Why};
use crate::timekeeper::service_of;
use std::sync::Arc;
use tripline_protocol::api::{PipelineVerdict, Unmet, VerdictWord};
use tripline_protocol::{Etype, Event, Name, Span};

/// What verdicts go by.
pub(super) struct Judge<'a> {
    pub(super) ground: &'a Ground,
    pub(super) set: &'a RuleSet,
    pub(super) recorded: &'a Recorded,
    /// Whether the event was decided about.
    pub(super) is_handled: bool,
    pub(super) found: Option<&'a FoundEvent>,
}

/// A verdict that is worked out now.
struct Now {
    word: VerdictWord,
    reason: Option<&'static str>,
    text: String,
    unmet: Option<Unmet>,
}

impl Now {
    fn new(word: VerdictWord, text: impl Into<String>) -> Self {
        Self {
            word,
            reason: None,
            text: text.into(),
            unmet: None,
        }
    }

    fn dead(dead: &Dead) -> Self {
        Self {
            reason: Some(dead.reason),
            ..Self::new(VerdictWord::Dead, dead.text.clone())
        }
    }

    fn unmet(unmet: Unmet) -> Self {
        Self {
            unmet: Some(unmet.clone()),
            ..Self::new(VerdictWord::Condition, unmet.to_string())
        }
    }
}

impl Judge<'_> {
    /// The verdicts of all pipelines that listen or of which something is recorded, the most telling first, and how many
    /// do not listen.
    pub(super) fn all(
        &self,
        etype: &Etype,
        mut host: Option<&mut EventHost<'_>>,
    ) -> Result<(Vec<PipelineVerdict>, u64), Refusal> {
        let mut verdicts = Vec::new();
        let mut listening = 0;
        // A service's own tick is no pipeline's.
        let is_of_service = self.found.is_some_and(|found| service_of(&found.event).is_some());
        for pipeline in self.set.candidates(etype).filter(|_| !is_of_service) {
            listening += 1;
            let verdict = match self.of_record(pipeline.name()) {
                Some(verdict) => PipelineVerdict {
                    version: Some(pipeline.version().clone()),
                    ..verdict
                },
                None => self.worked_out(pipeline, host.as_deref_mut())?,
            };
            verdicts.push(verdict);
        }
        for name in self.recorded.pipelines() {
            if !verdicts.iter().any(|verdict| verdict.pipeline == *name) {
                verdicts.extend(self.of_record(name));
            }
        }
        verdicts.sort_by(|a, b| (a.verdict, &a.pipeline).cmp(&(b.verdict, &b.pipeline)));
        let all = self.set.pipelines().count() as u64;
        Ok((verdicts, all - listening))
    }

    fn of_record(&self, name: &Name) -> Option<PipelineVerdict> {
        let jobs: Vec<&JobRecord> = self.recorded.jobs_of(name).collect();
        let fanouts: Vec<&FanoutRecord> = self.recorded.fanouts_of(name).collect();
        let acted = match (jobs.first(), fanouts.first()) {
            (Some(first), _) => Some(acted(name, first, (&jobs, &fanouts))),
            (None, Some(first)) => Some(began(name, first, &fanouts)),
            (None, None) => None,
        };
        match (acted, self.recorded.decision_of(name)) {
            // Whoever acts lets go of its decision: one that is there is about a later replay.
            (Some(before), Some(record)) if record.run > 0 => Some(withheld_again(before, record)),
            (Some(acted), _) => Some(acted),
            (None, record) => record.map(|record| withheld(name, record)),
        }
    }

    fn worked_out(
        &self,
        pipeline: &Arc<Pipeline>,
        host: Option<&mut EventHost<'_>>,
    ) -> Result<PipelineVerdict, Refusal> {
        let now = match (self.found, host) {
            (Some(found), Some(host)) => self.decide(pipeline, found, host)?,
            _ => Now::new(
                VerdictWord::Unknown,
                "nothing is recorded of it, and the event cannot be read again",
            ),
        };
        Ok(PipelineVerdict {
            pipeline: pipeline.name().clone(),
            verdict: now.word,
            recorded: false,
            version: Some(pipeline.version().clone()),
            decided_by: None,
            reason: now.reason.map(str::to_owned),
            text: now.text,
            unmet: now.unmet,
            key: None,
            would: None,
            at: None,
            jobs: Vec::new(),
            fanouts: Vec::new(),
        })
    }

    /// What the version in force makes of the event, as the router would. Guards are not asked: what they counted then
    /// is not what they count now.
    fn decide(
        &self,
        pipeline: &Arc<Pipeline>,
        found: &FoundEvent,
        host: &mut EventHost<'_>,
    ) -> Result<Now, Refusal> {
        let event = &found.event;
        if !self.is_handled {
            let text = "the event has not been handled yet";
            return Ok(Now::new(VerdictWord::NotHandled, text));
        }
        let age_max = age_taken(event, self.ground.config.events_max_age);
        let stale = match pipeline.closed_to(event, self.age(found), age_max) {
            Some(Closed::Disabled) => return Ok(Now::new(VerdictWord::Disabled, "it is not enabled")),
            Some(Closed::WrongOrg) => {
                let text = format!("it is not for events of org {}", event.org);
                return Ok(Now::new(VerdictWord::WrongOrg, text));
            }
            Some(Closed::Stale { age_max }) => Some(age_max),
            None => None,
        };
        if let Some(no) = condition(pipeline, event, host)? {
            return Ok(no);
        }
        if let Some(age_max) = stale {
            let age = self.age(found);
            let text =
                format!("the event was {age} old when it was decided about, it takes at most {age_max}");
            return Ok(Now::new(VerdictWord::Stale, text));
        }
        if pipeline.fanout().is_some() {
            return Ok(unrecorded(pipeline.suppress_key(event, None).map(drop)));
        }
        Ok(match host.get()? {
            Err(dead) => Now::dead(dead),
            Ok((_, facts)) => matching(pipeline, event, facts),
        })
    }

    /// How old the event was when it was decided about. One that a person replayed is as old as the wish.
    fn age(&self, found: &FoundEvent) -> Span {
        if self.recorded.is_replayed() {
            return Span::ZERO;
        }
        let decided = self.recorded.handled_at().unwrap_or(found.stored_at);
        decided.since(found.event.time)
    }
}

/// Why its condition does not let the event through, if it does not.
fn condition(pipeline: &Pipeline, event: &Event, host: &mut EventHost<'_>) -> Result<Option<Now>, Refusal> {
    let facts = if pipeline.needs_host_for_condition() && event.host.is_some() {
        match host.get()? {
            Ok((_, facts)) => Some(facts),
            // The rest of the condition says no, whatever the host is: then nobody looks for it.
            Err(_) if pipeline.is_ruled_out(event) => None,
            Err(dead) => return Ok(Some(Now::dead(dead))),
        }
    } else {
        None
    };
    Ok(pipeline.unmet(event, facts).map(Now::unmet))
}

/// It matches, and nothing is recorded of it.
fn matching(pipeline: &Pipeline, event: &Event, facts: &HostFacts) -> Now {
    let key = pipeline.suppress_key(event, Some(facts)).map(drop);
    unrecorded(key.and_then(|()| pipeline.render(event, facts).map(drop)))
}

/// It could act.
fn unrecorded(rendered: Result<(), RenderError>) -> Now {
    match rendered {
        Err(error) => Now::dead(&Dead {
            reason: error.code(),
            text: error.to_string(),
        }),
        Ok(()) => Now::new(
            VerdictWord::Unrecorded,
            "it would match now, and nothing is recorded: it was not in force then or was another version, or in a flood \
             its decision was only counted",
        ),
    }
}

fn acted(
    name: &Name,
    first: &JobRecord,
    (jobs, fanouts): (&[&JobRecord], &[&FanoutRecord]),
) -> PipelineVerdict {
    let text = match jobs {
        [job] => format!("it made a job on {}", job.host.hostname),
        jobs => format!("it made {} jobs", jobs.len()),
    };
    PipelineVerdict {
        pipeline: name.clone(),
        verdict: VerdictWord::Acted,
        recorded: true,
        version: None,
        decided_by: first.pipeline.as_ref().map(|made| made.version.clone()),
        reason: None,
        text,
        unmet: None,
        key: None,
        would: None,
        at: Some(first.queued_at),
        jobs: jobs.iter().map(|job| job.job_id).collect(),
        fanouts: fanouts.iter().map(|fanout| fanout.fanout_id).collect(),
    }
}

fn began(name: &Name, first: &FanoutRecord, fanouts: &[&FanoutRecord]) -> PipelineVerdict {
    let text = match fanouts {
        [fanout] => format!("it began a fan-out on {}", fanout.plan.target),
        fanouts => format!("it began {} fan-outs", fanouts.len()),
    };
    PipelineVerdict {
        pipeline: name.clone(),
        verdict: VerdictWord::Acted,
        recorded: true,
        version: None,
        decided_by: first.pipeline.as_ref().map(|began| began.version.clone()),
        reason: None,
        text,
        unmet: None,
        key: None,
        would: None,
        at: Some(first.created_at),
        jobs: Vec::new(),
        fanouts: fanouts.iter().map(|fanout| fanout.fanout_id).collect(),
    }
}

/// It acted, and then did not when the event was replayed.
fn withheld_again(before: PipelineVerdict, record: &DecisionRecord) -> PipelineVerdict {
    let verdict = withheld(&before.pipeline, record);
    PipelineVerdict {
        text: format!(
            "at replay {}: {}; before, {}",
            record.run, verdict.text, before.text
        ),
        jobs: before.jobs,
        fanouts: before.fanouts,
        ..verdict
    }
}

fn withheld(name: &Name, record: &DecisionRecord) -> PipelineVerdict {
    let view = record.to_view(Some(name.clone()));
    PipelineVerdict {
        pipeline: name.clone(),
        verdict: match view.reason.as_str() {
            word if word == Why::DryRun.word() => VerdictWord::DryRun,
            word if word == Why::Stale.word() => VerdictWord::Stale,
            _ => VerdictWord::Withheld,
        },
        recorded: true,
        version: None,
        decided_by: view.version,
        reason: Some(view.reason),
        text: view.text,
        unmet: None,
        key: view.key,
        would: view.would,
        at: Some(view.at),
        jobs: Vec::new(),
        fanouts: Vec::new(),
    }
}

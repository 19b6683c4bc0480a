//! Pauses of single pipelines: by a person, or by themselves when too many of their jobs fail. They last over restarts,
//! until a person resumes.
//!
//! A paused pipeline does not act, whatever matches. Deliberately not here: its jobs that wait, which the scheduler holds
//! (`scheduler/held.rs`), pausing the whole server (`scheduler/pause.rs`), and how jobs end (`scheduler/ends.rs`), of which
//! the scheduler tells.

use super::EtypeRouter;
use super::withheld::{Why, Withheld};
use crate::audit::{By, Entry};
use crate::clock::clock_text;
use crate::door::Reply;
use crate::fanout::PausedPipelines;
use crate::ground::{name_of, rows};
use crate::pipeline::{AutoPause, RuleSet};
use crate::record::encode;
use crate::refusal::Refusal;
use crate::scheduler::{End, PipelinePaused, RecentEnds};
use crate::store::{Batch, Store, Table};
use actix::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use tripline_protocol::api::{Asker, PipelinePause, PipelinePauseView};
use tripline_protocol::audit::Action;
use tripline_protocol::{Name, Timestamp};

/// Pauses kept of pipelines that are not in force.
const ABSENT_MAX: usize = 1_000;

/// Pause a pipeline (`Some`) or resume it; from the API. Refuses with `NotFound`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ChangePipelinePause {
    pub(crate) by: Asker,
    /// The same, for the audit.
    pub(crate) on_behalf: By,
    pub(crate) pipeline: Name,
    /// `Some`: pause, with this reason if there is one.
    pub(crate) pause: Option<Option<String>>,
    pub(crate) reply: Reply<PipelinePauseView>,
}

/// A pipeline that is or was paused, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PauseRecord {
    /// There while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause: Option<PipelinePause>,
    /// When a person last resumed it: jobs that ended before count no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resumed_at: Option<Timestamp>,
}

/// The pipelines that are paused, those in force and others, as the store has them.
pub(crate) fn paused_pipelines(store: &Store) -> Result<Vec<(Name, PipelinePause)>, Refusal> {
    let records = Pauses::load(store)?.0.into_iter();
    Ok(records
        .filter_map(|(name, record)| Some((name, record.pause?)))
        .collect())
}

/// The pauses.
#[derive(Debug, Default)]
pub(super) struct Pauses(HashMap<Name, PauseRecord>);

impl Pauses {
    /// Those in the store.
    pub(super) fn load(store: &Store) -> Result<Self, Refusal> {
        let mut pauses = HashMap::new();
        rows(store, Table::PipelinePause, "pause", |key, record| {
            pauses.insert(name_of(key)?, record?);
            Ok(())
        })?;
        Ok(Self(pauses))
    }

    /// The pause that a pipeline is in.
    pub(super) fn get(&self, pipeline: &Name) -> Option<&PipelinePause> {
        self.0.get(pipeline)?.pause.as_ref()
    }

    /// Why a paused pipeline does not act.
    pub(super) fn withheld(&self, pipeline: &Name) -> Option<Withheld> {
        let pause = self.get(pipeline)?;
        let (why, who) = match &pause.by {
            Some(by) => (Why::Paused, format!("{} paused it", by.name)),
            None => (Why::AutoPaused, "it was paused by itself".to_owned()),
        };
        let reason = pause.reason.as_deref().map(|reason| format!(": {reason}"));
        let text = format!(
            "{who} at {}{}",
            clock_text(pause.since),
            reason.unwrap_or_default()
        );
        Some(Withheld::new(pipeline, why, text))
    }

    /// Those that are paused, and why.
    fn texts(&self) -> HashMap<Name, String> {
        let paused = self.0.keys();
        paused
            .filter_map(|name| Some((name.clone(), self.withheld(name)?.text)))
            .collect()
    }

    /// Pauses it. Whoever pauses again gives another reason; the pause is as old as it was.
    fn pause(&mut self, pipeline: &Name, pause: PipelinePause) -> &PauseRecord {
        let record = self.0.entry(pipeline.clone()).or_default();
        let since = record.pause.as_ref().map_or(pause.since, |present| present.since);
        record.pause = Some(PipelinePause { since, ..pause });
        record
    }

    fn resume(&mut self, pipeline: &Name, now: Timestamp) -> &PauseRecord {
        let record = self.0.entry(pipeline.clone()).or_default();
        *record = PauseRecord {
            pause: None,
            resumed_at: Some(now),
        };
        record
    }

    /// Whether so many of its latest jobs failed that it is to be paused now; says so.
    fn is_failing(&self, pipeline: &Name, guard: AutoPause, ends: &[End]) -> Option<String> {
        let record = self.0.get(pipeline);
        if record.is_some_and(|record| record.pause.is_some()) {
            return None;
        }
        let since = record.and_then(|record| record.resumed_at);
        let counted = ends.iter().rev().take(guard.of as usize);
        let counted: Vec<&End> = counted
            .filter(|end| since.is_none_or(|since| end.at > since))
            .collect();
        let failed = counted.iter().filter(|end| end.failed).count();
        (failed >= guard.failed as usize).then(|| {
            let of = counted.len();
            format!("{failed} of its last {of} jobs failed, timed out or were interrupted")
        })
    }

    /// Lets go of what says nothing any more. A pipeline that comes back is as paused as it was, but of those that are
    /// away only the latest pauses are kept; the others are named.
    pub(super) fn keep(&mut self, rules: &RuleSet, batch: &mut Batch) -> Vec<Name> {
        let absent = |name: &&Name| rules.pipeline(name).is_none();
        let mut away: Vec<(Option<Timestamp>, Name)> = self
            .0
            .iter()
            .filter(|(name, _)| absent(name))
            .map(|(name, record)| (record.pause.as_ref().map(|pause| pause.since), name.clone()))
            .collect();
        away.sort();
        let kept = away
            .iter()
            .filter(|(since, _)| since.is_some())
            .count()
            .min(ABSENT_MAX);
        away.truncate(away.len() - kept);
        let mut ended = Vec::new();
        for (since, name) in away {
            self.0.remove(&name);
            batch.delete(Table::PipelinePause, name.as_str().as_bytes().to_vec());
            ended.extend(since.map(|_| name));
        }
        ended
    }

    /// How many pipelines are paused.
    pub(super) fn len(&self) -> usize {
        self.0.values().filter(|record| record.pause.is_some()).count()
    }
}

fn put(batch: &mut Batch, pipeline: &Name, record: &PauseRecord) {
    let key = pipeline.as_str().as_bytes().to_vec();
    batch.put(Table::PipelinePause, key, encode(record));
}

impl EtypeRouter {
    fn change_pause(&mut self, message: &ChangePipelinePause) -> Result<(Batch, PipelinePauseView), Refusal> {
        let ChangePipelinePause {
            by,
            on_behalf,
            pipeline,
            pause,
            ..
        } = message;
        let is_paused = self.guards.pauses.get(pipeline).is_some();
        if self.rules.set.pipeline(pipeline).is_none() && (pause.is_some() || !is_paused) {
            return Err(Refusal::NotFound {
                what: "pipeline",
                id: pipeline.to_string(),
            });
        }
        let now = self.ground.now();
        let (action, record) = match pause {
            Some(reason) => {
                let pause = PipelinePause {
                    since: now,
                    by: Some(by.clone()),
                    reason: reason.clone(),
                };
                (Action::PipelinePause, self.guards.pauses.pause(pipeline, pause))
            }
            None => (Action::PipelineResume, self.guards.pauses.resume(pipeline, now)),
        };
        let (mut batch, record) = (Batch::new(), record.clone());
        put(&mut batch, pipeline, &record);
        batch.audit(self.on_record(
            action,
            on_behalf,
            pipeline,
            pause.as_ref().and_then(Option::as_ref),
        ));
        tracing::warn!(%pipeline, by = by.name, token = by.token_id, action = action.as_str(), "pipeline");
        Ok((
            batch,
            PipelinePauseView {
                name: pipeline.clone(),
                pause: record.pause,
            },
        ))
    }

    fn on_record(&self, action: Action, by: &By, pipeline: &Name, reason: Option<&String>) -> Entry {
        let entry = self.ground.audit(action, by, None);
        entry.on("pipeline", pipeline).detail("reason", reason)
    }

    /// A closure that tells which pipelines are paused, to be run once that is durable: their fan-outs are held back with
    /// them.
    pub(super) fn telling_fanouts(&self) -> impl FnOnce() + Send + 'static + use<> {
        let (fanouts, paused) = (self.fanouts.clone(), PausedPipelines(self.guards.pauses.texts()));
        move || fanouts.do_send(paused)
    }

    /// Pauses a pipeline of which too many jobs failed.
    fn watch_ends(&mut self, RecentEnds { pipeline, ends }: &RecentEnds) {
        let guard = self.rules.set.pipeline(pipeline);
        let Some(guard) = guard.and_then(|pipeline| pipeline.guards().auto_pause) else {
            return;
        };
        let Some(reason) = self.guards.pauses.is_failing(pipeline, guard, ends) else {
            return;
        };
        tracing::error!(%pipeline, reason, "pipeline is paused: too many of its jobs fail");
        let mut batch = Batch::new();
        batch.audit(self.on_record(Action::PipelinePause, &By::system(), pipeline, Some(&reason)));
        let pause = PipelinePause {
            since: self.ground.now(),
            by: None,
            reason: Some(reason),
        };
        let record = self.guards.pauses.pause(pipeline, pause);
        put(&mut batch, pipeline, record);
        let pause = record.pause.clone();
        let (told, fanouts_told) = (self.telling(pipeline, pause), self.telling_fanouts());
        metrics::counter!("tripline_router_auto_pauses_total").increment(1);
        self.ground.store.commit(batch, move || {
            told();
            fanouts_told();
        });
    }

    /// A closure that tells the scheduler whether a pipeline is paused, to be run once that is durable.
    pub(super) fn telling(
        &self,
        pipeline: &Name,
        pause: Option<PipelinePause>,
    ) -> impl FnOnce() + Send + 'static + use<> {
        let (scheduler, pipeline) = (self.scheduler.clone(), pipeline.clone());
        move || scheduler.do_send(PipelinePaused { pipeline, pause })
    }
}

impl Handler<ChangePipelinePause> for EtypeRouter {
    type Result = ();
    fn handle(&mut self, message: ChangePipelinePause, _: &mut Self::Context) {
        let changed = self.change_pause(&message);
        let reply = message.reply;
        match changed {
            Ok((batch, view)) => {
                let told = self.telling(&view.name, view.pause.clone());
                let fanouts_told = self.telling_fanouts();
                self.ground.store.commit(batch, move || {
                    told();
                    fanouts_told();
                    reply.send(Ok(view));
                });
            }
            Err(refusal) => self.ground.after_commit(move || reply.send(Err(refusal))),
        }
    }
}

impl Handler<RecentEnds> for EtypeRouter {
    type Result = ();
    fn handle(&mut self, message: RecentEnds, _: &mut Self::Context) {
        self.watch_ends(&message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::SourceFile;
    use crate::store::Options;
    use tripline_protocol::Span;

    const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn name(name: &str) -> Name {
        name.parse().unwrap()
    }

    fn ends(failed: &[bool]) -> Vec<End> {
        let at = |index: usize| START.after(Span::from_secs(index as u64));
        let ends = failed.iter().enumerate();
        ends.map(|(index, failed)| End {
            at: at(index),
            failed: *failed,
        })
        .collect()
    }

    fn pause(since: Timestamp) -> PipelinePause {
        PipelinePause {
            since,
            by: None,
            reason: None,
        }
    }

    #[test]
    fn a_pipeline_is_failing_when_so_many_of_its_last_jobs_failed() {
        let (pauses, guard) = (Pauses::default(), AutoPause { failed: 2, of: 3 });
        let is_failing = |failed: &[bool]| pauses.is_failing(&name("p"), guard, &ends(failed)).is_some();
        assert!(!is_failing(&[true]));
        assert!(is_failing(&[true, true]), "it need not have had so many jobs");
        assert!(is_failing(&[true, false, true]));
        assert!(!is_failing(&[true, true, false, false]), "one is too long ago");
    }

    #[test]
    fn jobs_that_ended_before_a_person_resumed_count_no_more() {
        let (mut pauses, guard) = (Pauses::default(), AutoPause { failed: 1, of: 3 });
        pauses.pause(&name("p"), pause(START));
        assert_eq!(
            pauses.is_failing(&name("p"), guard, &ends(&[true])),
            None,
            "it is paused"
        );
        pauses.resume(&name("p"), START);
        assert_eq!(pauses.is_failing(&name("p"), guard, &ends(&[true])), None);
        assert!(
            pauses
                .is_failing(&name("p"), guard, &ends(&[true, true]))
                .is_some()
        );
    }

    #[test]
    fn of_pipelines_that_are_away_the_latest_pauses_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let file = SourceFile {
            path: "p.yaml".into(),
            text: "name: here\non: [a]\njob: { steps: [ list_processes: {} ] }\n".into(),
        };
        let rules = RuleSet::parse(&[file], &[]).unwrap();
        let mut pauses = Pauses::default();
        pauses.pause(&name("here"), pause(START));
        pauses.resume(&name("resumed"), START);
        for n in 0..=ABSENT_MAX {
            let since = START.after(Span::from_secs(n as u64));
            pauses.pause(&name(&format!("away{n}")), pause(since));
        }
        let mut batch = Batch::new();
        for (name, record) in &pauses.0 {
            put(&mut batch, name, record);
        }
        pauses.keep(&rules, &mut batch);
        store.commit(batch, || {});
        let loaded = Pauses::load(&store).unwrap();
        assert_eq!(loaded.0, pauses.0);
        assert_eq!(loaded.len(), 1 + ABSENT_MAX);
        for (gone, is_there) in [
            ("here", true),
            ("resumed", false),
            ("away0", false),
            ("away1", true),
        ] {
            assert_eq!(loaded.0.contains_key(&name(gone)), is_there, "{gone}");
        }
    }
}

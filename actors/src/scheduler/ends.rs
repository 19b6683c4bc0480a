//! How the last jobs of pipelines with `auto_pause` ended, for the router, which pauses those that fail.
//!
//! A row for each pipeline, written with the end of its job, so that neither is without the other. Jobs that nobody let
//! run to their end say nothing about their pipeline: those that expired or were cancelled are not among them. Whose ends
//! are kept, and how many, the rules in force say, whenever a job was made.

use super::{JobScheduler, NewJob};
use crate::fanout::JobLost;
use crate::ground::{name_of, rows};
use crate::limacharlie;
use crate::pipeline::RuleSet;
use crate::record::{JobRecord, encode};
use crate::refusal::Refusal;
use crate::router::{JobLanded, JobMade};
use crate::store::{Batch, Store, Table};
use actix::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tripline_protocol::job::Outcome;
use tripline_protocol::{JobId, Name, Span, Timestamp};

/// How long the ends of a pipeline that is not there are kept after the last of them: it may come back.
const ABSENT_RETAIN: Span = Span::from_secs(7 * 24 * 3600);

/// The end of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) at: Timestamp,
    /// It failed, timed out, or was interrupted.
    pub(crate) failed: bool,
}

/// How the last jobs of a pipeline ended, the newest last; to the router, at every end and at the start.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(crate) struct RecentEnds {
    pub(crate) pipeline: Name,
    pub(crate) ends: Vec<End>,
}

/// The rules in force from now on; from the router.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct WatchPipelines(pub(crate) Arc<RuleSet>);

/// A pipeline's ends, as they are written.
pub(crate) type EndsRecord = VecDeque<End>;

/// The ends of all pipelines that are watched.
#[derive(Debug)]
pub(super) struct Ends {
    rules: Arc<RuleSet>,
    of: HashMap<Name, EndsRecord>,
}

impl Ends {
    pub(super) fn load(store: &Store, rules: Arc<RuleSet>) -> Result<Self, Refusal> {
        let mut of = HashMap::new();
        rows(store, Table::PipelineEnds, "ends of jobs", |key, ends| {
            of.insert(name_of(key)?, ends?);
            Ok(())
        })?;
        Ok(Self { rules, of })
    }

    /// How many ends of a pipeline's jobs are kept; `None`: none.
    fn kept(&self, pipeline: &Name) -> Option<usize> {
        let guard = self.rules.pipeline(pipeline)?.guards().auto_pause?;
        Some(guard.of as usize)
    }

    /// A job ends with this batch.
    fn note(&mut self, batch: &mut Batch, record: &JobRecord) -> Option<RecentEnds> {
        let pipeline = &record.pipeline.as_ref()?.name;
        let kept = self.kept(pipeline)?;
        let failed = match record.state.outcome()? {
            Outcome::Succeeded => false,
            Outcome::Failed | Outcome::TimedOut | Outcome::Interrupted => true,
            Outcome::Expired | Outcome::Cancelled => return None,
        };
        let at = record.finished_at?;
        let ends = self.of.entry(pipeline.clone()).or_default();
        ends.push_back(End { at, failed });
        while ends.len() > kept {
            ends.pop_front();
        }
        batch.put(Table::PipelineEnds, row(pipeline), encode(ends));
        Some(told(pipeline, ends))
    }

    /// Goes by these rules: forgets the ends of pipelines that have no use for them any more.
    fn watch(&mut self, rules: Arc<RuleSet>, now: Timestamp) -> Batch {
        self.rules = rules;
        let horizon = now.before(ABSENT_RETAIN);
        let mut batch = Batch::new();
        self.of.retain(|name, ends| {
            let keeps = match self.rules.pipeline(name) {
                Some(pipeline) => pipeline.guards().auto_pause.is_some(),
                None => ends.back().is_some_and(|end| end.at > horizon),
            };
            if !keeps {
                batch.delete(Table::PipelineEnds, row(name));
            }
            keeps
        });
        batch
    }
}

/// The row of an open job with this number.
pub(super) fn open_row(seq: u64) -> Vec<u8> {
    seq.to_be_bytes().to_vec()
}

fn row(pipeline: &Name) -> Vec<u8> {
    pipeline.as_str().as_bytes().to_vec()
}

fn told(pipeline: &Name, ends: &EndsRecord) -> RecentEnds {
    RecentEnds {
        pipeline: pipeline.clone(),
        ends: ends.iter().copied().collect(),
    }
}

impl JobScheduler {
    /// How many jobs of each pipeline are open.
    pub(crate) fn open_by_pipeline(&self) -> HashMap<Name, u32> {
        self.state.open_by_pipeline().clone()
    }

    /// A job ends with this batch: the router is told, and its fan-out if it belongs to one.
    pub(super) fn tell_end(&mut self, batch: &mut Batch, record: &JobRecord) {
        self.tell_landed(record.pipeline.as_ref().map(|pipeline| &pipeline.name));
        self.tell_fanout(batch, record);
        limacharlie::job_ended(&self.ground, batch, record);
        if let Some(ends) = self.ends.note(batch, record) {
            self.router.do_send(ends);
        }
    }

    /// One job fewer of the pipeline is open than the router believes.
    pub(super) fn tell_landed(&self, pipeline: Option<&Name>) {
        if let Some(pipeline) = pipeline.cloned() {
            self.router.do_send(JobLanded(pipeline));
        }
    }

    /// An open job has no record, in a damaged store: nothing can be done with it, and nobody may go on counting it.
    pub(super) fn lose(&mut self, job_id: JobId) {
        tracing::error!(job = %job_id, "an open job has no record");
        let pipeline = self.state.pipeline_of(job_id).cloned();
        let row = self.state.seq_of(job_id).map(open_row);
        if self.state.remove(job_id) {
            let mut batch = Batch::new();
            row.into_iter().for_each(|row| batch.delete(Table::OpenJob, row));
            self.ground.store.commit(batch, || {});
            self.ground.load.release();
            // The row of its time is left, and goes as that of an ended one.
            self.pruner.ended();
            self.tell_landed(pipeline.as_ref());
            self.fanouts.do_send(JobLost(job_id));
        }
    }

    /// A fan-out has made a job of a pipeline: one more is open than the router believes.
    pub(super) fn tell_made(&self, job: &NewJob) {
        if let (Some(pipeline), Some(_)) = (&job.pipeline, &job.fanout) {
            self.router.do_send(JobMade(pipeline.name.clone()));
        }
    }

    /// Tells the router what was written: it may have died between the end of a job and what it makes of it.
    pub(super) fn tell_ends(&self) {
        for (pipeline, ends) in &self.ends.of {
            self.router.do_send(told(pipeline, ends));
        }
    }
}

impl Handler<WatchPipelines> for JobScheduler {
    type Result = ();
    fn handle(&mut self, WatchPipelines(rules): WatchPipelines, _: &mut Self::Context) {
        let batch = self.ends.watch(rules, self.ground.now());
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
    }
}

//! How the last jobs of pipelines with `auto_pause` ended, for the router, which pauses those that fail.
//!
//! A row for each pipeline, written with the end of its job, so that neither is without the other. Jobs that nobody let
//! run to their end say nothing about their pipeline: those that expired or were cancelled are not among them.

use super::{JobScheduler, NewJob};
use crate::ground::read;
use crate::record::{JobRecord, encode};
use crate::refusal::Refusal;
use crate::router::{JobLanded, JobMade};
use crate::store::{Batch, Store, Table};
use actix::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet, VecDeque};
use tripline_protocol::job::Outcome;
use tripline_protocol::{Name, Timestamp};

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

/// Whose ends are wanted from now on; from the router.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct WatchPipelines(pub(crate) HashSet<Name>);

/// A pipeline's ends, as they are written.
pub(crate) type EndsRecord = VecDeque<End>;

/// The ends of all pipelines that are watched.
#[derive(Debug, Default)]
pub(super) struct Ends(HashMap<Name, EndsRecord>);

impl Ends {
    pub(super) fn load(store: &Store) -> Result<Self, Refusal> {
        let mut all = HashMap::new();
        for (key, _) in store.scan(Table::PipelineEnds, &[], None, usize::MAX)? {
            let ends: Option<EndsRecord> = read(store, Table::PipelineEnds, &key, "ends of jobs")?;
            let name = std::str::from_utf8(&key).ok().and_then(|name| name.parse().ok());
            all.extend(name.zip(ends));
        }
        Ok(Self(all))
    }

    /// A job ends with this batch.
    fn note(&mut self, batch: &mut Batch, record: &JobRecord) -> Option<RecentEnds> {
        let pipeline = record.pipeline.as_ref().filter(|_| record.ends_kept > 0)?;
        let failed = match record.state.outcome()? {
            Outcome::Succeeded => false,
            Outcome::Failed | Outcome::TimedOut | Outcome::Interrupted => true,
            Outcome::Expired | Outcome::Cancelled => return None,
        };
        let at = record.finished_at?;
        let ends = self.0.entry(pipeline.name.clone()).or_default();
        ends.push_back(End { at, failed });
        while ends.len() > record.ends_kept as usize {
            ends.pop_front();
        }
        batch.put(Table::PipelineEnds, row(&pipeline.name), encode(ends));
        Some(told(&pipeline.name, ends))
    }

    fn retain(&mut self, watched: &HashSet<Name>) -> Batch {
        let mut batch = Batch::new();
        self.0.retain(|name, _| {
            let is_watched = watched.contains(name);
            if !is_watched {
                batch.delete(Table::PipelineEnds, row(name));
            }
            is_watched
        });
        batch
    }
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

    /// A fan-out has made a job of a pipeline: one more is open than the router believes.
    pub(super) fn tell_made(&self, job: &NewJob) {
        if let (Some(pipeline), Some(_)) = (&job.pipeline, &job.fanout) {
            self.router.do_send(JobMade(pipeline.name.clone()));
        }
    }

    /// Tells the router what was written: it may have died between the end of a job and what it makes of it.
    pub(super) fn tell_ends(&self) {
        for (pipeline, ends) in &self.ends.0 {
            self.router.do_send(told(pipeline, ends));
        }
    }
}

impl Handler<WatchPipelines> for JobScheduler {
    type Result = ();
    fn handle(&mut self, WatchPipelines(watched): WatchPipelines, _: &mut Self::Context) {
        let batch = self.ends.retain(&watched);
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
    }
}

//! Forgetting all jobs of an org: open ones are cancelled, ended ones are pruned, a part of them at a time.

use super::JobScheduler;
use super::messages::CancelJob;
use crate::audit::By;
use crate::door::Door;
use crate::ground::read;
use crate::limacharlie::{ForgetJobs, JobsForgotten};
use crate::record::JobRecord;
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::{JobId, Org};

/// Jobs looked at for one answer.
const PAGE: usize = 1_000;

impl JobScheduler {
    fn forget_jobs(&mut self, org: &Org, after: Option<&[u8]>) -> Result<JobsForgotten, Refusal> {
        let page = self.ground.store.scan(Table::JobByTime, &[], after, PAGE)?;
        let next = page.last().map(|(last, _)| last.clone());
        let (mut batch, mut open, mut found) = (Batch::new(), Vec::new(), 0);
        let now = self.ground.now();
        for (key, _) in &page {
            let id = key.get(8..).unwrap_or_default();
            let record: Option<JobRecord> = read(&self.ground.store, Table::Job, id, "job")?;
            let Some(record) = record.filter(|record| record.org == *org) else {
                continue;
            };
            found += 1;
            if record.state.outcome().is_some() {
                record.bury(&mut batch, now);
                self.pruner.buried();
            } else {
                open.push(record.job_id);
            }
        }
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
        open.into_iter().for_each(|job_id| self.cancel_for_good(job_id));
        Ok(JobsForgotten { found, next })
    }

    /// One that was cancelled before, and runs on until its host confirms, is asked again for nothing.
    fn cancel_for_good(&mut self, job_id: JobId) {
        let asked = self.record_of(job_id).ok().flatten();
        if asked.is_none_or(|record| record.cancel_requested || record.ending.is_some()) {
            return;
        }
        // Nobody waits for this answer: whether the job has ended is looked at again.
        let Ok((reply, _)) = Door::new("removal", 1).enter() else {
            return;
        };
        self.cancel_job(CancelJob {
            org: None,
            job_id,
            by: Arc::new(By::limacharlie(None)),
            reply,
        });
    }
}

impl Handler<ForgetJobs> for JobScheduler {
    type Result = ();
    fn handle(&mut self, ForgetJobs { org, after, reply }: ForgetJobs, _: &mut Self::Context) {
        let forgotten = self.forget_jobs(&org, after.as_deref());
        self.ground.after_commit(move || reply.send(forgotten));
    }
}

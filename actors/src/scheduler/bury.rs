//! Forgetting all jobs of an org: open ones are cancelled, ended ones are pruned, a part of them at a time.
//!
//! What was accepted behind the cut is looked at, too: a job of a fan-out goes with it, whenever its host had its turn.

use super::JobScheduler;
use super::messages::CancelJob;
use crate::audit::By;
use crate::door::Door;
use crate::ground::read;
use crate::limacharlie::{Cut, ForgetJobs, Sweep, Swept};
use crate::record::{JobRecord, split_by_time_key};
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::audit::WhoKind;
use tripline_protocol::{JobId, Org};

/// Jobs looked at for one answer.
const PAGE: usize = 200;

impl JobScheduler {
    fn forget_jobs(&mut self, org: &Org, cut: Cut, after: Option<&[u8]>) -> Result<Swept, Refusal> {
        let page = self.ground.store.scan(Table::JobByTime, &[], after, PAGE)?;
        let next = page.last().map(|(last, _)| last.clone());
        let (mut batch, mut open, mut ended, mut found) = (Batch::new(), Vec::new(), 0_u32, 0);
        let now = self.ground.now();
        for (key, _) in &page {
            let Some((queued_at, id)) = split_by_time_key(key) else {
                continue;
            };
            let record: Result<Option<JobRecord>, Refusal> = read(&self.ground.store, Table::Job, &id, "job");
            let record = match record {
                // Whose it is nobody knows; but it is too new to stand in the way of a removal.
                Err(_) if queued_at > cut.latest() => continue,
                record => record?.filter(|record| record.org == *org),
            };
            let Some(record) = record else { continue };
            if !self.is_cut(&record, cut)? {
                continue;
            }
            found += 1;
            if record.state.outcome().is_some() {
                record.bury(&mut batch, now);
                ended += 1;
            } else {
                open.push(record.job_id);
            }
        }
        // Counted when it is certain: a record that cannot be read would have ended this before.
        (0..ended).for_each(|_| self.pruner.buried());
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
        open.into_iter().for_each(|job_id| self.cancel_for_good(job_id));
        Ok(Swept { found, next })
    }

    /// A job of a fan-out goes with it, whenever its host had its turn.
    fn is_cut(&self, record: &JobRecord, cut: Cut) -> Result<bool, Refusal> {
        if cut.takes(record.queued_at, is_of_subscription(record)) {
            return Ok(true);
        }
        match &record.fanout {
            Some(part) => Ok(self
                .ground
                .store
                .get(Table::Fanout, part.of.fanout_id.as_bytes())?
                .is_none()),
            None => Ok(false),
        }
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

/// Whether an event made it, or a call of LimaCharlie. Such a job begins no new life of the org's name, however late it was accepted: a
/// request that was taken before the org left may come to the scheduler after that, and no further one is taken until all is removed.
fn is_of_subscription(record: &JobRecord) -> bool {
    let by = record.by.as_ref();
    record.event.is_some() || by.is_some_and(|by| by.who.kind == WhoKind::Limacharlie)
}

impl Handler<ForgetJobs> for JobScheduler {
    type Result = ();
    fn handle(&mut self, ForgetJobs(sweep): ForgetJobs, _: &mut Self::Context) {
        let Sweep {
            org,
            cut,
            after,
            reply,
        } = sweep;
        let swept = self.forget_jobs(&org, cut, after.as_deref());
        self.ground.after_commit(move || reply.send(swept));
    }
}

//! What an earlier process, or generation, left behind.

use super::Fanouts;
use super::prune::Pruner;
use super::reading::restore;
use super::record::{FanoutPart, FanoutRecord, HostRow, HostTurn};
use super::rota::Rota;
use crate::audit::By;
use crate::directory::Directory;
use crate::ground::{Ground, read};
use crate::guardian::Sentinel;
use crate::record::JobRecord;
use crate::refusal::Refusal;
use crate::scheduler::JobScheduler;
use crate::store::Table;
use actix::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tripline_protocol::FanoutId;
use tripline_protocol::fanout::FanoutHostState;
use tripline_protocol::job::Outcome;

/// Records read at once.
const PAGE: usize = 1_000;

impl Fanouts {
    /// Reads the fan-outs that have not ended.
    pub(crate) fn load(
        ground: Arc<Ground>,
        scheduler: Addr<JobScheduler>,
        directory: Addr<Directory>,
        sentinel: Sentinel,
    ) -> Result<Self, Refusal> {
        let (mut open, mut ended) = (BTreeMap::new(), 0);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = ground.store.scan(Table::Fanout, &[], after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (id, _) in &page {
                let record: Option<FanoutRecord> = read(&ground.store, Table::Fanout, id, "fan-out")?;
                match record {
                    Some(record) if record.ended.is_none() => {
                        open.insert(record.fanout_id, restore(&ground, record)?);
                    }
                    Some(_) => ended += 1,
                    None => {}
                }
            }
        }
        let pruner = Pruner::load(&ground.store, ended)?;
        Ok(Self {
            ground,
            scheduler,
            directory,
            open,
            finishing: BTreeMap::new(),
            reopening: BTreeMap::new(),
            eager: Rota::default(),
            goes_on: false,
            paused: None,
            pruner,
            sentinel,
        })
    }

    /// Goes on with what was under way.
    pub(super) fn begin_again(&mut self, ctx: &mut Context<Self>) {
        let ids: Vec<FanoutId> = self.open.keys().copied().collect();
        for id in ids {
            self.look_for_hosts(id, ctx);
            let record = self.open.get(&id).map(|open| open.machine.record());
            let is_cancelled = |record: &FanoutRecord| {
                record.closed() == Some(Outcome::Cancelled) && record.failure.is_none()
            };
            if record.is_some_and(is_cancelled) {
                self.cancel_jobs(id, &Arc::new(By::system()));
            }
            // Hosts may have gone in the moment in which the process died.
            self.look_at_waiting(id, ctx);
            self.wake(id, ctx);
        }
    }
}

impl FanoutPart {
    /// The row of a host whose job ended.
    pub(crate) fn row_of_end(&self, job: &JobRecord, turn: u32) -> Option<HostRow> {
        Some(HostRow {
            state: FanoutHostState::Ended(job.state.outcome()?),
            job_id: Some(job.job_id),
            run: job.run,
            turn,
            made: Some(HostTurn {
                since: self.made_in,
                at: job.queued_at,
            }),
            reason: job.reason.as_ref().map(super::brief),
            finished_at: job.finished_at,
            unreadable: false,
        })
    }
}

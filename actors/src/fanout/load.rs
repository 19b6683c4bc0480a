//! What an earlier process, or generation, left behind.

use super::prune::Pruner;
use super::record::{Definition, FanoutPart, FanoutRecord, HostRow, HostTurn, chunk_key, read_chunk};
use super::state::{Known, Machine};
use super::work::Work;
use super::{Fanouts, Open};
use crate::audit::By;
use crate::directory::Directory;
use crate::ground::{Ground, read};
use crate::guardian::Sentinel;
use crate::record::{JobRecord, decode};
use crate::refusal::Refusal;
use crate::scheduler::JobScheduler;
use crate::store::{Batch, Store, Table};
use actix::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tripline_protocol::fanout::FanoutHostState;
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::{FanoutId, HostId, Span};
use uuid::Uuid;

/// Rows read at once.
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
        Ok(Self {
            ground,
            scheduler,
            directory,
            open,
            finishing: BTreeMap::new(),
            eager: BTreeSet::new(),
            goes_on: false,
            paused: None,
            pruner: Pruner::new(ended),
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
            self.wake(id, ctx);
        }
    }

    /// Makes one that ended a fan-out in memory again.
    pub(super) fn reopen(&mut self, id: FanoutId) -> Result<(), Refusal> {
        if self.open.contains_key(&id) {
            return Ok(());
        }
        self.room()?;
        self.forget_finished();
        if self.finishing.contains_key(&id) {
            return Err(Refusal::Busy {
                what: "fan-out's end",
                retry_after: Span::from_millis(500),
            });
        }
        let record = self.ended(id)?.ok_or_else(|| super::change::not_found(id))?;
        let open = restore(&self.ground, record)?;
        self.open.insert(id, open);
        Ok(())
    }
}

fn restore(ground: &Ground, record: FanoutRecord) -> Result<Open, Refusal> {
    let id = record.fanout_id;
    let definition: Option<Definition> = read(
        &ground.store,
        Table::FanoutDefinition,
        id.as_bytes(),
        "definition of a fan-out",
    )?;
    let work = match definition {
        Some(definition) => Work::read(definition),
        None => Err("its definition is not there".to_owned()),
    };
    if let Err(error) = &work {
        tracing::error!(fanout = %id, error, "what a fan-out does cannot be read; its hosts fail");
    }
    let mut rows = rows(&ground.store, id)?;
    mend(ground, &record, &mut rows)?;
    let mut hosts = Vec::new();
    for number in 0..record.chunks {
        let Some(value) = ground.store.get(Table::FanoutChunk, &chunk_key(id, number))? else {
            continue;
        };
        let Some((turn, ids)) = read_chunk(&value) else {
            continue;
        };
        hosts.extend(ids.into_iter().map(|host_id| Known {
            host_id,
            turn,
            row: rows.remove(&host_id),
            attached: ground.attachments.get(host_id).is_some(),
        }));
    }
    Ok(Open {
        machine: Machine::restore(record, hosts),
        work,
        wakes_at: None,
    })
}

fn rows(store: &Store, id: FanoutId) -> Result<HashMap<HostId, HostRow>, Refusal> {
    let mut rows = HashMap::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store.scan(Table::FanoutHost, id.as_bytes(), after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(rows);
        };
        after = Some(last.clone());
        for (key, value) in &page {
            let host = key.get(16..).and_then(|id| <[u8; 16]>::try_from(id).ok());
            match decode::<HostRow>("host of a fan-out", value) {
                Ok(row) => rows.extend(host.map(|id| (HostId(Uuid::from_bytes(id)), row))),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a row is unreadable");
                }
            }
        }
    }
}

/// A job that is open has a record; a store that was recovered may lack some.
fn mend(ground: &Ground, record: &FanoutRecord, rows: &mut HashMap<HostId, HostRow>) -> Result<(), Refusal> {
    let mut batch = Batch::new();
    for (host, row) in rows.iter_mut() {
        let Some(job_id) = row.job_id.filter(|_| row.state == FanoutHostState::InFlight) else {
            continue;
        };
        let job: Option<JobRecord> = read(&ground.store, Table::Job, job_id.as_bytes(), "job")?;
        let outcome = match &job {
            Some(job) if job.state.outcome().is_none() => continue,
            Some(job) => job.state.outcome(),
            None => None,
        };
        row.state = FanoutHostState::Ended(outcome.unwrap_or(Outcome::Interrupted));
        row.reason = Some(Reason::new("job_lost", "what became of its job is not known"));
        row.finished_at = Some(ground.now());
        row.put(&mut batch, record.fanout_id, *host);
    }
    if !batch.is_empty() {
        ground.store.commit(batch, || {});
    }
    Ok(())
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
        })
    }
}

//! Forgetting ended jobs by age and count, leaving a tombstone for as long as a submission could repeat.

use crate::artifact::PARTIALS_KEPT_FOR;
use crate::ground::{Ground, read};
use crate::record::{JobRecord, split_by_time_key};
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::Span;

/// How long a tombstone stays.
const TOMBSTONE_RETAIN: Span = Span::from_secs(8 * 24 * 3600);
/// Records removed at once.
const PRUNE_MAX: usize = 1000;
/// Index entries counted at once at start.
const COUNT_PAGE: usize = 10_000;

/// Between two looks for artifacts that no job has any more: ten minutes of 250 ms ticks.
const SWEEP_TICKS: u64 = 2400;
/// How long an artifact may be without a job: it is there before the batch that notes its job.
const UNUSED_FOR: Duration = Duration::from_secs(3600);

/// Knows how many ended jobs there are.
#[derive(Debug)]
pub(super) struct Pruner {
    ended: u64,
    ticks: u64,
    /// Where the last look ended, so that old jobs that still wait are passed over only once a round.
    after: Option<Vec<u8>>,
}

impl Pruner {
    pub(super) fn load(store: &Store, open: u64) -> Result<Self, Refusal> {
        let (mut all, mut after) = (0_u64, None::<Vec<u8>>);
        loop {
            let page = store.scan(Table::JobByTime, &[], after.as_deref(), COUNT_PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            all += page.len() as u64;
        }
        Ok(Self {
            ended: all.saturating_sub(open),
            ticks: 0,
            after: None,
        })
    }

    /// An ended job was forgotten by somebody else.
    pub(super) fn buried(&mut self) {
        self.ended = self.ended.saturating_sub(1);
    }

    /// One more job ended.
    pub(super) fn ended(&mut self) {
        self.ended += 1;
    }

    pub(super) fn tick(&mut self, ground: &Ground) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(SWEEP_TICKS) {
            sweep(ground);
        }
        let over = self.ended.saturating_sub(ground.config.jobs_retain_max);
        // By count at every tick, by age once in ten seconds.
        if over > 0 || self.ticks.is_multiple_of(40) {
            let pruned = self
                .prune_jobs(ground, over)
                .and_then(|()| prune_tombstones(ground));
            if let Err(error) = pruned {
                tracing::error!(%error, "ended jobs cannot be pruned");
            }
        }
    }

    fn prune_jobs(&mut self, ground: &Ground, mut over: u64) -> Result<(), Refusal> {
        let now = ground.now();
        let horizon = now.before(ground.config.jobs_retain);
        let mut batch = Batch::new();
        let page = ground
            .store
            .scan(Table::JobByTime, &[], self.after.as_deref(), PRUNE_MAX)?;
        self.after = None;
        for (key, _) in page {
            let Some((queued_at, id)) = split_by_time_key(&key) else {
                continue;
            };
            if queued_at >= horizon && over == 0 {
                self.after = None;
                break;
            }
            self.after = Some(key.clone());
            if let Some(record) = ended(&ground.store, &id)? {
                over = over.saturating_sub(1);
                self.ended = self.ended.saturating_sub(1);
                record.bury(&mut batch, now);
            }
        }
        if !batch.is_empty() {
            ground.store.commit(batch, || {});
        }
        Ok(())
    }
}

impl super::JobScheduler {
    /// Forgets idempotency keys whose time is over, once in ten seconds.
    pub(super) fn prune_onces(&self) {
        if self.pruner.ticks.is_multiple_of(40)
            && let Err(error) = self.ground.onces.prune(self.ground.now())
        {
            tracing::error!(%error, "idempotency keys cannot be pruned");
        }
    }
}

/// The job's record, if it has ended.
fn ended(store: &Store, id: &[u8; 16]) -> Result<Option<JobRecord>, Refusal> {
    let record: Option<JobRecord> = read(store, Table::Job, id, "job")?;
    Ok(record.filter(|record| record.state.outcome().is_some()))
}

fn prune_tombstones(ground: &Ground) -> Result<(), Refusal> {
    let horizon = ground.now().before(TOMBSTONE_RETAIN);
    let mut batch = Batch::new();
    for (key, _) in ground.store.scan(Table::TombstoneByTime, &[], None, PRUNE_MAX)? {
        let Some((at, id)) = split_by_time_key(&key) else {
            continue;
        };
        if at >= horizon {
            break;
        }
        batch.delete(Table::TombstoneByTime, key);
        batch.delete(Table::JobTombstone, id.to_vec());
    }
    if !batch.is_empty() {
        ground.store.commit(batch, || {});
    }
    Ok(())
}

/// Removes the files of artifacts whose last job was forgotten, away from the actors' thread.
fn sweep(ground: &Ground) {
    let (artifacts, store) = (Arc::clone(&ground.artifacts), ground.store.clone());
    actix::spawn(async move {
        let work = move || {
            artifacts.sweep_partials(PARTIALS_KEPT_FOR);
            artifacts.sweep(&store, UNUSED_FOR)
        };
        let swept = tokio::task::spawn_blocking(work).await;
        match swept {
            Ok(Ok(swept)) => tracing::debug!(?swept, "unused artifacts were removed"),
            Ok(Err(error)) => tracing::error!(%error, "unused artifacts cannot be removed"),
            Err(error) => tracing::error!(%error, "the removal of unused artifacts died"),
        }
    });
}

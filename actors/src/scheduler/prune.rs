//! Forgetting ended jobs by age and count, leaving a tombstone for as long as a submission could repeat.

use crate::ground::{Ground, read};
use crate::record::{JobRecord, by_time_key, split_by_time_key};
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use tripline_protocol::{Span, Timestamp};

/// How long a tombstone stays.
const TOMBSTONE_RETAIN: Span = Span::from_secs(8 * 24 * 3600);
/// Records removed at once.
const PRUNE_MAX: usize = 1000;
/// Index entries counted at once at start.
const COUNT_PAGE: usize = 10_000;

/// Knows how many ended jobs there are.
#[derive(Debug)]
pub(super) struct Pruner {
    ended: u64,
    ticks: u64,
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
        Ok(Self { ended: all.saturating_sub(open), ticks: 0 })
    }

    /// One more job ended.
    pub(super) fn ended(&mut self) {
        self.ended += 1;
    }

    pub(super) fn tick(&mut self, ground: &Ground) {
        self.ticks += 1;
        let over = self.ended.saturating_sub(ground.config.jobs_retain_max);
        // By count at every tick, by age once in ten seconds.
        if over > 0 || self.ticks.is_multiple_of(40) {
            let pruned = self.prune_jobs(ground, over).and_then(|()| prune_tombstones(ground));
            if let Err(error) = pruned {
                tracing::error!(%error, "ended jobs cannot be pruned");
            }
        }
    }

    fn prune_jobs(&mut self, ground: &Ground, mut over: u64) -> Result<(), Refusal> {
        let now = ground.now();
        let horizon = now.before(ground.config.jobs_retain);
        let mut batch = Batch::new();
        for (key, _) in ground.store.scan(Table::JobByTime, &[], None, PRUNE_MAX)? {
            let Some((queued_at, id)) = split_by_time_key(&key) else { continue };
            if queued_at >= horizon && over == 0 {
                break;
            }
            if !is_ended(&ground.store, &id)? {
                continue;
            }
            over = over.saturating_sub(1);
            self.ended = self.ended.saturating_sub(1);
            bury(&mut batch, key, id, now);
        }
        if !batch.is_empty() {
            ground.store.commit(batch, || {});
        }
        Ok(())
    }
}

fn is_ended(store: &Store, id: &[u8; 16]) -> Result<bool, Refusal> {
    let record: Option<JobRecord> = read(store, Table::Job, id, "job")?;
    Ok(record.is_none_or(|record| record.state.outcome().is_some()))
}

fn bury(batch: &mut Batch, key: Vec<u8>, id: [u8; 16], now: Timestamp) {
    batch.delete(Table::JobByTime, key);
    batch.delete(Table::Job, id.to_vec());
    batch.put(Table::JobTombstone, id.to_vec(), Vec::new());
    batch.put(Table::TombstoneByTime, by_time_key(now, &id), Vec::new());
}

fn prune_tombstones(ground: &Ground) -> Result<(), Refusal> {
    let horizon = ground.now().before(TOMBSTONE_RETAIN);
    let mut batch = Batch::new();
    for (key, _) in ground.store.scan(Table::TombstoneByTime, &[], None, PRUNE_MAX)? {
        let Some((at, id)) = split_by_time_key(&key) else { continue };
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

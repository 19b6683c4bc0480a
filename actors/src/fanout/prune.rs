//! Forgetting ended fan-outs by age and count, with the rows of their hosts, a slice at a time.
//!
//! The record goes first, in one batch with its tombstone: from then on nobody finds the fan-out, so that wherever the process
//! dies no part of its hosts is taken for the whole. Its row by time goes last: by it the next start finds what is left.

use super::Fanouts;
use super::record::FanoutRecord;
use crate::ground::read;
use crate::record::{by_time_key, put_tombstone, split_by_time_key};
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use std::collections::BTreeMap;
use tripline_protocol::{FanoutId, Org, Timestamp};
use uuid::Uuid;

/// Ended fan-outs that are kept.
pub(crate) const FANOUTS_KEPT_MAX: u64 = 1_000;
/// Rows removed at once.
const PRUNE_MAX: usize = 1_000;
/// Between two looks for those that are too old: ten seconds.
const TICKS: u64 = 40;

/// Knows how many ended fan-outs there are, and which ones are being forgotten.
#[derive(Debug)]
pub(super) struct Pruner {
    ended: u64,
    ticks: u64,
    /// Those that have no record any more and may have rows.
    buried: BTreeMap<FanoutId, Buried>,
}

/// What is known of one that has no record any more.
#[derive(Debug)]
struct Buried {
    /// Its key by time.
    by_time: Vec<u8>,
    /// Whose it was; `None`: it was lost, and has no tombstone.
    org: Option<Org>,
}

impl Buried {
    /// As an earlier process left it.
    fn load(store: &Store, by_time: Vec<u8>, id: &[u8]) -> Result<Self, Refusal> {
        let tombstone = store.get(Table::JobTombstone, id)?;
        let org = tombstone.and_then(|org| std::str::from_utf8(&org).ok()?.parse().ok());
        Ok(Self { by_time, org })
    }
}

impl Pruner {
    /// With so many that ended, and what an earlier process did not get to remove.
    pub(super) fn load(store: &Store, ended: u64) -> Result<Self, Refusal> {
        let (mut buried, mut after) = (BTreeMap::new(), None::<Vec<u8>>);
        loop {
            let page = store.scan(Table::FanoutByTime, &[], after.as_deref(), PRUNE_MAX)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, _) in page {
                let Some((_, id)) = split_by_time_key(&key) else {
                    continue;
                };
                if store.get(Table::Fanout, &id)?.is_none() {
                    let known = Buried::load(store, key, &id)?;
                    buried.insert(FanoutId(Uuid::from_bytes(id)), known);
                }
            }
        }
        Ok(Self {
            ended,
            ticks: 0,
            buried,
        })
    }

    pub(super) fn ended(&mut self) {
        self.ended += 1;
    }

    pub(super) fn reopened(&mut self) {
        self.ended = self.ended.saturating_sub(1);
    }

    /// Nobody finds it from this batch on.
    pub(super) fn bury(&mut self, record: &FanoutRecord, now: Timestamp, batch: &mut Batch) {
        let key = record.fanout_id.as_bytes();
        batch.delete(Table::Fanout, key.to_vec());
        batch.delete(Table::FanoutDefinition, key.to_vec());
        put_tombstone(batch, key, Some(&record.org), now);
        let buried = Buried {
            by_time: by_time_key(record.created_at, key),
            org: Some(record.org.clone()),
        };
        self.buried.insert(record.fanout_id, buried);
        self.ended = self.ended.saturating_sub(1);
    }

    /// How many fan-outs of an org may have rows, although they have no record any more.
    pub(super) fn buried_of(&self, org: &Org) -> usize {
        let buried = self.buried.values();
        buried.filter(|buried| buried.org.as_ref() == Some(org)).count()
    }

    /// Removes rows of those that are buried, in batches of at most `PRUNE_MAX` writes.
    pub(super) fn clear(&mut self, store: &Store, batch: &mut Batch) -> Result<(), Refusal> {
        while let Some((id, Buried { by_time, .. })) = self.buried.first_key_value() {
            for table in [Table::FanoutHost, Table::FanoutChunk] {
                let room = PRUNE_MAX.saturating_sub(batch.len());
                for (key, _) in store.scan(table, id.as_bytes(), None, room)? {
                    batch.delete(table, key);
                }
            }
            if batch.len() >= PRUNE_MAX {
                return Ok(());
            }
            batch.delete(Table::FanoutByTime, by_time.clone());
            self.buried.pop_first();
        }
        Ok(())
    }
}

impl Fanouts {
    /// The record of one that ended.
    pub(super) fn ended(&self, id: FanoutId) -> Result<Option<FanoutRecord>, Refusal> {
        if let Some(record) = self.finishing.get(&id) {
            return Ok(Some(record.clone()));
        }
        read(&self.ground.store, Table::Fanout, id.as_bytes(), "fan-out")
    }

    pub(super) fn prune(&mut self) {
        if let Err(error) = self.prune_some() {
            tracing::error!(%error, "ended fan-outs cannot be pruned");
        }
    }

    fn prune_some(&mut self) -> Result<(), Refusal> {
        self.pruner.ticks += 1;
        let over = self.pruner.ended.saturating_sub(FANOUTS_KEPT_MAX);
        let is_time = over > 0 || self.pruner.ticks.is_multiple_of(TICKS);
        let mut batch = Batch::new();
        if is_time && self.pruner.buried.is_empty() {
            self.bury_oldest(over, &mut batch)?;
        }
        self.pruner.clear(&self.ground.store, &mut batch)?;
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
        Ok(())
    }

    /// Buries the oldest that ended, as many as there are too many, and those that are too old.
    fn bury_oldest(&mut self, over: u64, batch: &mut Batch) -> Result<(), Refusal> {
        let now = self.ground.now();
        let horizon = now.before(self.ground.config.jobs_retain);
        let mut buried = 0;
        for (key, _) in self
            .ground
            .store
            .scan(Table::FanoutByTime, &[], None, PRUNE_MAX)?
        {
            let Some((_, id)) = split_by_time_key(&key) else {
                continue;
            };
            let id = FanoutId(Uuid::from_bytes(id));
            if self.is_busy(id) {
                continue;
            }
            // One that cannot be read is logged and stays, and the others are not kept for it.
            let Ok(Some(record)) = self.ended(id) else {
                continue;
            };
            let ended = record.ended.as_ref().map(|ended| ended.at);
            if ended.is_some_and(|at| buried < over || at < horizon) {
                self.pruner.bury(&record, now, batch);
                buried += 1;
            }
            if batch.len() >= PRUNE_MAX {
                break;
            }
        }
        Ok(())
    }

    /// Whether it is open, or on its way to or from there.
    pub(super) fn is_busy(&self, id: FanoutId) -> bool {
        self.open.contains_key(&id) || self.finishing.contains_key(&id) || self.reopening.contains_key(&id)
    }
}

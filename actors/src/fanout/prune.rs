//! Forgetting ended fan-outs by age and count, with the rows of their hosts, a slice at a time.

use super::Fanouts;
use super::record::FanoutRecord;
use crate::ground::read;
use crate::record::{by_time_key, put_tombstone, split_by_time_key};
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use tripline_protocol::FanoutId;
use uuid::Uuid;

/// Ended fan-outs that are kept.
pub(crate) const FANOUTS_KEPT_MAX: u64 = 1_000;
/// Rows removed at once.
const PRUNE_MAX: usize = 1_000;
/// Between two looks for those that are too old: ten seconds.
const TICKS: u64 = 40;

/// Knows how many ended fan-outs there are, and which one is being forgotten.
#[derive(Debug)]
pub(super) struct Pruner {
    ended: u64,
    ticks: u64,
    burying: Option<FanoutId>,
}

impl Pruner {
    pub(super) fn new(ended: u64) -> Self {
        Self {
            ended,
            ticks: 0,
            burying: None,
        }
    }

    pub(super) fn ended(&mut self) {
        self.ended += 1;
    }

    pub(super) fn reopened(&mut self) {
        self.ended = self.ended.saturating_sub(1);
    }
}

impl Fanouts {
    /// The record of one that ended and is not being forgotten.
    pub(super) fn ended(&self, id: FanoutId) -> Result<Option<FanoutRecord>, Refusal> {
        if self.pruner.burying == Some(id) {
            return Ok(None);
        }
        if let Some(record) = self.finishing.get(&id) {
            return Ok(Some(record.clone()));
        }
        read(&self.ground.store, Table::Fanout, id.as_bytes(), "fan-out")
    }

    pub(super) fn is_being_forgotten(&self, id: FanoutId) -> bool {
        self.pruner.burying == Some(id)
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
        let old = match self.pruner.burying {
            Some(id) => vec![id],
            None if is_time => self.oldest(over)?,
            None => Vec::new(),
        };
        let mut room = PRUNE_MAX;
        for id in old {
            self.pruner.burying = Some(id);
            room = room.saturating_sub(self.bury_some(id, room)?);
            if room == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Fan-outs that are to be forgotten next: the oldest that ended, as many as there are too many, and those that are
    /// too old.
    fn oldest(&self, over: u64) -> Result<Vec<FanoutId>, Refusal> {
        let horizon = self.ground.now().before(self.ground.config.jobs_retain);
        let mut oldest = Vec::new();
        for (key, _) in self
            .ground
            .store
            .scan(Table::FanoutByTime, &[], None, PRUNE_MAX)?
        {
            let Some((_, id)) = split_by_time_key(&key) else {
                continue;
            };
            let id = FanoutId(Uuid::from_bytes(id));
            let ended = self.ended(id)?.and_then(|record| record.ended);
            let busy = self.open.contains_key(&id) || self.finishing.contains_key(&id);
            if let Some(ended) = ended.filter(|_| !busy)
                && ((oldest.len() as u64) < over || ended.at < horizon)
            {
                oldest.push(id);
            }
        }
        Ok(oldest)
    }

    /// Removes rows of one, about `room` at most, and with the last of them its record. The answer is how many.
    fn bury_some(&mut self, id: FanoutId, room: usize) -> Result<usize, Refusal> {
        let store = &self.ground.store;
        let mut batch = Batch::new();
        for table in [Table::FanoutHost, Table::FanoutChunk] {
            let limit = room.saturating_sub(batch.len());
            for (key, _) in store.scan(table, id.as_bytes(), None, limit)? {
                batch.delete(table, key);
            }
        }
        if batch.len() < room {
            let record: Option<FanoutRecord> = read(store, Table::Fanout, id.as_bytes(), "fan-out")?;
            let now = self.ground.now();
            let key = id.as_bytes();
            if let Some(record) = &record {
                batch.delete(Table::FanoutByTime, by_time_key(record.created_at, key));
            }
            put_tombstone(&mut batch, key, record.as_ref().map(|record| &record.org), now);
            batch.delete(Table::Fanout, key.to_vec());
            batch.delete(Table::FanoutDefinition, key.to_vec());
            self.pruner.burying = None;
            self.pruner.reopened();
        }
        let removed = batch.len();
        self.ground.store.commit(batch, || {});
        Ok(removed)
    }
}

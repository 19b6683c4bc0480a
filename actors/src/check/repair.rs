//! Making a store right whose rows were saved from a damaged one: rows that follow from others are made again, rows
//! that say nothing that holds are dropped.

use super::look::Remedy;
use super::{for_each_row, rules};
use crate::store::{Batch, Error, Store, Table};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::mpsc::channel;

/// A row may be dropped because of another that was dropped; no chain of rows is longer.
const ROUNDS_MAX: u32 = 8;
/// Writes of a batch.
const BATCH_WRITES: usize = 512;

/// What was done, by table.
#[derive(Debug, Default, Clone, Serialize, PartialEq, Eq)]
pub struct Repaired {
    /// Rows that were made again from others.
    pub made: BTreeMap<String, u64>,
    /// Rows that were dropped, because they could not be read or what they refer to is lost.
    pub dropped: BTreeMap<String, u64>,
}

/// Repairs a store that nobody else writes, and waits until that is durable.
pub fn repair(store: &Store) -> Result<Repaired, Error> {
    let mut repaired = Repaired::default();
    for _ in 0..ROUNDS_MAX {
        let mut changes = Changes::new(store);
        for_each_row(store, None, |table, key, found| {
            let remedies: Vec<Remedy> = found.into_iter().map(|found| found.remedy).collect();
            if remedies.iter().any(|remedy| matches!(remedy, Remedy::Drop)) {
                *repaired.dropped.entry(format!("{table:?}")).or_default() += 1;
                return changes.drop(table, key);
            }
            for remedy in remedies {
                if let Remedy::Put(table, key, value) = remedy {
                    *repaired.made.entry(format!("{table:?}")).or_default() += 1;
                    changes.put(table, key, value)?;
                }
            }
            Ok(())
        })?;
        for (key, behind) in rules::counters(store)? {
            *repaired.made.entry("Meta".to_owned()).or_default() += 1;
            changes.put(Table::Meta, key, behind.value)?;
        }
        if !changes.finish()? {
            break;
        }
    }
    Ok(repaired)
}

/// Writes in batches, each waited for.
struct Changes<'a> {
    store: &'a Store,
    batch: Batch,
    any: bool,
}

impl<'a> Changes<'a> {
    fn new(store: &'a Store) -> Self {
        let (batch, any) = (Batch::new(), false);
        Self { store, batch, any }
    }

    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) -> Result<(), Error> {
        self.batch.put(table, key, value);
        self.flush_if_full()
    }

    fn drop(&mut self, table: Table, key: &[u8]) -> Result<(), Error> {
        self.batch.delete(table, key);
        self.flush_if_full()
    }

    fn flush_if_full(&mut self) -> Result<(), Error> {
        match self.batch.len() >= BATCH_WRITES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.any = true;
        let (done, wait) = channel();
        self.store.commit(std::mem::take(&mut self.batch), move || {
            // Nobody waits any more only if this has failed already.
            let _ = done.send(());
        });
        wait.recv().map_err(|error| Error::Write(error.into()))
    }

    fn finish(mut self) -> Result<bool, Error> {
        self.flush()?;
        Ok(self.any)
    }
}

//! The store at one point between two commits, read while commits go on.
//!
//! sled has no snapshots that survive writes. So the writer, before it applies a group, keeps what the rows it is
//! about to change were, as far as the reader has not passed them; the reader takes those instead of what is on disk
//! now. Only one page is read at a time under the lock that the writer needs as well, and that is the whole pause of
//! commits. What is kept has a bound: a reader that is too slow for it loses its snapshot, never a commit.
//!
//! Deliberately not here: batches that are not durable yet (they are not part of any snapshot), the store's own rows.

use super::batch::KEY_BYTES_MAX;
use super::disk::Disk;
use super::error::Error;
use super::shared::Shared;
use super::table::{TABLE_LAST, Table, prefix_end};
use super::{format, long};
use parking_lot::MutexGuard;
use sled::IVec;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

/// Rows that are read under one lock.
const PAGE_ROWS: usize = 256;
/// Bytes after which a page takes no further row.
const PAGE_BYTES: usize = 256 * 1024;
/// Bytes of earlier values that are kept for one snapshot.
const KEPT_BYTES_MAX: usize = 128 * 1024 * 1024;
/// What an entry of the map takes beside its bytes, roughly.
const KEPT_ENTRY_BYTES: usize = 64;

/// A row of any table: its table's byte, its key without that byte, its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// First byte of its key on disk.
    pub table: u8,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value, in one piece.
    pub value: Vec<u8>,
}

/// Why a snapshot cannot be made or read on; completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is one already.
    #[error("begin an export: another one is being made; wait for it")]
    Busy,
    /// The reader was too slow for what changed meanwhile.
    #[error(
        "read the store at one point in time: {KEPT_BYTES_MAX} bytes of it changed before it was read; try again \
         when less is going on, or on a faster disk"
    )]
    Overtaken,
    /// The store was closed.
    #[error("read the store to its end: the server is stopping")]
    Closed,
    /// Reading failed.
    #[error(transparent)]
    Store(#[from] Error),
}

/// What the rows that changed since a snapshot began were then.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The full key up to which everything was read; empty at the beginning.
    passed: Vec<u8>,
    before: BTreeMap<IVec, Option<Vec<u8>>>,
    bytes: usize,
    bytes_max: usize,
    lost: Option<SnapshotError>,
}

impl Kept {
    /// Keeps what `keys` are on disk, before they change. The writer's duty; it never fails a commit.
    pub(super) fn keep<'a>(&mut self, disk: &dyn Disk, keys: impl Iterator<Item = &'a IVec>) {
        for key in keys {
            if self.lost.is_some() {
                return;
            }
            if key.as_ref() <= self.passed.as_slice() || self.before.contains_key(key) {
                continue;
            }
            match read_row(disk, key) {
                Ok(value) => self.add(key.clone(), value),
                Err(error) => self.lose(error.into()),
            }
        }
    }

    fn add(&mut self, key: IVec, value: Option<Vec<u8>>) {
        self.bytes += cost(&key, value.as_ref());
        self.before.insert(key, value);
        if self.bytes > self.bytes_max {
            self.lose(SnapshotError::Overtaken);
        }
    }

    fn lose(&mut self, why: SnapshotError) {
        self.before.clear();
        self.bytes = 0;
        self.lost = Some(why);
    }

    /// Everything up to `key` was read: nothing needs to be kept for it.
    fn pass(&mut self, key: Vec<u8>) {
        while let Some(entry) = self.before.first_entry() {
            if entry.key().as_ref() > key.as_slice() {
                break;
            }
            let (key, value) = entry.remove_entry();
            self.bytes = self.bytes.saturating_sub(cost(&key, value.as_ref()));
        }
        self.passed = key;
    }

    /// The next rows as they were, and the last full key that was looked at; none at the end.
    fn page(&mut self, disk: &dyn Disk) -> Result<(Vec<TableRow>, Option<Vec<u8>>), Error> {
        let chunks = [Table::Chunk as u8];
        if self.passed.as_slice() < chunks.as_slice() {
            let page = self.page_before(disk, &chunks)?;
            if page.1.is_some() {
                return Ok(page);
            }
            // Pieces of long values belong to the rows of other tables; behind them there are more of those.
            self.pass(prefix_end(&chunks));
        }
        self.page_before(disk, &[TABLE_LAST + 1])
    }

    fn page_before(&self, disk: &dyn Disk, end: &[u8]) -> Result<(Vec<TableRow>, Option<Vec<u8>>), Error> {
        let after = Bound::Excluded(self.passed.as_slice());
        let to = Bound::Excluded(end);
        let mut stored = disk.range(after, to).peekable();
        let mut kept = self.before.range::<[u8], _>((after, to)).peekable();
        let (mut rows, mut bytes, mut last) = (Vec::new(), 0, None);
        while rows.len() < PAGE_ROWS && bytes < PAGE_BYTES {
            let from_kept = match (kept.peek(), stored.peek()) {
                (None, None) => break,
                (Some(_), None) => true,
                (Some((kept, _)), Some(Ok((stored, _)))) => *kept <= stored,
                (_, Some(_)) => false,
            };
            let (key, value) = if from_kept {
                let Some((key, value)) = kept.next() else { break };
                if let Some(Ok((stored_key, _))) = stored.peek()
                    && stored_key == key
                {
                    stored.next();
                }
                (key.clone(), value.clone())
            } else {
                let Some(entry) = stored.next() else { break };
                let (key, entry) = entry?;
                let value = match format::is_own(&key) {
                    true => None,
                    false => Some(long::read(disk, &key, &entry)?),
                };
                (key, value)
            };
            bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            last = Some(key.to_vec());
            rows.extend(value.and_then(|value| row(&key, value)));
        }
        Ok((rows, last))
    }
}

fn cost(key: &IVec, value: Option<&Vec<u8>>) -> usize {
    KEPT_ENTRY_BYTES + key.len() + value.map_or(0, Vec::len)
}

fn read_row(disk: &dyn Disk, key: &IVec) -> Result<Option<Vec<u8>>, Error> {
    disk.get(key)?
        .map(|stored| long::read(disk, key, &stored))
        .transpose()
}

fn row(key: &IVec, value: Vec<u8>) -> Option<TableRow> {
    let (table, key) = key.split_first()?;
    Some(TableRow {
        table: *table,
        key: key.to_vec(),
        value,
    })
}

/// The rows of the store at one point in time, in the order of their keys, page by page. One at a time; dropping it
/// ends it.
pub struct Snapshot {
    shared: Arc<Shared>,
}

impl Snapshot {
    pub(super) fn begin(shared: Arc<Shared>) -> Result<Self, SnapshotError> {
        Self::with_room(shared, KEPT_BYTES_MAX)
    }

    pub(super) fn with_room(shared: Arc<Shared>, bytes_max: usize) -> Result<Self, SnapshotError> {
        {
            let mut kept = shared.kept.lock();
            if kept.is_some() {
                return Err(SnapshotError::Busy);
            }
            *kept = Some(Kept {
                bytes_max,
                ..Kept::default()
            });
        }
        Ok(Self { shared })
    }

    /// The format of the rows.
    pub fn format(&self) -> u32 {
        format::newest(format::UPGRADES)
    }

    /// The next rows; none at the end. Commits wait while it reads, for one page.
    pub fn next_page(&mut self) -> Result<Vec<TableRow>, SnapshotError> {
        loop {
            if self.shared.overlay.read().closed || self.shared.failure.happened() {
                return Err(SnapshotError::Closed);
            }
            let (rows, last) = self.locked_page()?;
            // A page may consist of rows that did not exist then.
            if !rows.is_empty() || last.is_none() {
                return Ok(rows);
            }
        }
    }

    fn locked_page(&self) -> Result<(Vec<TableRow>, Option<Vec<u8>>), SnapshotError> {
        let mut guard = self.shared.kept.lock();
        let began = Instant::now();
        let Some(kept) = guard.as_mut() else {
            return Err(SnapshotError::Closed);
        };
        if let Some(why) = kept.lost.take() {
            kept.lost = Some(SnapshotError::Overtaken);
            return Err(why);
        }
        let (rows, last) = kept.page(self.shared.disk.as_ref())?;
        if let Some(last) = &last {
            kept.pass(last.clone());
        }
        // Fairly: the writer may wait for it.
        MutexGuard::unlock_fair(guard);
        metrics::histogram!("tripline_store_export_pause_seconds").record(began.elapsed());
        Ok((rows, last))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        *self.shared.kept.lock() = None;
    }
}

/// Whether a row that an export names can be one of a store.
pub fn is_row_key(table: u8, key: &[u8]) -> bool {
    let own = table == Table::Meta as u8 && format::is_own_meta(key);
    table <= TABLE_LAST && table != Table::Chunk as u8 && key.len() <= KEY_BYTES_MAX && !own
}

//! What was submitted and is not durable yet, so that readers see their own writes at once.
//!
//! A key that is not in the overlay cannot change in sled while the overlay's lock is held: the writer only
//! writes keys that were submitted, and takes them out after it has written and synced them. Reads under the lock are
//! therefore a snapshot, over several entries too.

use super::batch::{Value, Write};
use super::disk::{Disk, Entries};
use super::error::Error;
use super::long;
use sled::IVec;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;

/// Which end a scan begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// A stretch of full keys.
pub(super) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// A key of a table, without the table's byte, and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Rows in the order of the scan.
pub type Rows = Vec<Row>;

struct Pending {
    sequence: u64,
    value: Option<Value>,
}

/// The newest submitted write of each key that is not durable yet.
#[derive(Default)]
pub(super) struct Overlay {
    entries: BTreeMap<IVec, Pending>,
    /// Of the batch submitted last; the first is 1.
    pub(super) sequence: u64,
    /// Nothing is taken any more.
    pub(super) closed: bool,
}

impl Overlay {
    /// Takes the writes of the next batch in; the answer is its sequence.
    pub(super) fn submit(&mut self, writes: &[Write]) -> u64 {
        self.sequence += 1;
        for Write { key, value } in writes {
            let pending = Pending {
                sequence: self.sequence,
                value: value.clone(),
            };
            self.entries.insert(key.clone(), pending);
        }
        self.sequence
    }

    /// The write of `key` in batch `sequence` is durable: forgets it unless a later batch wrote the key again.
    pub(super) fn durable(&mut self, key: &IVec, sequence: u64) {
        if self
            .entries
            .get(key)
            .is_some_and(|pending| pending.sequence == sequence)
        {
            self.entries.remove(key);
        }
    }

    /// Whether a write of a full key waits.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.entries.contains_key(key)
    }

    /// The submitted value of a full key, if it is not durable yet; `Some(None)`: it is being removed.
    pub(super) fn pending(&self, key: &[u8]) -> Option<Option<Value>> {
        self.entries.get(key).map(|pending| pending.value.clone())
    }

    /// The value of a full key, of any length.
    pub(super) fn get(&self, disk: &dyn Disk, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if let Some(pending) = self.entries.get(key) {
            return Ok(pending.value.as_ref().map(Value::decode));
        }
        disk.get(key)?
            .map(|stored| long::read(disk, key, &stored))
            .transpose()
    }

    /// At most `limit` rows within `bounds`, which must not cross.
    pub(super) fn scan(
        &self,
        disk: &dyn Disk,
        bounds: Bounds<'_>,
        order: Order,
        limit: usize,
    ) -> Result<Rows, Error> {
        let mut merge = Merge::new(self, disk, bounds, order);
        let mut rows = Vec::with_capacity(limit.min(64));
        while rows.len() < limit
            && let Some(row) = merge.next_row(disk)?
        {
            rows.push(row);
        }
        Ok(rows)
    }
}

type Pendings<'a> = Box<dyn Iterator<Item = (&'a IVec, &'a Pending)> + 'a>;
type Stored<'a> = Box<dyn Iterator<Item = Result<(IVec, IVec), Error>> + 'a>;

/// Walks overlay and disk together; where both have a key the overlay wins.
struct Merge<'a> {
    pending: Peekable<Pendings<'a>>,
    stored: Peekable<Stored<'a>>,
    order: Order,
}

impl<'a> Merge<'a> {
    fn new(overlay: &'a Overlay, disk: &'a dyn Disk, bounds: Bounds<'a>, order: Order) -> Self {
        let pending = overlay.entries.range::<[u8], _>(bounds);
        let stored: Entries<'a> = disk.range(bounds.0, bounds.1);
        let (pending, stored): (Pendings<'a>, Stored<'a>) = match order {
            Order::Ascending => (Box::new(pending), stored),
            Order::Descending => (Box::new(pending.rev()), Box::new(stored.rev())),
        };
        Self {
            pending: pending.peekable(),
            stored: stored.peekable(),
            order,
        }
    }

    fn next_row(&mut self, disk: &dyn Disk) -> Result<Option<Row>, Error> {
        loop {
            let side = self.nearer_side();
            if side == Some(Ordering::Greater) {
                let Some(entry) = self.stored.next() else {
                    return Ok(None);
                };
                let (key, stored) = entry?;
                return Ok(Some((without_table(&key), long::read(disk, &key, &stored)?)));
            }
            if side == Some(Ordering::Equal)
                && let Some(Err(error)) = self.stored.next()
            {
                return Err(error);
            }
            match self.pending.next() {
                Some((
                    key,
                    Pending {
                        value: Some(value), ..
                    },
                )) => {
                    return Ok(Some((without_table(key), value.decode())));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Where the next key is: `Less` in the overlay, `Greater` on disk (or an error there), `Equal` in both.
    fn nearer_side(&mut self) -> Option<Ordering> {
        match (self.pending.peek(), self.stored.peek()) {
            (None, None) => None,
            (Some(_), None) => Some(Ordering::Less),
            (_, Some(Err(_))) | (None, Some(_)) => Some(Ordering::Greater),
            (Some((pending, _)), Some(Ok((stored, _)))) => Some(match self.order {
                Order::Ascending => pending.as_ref().cmp(stored.as_ref()),
                Order::Descending => stored.as_ref().cmp(pending.as_ref()),
            }),
        }
    }
}

fn without_table(key: &[u8]) -> Vec<u8> {
    key.get(1..).unwrap_or_default().to_vec()
}

//! Values that are too long for one entry of the tree: a header under their own key, chunks in a table of
//! the store's own, all in the same batch.
//!
//! sled writes entries beyond a quarter of a segment into files that it never syncs. Sixteen entries share a
//! leaf, so an entry is kept at 4 KiB and a leaf stays far below that.
//!
//! | entry | key | value |
//! | --- | --- | --- |
//! | short value | table, key | `01`, the value |
//! | header | table, key | `81`, length as u32 |
//! | register | `7f 00`, table, key | nothing |
//! | chunk | `7f 01`, table, key, number as u32 | up to 4 KiB of the value |
//!
//! The register lets the writer know which keys have chunks without reading every key it overwrites: it is
//! read once at the start into counters of hashes, which are right except for collisions.

use super::batch::Value;
use super::disk::Disk;
use super::error::Error;
use super::table::{Table, prefix_end};
use sled::IVec;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::ops::Bound;

/// Version 1 of the encoding, the value itself follows.
pub(super) const INLINE: u8 = 0x01;
/// Version 1 of the encoding, the value's length follows.
const LONG: u8 = 0x81;
/// Bytes of a value that is not cut, and of a chunk.
pub(super) const INLINE_BYTES_MAX: usize = 4096;
const REGISTER: [u8; 2] = [Table::Chunk as u8, 0];
const CHUNK: [u8; 2] = [Table::Chunk as u8, 1];
const BUCKETS: usize = 1 << 16;

fn register_key(key: &[u8]) -> IVec {
    [&REGISTER[..], key].concat().into()
}

fn chunk_key(key: &[u8], number: u32) -> IVec {
    [&CHUNK[..], key, &number.to_be_bytes()].concat().into()
}

/// How many chunks the value behind `stored` has; none for a short one.
fn chunks_of(stored: &[u8]) -> u32 {
    let length = length_of(stored).unwrap_or(0);
    u32::try_from((length as usize).div_ceil(INLINE_BYTES_MAX)).unwrap_or(u32::MAX)
}

fn length_of(stored: &[u8]) -> Option<u32> {
    match stored {
        [LONG, a, b, c, d] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// The value of an entry that has no chunks.
pub(super) fn inline(stored: &[u8]) -> Option<&[u8]> {
    match stored {
        [INLINE, value @ ..] => Some(value),
        _ => None,
    }
}

/// The value whose entry on `disk` is `stored`. Nothing may write the key meanwhile.
pub(super) fn read(disk: &dyn Disk, key: &[u8], stored: &[u8]) -> Result<Vec<u8>, Error> {
    let damaged = |detail| Error::Damaged {
        table: key.first().copied().unwrap_or(0),
        detail,
    };
    if let Some(value) = inline(stored) {
        return Ok(value.to_vec());
    }
    let length = length_of(stored).ok_or_else(|| damaged("unknown encoding"))? as usize;
    let mut value = Vec::with_capacity(length);
    for number in 0..chunks_of(stored) {
        let chunk = disk
            .get(&chunk_key(key, number))?
            .ok_or_else(|| damaged("a chunk is missing"))?;
        value.extend_from_slice(&chunk);
    }
    if value.len() == length {
        Ok(value)
    } else {
        Err(damaged("its chunks have another length"))
    }
}

/// The value whose entry is `stored`, put together from entries that `chunk` finds; `None` when it is not complete.
pub(super) fn assemble<'a>(
    key: &[u8],
    stored: &[u8],
    chunk: impl Fn(&[u8]) -> Option<&'a [u8]>,
) -> Option<Vec<u8>> {
    if let Some(value) = inline(stored) {
        return Some(value.to_vec());
    }
    let length = length_of(stored)? as usize;
    let mut value = Vec::new();
    for number in 0..chunks_of(stored) {
        value.extend_from_slice(chunk(&chunk_key(key, number))?);
    }
    (value.len() == length).then_some(value)
}

/// Whether an entry of the store's own table of pieces belongs to no row: that row's key, and what is wrong.
pub(super) fn orphan<'a>(
    disk: &dyn Disk,
    entry: &'a [u8],
) -> Result<Option<(&'a [u8], &'static str)>, Error> {
    if let Some(row) = entry.strip_prefix(&REGISTER) {
        let chunks = disk.get(row)?.map_or(0, |stored| chunks_of(&stored));
        return Ok((chunks == 0).then_some((row, "pieces are announced for a row that has none")));
    }
    let piece = entry.strip_prefix(&CHUNK).and_then(<[u8]>::split_last_chunk);
    let Some((row, number)) = piece else {
        return Ok(Some((entry, "it is no piece of a value")));
    };
    let chunks = disk.get(row)?.map_or(0, |stored| chunks_of(&stored));
    let known = u32::from_be_bytes(*number) < chunks && disk.get(&register_key(row))?.is_some();
    Ok((!known).then_some((row, "a piece belongs to no row")))
}

/// Which keys on disk have chunks, as counters of their hashes. Owned by the writer.
pub(super) struct LongKeys {
    hasher: RandomState,
    counters: Vec<u32>,
}

impl LongKeys {
    /// Reads the register.
    pub(super) fn load(disk: &dyn Disk) -> Result<Self, Error> {
        let mut keys = Self {
            hasher: RandomState::new(),
            counters: vec![0; BUCKETS],
        };
        let end = prefix_end(&REGISTER);
        for entry in disk.range(Bound::Included(&REGISTER), Bound::Excluded(&end)) {
            let (key, _) = entry?;
            let of = key.get(REGISTER.len()..).unwrap_or_default();
            keys.count(of, |counter| counter.saturating_add(1));
        }
        Ok(keys)
    }

    fn bucket(&self, key: &[u8]) -> usize {
        // The remainder is below BUCKETS, which fits.
        usize::try_from(self.hasher.hash_one(key) % BUCKETS as u64).unwrap_or(0)
    }

    fn count(&mut self, key: &[u8], change: impl FnOnce(u32) -> u32) {
        let bucket = self.bucket(key);
        if let Some(counter) = self.counters.get_mut(bucket) {
            *counter = change(*counter);
        }
    }

    fn may_have(&self, key: &[u8]) -> bool {
        self.counters
            .get(self.bucket(key))
            .is_some_and(|counter| *counter > 0)
    }

    /// Adds to `batch` what sets `key` to `value` (`None`: removes it), its chunks and the end of the chunks
    /// it had included. Keys come at most once per batch.
    pub(super) fn stage(
        &mut self,
        disk: &dyn Disk,
        batch: &mut sled::Batch,
        key: IVec,
        value: Option<Value>,
    ) -> Result<(), Error> {
        let before = if self.may_have(&key) {
            disk.get(&key)?.map_or(0, |old| chunks_of(&old))
        } else {
            0
        };
        let after = match &value {
            Some(Value::Long(bytes)) => stage_chunks(batch, &key, bytes),
            _ => 0,
        };
        for number in after..before {
            batch.remove(chunk_key(&key, number));
        }
        if after > 0 && before == 0 {
            batch.insert(register_key(&key), IVec::default());
            self.count(&key, |counter| counter.saturating_add(1));
        } else if after == 0 && before > 0 {
            batch.remove(register_key(&key));
            self.count(&key, |counter| counter.saturating_sub(1));
        }
        match value {
            Some(Value::Inline(encoded)) => batch.insert(key, encoded),
            Some(Value::Long(bytes)) => batch.insert(key, header(bytes.len())),
            None => batch.remove(key),
        }
        Ok(())
    }
}

fn header(length: usize) -> Vec<u8> {
    let mut header = vec![LONG];
    header.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    header
}

fn stage_chunks(batch: &mut sled::Batch, key: &[u8], bytes: &[u8]) -> u32 {
    let mut number = 0;
    for chunk in bytes.chunks(INLINE_BYTES_MAX) {
        batch.insert(chunk_key(key, number), chunk);
        number += 1;
    }
    number
}

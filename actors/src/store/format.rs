//! The format of the whole store: a number in table Meta, and the steps from older numbers to the newest.

use super::disk::Disk;
use super::error::{Error, OpenError};
use super::table::Table;
use std::ops::Bound;
use std::path::Path;

const KEY: &[u8] = b"store/format";

/// Adds to a batch what turns one format into the next.
pub(super) type Upgrade = fn(&dyn Disk, &mut sled::Batch) -> Result<(), Error>;

/// The step from format `n + 1` to format `n + 2` at index `n`. Format 1 is the first, so there is none yet.
pub(super) const UPGRADES: &[Upgrade] = &[];

/// Sees to it that the store has the newest format: writes it into a new store, upgrades an old one step by
/// step, refuses one that is newer or has entries but no format.
pub(super) fn settle(disk: &dyn Disk, dir: &Path, upgrades: &[Upgrade]) -> Result<(), OpenError> {
    let broken = |detail: String| OpenError::Broken {
        path: dir.to_owned(),
        detail,
    };
    let failed = |error: Error| broken(format!("failed to {error}"));
    let known = 1 + u32::try_from(upgrades.len()).unwrap_or(u32::MAX - 1);
    let found = match read(disk).map_err(failed)? {
        Some(found) => found,
        None if is_empty(disk).map_err(failed)? => {
            return write(disk, sled::Batch::default(), known).map_err(failed);
        }
        None => return Err(broken("it has entries but does not say its format".to_owned())),
    };
    if found > known {
        return Err(OpenError::NewerFormat {
            path: dir.to_owned(),
            found,
            known,
        });
    }
    for (step, upgrade) in (1..known).zip(upgrades).filter(|(step, _)| *step >= found) {
        let mut batch = sled::Batch::default();
        upgrade(disk, &mut batch)
            .and_then(|()| write(disk, batch, step + 1))
            .map_err(failed)?;
        tracing::info!(from = step, to = step + 1, "upgraded the store's format");
    }
    Ok(())
}

fn read(disk: &dyn Disk) -> Result<Option<u32>, Error> {
    let damaged = Error::Damaged {
        table: Table::Meta as u8,
        detail: "the format is not a number",
    };
    let Some(stored) = disk.get(&Table::Meta.full_key(KEY))? else {
        return Ok(None);
    };
    stored
        .as_ref()
        .try_into()
        .map(|bytes| Some(u32::from_be_bytes(bytes)))
        .map_err(|_| damaged)
}

fn write(disk: &dyn Disk, mut batch: sled::Batch, format: u32) -> Result<(), Error> {
    batch.insert(Table::Meta.full_key(KEY), &format.to_be_bytes());
    disk.apply(batch)?;
    disk.sync()
}

fn is_empty(disk: &dyn Disk) -> Result<bool, Error> {
    disk.range(Bound::Unbounded, Bound::Unbounded)
        .next()
        .transpose()
        .map(|first| first.is_none())
}

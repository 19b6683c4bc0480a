//! The format of the whole store: a number, and the steps from older numbers to the newest.
//!
//! It stands twice: in table Meta, where it changes in one batch with what an upgrade changes, and in the
//! file `FORMAT` beside sled's. The file tells a newer store before sled touches it, and a store whose
//! entries sled lost from one that is new.

use super::disk::Disk;
use super::error::{Error, OpenError};
use super::table::Table;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Bound;
use std::path::Path;

const KEY: &[u8] = b"store/format";
const FILE: &str = "FORMAT";

/// The full key of the format.
pub(super) fn full_key() -> Vec<u8> {
    Table::Meta.full_key(KEY)
}

/// Whether a full key is one of the store's own, which are no rows.
pub(super) fn is_own(key: &[u8]) -> bool {
    key.strip_prefix(&[Table::Meta as u8]).is_some_and(is_own_meta)
}

/// The same of a key of [`Table::Meta`].
pub(super) fn is_own_meta(key: &[u8]) -> bool {
    key.starts_with(b"store/")
}

/// Adds to a batch what turns one format into the next.
pub(super) type Upgrade = fn(&dyn Disk, &mut sled::Batch) -> Result<(), Error>;

/// The step from format `n + 1` to format `n + 2` at index `n`.
pub(super) const UPGRADES: &[Upgrade] = &[hosts_without_agent];

/// Format 2: hosts that have no agent. Nothing changes, but what wrote format 1 cannot read them.
fn hosts_without_agent(_: &dyn Disk, _: &mut sled::Batch) -> Result<(), Error> {
    Ok(())
}

/// The format that all `upgrades` lead to.
pub(super) const fn newest(upgrades: &[Upgrade]) -> u32 {
    // There is one step for each format; nobody writes that many.
    1 + upgrades.len() as u32
}

/// What the file in `dir` says, before anything is opened; `None` when there is no store yet.
pub(super) fn announced(dir: &Path, upgrades: &[Upgrade]) -> Result<Option<u32>, OpenError> {
    let path = dir.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::Unwritable { path, source }),
    };
    let found = text
        .trim()
        .parse()
        .map_err(|_| broken(dir, "its file FORMAT is not a number"))?;
    refuse_newer(dir, found, newest(upgrades))?;
    Ok(Some(found))
}

/// Sees to it that the store has the newest format: writes it into a new store, upgrades an old one step by
/// step, refuses one that is newer or lost its entries.
pub(super) fn settle(
    disk: &dyn Disk,
    dir: &Path,
    announced: Option<u32>,
    upgrades: &[Upgrade],
) -> Result<(), OpenError> {
    let failed = |error: Error| broken(dir, format!("failed to {error}"));
    let known = newest(upgrades);
    match (read(disk).map_err(failed)?, announced) {
        (Some(found), _) => {
            refuse_newer(dir, found, known)?;
            upgrade(disk, found, upgrades).map_err(failed)?;
        }
        (None, None) if is_empty(disk).map_err(failed)? => {
            write(disk, sled::Batch::default(), known).map_err(failed)?;
        }
        (None, None) => return Err(broken(dir, "it has entries but does not say its format")),
        (None, Some(_)) => return Err(broken(dir, "its entries are gone")),
    }
    if announced != Some(known) {
        announce(dir, known).map_err(|source| OpenError::Unwritable {
            path: dir.join(FILE),
            source,
        })?;
    }
    Ok(())
}

fn upgrade(disk: &dyn Disk, found: u32, upgrades: &[Upgrade]) -> Result<(), Error> {
    for (step, upgrade) in (1..).zip(upgrades).filter(|(step, _)| *step >= found) {
        let mut batch = sled::Batch::default();
        upgrade(disk, &mut batch)?;
        write(disk, batch, step + 1)?;
        tracing::info!(from = step, to = step + 1, "upgraded the store's format");
    }
    Ok(())
}

fn refuse_newer(dir: &Path, found: u32, known: u32) -> Result<(), OpenError> {
    if found <= known {
        Ok(())
    } else {
        Err(OpenError::NewerFormat {
            path: dir.to_owned(),
            found,
            known,
        })
    }
}

fn broken(dir: &Path, detail: impl Into<String>) -> OpenError {
    OpenError::Broken {
        path: dir.to_owned(),
        detail: detail.into(),
    }
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

pub(super) fn write(disk: &dyn Disk, mut batch: sled::Batch, format: u32) -> Result<(), Error> {
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

pub(super) fn announce(dir: &Path, format: u32) -> io::Result<()> {
    let temporary = dir.join("FORMAT.new");
    let mut file = File::create(&temporary)?;
    writeln!(file, "{format}")?;
    file.sync_all()?;
    std::fs::rename(&temporary, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

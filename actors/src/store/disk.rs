//! What the store needs from the thing that keeps its entries, and sled as that thing.

use super::error::{Cause, Error, OpenError};
use sled::IVec;
use std::fs::{File, TryLockError};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Entries in the order of a range, from both ends.
pub(super) type Entries<'a> = Box<dyn DoubleEndedIterator<Item = Result<(IVec, IVec), Error>> + 'a>;

/// Keeps entries in the order of their keys.
pub(super) trait Disk: Send + Sync + 'static {
    /// The entry of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<IVec>, Error>;

    /// The entries between two bounds. The caller sees to it that they do not cross.
    fn range<'a>(&'a self, from: Bound<&'a [u8]>, to: Bound<&'a [u8]>) -> Entries<'a>;

    /// Writes a batch: visible when it returns, and after a crash either all of it or nothing.
    fn apply(&self, batch: sled::Batch) -> Result<(), Error>;

    /// Returns when everything applied is on the disk itself.
    fn sync(&self) -> Result<(), Error>;
}

/// How long the threads of a store that was closed in this process may take to end.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

/// sled, with the sync that sled 0.34 leaves out: its `flush` ends in `sync_file_range`, which brings neither
/// metadata nor the device's cache to the disk.
pub(super) struct SledDisk {
    db: sled::Db,
    file: File,
    spill: PathBuf,
    spill_changed: SystemTime,
}

impl SledDisk {
    /// Opens or makes the store in `dir`, whose parent must exist.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, OpenError> {
        let unwritable = |source| OpenError::Unwritable {
            path: dir.to_owned(),
            source,
        };
        settle(dir).map_err(unwritable)?;
        wait_until_free(dir)?;
        let db = open_sled(dir, cache_bytes)?;
        let spill = dir.join("blobs");
        let file = File::open(dir.join("db")).map_err(unwritable)?;
        sync_names(dir)
            .and_then(|()| file.sync_all())
            .map_err(unwritable)?;
        let spill_changed = spill
            .metadata()
            .and_then(|found| found.modified())
            .map_err(unwritable)?;
        Ok(Self {
            db,
            file,
            spill,
            spill_changed,
        })
    }
}

/// Brings what an earlier process left in the page cache to the disk before sled derives anything from it,
/// and removes half-written snapshots: sled 0.34.7 would take such a file for the newest snapshot.
fn settle(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for entry in dir.read_dir()? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(&path)?;
        } else if name == "db" || name == "conf" {
            File::open(&path)?.sync_all()?;
        }
    }
    Ok(())
}

/// Waits until sled's own lock is free. The data directory's lock is ours, so whoever has it is a thread that
/// sled leaves behind for a moment when this process closes a store, or a foreign program.
pub(super) fn wait_until_free(dir: &Path) -> Result<(), OpenError> {
    wait_within(dir, LOCK_WAIT_MAX)
}

fn wait_within(dir: &Path, longest: Duration) -> Result<(), OpenError> {
    let path = dir.join("db");
    let deadline = Instant::now() + longest;
    let unwritable = |source| OpenError::Unwritable {
        path: path.clone(),
        source,
    };
    let Ok(file) = File::open(&path) else {
        return Ok(());
    };
    loop {
        match file.try_lock() {
            Ok(()) => return file.unlock().map_err(unwritable),
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                return Err(OpenError::Held { path, pid: None });
            }
            // A lock of another process tells nobody when it is free.
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Makes the names of the files in `dir`, and its own, durable.
fn sync_names(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()?;
    dir.parent()
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

fn open_sled(dir: &Path, cache_bytes: u64) -> Result<sled::Db, OpenError> {
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(cache_bytes)
        .flush_every_ms(None);
    let broken = |detail| OpenError::Broken {
        path: dir.to_owned(),
        detail,
    };
    // sled panics on some damaged files. It holds nothing of ours, so there is nothing to be left half done.
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(source))) if means_unwritable(source.kind()) => Err(OpenError::Unwritable {
            path: dir.to_owned(),
            source,
        }),
        Ok(Err(error)) => Err(broken(cause(error).to_string())),
        Err(panic) => Err(broken(panic_text(panic.as_ref()))),
    }
}

/// What sled said, without the backtrace and the place that it never has.
fn cause(error: sled::Error) -> Cause {
    match error {
        sled::Error::Corruption { at: None, .. } => "corrupted data".into(),
        sled::Error::Corruption { at: Some(at), .. } => format!("corrupted data at {at:?}").into(),
        other => other.into(),
    }
}

fn means_unwritable(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(
        kind,
        PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull
    )
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("panicked")
        .to_owned()
}

impl Disk for SledDisk {
    fn get(&self, key: &[u8]) -> Result<Option<IVec>, Error> {
        self.db.get(key).map_err(|error| Error::Read(cause(error)))
    }

    fn range<'a>(&'a self, from: Bound<&'a [u8]>, to: Bound<&'a [u8]>) -> Entries<'a> {
        let entries = self.db.range::<&[u8], _>((from, to));
        Box::new(entries.map(|entry| entry.map_err(|error| Error::Read(cause(error)))))
    }

    fn apply(&self, batch: sled::Batch) -> Result<(), Error> {
        self.db
            .apply_batch(batch)
            .map_err(|error| Error::Write(cause(error)))
    }

    fn sync(&self) -> Result<(), Error> {
        self.db.flush().map_err(|error| Error::Sync(cause(error)))?;
        self.file.sync_data().map_err(|error| Error::Sync(error.into()))?;
        let changed = self.spill.metadata().and_then(|found| found.modified());
        match changed.map_err(|error| Error::Sync(error.into()))? {
            changed if changed == self.spill_changed => Ok(()),
            _ => Err(Error::Spilled {
                path: self.spill.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corruption_is_told_without_what_sled_appends_to_it() {
        let corruption = sled::Error::Corruption { at: None, bt: () };
        assert_eq!(cause(corruption).to_string(), "corrupted data");
        let other = sled::Error::Unsupported("so".into());
        assert_eq!(cause(other.clone()).to_string(), other.to_string());
    }

    #[test]
    fn a_store_that_somebody_keeps_locked_is_held_and_waited_for_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("db")).unwrap();
        file.lock().unwrap();
        let refused = wait_within(dir.path(), Duration::ZERO).unwrap_err();
        assert!(
            matches!(refused, OpenError::Held { pid: None, .. }),
            "{refused:?}"
        );
        file.unlock().unwrap();
        wait_within(dir.path(), Duration::ZERO).unwrap();
    }
}

//! Looking into a store without changing it: a copy of its files is opened, under the lock of the data directory.
//!
//! sled writes when it opens, and so does an upgrade; both happen to the copy.

use super::disk::wait_until_free;
use super::error::{Error, OpenError};
use super::format;
use super::keepsake::files;
use super::load::refuse_unfinished;
use super::lock::DirLock;
use super::open::open_disk;
use super::space::{Space, free_bytes};
use super::table::{Table, prefix_end};
use super::{Store, long};
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// A store that was opened to be read. Dropping it removes the copy.
pub struct Inspected {
    store: Store,
    _copy: Copy,
    _lock: DirLock,
}

impl Inspected {
    /// Copies the store of `data_dir` into a folder of `scratch`, or of `data_dir` itself, and opens the copy.
    pub fn open(data_dir: &Path, scratch: Option<&Path>) -> Result<Self, OpenError> {
        let lock = lock(data_dir)?;
        refuse_unfinished(data_dir)?;
        let store = data_dir.join("store");
        if !store.exists() {
            return Err(missing(data_dir));
        }
        wait_until_free(&store)?;
        let copy = Copy::take(&store, scratch.unwrap_or(data_dir))?;
        let announced = format::announced(&copy.dir, format::UPGRADES)
            .and_then(|announced| announced.map(Some).ok_or_else(|| missing(data_dir)))?;
        let opened = open_disk(&copy.dir, CACHE_BYTES, announced, format::UPGRADES);
        // The store is what the operator knows; the copy is gone when the text is read.
        let (disk, long_keys) = opened.map_err(|error| match error {
            OpenError::Broken { detail, .. } => OpenError::Broken {
                path: store.clone(),
                detail,
            },
            error => error,
        })?;
        let started = Store::start(
            Box::new(disk),
            long_keys,
            Space::new(data_dir.to_owned(), 0),
            None,
        );
        let store = started.map_err(|source| OpenError::Unwritable { path: store, source })?;
        Ok(Self {
            store,
            _copy: copy,
            _lock: lock,
        })
    }

    /// What the copy holds.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// The lock of a data directory that must be there: looking for one does not make it.
pub(super) fn lock(data_dir: &Path) -> Result<DirLock, OpenError> {
    match data_dir.is_dir() {
        true => DirLock::take(data_dir),
        false => Err(missing(data_dir)),
    }
}

pub(super) fn missing(data_dir: &Path) -> OpenError {
    OpenError::Missing {
        path: data_dir.to_owned(),
    }
}

/// A copy of a store's files, removed when it is dropped.
pub(super) struct Copy {
    pub(super) dir: PathBuf,
}

impl Copy {
    pub(super) fn take(store: &Path, scratch: &Path) -> Result<Self, OpenError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = scratch.join(format!("store.copy-{}-{number}", std::process::id()));
        let unwritable = |source| OpenError::Unwritable {
            path: dir.clone(),
            source,
        };
        let files = files(store).map_err(|source| OpenError::Unwritable {
            path: store.to_owned(),
            source,
        })?;
        let sizes = files.iter().map(|path| path.metadata().map(|found| found.len()));
        let needed = sizes.sum::<io::Result<u64>>().map_err(unwritable)?;
        let free = free_bytes(scratch).unwrap_or(0);
        if needed >= free {
            return Err(OpenError::NoRoom {
                path: scratch.to_owned(),
                needed,
                free,
            });
        }
        fs::create_dir(&dir).map_err(unwritable)?;
        let copy = Self { dir: dir.clone() };
        for path in files {
            let to = dir.join(path.file_name().unwrap_or_default());
            fs::copy(&path, to).map_err(unwritable)?;
        }
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Threads of sled may still write; a folder that is not empty cannot be removed.
        let free = wait_until_free(&self.dir).is_ok();
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, free, path = %self.dir.display(), "cannot remove a copy of the store");
        }
    }
}

impl Store {
    /// Every row of a table, in order, of a store that nobody else writes. A value that cannot be put together is
    /// told as an error, and the walk goes on.
    pub fn walk(
        &self,
        table: Table,
        mut take: impl FnMut(&[u8], Result<Vec<u8>, Error>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let disk = self.inner.shared.disk.as_ref();
        let from = vec![table as u8];
        let to = prefix_end(&from);
        for entry in disk.range(Bound::Included(&from), Bound::Excluded(&to)) {
            let (key, stored) = entry?;
            if !format::is_own(&key) {
                let value = long::read(disk, &key, &stored);
                take(key.get(1..).unwrap_or_default(), value)?;
            }
        }
        Ok(())
    }

    /// Tells every piece of a long value that belongs to no row, by the key of the row it names, table byte included,
    /// and what is wrong with it. Of a store that nobody else writes.
    pub fn chunk_problems(&self, mut take: impl FnMut(&[u8], &'static str)) -> Result<(), Error> {
        let disk = self.inner.shared.disk.as_ref();
        let from = [Table::Chunk as u8];
        let to = prefix_end(&from);
        for entry in disk.range(Bound::Included(&from), Bound::Excluded(&to)) {
            let (key, _) = entry?;
            if let Some((row, what)) = long::orphan(disk, &key)? {
                take(row, what);
            }
        }
        Ok(())
    }
}

//! Making a store beside the one of a data directory, and putting it in its place when it is complete.
//!
//! | folder of the data directory | meaning |
//! | --- | --- |
//! | `store.importing` | an import is being made, or did not come to its end: nothing starts from it |
//! | `store.recovering` | a recovery is being made; the store is as it was |
//! | `store.recovered` | a recovery that is complete and is to be the store |
//! | `store.damaged-…` | what was the store before a recovery |

use super::batch::Value;
use super::disk::{Disk, SledDisk, wait_until_free};
use super::error::{Error, OpenError};
use super::lock::DirLock;
use super::long::LongKeys;
use super::open::open_disk;
use super::space::Space;
use super::{Store, TableRow, format, inspect};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// Writes that are applied at once.
const BATCH_WRITES: usize = 1024;
/// Bytes that are applied at once.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

const IMPORTING: &str = "store.importing";
const RECOVERING: &str = "store.recovering";
const RECOVERED: &str = "store.recovered";

/// Nothing starts from a data directory in which something was begun that is not complete.
pub(super) fn refuse_unfinished(data_dir: &Path) -> Result<(), OpenError> {
    let unfinished = |what, verb, left| {
        Err(OpenError::Unfinished {
            path: data_dir.to_owned(),
            what,
            verb,
            left,
        })
    };
    if data_dir.join(IMPORTING).exists() {
        return unfinished("an import", "import", IMPORTING);
    }
    if data_dir.join(RECOVERED).exists() {
        return unfinished("a recovery", "recover", RECOVERED);
    }
    Ok(())
}

/// What a new store is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Import,
    Recovery,
    Scratch,
}

/// Takes the rows of a new store. Nothing is synced before the end: until then it counts for nothing.
pub struct Loader {
    disk: SledDisk,
    long_keys: LongKeys,
    batch: sled::Batch,
    writes: usize,
    bytes: usize,
    place: Place,
}

/// Where a new store lies, and what it is for.
struct Place {
    purpose: Purpose,
    data_dir: PathBuf,
    dir: PathBuf,
    /// A scratch store has none.
    _lock: Option<DirLock>,
    /// It is removed when it is dropped.
    temporary: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = remove(&self.dir)
        {
            tracing::warn!(%error, path = %self.dir.display(), "cannot remove an incomplete store");
        }
    }
}

impl Loader {
    /// Begins the store of a data directory that has none. Takes the directory's lock and looks whether it is empty:
    /// what it says about what it found is the error.
    pub fn import(data_dir: &Path) -> Result<Self, OpenError> {
        let lock = DirLock::take(data_dir)?;
        refuse_full(data_dir)?;
        Self::begin(Purpose::Import, data_dir, data_dir.join(IMPORTING), Some(lock))
    }

    /// Begins a store in place of the one in `data_dir`, which stays as it is for now; with the folder of that one,
    /// which nobody else writes meanwhile.
    pub fn recovery(data_dir: &Path) -> Result<(Self, PathBuf), OpenError> {
        let lock = inspect::lock(data_dir)?;
        let store = data_dir.join("store");
        if !store.is_dir() {
            return Err(inspect::missing(data_dir));
        }
        wait_until_free(&store)?;
        let dir = data_dir.join(RECOVERING);
        Ok((Self::begin(Purpose::Recovery, data_dir, dir, Some(lock))?, store))
    }

    /// Puts a recovery that is complete in its place, if there is one; the folder of what was there before.
    pub fn go_on(data_dir: &Path) -> Result<Option<PathBuf>, OpenError> {
        let _lock = inspect::lock(data_dir)?;
        match data_dir.join(RECOVERED).exists() {
            true => exchange(data_dir).map_err(|source| unwritable(data_dir, source)),
            false => Ok(None),
        }
    }

    /// Begins a store in the new folder `dir`, which lasts as long as the store.
    pub fn scratch(dir: &Path) -> Result<Self, OpenError> {
        Self::begin(Purpose::Scratch, dir, dir.join("store"), None)
    }

    fn begin(
        purpose: Purpose,
        data_dir: &Path,
        dir: PathBuf,
        lock: Option<DirLock>,
    ) -> Result<Self, OpenError> {
        let place = Place {
            purpose,
            data_dir: data_dir.to_owned(),
            dir,
            _lock: lock,
            temporary: true,
        };
        remove(&place.dir).map_err(|source| unwritable(&place.dir, source))?;
        std::fs::create_dir_all(&place.dir).map_err(|source| unwritable(&place.dir, source))?;
        // Its name is durable before anything else is: an import that ends here is known as one.
        sync_dir(data_dir).map_err(|source| unwritable(data_dir, source))?;
        let disk = SledDisk::open(&place.dir, CACHE_BYTES)?;
        let long_keys = LongKeys::load(&disk).map_err(|error| broken(&place.dir, &error))?;
        Ok(Self {
            disk,
            long_keys,
            batch: sled::Batch::default(),
            writes: 0,
            bytes: 0,
            place,
        })
    }

    /// Adds a row whose key was not added before.
    pub fn put(&mut self, row: TableRow) -> Result<(), Error> {
        let TableRow {
            table,
            mut key,
            value,
        } = row;
        key.insert(0, table);
        self.bytes += key.len() + value.len();
        self.writes += 1;
        let value = Some(Value::encode(value));
        self.long_keys
            .stage(&self.disk, &mut self.batch, key.into(), value)?;
        match self.writes >= BATCH_WRITES || self.bytes >= BATCH_BYTES {
            true => self.apply(),
            false => Ok(()),
        }
    }

    fn apply(&mut self) -> Result<(), Error> {
        (self.writes, self.bytes) = (0, 0);
        self.disk.apply(std::mem::take(&mut self.batch))
    }

    /// Ends it: rows of the format `format` are upgraded to the newest, and all is synced.
    pub fn finish(mut self, format: u32) -> Result<Built, OpenError> {
        let dir = self.place.dir.clone();
        let failed = |error: Error| broken(&dir, &error);
        self.apply().map_err(failed)?;
        format::write(&self.disk, sled::Batch::default(), format).map_err(failed)?;
        format::announce(&dir, format).map_err(|source| unwritable(&dir, source))?;
        // Opened again, as every store is: what was written is read back, and upgraded.
        drop((self.disk, self.long_keys));
        wait_until_free(&dir)?;
        let announced = format::announced(&dir, format::UPGRADES)?;
        let (disk, long_keys) = open_disk(&dir, CACHE_BYTES, announced, format::UPGRADES)?;
        let space = Space::new(self.place.data_dir.clone(), 0);
        let store = Store::start(Box::new(disk), long_keys, space, None)
            .map_err(|source| unwritable(&dir, source))?;
        Ok(Built {
            store,
            place: self.place,
        })
    }
}

/// A new store that is complete and not in its place yet.
pub struct Built {
    /// Dropped before the place, which may remove its files.
    store: Store,
    place: Place,
}

impl Built {
    /// To look into it, and to change it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Puts it in its place. The answer names the folder that has the store that was there before.
    pub fn put_in_place(self) -> Result<Option<PathBuf>, OpenError> {
        let Self { store, mut place } = self;
        store.flush_and_close();
        if store.failed() {
            return Err(OpenError::Broken {
                path: place.dir.clone(),
                detail: "a write to the new store failed".to_owned(),
            });
        }
        drop(store);
        wait_until_free(&place.dir)?;
        let data_dir = place.data_dir.clone();
        let placed = match place.purpose {
            Purpose::Scratch => return Ok(None),
            Purpose::Import => rename(&place.dir, &data_dir.join("store")).map(|()| None),
            Purpose::Recovery => {
                rename(&place.dir, &data_dir.join(RECOVERED)).and_then(|()| exchange(&data_dir))
            }
        };
        // Also after a failure: what a rename left is for the next attempt.
        place.temporary = false;
        placed.map_err(|source| unwritable(&data_dir, source))
    }
}

fn exchange(data_dir: &Path) -> io::Result<Option<PathBuf>> {
    let store = data_dir.join("store");
    let aside = match store.exists() {
        true => {
            let aside = free_name(data_dir)?;
            rename(&store, &aside)?;
            Some(aside)
        }
        false => None,
    };
    rename(&data_dir.join(RECOVERED), &store)?;
    Ok(aside)
}

fn free_name(data_dir: &Path) -> io::Result<PathBuf> {
    (1..10_000_u32)
        .map(|number| data_dir.join(format!("store.damaged-{number}")))
        .find(|path| !path.exists())
        .ok_or_else(|| io::Error::other("there are 9999 folders store.damaged-… already; remove some"))
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    sync_dir(from)?;
    std::fs::rename(from, to)?;
    to.parent().map_or(Ok(()), sync_dir)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Names that may be in a data directory before an import: what is no store, and what belongs to the server that is
/// moved here.
const BESIDE_AN_IMPORT: [&str; 6] = ["lock", "admin.token", "tls", "nats", "artifacts", IMPORTING];

fn refuse_full(data_dir: &Path) -> Result<(), OpenError> {
    let entries = data_dir
        .read_dir()
        .map_err(|source| unwritable(data_dir, source))?;
    for entry in entries {
        let name = entry.map_err(|source| unwritable(data_dir, source))?.file_name();
        if !BESIDE_AN_IMPORT.iter().any(|allowed| name == *allowed) {
            return Err(OpenError::NotEmpty {
                path: data_dir.to_owned(),
                found: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(())
}

fn unwritable(path: &Path, source: io::Error) -> OpenError {
    OpenError::Unwritable {
        path: path.to_owned(),
        source,
    }
}

fn broken(dir: &Path, error: &Error) -> OpenError {
    OpenError::Broken {
        path: dir.to_owned(),
        detail: format!("failed to {error}"),
    }
}

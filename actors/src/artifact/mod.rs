//! Artifacts: file contents kept by the server, addressed by SHA-256.
//!
//! A content is the file `artifacts/ab/cdef…` of the data directory. It gets that name only when it is
//! complete, verified and on the disk, so whatever has the name is whole. Calls block on the disk: they
//! belong on threads that may. Deliberately not here: names of files, who sent them, transfers.

mod error;
mod incoming;
mod partial;
#[cfg(test)]
mod tests;
mod uses;

pub use error::Error;
pub use incoming::Incoming;
pub use partial::{PARTIALS_KEPT_FOR, PARTIALS_MAX};
pub(crate) use uses::use_key;
pub use uses::{Holder, forget_use, is_used, may_read, note_use};

use crate::store::Store;
use error::Doing;
use parking_lot::Mutex;
use partial::Partials;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tripline_protocol::Sha256;

/// The artifacts of a data directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    bytes_max: u64,
    /// Bytes of all artifacts and of those coming in.
    bytes_used: AtomicU64,
    /// Held while a content gets or loses its name.
    naming: Mutex<()>,
    /// How many keep every content from being swept.
    keepers: AtomicU64,
    next_incoming: AtomicU64,
    partials: Partials,
}

/// Keeps every content from being swept.
#[derive(Debug)]
pub struct KeptAll(Arc<Inner>);

impl Drop for KeptAll {
    fn drop(&mut self) {
        self.0.keepers.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many artifacts.
    pub artifacts: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl ArtifactStore {
    /// The artifacts in `data_dir`, at most `bytes_max` bytes in all. Removes what an earlier process left
    /// incomplete, unless a transfer can go on with it, so the data directory's lock must be held (an open [`Store`] holds it).
    pub fn open(data_dir: &Path, bytes_max: u64) -> Result<Self, Error> {
        let root = data_dir.join("artifacts");
        let incoming = root.join("incoming");
        make_dir(&incoming)?;
        let (partials, partial_bytes) = Partials::open(&incoming)?;
        let artifacts = list(&root)?;
        let bytes: u64 = artifacts.iter().map(|(_, bytes)| bytes).sum();
        let bytes_used = AtomicU64::new(bytes + partial_bytes);
        sync_dir(&root)?;
        sync_dir(data_dir)?;
        let (naming, keepers) = (Mutex::default(), AtomicU64::new(0));
        let next_incoming = AtomicU64::new(partials.number_next());
        Ok(Self {
            inner: Arc::new(Inner {
                root,
                bytes_max,
                bytes_used,
                naming,
                keepers,
                next_incoming,
                partials,
            }),
        })
    }

    /// Begins to take a content in.
    pub fn begin(&self) -> Result<Incoming, Error> {
        Incoming::begin(self.inner.clone(), None)
    }

    /// Keeps `bytes`; durable when it returns. The answer is their hash and length.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<(Sha256, u64), Error> {
        let mut incoming = self.begin()?;
        incoming.write(0, bytes)?;
        incoming.finish(None)
    }

    /// Opens a content for reading; with its length in bytes.
    pub fn open_read(&self, sha256: &Sha256) -> Result<(File, u64), Error> {
        let path = self.inner.path(sha256);
        match File::open(&path) {
            Ok(file) => {
                let bytes = file.metadata().doing("look at", &path)?.len();
                Ok((file, bytes))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::Missing {
                sha256: sha256.clone(),
            }),
            Err(error) => Err(error).doing("open", &path),
        }
    }

    /// Whether the content is there.
    pub fn exists(&self, sha256: &Sha256) -> bool {
        self.inner.path(sha256).is_file()
    }

    /// Removes a content; `false`: it was not there. Who reads it at the moment reads on.
    pub fn remove(&self, sha256: &Sha256) -> Result<bool, Error> {
        let _naming = self.inner.naming.lock();
        Ok(self.inner.remove(sha256)?.is_some())
    }

    /// Removes the contents that nothing uses and nobody brought for `unused_for`. That span covers the time
    /// between a content's arrival and the batch that notes its use.
    pub fn sweep(&self, store: &Store, unused_for: Duration) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        let before = SystemTime::now()
            .checked_sub(unused_for)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        for (sha256, _) in list(&self.inner.root)? {
            let _naming = self.inner.naming.lock();
            if self.inner.keepers.load(Ordering::Acquire) > 0 {
                break;
            }
            if self.inner.brought_after(&sha256, before) || is_used(store, &sha256)? {
                continue;
            }
            if let Some(bytes) = self.inner.remove(&sha256)? {
                swept.artifacts += 1;
                swept.bytes += bytes;
            }
        }
        Ok(swept)
    }

    /// No content is swept while the answer lives.
    pub fn keep_all(&self) -> KeptAll {
        let _naming = self.inner.naming.lock();
        self.inner.keepers.fetch_add(1, Ordering::AcqRel);
        KeptAll(Arc::clone(&self.inner))
    }

    /// Bytes of all artifacts and of those coming in.
    pub fn bytes_used(&self) -> u64 {
        self.inner.bytes_used.load(Ordering::Acquire)
    }

    /// The most bytes there may be.
    pub fn bytes_max(&self) -> u64 {
        self.inner.bytes_max
    }
}

impl Inner {
    fn path(&self, sha256: &Sha256) -> PathBuf {
        path(&self.root, sha256)
    }

    /// Makes room for `bytes` more, or says that there is none. What waits for its transfer to go on makes room for
    /// what comes now.
    fn reserve(&self, bytes: u64) -> Result<(), Error> {
        loop {
            match self.try_reserve(bytes) {
                Err(_) if self.drop_oldest_partial("room") => {}
                other => return other,
            }
        }
    }

    fn try_reserve(&self, bytes: u64) -> Result<(), Error> {
        let fits = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.bytes_max);
        match self
            .bytes_used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
        {
            Ok(_) => Ok(()),
            Err(used) => Err(Error::Full {
                bytes_used: used,
                bytes_max: self.bytes_max,
            }),
        }
    }

    fn release(&self, bytes: u64) {
        self.bytes_used.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// With `naming` held.
    fn remove(&self, sha256: &Sha256) -> Result<Option<u64>, Error> {
        let path = self.path(sha256);
        let Ok(found) = path.metadata() else {
            return Ok(None);
        };
        std::fs::remove_file(&path).doing("remove", &path)?;
        self.release(found.len());
        Ok(Some(found.len()))
    }

    /// A file system that does not say when counts as just now: nothing is removed on a guess.
    fn brought_after(&self, sha256: &Sha256, time: SystemTime) -> bool {
        let modified = self.path(sha256).metadata().and_then(|found| found.modified());
        modified.map_or(true, |modified| modified > time)
    }
}

/// The file of a content below `root`.
pub(crate) fn path(root: &Path, sha256: &Sha256) -> PathBuf {
    let (folder, file) = sha256.as_str().split_at(2);
    root.join(folder).join(file)
}

fn make_dir(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .doing("make", path)
}

fn sync_dir(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .doing("sync", path)
}

/// All contents below `root` with their lengths; anything that is not named like one is left alone.
pub(crate) fn list(root: &Path) -> Result<Vec<(Sha256, u64)>, Error> {
    let mut contents = Vec::new();
    for folder in root.read_dir().doing("list", root)? {
        let folder = folder.doing("list", root)?;
        let name = folder.file_name();
        if name.len() != 2 {
            continue;
        }
        let path = folder.path();
        for entry in path.read_dir().doing("list", &path)? {
            let entry = entry.doing("list", &path)?;
            let name = format!("{}{}", name.display(), entry.file_name().display());
            if let Ok(sha256) = name.parse() {
                contents.push((sha256, entry.metadata().doing("look at", &path)?.len()));
            }
        }
    }
    Ok(contents)
}

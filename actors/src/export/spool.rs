//! Making exports of a store that is in use: into a file without a name, to be sent, or into a file of a folder.
//!
//! Everything goes to a file at the disk's own speed first, so that nobody who is slow to take an export keeps the
//! store's snapshot open.

use super::error::{Doing, Error};
use super::write::{Made, Writer};
use crate::artifact::ArtifactStore;
use crate::clock::Clock;
use crate::store::{Store, free_bytes};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tripline_protocol::Timestamp;

/// Bytes between two looks at the free space.
const LOOK_EVERY: u64 = 16 * 1024 * 1024;
const BUFFER_BYTES: usize = 1024 * 1024;

/// Makes exports of one store. Calls block on the disk: they belong on threads that may.
#[derive(Clone)]
pub struct Exporter {
    store: Store,
    artifacts: Arc<ArtifactStore>,
    clock: Arc<dyn Clock>,
    data_dir: PathBuf,
    free_min: u64,
}

/// An export in a file that has no name and ends with it.
#[derive(Debug)]
pub struct Export {
    /// To be read from its beginning.
    pub file: File,
    /// What is in it.
    pub made: Made,
    /// When it was begun.
    pub made_at: Timestamp,
}

impl Exporter {
    /// Of the store in `data_dir`, whose file system keeps `free_min` bytes free.
    pub fn new(
        store: Store,
        artifacts: Arc<ArtifactStore>,
        clock: Arc<dyn Clock>,
        data_dir: &Path,
        free_min: u64,
    ) -> Self {
        Self {
            store,
            artifacts,
            clock,
            data_dir: data_dir.to_owned(),
            free_min,
        }
    }

    /// Bytes that stay free where exports are written.
    pub fn free_min(&self) -> u64 {
        self.free_min
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Exports into a file of the data directory that has no name.
    pub fn spool(&self, artifacts: bool) -> Result<Export, Error> {
        let path = self.data_dir.join("export.spool");
        let made_at = self.now();
        let (file, made) = self.write_new(&path, artifacts, made_at)?;
        Ok(Export { file, made, made_at })
    }

    fn write_new(&self, path: &Path, artifacts: bool, made_at: Timestamp) -> Result<(File, Made), Error> {
        let writing = Writing::begin(self, made_at)?;
        let file = create(path)?;
        // Nobody else may find it, and nothing is left of it when the process ends.
        std::fs::remove_file(path).doing("remove the name of", path)?;
        let made = writing.write(&file, path, artifacts)?;
        Ok((file, made))
    }

    /// Exports into the new file `path`, for its owner only; synced when it returns. What there is of it after a
    /// failure is removed.
    pub fn write_file(&self, path: &Path, artifacts: bool) -> Result<Made, Error> {
        let writing = Writing::begin(self, self.now())?;
        let file = create(path)?;
        let written = writing
            .write(&file, path, artifacts)
            .and_then(|made| file.sync_all().doing("sync", path).map(|()| made));
        if written.is_err()
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(%error, path = %path.display(), "what was written of an export stays behind");
        }
        written
    }
}

/// One export; begun before its file is, so that there is never more than one.
struct Writing<'a> {
    exporter: &'a Exporter,
    snapshot: crate::store::Snapshot,
    _artifacts: crate::artifact::KeptAll,
    made_at: Timestamp,
}

impl<'a> Writing<'a> {
    fn begin(exporter: &'a Exporter, made_at: Timestamp) -> Result<Self, Error> {
        // Before the snapshot: what its rows name is there until the end.
        let kept = exporter.artifacts.keep_all();
        let snapshot = exporter.store.snapshot()?;
        Ok(Self {
            exporter,
            snapshot,
            _artifacts: kept,
            made_at,
        })
    }

    fn write(mut self, file: &File, path: &Path, artifacts: bool) -> Result<Made, Error> {
        let watched = Watched::new(file, path, self.exporter)?;
        let to = BufWriter::with_capacity(BUFFER_BYTES, watched);
        let mut writer = Writer::begin(to, self.snapshot.format(), self.made_at, artifacts)?;
        loop {
            let rows = self.snapshot.next_page()?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                writer.row(row)?;
            }
        }
        // Artifacts do not change: commits need not be watched any longer.
        drop(self.snapshot);
        let (_, made) = writer.finish(&self.exporter.artifacts)?;
        Ok(made)
    }
}

fn create(path: &Path) -> Result<File, Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).doing("remove", path),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path).doing("make", path)
}

/// A file that takes nothing more when its file system gets too full, or the server stops.
struct Watched<'a> {
    file: &'a File,
    folder: &'a Path,
    store: &'a Store,
    free_min: u64,
    until_look: u64,
}

impl<'a> Watched<'a> {
    fn new(file: &'a File, path: &'a Path, exporter: &'a Exporter) -> Result<Self, Error> {
        let parent = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new("."));
        let free_min = exporter.free_min;
        let watched = Self {
            file,
            folder,
            store: &exporter.store,
            free_min,
            until_look: 0,
        };
        match watched.free() {
            free if free >= free_min => Ok(watched),
            free => Err(Error::Room {
                verb: "export",
                path: folder.to_owned(),
                free,
                needed: 1,
                kept: free_min,
            }),
        }
    }

    fn free(&self) -> u64 {
        free_bytes(self.folder).unwrap_or(0)
    }
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.until_look < bytes.len() as u64 {
            self.until_look = LOOK_EVERY;
            if self.store.is_closed() {
                return Err(io::Error::other("the server is stopping"));
            }
            if self.free() < self.free_min {
                return Err(io::Error::new(
                    io::ErrorKind::StorageFull,
                    format!(
                        "less than {} bytes (disk.free_min) would stay free",
                        self.free_min
                    ),
                ));
            }
        }
        let written = self.file.write(bytes)?;
        self.until_look = self.until_look.saturating_sub(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

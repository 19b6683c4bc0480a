//! A copy of the store's files while sled opens them.
//!
//! sled's recovery writes before it knows whether it will succeed: from the first entry it cannot read it
//! fills the rest of the log with zeroes, and then panics over the pages it misses. A store that does not
//! open must stay as it was found, for whoever repairs it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Removed when it is dropped.
pub(super) struct Keepsake {
    dir: PathBuf,
    copy: PathBuf,
}

impl Keepsake {
    /// Copies the files of `dir`; `None` when there is nothing to keep, or no room for a copy beside
    /// `free_bytes`. Not synced: it only has to outlive a failing open within this process.
    pub(super) fn take(dir: &Path, free_bytes: u64) -> io::Result<Option<Self>> {
        let copy = dir.with_extension("opening");
        if copy.exists() {
            fs::remove_dir_all(&copy)?;
        }
        let files = if dir.exists() { files(dir)? } else { Vec::new() };
        let size = files
            .iter()
            .map(|path| path.metadata().map(|found| found.len()))
            .sum::<io::Result<u64>>()?;
        if files.is_empty() {
            return Ok(None);
        }
        if size >= free_bytes {
            tracing::warn!(
                size,
                free_bytes,
                "no room for a copy of the store while it is opened"
            );
            return Ok(None);
        }
        fs::create_dir(&copy)?;
        let keepsake = Self {
            dir: dir.to_owned(),
            copy,
        };
        for path in files {
            let name = path.file_name().unwrap_or_default();
            fs::copy(&path, keepsake.copy.join(name))?;
        }
        Ok(Some(keepsake))
    }

    /// Makes the store's files what they were.
    pub(super) fn put_back(self) -> io::Result<()> {
        let kept = files(&self.copy)?;
        for path in files(&self.dir)? {
            if !kept.iter().any(|kept| kept.file_name() == path.file_name()) {
                fs::remove_file(path)?;
            }
        }
        for path in kept {
            File::open(&path)?.sync_all()?;
            fs::rename(&path, self.dir.join(path.file_name().unwrap_or_default()))?;
        }
        File::open(&self.dir)?.sync_all()
    }
}

impl Drop for Keepsake {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.copy) {
            tracing::warn!(%error, path = %self.copy.display(), "cannot remove a copy of the store");
        }
    }
}

/// The files of a folder, without those of folders in it.
pub(super) fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in dir.read_dir()? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

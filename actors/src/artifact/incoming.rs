//! A content on its way in: a temporary file that gets its name when it is complete.

use super::error::{Doing, Error};
use super::{Inner, make_dir, sync_dir};
use sha2::Digest;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use tripline_protocol::Sha256;

/// A content that comes in piece by piece. Dropping it removes what came so far.
#[derive(Debug)]
pub struct Incoming {
    store: Arc<Inner>,
    file: File,
    path: PathBuf,
    hasher: sha2::Sha256,
    bytes: u64,
    /// Whether the file has its final name, with the bytes it takes accounted for there.
    named: bool,
}

impl Incoming {
    pub(super) fn begin(store: Arc<Inner>) -> Result<Self, Error> {
        let number = store.next_incoming.fetch_add(1, Ordering::Relaxed);
        let path = store.root.join("incoming").join(number.to_string());
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .doing("make", &path)?;
        Ok(Self {
            store,
            file,
            path,
            hasher: sha2::Sha256::new(),
            bytes: 0,
            named: false,
        })
    }

    /// Adds a piece that begins at `offset` bytes. After an error the same piece may be given again.
    pub fn write(&mut self, offset: u64, piece: &[u8]) -> Result<(), Error> {
        if offset != self.bytes {
            return Err(Error::Offset {
                expected: self.bytes,
                found: offset,
            });
        }
        let length = piece.len() as u64;
        self.store.reserve(length)?;
        if let Err(error) = self.file.write_all_at(piece, offset) {
            self.store.release(length);
            return Err(error).doing("write", &self.path);
        }
        self.hasher.update(piece);
        self.bytes += length;
        Ok(())
    }

    /// Bytes that came so far; the next piece begins there.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps the content if it is the `expected` one; durable when it returns. The answer is its hash and
    /// length.
    pub fn finish(mut self, expected: Option<&Sha256>) -> Result<(Sha256, u64), Error> {
        let found = Sha256::from_digest(&std::mem::take(&mut self.hasher).finalize().into());
        if let Some(expected) = expected.filter(|expected| **expected != found) {
            return Err(Error::Hash {
                expected: expected.clone(),
                found,
            });
        }
        self.file.set_len(self.bytes).doing("cut", &self.path)?;
        self.file.sync_all().doing("sync", &self.path)?;
        self.name(&found)?;
        Ok((found, self.bytes))
    }

    fn name(&mut self, sha256: &Sha256) -> Result<(), Error> {
        let path = self.store.path(sha256);
        let folder = path.parent().unwrap_or(&self.store.root);
        if !folder.is_dir() {
            make_dir(folder)?;
            sync_dir(&self.store.root)?;
        }
        let naming = self.store.naming.lock();
        if path.is_file() {
            // It is there already: brought once more, so that a sweep lets it be.
            File::open(&path)
                .and_then(|file| file.set_modified(SystemTime::now()))
                .doing("touch", &path)?;
        } else {
            std::fs::rename(&self.path, &path).doing("rename", &self.path)?;
            self.named = true;
        }
        drop(naming);
        // Also when another brought it: that one may not have got this far.
        sync_dir(folder)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.named {
            return;
        }
        self.store.release(self.bytes);
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove an incomplete artifact");
        }
    }
}

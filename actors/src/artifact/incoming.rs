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
use uuid::Uuid;

/// A content that comes in piece by piece. Dropping it removes what came so far, unless it belongs to a transfer, which
/// can go on with it.
#[derive(Debug)]
pub struct Incoming {
    pub(super) store: Arc<Inner>,
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) hasher: sha2::Sha256,
    pub(super) bytes: u64,
    /// The transfer it belongs to.
    pub(super) transfer: Option<Uuid>,
    /// Whether the file has its final name, with the bytes it takes accounted for there.
    pub(super) named: bool,
}

impl Incoming {
    pub(super) fn begin(store: Arc<Inner>, transfer: Option<Uuid>) -> Result<Self, Error> {
        let number = store.next_incoming.fetch_add(1, Ordering::Relaxed);
        let name = store.partials.file_name(transfer, number);
        let path = store.root.join("incoming").join(name);
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
            transfer,
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

    /// The hash of what came so far.
    pub fn sha256(&self) -> Sha256 {
        Sha256::from_digest(&self.hasher.clone().finalize().into())
    }

    /// Removes what came so far: no transfer goes on with it.
    pub fn discard(mut self) {
        self.remove_when_dropped();
    }

    fn remove_when_dropped(&mut self) {
        if let Some(transfer) = self.transfer.take() {
            self.store.partials.ended(transfer);
        }
    }

    /// Keeps the content if it is the `expected` one; durable when it returns. The answer is its hash and
    /// length.
    pub fn finish(mut self, expected: Option<&Sha256>) -> Result<(Sha256, u64), Error> {
        self.remove_when_dropped();
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
        match self.transfer.take() {
            Some(transfer) if self.bytes > 0 => return self.store.keep_partial(transfer, self),
            Some(transfer) => self.store.partials.ended(transfer),
            None => {}
        }
        self.store.release(self.bytes);
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove an incomplete artifact");
        }
    }
}

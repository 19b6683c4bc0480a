//! Free space where the data lies.

use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long an answer of the file system is used again.
const VALID_FOR: Duration = Duration::from_secs(1);

/// Watches the free space of a directory's file system.
pub(super) struct Space {
    dir: PathBuf,
    free_bytes_min: u64,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Space {
    pub(super) fn new(dir: PathBuf, free_bytes_min: u64) -> Self {
        Self {
            dir,
            free_bytes_min,
            last: Mutex::new(None),
        }
    }

    /// Whether less than the minimum is free, as of at most a second ago. A file system that does not answer
    /// counts as full: nothing new should be promised on it.
    pub(super) fn is_low(&self) -> bool {
        let mut last = self.last.lock();
        match *last {
            Some((at, low)) if at.elapsed() < VALID_FOR => low,
            _ => {
                let free = self.free_bytes();
                if let Some(free) = free {
                    metrics::gauge!("tripline_store_disk_free_bytes").set(free as f64);
                }
                let low = free.is_none_or(|free| free < self.free_bytes_min);
                *last = Some((Instant::now(), low));
                low
            }
        }
    }

    /// Free bytes; `None` when the file system does not say.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        free_bytes(&self.dir)
    }
}

/// Free bytes of the file system that `dir` is in; `None` when it does not say.
pub fn free_bytes(dir: &Path) -> Option<u64> {
    match rustix::fs::statvfs(dir) {
        Ok(found) => Some(found.f_bavail.saturating_mul(found.f_frsize)),
        Err(error) => {
            tracing::warn!(%error, dir = %dir.display(), "cannot tell the free space");
            None
        }
    }
}

//! What callers and the writer share, and how a failure is told.

use super::chain::Heads;
use super::disk::Disk;
use super::lock::DirLock;
use super::overlay::Overlay;
use super::snapshot::Kept;
use super::space::Space;
use parking_lot::{Mutex, RwLock};
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;

/// Fields are dropped in this order: the lock last.
pub(super) struct Shared {
    pub(super) disk: Box<dyn Disk>,
    pub(super) overlay: RwLock<Overlay>,
    /// Held while a group is applied and synced, and while a snapshot reads a page.
    pub(super) kept: Mutex<Option<Kept>>,
    pub(super) heads: Heads,
    /// Batches submitted whose `then` has not run yet.
    pub(super) undurable: AtomicUsize,
    pub(super) failure: Failure,
    pub(super) space: Space,
    pub(super) _lock: Option<DirLock>,
}

type Listener = Box<dyn Fn(&str) + Send + Sync>;

/// The first failure, and who wants to hear of it.
#[derive(Default)]
pub(super) struct Failure {
    reason: OnceLock<String>,
    listeners: Mutex<Vec<Listener>>,
}

impl Failure {
    pub(super) fn happened(&self) -> bool {
        self.reason.get().is_some()
    }

    pub(super) fn set(&self, error: &dyn std::error::Error) {
        let mut text = format!("failed to {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        self.set_text(text);
    }

    pub(super) fn set_text(&self, text: String) {
        if self.reason.set(text).is_err() {
            return;
        }
        let reason = self.reason.get().map_or("", String::as_str);
        tracing::error!(reason, "the store takes no more writes");
        for listener in std::mem::take(&mut *self.listeners.lock()) {
            listener(reason);
        }
    }

    /// Calls `listener` at the failure, or now when it was before.
    pub(super) fn listen(&self, listener: Listener) {
        let mut listeners = self.listeners.lock();
        match self.reason.get() {
            None => listeners.push(listener),
            Some(reason) => {
                drop(listeners);
                listener(reason);
            }
        }
    }
}

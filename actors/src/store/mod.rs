//! The store: every actor's durable state in one sled tree, written by one thread in groups.
//!
//! A decision submits one [`Batch`] and says what runs once it is durable. Readers see a submitted batch at
//! once; nobody outside learns of it before it is on the disk. After a failed write or sync nothing is
//! answered any more: [`Store::failed`], then the process ends.
//!
//! Deliberately not here: what the tables hold (their owners know), a second try after a failure, a bound on
//! waiting batches (callers look at [`Store::durable_lag`]), asynchronous code.

mod batch;
mod chain;
mod disk;
mod error;
mod format;
mod inspect;
mod keepsake;
pub mod key;
mod load;
mod lock;
mod long;
mod open;
mod overlay;
mod salvage;
mod shared;
mod snapshot;
mod space;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use batch::{Batch, KEY_BYTES_MAX};
pub use chain::{Head, Link};
pub(crate) use chain::{chain_key, row_key};
pub use error::{Cause, Error, OpenError};
pub use inspect::Inspected;
pub use load::{Built, Loader};
pub use lock::is_in_use;
pub use overlay::{Row, Rows};
pub use salvage::{Loss, Salvaged};
pub use snapshot::{Snapshot, SnapshotError, TableRow, is_row_key};
pub use space::free_bytes;
pub use table::Table;

use batch::Value;
use chain::Chains;
use disk::Disk;
use lock::DirLock;
use long::LongKeys;
use overlay::{Order, Overlay};
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use shared::{Failure, Shared};
use space::Space;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use writer::{Submitted, Then, Writer};

/// Where the store lies and what it may take.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; the store is its folder `store`.
    pub path: PathBuf,
    /// Memory for cached pages.
    pub cache_bytes: u64,
    /// Free bytes of the file system below which [`Store::disk_low`] says so.
    pub disk_free_min: u64,
}

impl Options {
    /// The defaults, in `path`: 64 MiB of cache, 256 MiB of free disk.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: 64 * 1024 * 1024,
            disk_free_min: 256 * 1024 * 1024,
        }
    }
}

/// A handle on the store. Cheap to clone; dropping the last one waits until everything submitted is durable.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    queue: Option<Sender<Submitted>>,
    writer: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store of a data directory, or makes it. Takes the directory's lock before it touches
    /// anything else. When it fails, the store's files are as they were.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let lock = DirLock::take(&options.path)?;
        open::open(options, lock, format::UPGRADES)
    }

    /// The newest format of rows that this program knows.
    pub const fn newest_format() -> u32 {
        format::newest(format::UPGRADES)
    }

    fn start(
        disk: Box<dyn Disk>,
        long_keys: LongKeys,
        space: Space,
        lock: Option<DirLock>,
    ) -> std::io::Result<Self> {
        let heads = chain::load(disk.as_ref()).map_err(std::io::Error::other)?;
        let shared = Arc::new(Shared {
            disk,
            overlay: RwLock::new(Overlay::default()),
            kept: Mutex::default(),
            heads: RwLock::new(heads.clone()),
            undurable: AtomicUsize::new(0),
            failure: Failure::default(),
            space,
            _lock: lock,
        });
        let (sender, receiver) = channel();
        let writer = Writer::new(shared.clone(), receiver, long_keys, Chains::new(heads));
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let writer = thread.spawn(|| writer.run())?;
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                queue: Some(sender),
                writer: Some(writer),
            }),
        })
    }

    /// The value of `key`, submitted batches included.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let shared = &self.inner.shared;
        let key = table.full_key(key);
        if let Some(pending) = shared.overlay.read().pending(&key) {
            return Ok(pending.as_ref().map(Value::decode));
        }
        // Not under the lock: sled lets nobody read while it applies a group, and then nobody could submit.
        match shared.disk.get(&key)? {
            None => Ok(None),
            Some(stored) => match long::inline(&stored) {
                Some(value) => Ok(Some(value.to_vec())),
                None => shared.overlay.read().get(shared.disk.as_ref(), &key),
            },
        }
    }

    /// Whether everything that was submitted about `key` so far is durable; asked after a read, it is so of what was
    /// read. Then an answer that shows nothing else need not wait for a commit.
    pub fn is_durable(&self, table: Table, key: &[u8]) -> bool {
        !self.inner.shared.overlay.read().has(&table.full_key(key))
    }

    /// How many rows a table has. Reads all of them, page by page.
    pub fn count(&self, table: Table) -> Result<u64, Error> {
        let (mut count, mut after) = (0, None::<Vec<u8>>);
        loop {
            let page = self.scan(table, &[], after.as_deref(), 1_000)?;
            let Some((last, _)) = page.last() else {
                return Ok(count);
            };
            after = Some(last.clone());
            count += page.len() as u64;
        }
    }

    /// At most `limit` rows whose keys begin with `prefix`, ascending, strictly after the key `after`;
    /// submitted batches included. Keys are without the table's byte.
    pub fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Rows, Error> {
        let (from, to) = Self::prefix_bounds(table, prefix);
        let after = after.map(|after| table.full_key(after));
        match &after {
            Some(after) if *after >= to => Ok(Vec::new()),
            Some(after) if *after >= from => self.rows(
                (Bound::Excluded(after), Bound::Excluded(&to)),
                Order::Ascending,
                limit,
            ),
            _ => self.rows(
                (Bound::Included(&from), Bound::Excluded(&to)),
                Order::Ascending,
                limit,
            ),
        }
    }

    /// At most `limit` rows whose keys begin with `prefix`, descending, strictly before the key `before`;
    /// submitted batches included. Keys are without the table's byte.
    pub fn scan_back(
        &self,
        table: Table,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Rows, Error> {
        let (from, mut to) = Self::prefix_bounds(table, prefix);
        if let Some(before) = before {
            to = to.min(table.full_key(before));
        }
        if to <= from {
            return Ok(Vec::new());
        }
        self.rows(
            (Bound::Included(&from), Bound::Excluded(&to)),
            Order::Descending,
            limit,
        )
    }

    fn prefix_bounds(table: Table, prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let from = table.full_key(prefix);
        let to = table::prefix_end(&from);
        (from, to)
    }

    fn rows(&self, bounds: overlay::Bounds<'_>, order: Order, limit: usize) -> Result<Rows, Error> {
        let shared = &self.inner.shared;
        shared
            .overlay
            .read()
            .scan(shared.disk.as_ref(), bounds, order, limit)
    }

    /// Submits a batch: readers see it when this returns. `then` runs on the writer's thread when this batch
    /// and every one submitted before it is durable, in the order of submission; after a failure or
    /// [`Store::flush_and_close`] it is dropped unrun. An empty batch causes no sync of its own: with
    /// nothing undurable before it `then` runs at once, on the caller's thread.
    pub fn commit(&self, batch: Batch, then: impl FnOnce() + Send + 'static) {
        let shared = &self.inner.shared;
        if shared.failure.happened() {
            return;
        }
        if batch.is_empty() && self.durable_lag() == 0 {
            return then();
        }
        let then = Box::new(then);
        let overlay = shared.overlay.write();
        if overlay.closed {
            drop(overlay);
            tracing::warn!(writes = batch.len(), "a batch came after the store was closed");
            return;
        }
        self.submit(overlay, batch, then);
    }

    fn submit(&self, mut overlay: RwLockWriteGuard<'_, Overlay>, batch: Batch, then: Then) {
        self.inner.shared.undurable.fetch_add(1, Ordering::AcqRel);
        let sequence = overlay.submit(&batch.writes);
        let batch = Submitted {
            sequence,
            writes: batch.writes,
            links: batch.links,
            then,
        };
        // Sent under the lock: the queue's order is the order of the sequences.
        let refused = self
            .inner
            .queue
            .as_ref()
            .and_then(|queue| queue.send(batch).err());
        drop(overlay);
        // The writer ends only after the last handle is gone, so it refuses nothing. If it did, what `then`
        // holds is dropped here, outside the lock.
        drop(refused);
    }

    /// The newest durable row of each chain, by chain.
    pub fn heads(&self) -> Vec<(String, Head)> {
        let heads = self.inner.shared.heads.read();
        heads.iter().map(|(chain, head)| (chain.clone(), *head)).collect()
    }

    /// The newest durable row of a chain; number 0 when it has none.
    pub fn head(&self, chain: &str) -> Head {
        let heads = self.inner.shared.heads.read();
        heads.get(chain).copied().unwrap_or_default()
    }

    /// Whether a write or a sync failed. Nothing submitted since is durable, nor will it be.
    pub fn failed(&self) -> bool {
        self.inner.shared.failure.happened()
    }

    /// Calls `f` with the reason, once, when a write or a sync fails; at once when one already did.
    pub fn on_failure(&self, f: impl Fn(&str) + Send + Sync + 'static) {
        self.inner.shared.failure.listen(Box::new(f));
    }

    /// How many batches were submitted whose `then` has not run yet.
    pub fn durable_lag(&self) -> usize {
        self.inner.shared.undurable.load(Ordering::Acquire)
    }

    /// Whether the data directory's file system has less free than [`Options::disk_free_min`], as of at most
    /// a second ago.
    pub fn disk_low(&self) -> bool {
        self.inner.shared.space.is_low()
    }

    /// The rows as they are between two commits now, to be read while commits go on. Everything that was
    /// acknowledged before is in it, and no batch in part.
    pub fn snapshot(&self) -> Result<Snapshot, SnapshotError> {
        Snapshot::begin(Arc::clone(&self.inner.shared))
    }

    /// Whether it takes no further batch.
    pub fn is_closed(&self) -> bool {
        self.inner.shared.overlay.read().closed
    }

    /// Takes no further batch and waits until all before are durable, or the store failed. Not to be called
    /// from a `then`, which it would wait for.
    pub fn flush_and_close(&self) {
        let (done, wait) = channel::<()>();
        let mut overlay = self.inner.shared.overlay.write();
        overlay.closed = true;
        self.submit(overlay, Batch::new(), Box::new(move || drop(done)));
        // An error says that the sender is gone: `then` ran, or was dropped unrun.
        let _ = wait.recv();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.queue.take());
        let Some(writer) = self.writer.take() else { return };
        // A `then` may hold the last handle; the writer cannot wait for itself.
        if writer.thread().id() != std::thread::current().id() && writer.join().is_err() {
            tracing::error!("the store's writer panicked");
        }
    }
}

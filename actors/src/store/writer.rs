//! The one thread that writes: takes what waits, makes one batch of it, syncs once, then answers all in the
//! order they came.
//!
//! Deliberately not here: a second try. After a failed write or sync nobody knows what the disk has, so the
//! writer answers nobody any more and the process ends.

use super::batch::{Value, Write};
use super::chain::{Chains, Link};
use super::disk::{Disk, panic_text};
use super::long::LongKeys;
use super::shared::Shared;
use parking_lot::MutexGuard;
use sled::IVec;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// Writes after which a group takes no further batch. Readers wait while sled applies a group, and grouping
/// gains little beyond this (`docs/decisions/0001-durable-commits.md`).
const GROUP_WRITES_MAX: usize = 1024;
/// Bytes after which a group takes no further batch.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Batches in a group, the empty ones included.
const GROUP_BATCHES_MAX: usize = 4096;

/// What runs when a batch is durable.
pub(super) type Then = Box<dyn FnOnce() + Send>;

/// A batch on its way.
pub(super) struct Submitted {
    pub(super) sequence: u64,
    pub(super) writes: Vec<Write>,
    pub(super) links: Vec<Box<dyn Link>>,
    pub(super) then: Then,
}

/// The thread's own.
pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: Receiver<Submitted>,
    long_keys: LongKeys,
    chains: Chains,
    next: Option<Submitted>,
}

/// Batches that share a commit.
#[derive(Default)]
struct Group {
    writes: Vec<(u64, Write)>,
    links: Vec<Box<dyn Link>>,
    bytes: usize,
    thens: Vec<Then>,
}

impl Group {
    fn add(&mut self, batch: Submitted) {
        let size = |write: &Write| write.key.len() + write.value.as_ref().map_or(0, Value::size);
        self.bytes += batch.writes.iter().map(size).sum::<usize>();
        self.bytes += batch.links.iter().map(|link| link.size()).sum::<usize>();
        self.links.extend(batch.links);
        self.writes
            .extend(batch.writes.into_iter().map(|write| (batch.sequence, write)));
        self.thens.push(batch.then);
    }

    fn len(&self) -> usize {
        self.writes.len() + self.links.len()
    }

    fn has_room_for(&self, batch: &Submitted) -> bool {
        self.thens.is_empty()
            || (self.thens.len() < GROUP_BATCHES_MAX
                && self.len() + batch.writes.len() + batch.links.len() <= GROUP_WRITES_MAX
                && self.bytes <= GROUP_BYTES_MAX)
    }
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: Receiver<Submitted>,
        long_keys: LongKeys,
        chains: Chains,
    ) -> Self {
        Self {
            shared,
            queue,
            long_keys,
            chains,
            next: None,
        }
    }

    /// Runs until the last [`super::Store`] is gone and everything submitted is done.
    pub(super) fn run(mut self) {
        while let Some(group) = self.take_group() {
            if self.shared.failure.happened() {
                continue;
            }
            let began = Instant::now();
            let writes = group.len();
            match catch_unwind(AssertUnwindSafe(|| self.make_durable(group.writes, &group.links))) {
                Ok(Ok(())) => self.answer(group.thens, writes, began),
                Ok(Err(error)) => self.shared.failure.set(&error),
                Err(panic) => self.shared.failure.set_text(panic_text(panic.as_ref())),
            }
        }
    }

    fn take_group(&mut self) -> Option<Group> {
        let mut group = Group::default();
        group.add(self.next.take().or_else(|| self.queue.recv().ok())?);
        while let Ok(batch) = self.queue.try_recv() {
            if !group.has_room_for(&batch) {
                self.next = Some(batch);
                break;
            }
            group.add(batch);
        }
        Some(group)
    }

    fn make_durable(
        &mut self,
        mut writes: Vec<(u64, Write)>,
        links: &[Box<dyn Link>],
    ) -> Result<(), super::Error> {
        let sealed = self.chains.seal(self.shared.disk.as_ref(), links)?;
        // No reader ever asked the overlay for them, so no sequence is theirs.
        writes.extend(sealed.writes.into_iter().map(|write| (0, write)));
        if writes.is_empty() {
            return Ok(());
        }
        let (batch, keys) = self.stage(writes)?;
        let mut kept = self.shared.kept.lock();
        let disk = self.shared.disk.as_ref();
        if let Some(kept) = kept.as_mut() {
            kept.keep(disk, keys.iter().map(|(key, _)| key));
        }
        disk.apply(batch)?;
        disk.sync()?;
        self.shared.heads.write().extend(sealed.heads);
        // Fairly: who reads a snapshot may wait for it.
        MutexGuard::unlock_fair(kept);
        let mut overlay = self.shared.overlay.write();
        for (key, sequence) in &keys {
            overlay.durable(key, *sequence);
        }
        Ok(())
    }

    /// One sled batch with the last write of each key, and those keys with the sequence that wrote them.
    fn stage(&mut self, writes: Vec<(u64, Write)>) -> Result<(sled::Batch, Vec<(IVec, u64)>), super::Error> {
        let mut last: HashMap<IVec, (u64, Option<Value>)> = HashMap::with_capacity(writes.len());
        for (sequence, Write { key, value }) in writes {
            last.insert(key, (sequence, value));
        }
        let disk: &dyn Disk = self.shared.disk.as_ref();
        let mut batch = sled::Batch::default();
        let mut keys = Vec::with_capacity(last.len());
        for (key, (sequence, value)) in last {
            keys.push((key.clone(), sequence));
            self.long_keys.stage(disk, &mut batch, key, value)?;
        }
        Ok((batch, keys))
    }

    fn answer(&self, thens: Vec<Then>, writes: usize, began: Instant) {
        metrics::counter!("tripline_store_batches_total").increment(thens.len() as u64);
        if writes > 0 {
            metrics::counter!("tripline_store_writes_total").increment(writes as u64);
            metrics::histogram!("tripline_store_commit_seconds").record(began.elapsed());
        }
        for then in thens {
            // One caller's mistake must not cost the others their answers.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(then)) {
                tracing::error!(
                    panic = panic_text(panic.as_ref()),
                    "what should run after a commit panicked"
                );
            }
            self.shared.undurable.fetch_sub(1, Ordering::Release);
        }
    }
}

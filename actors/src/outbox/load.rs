//! How full the outbox is, shared by all who stage entries or accept jobs.

use crate::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tripline_protocol::Timestamp;

/// Figures of the outbox. `reserved` is room for the results of jobs that were accepted and have not ended. What is in
/// quarantine takes its place like what waits, or nothing would bound it.
pub(crate) struct Load {
    clock: Arc<dyn Clock>,
    max: u64,
    waiting: AtomicU64,
    reserved: AtomicU64,
    quarantined: AtomicU64,
    seq: AtomicU64,
}

impl Load {
    pub(crate) fn new(max: u32, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            max: u64::from(max),
            waiting: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            quarantined: AtomicU64::new(0),
            seq: AtomicU64::new(0),
        }
    }

    /// Below 80 % new work is taken; the rest is for the results of work already taken.
    pub(crate) fn admits(&self) -> bool {
        self.room() > 0
    }

    /// So many messages fit below that.
    pub(crate) fn room(&self) -> u64 {
        let used = [&self.waiting, &self.reserved, &self.quarantined];
        let used: u64 = used.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        (self.max / 5 * 4).saturating_sub(used)
    }

    /// When an entry that is made now is staged.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A job was accepted: its result will need a place.
    pub(crate) fn reserve(&self) {
        self.reserved.fetch_add(1, Ordering::Relaxed);
    }

    /// A job ended: its place is taken by its result, which is staged separately.
    pub(crate) fn release(&self) {
        let lowered = self
            .reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        debug_assert!(lowered.is_ok(), "a reservation was released twice");
    }

    /// The number of a new entry.
    pub(super) fn take_seq(&self) -> u64 {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The number of the newest entry.
    pub(crate) fn seq_last(&self) -> u64 {
        self.seq.load(Ordering::Relaxed)
    }

    pub(super) fn quarantined(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// The broker will never take this one; it has settled.
    pub(super) fn quarantine(&self) {
        self.quarantined.fetch_add(1, Ordering::Relaxed);
    }

    /// So many leave quarantine.
    pub(super) fn release_quarantined(&self, count: u64) {
        let lowered = self
            .quarantined
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(count));
        debug_assert!(lowered.is_ok(), "more entries left quarantine than were there");
    }

    /// So many wait again that had been in quarantine.
    pub(super) fn put_back(&self, count: u64) {
        self.release_quarantined(count);
        self.waiting.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn settled(&self, count: u64) {
        let lowered = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(count));
        debug_assert!(lowered.is_ok(), "more entries were settled than staged");
    }

    /// A new generation of actors begins with what the store holds.
    pub(super) fn restart(&self, waiting: u64, quarantined: u64, seq_last: u64) {
        self.waiting.store(waiting, Ordering::Relaxed);
        self.quarantined.store(quarantined, Ordering::Relaxed);
        self.seq.fetch_max(seq_last, Ordering::Relaxed);
    }

    /// A new generation counts its open jobs anew.
    pub(crate) fn restart_reserved(&self, open_jobs: u64) {
        self.reserved.store(open_jobs, Ordering::Relaxed);
    }
}

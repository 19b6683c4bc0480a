//! What changes too often, or is asked for too often, to go through an actor: signs of life of the callers,
//! who watches a session, how many wait for a slot, and the numbers given out.
//!
//! It outlives a generation of actors. Only the scheduler adds and removes sessions.

use crate::record::meta;
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table, key};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tripline_protocol::{SessionId, Timestamp};

/// Requests that may be held until something changes; beyond, they are answered at once.
const HELD_MAX: usize = 4096;

#[derive(Debug)]
struct Live {
    last_request: Timestamp,
    changed: watch::Sender<()>,
}

/// The open sessions.
#[derive(Debug)]
pub(crate) struct LiveSessions {
    live: Mutex<HashMap<SessionId, Live>>,
    held: Arc<Semaphore>,
    /// Slots that somebody waits for and that interactive sessions could give.
    wanted: AtomicU32,
    session_number: AtomicU32,
    file_number: AtomicU32,
}

/// Somebody waits for a change of a session.
#[derive(Debug)]
pub(crate) struct Watch {
    changed: watch::Receiver<()>,
    _permit: OwnedSemaphorePermit,
}

impl Watch {
    /// Waits for a change since the watch was made, or the session's end.
    pub(crate) async fn changed(&mut self) {
        // An error says that the session ended, which is a change.
        drop(self.changed.changed().await);
    }
}

impl LiveSessions {
    /// With the numbers that the store says were given out.
    pub(crate) fn load(store: &Store) -> Result<Self, Refusal> {
        let number = |key: &[u8]| -> Result<AtomicU32, Refusal> {
            let bytes = store.get(Table::Meta, key)?;
            let last = bytes.and_then(|bytes| key::read_u32(&bytes)).unwrap_or(0);
            Ok(AtomicU32::new(last))
        };
        Ok(Self {
            live: Mutex::default(),
            held: Arc::new(Semaphore::new(HELD_MAX)),
            wanted: AtomicU32::new(0),
            session_number: number(meta::SESSION_NUMBER)?,
            file_number: number(meta::FILE_NUMBER)?,
        })
    }

    /// A session is open. One that is known already keeps its last sign of life.
    pub(crate) fn begin(&self, session_id: SessionId, now: Timestamp) {
        let mut live = self.live.lock();
        live.entry(session_id).or_insert_with(|| Live {
            last_request: now,
            changed: watch::Sender::new(()),
        });
    }

    /// A session has ended, and whoever watches it is told.
    pub(crate) fn end(&self, session_id: SessionId) {
        self.live.lock().remove(&session_id);
    }

    /// The caller asked for something.
    pub(crate) fn touch(&self, session_id: SessionId, now: Timestamp) {
        if let Some(live) = self.live.lock().get_mut(&session_id) {
            live.last_request = live.last_request.max(now);
        }
    }

    /// When the caller last asked for something; `None`: it is not open.
    pub(crate) fn last_request(&self, session_id: SessionId) -> Option<Timestamp> {
        self.live.lock().get(&session_id).map(|live| live.last_request)
    }

    /// Something about the session or one of its commands is different, and durable.
    pub(crate) fn changed(&self, session_id: SessionId) {
        if let Some(live) = self.live.lock().get(&session_id) {
            live.changed.send_replace(());
        }
    }

    /// Watches a session from now on; `None` when it is not open, or too many requests are held.
    pub(crate) fn watch(&self, session_id: SessionId) -> Option<Watch> {
        let changed = self.live.lock().get(&session_id)?.changed.subscribe();
        let permit = Arc::clone(&self.held).try_acquire_owned().ok()?;
        Some(Watch {
            changed,
            _permit: permit,
        })
    }

    /// So many slots are waited for that interactive sessions could give.
    pub(crate) fn set_wanted(&self, slots: u32) {
        self.wanted.store(slots, Ordering::Relaxed);
    }

    /// Whether a slot is waited for.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > 0
    }

    /// A slot was given because it was waited for.
    pub(crate) fn give(&self) {
        let one_less = |wanted: u32| wanted.checked_sub(1);
        // An error says that none is waited for any more.
        let _ = self
            .wanted
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    }

    /// The next session's number; the batch notes that it was given out.
    pub(crate) fn next_session(&self, batch: &mut Batch) -> Result<u32, Refusal> {
        next(&self.session_number, meta::SESSION_NUMBER, batch)
    }

    /// The next file's number; the batch notes that it was given out.
    pub(crate) fn next_file(&self, batch: &mut Batch) -> Result<u32, Refusal> {
        next(&self.file_number, meta::FILE_NUMBER, batch)
    }
}

/// Only actors take numbers, on one thread, and commit before the next does: the last one written is the
/// highest.
fn next(last: &AtomicU32, name: &[u8], batch: &mut Batch) -> Result<u32, Refusal> {
    let more = |last: u32| last.checked_add(1);
    let before = last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    let number = before.map_err(|_| Refusal::Unavailable {
        detail: "it has given out every number there is",
    })? + 1;
    batch.put(Table::Meta, name.to_vec(), key::u32(number).to_vec());
    Ok(number)
}

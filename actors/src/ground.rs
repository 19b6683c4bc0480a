//! What all actors of a process stand on: the store, the clock, the settings, and the few figures they
//! share. It outlives a generation of actors.

use crate::artifact::ArtifactStore;
use crate::clock::Clock;
use crate::core::CoreConfig;
use crate::ingest::{Abandoned, Attester};
use crate::littlebrother::Settings;
use crate::outbox::Load;
use crate::ports::Publisher;
use crate::refusal::Refusal;
use crate::session::LiveSessions;
use crate::store::{Batch, Store, Table};
use arc_swap::ArcSwapOption;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::verb::Verb;
use tripline_protocol::{HostId, Span, Timestamp};
use uuid::Uuid;

/// Batches that may wait for the disk before new work is refused.
const BATCHES_WAITING_MAX: usize = 20_000;

/// An agent's live attachment, as everybody may see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attachment {
    pub(crate) epoch: u64,
    pub(crate) since: Timestamp,
    pub(crate) verbs: Arc<[Verb]>,
    pub(crate) journal_id: Uuid,
}

/// Which hosts are attached. Only the Host actors write it.
#[derive(Debug, Default)]
pub(crate) struct Attachments {
    live: RwLock<HashMap<HostId, Attachment>>,
}

impl Attachments {
    pub(crate) fn get(&self, host_id: HostId) -> Option<Attachment> {
        self.live.read().get(&host_id).cloned()
    }

    pub(crate) fn set(&self, host_id: HostId, attachment: Option<Attachment>) {
        let mut live = self.live.write();
        match attachment {
            Some(attachment) => live.insert(host_id, attachment),
            None => live.remove(&host_id),
        };
        metrics::gauge!("tripline_host_attached").set(live.len() as f64);
    }

    /// Removes the attachment of this epoch; a newer one stays.
    pub(crate) fn end(&self, host_id: HostId, epoch: u64) {
        if self.get(host_id).is_some_and(|live| live.epoch == epoch) {
            self.set(host_id, None);
        }
    }

    pub(crate) fn clear(&self) {
        self.live.write().clear();
    }
}

pub(crate) struct Ground {
    pub(crate) config: CoreConfig,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) artifacts: Arc<ArtifactStore>,
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) load: Load,
    pub(crate) attachments: Attachments,
    pub(crate) attester: Attester,
    pub(crate) abandoned: Abandoned,
    pub(crate) sessions: LiveSessions,
    /// `None`: the dialect is off.
    pub(crate) littlebrother: ArcSwapOption<Settings>,
}

impl Ground {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether new work may be taken: events, jobs, enrolments. Running work goes on either way.
    pub(crate) fn admit(&self) -> Result<(), Refusal> {
        self.admit_writes()?;
        if !self.load.admits() {
            return Err(Refusal::Busy {
                what: "outbox",
                retry_after: Span::from_secs(1),
            });
        }
        Ok(())
    }

    /// Whether new work may be taken that leaves nothing for the outbox: interactive sessions.
    pub(crate) fn admit_writes(&self) -> Result<(), Refusal> {
        if self.store.failed() {
            return Err(Refusal::Unavailable {
                detail: "its store cannot write",
            });
        }
        if self.store.disk_low() {
            return Err(Refusal::Busy {
                what: "disk",
                retry_after: Span::from_secs(10),
            });
        }
        if self.store.durable_lag() > BATCHES_WAITING_MAX {
            return Err(Refusal::Busy {
                what: "store",
                retry_after: Span::from_secs(1),
            });
        }
        Ok(())
    }

    /// Answers once everything decided so far is durable.
    pub(crate) fn after_commit(&self, then: impl FnOnce() + Send + 'static) {
        self.store.commit(Batch::new(), then);
    }
}

/// Reads and decodes a record. A record that cannot be decoded is reported as unreadable, not as absent.
pub(crate) fn read<T: serde::de::DeserializeOwned>(
    store: &Store,
    table: Table,
    key: &[u8],
    what: &'static str,
) -> Result<Option<T>, Refusal> {
    let Some(bytes) = store.get(table, key)? else {
        return Ok(None);
    };
    match crate::record::decode(what, &bytes) {
        Ok(record) => Ok(Some(record)),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "stored record is unreadable"
            );
            Err(Refusal::Unavailable {
                detail: "a stored record is unreadable",
            })
        }
    }
}

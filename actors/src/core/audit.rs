//! On whose behalf the actors are asked, for the audit.

use super::Core;
use crate::access::Principal;
use crate::audit::{self, AuditFilter, By, Denied, Entry};
use crate::refusal::Refusal;
use crate::store::{Batch, Store};
use serde_json::value::RawValue;
use std::sync::Arc;
use tripline_protocol::api::Page;
use tripline_protocol::audit::{Action, AuditChain};
use tripline_protocol::{Event, Org};

impl Core {
    /// The same actors, asked on behalf of `caller`: what they are asked for goes on record as the caller's.
    #[must_use]
    pub fn by(&self, caller: &Principal) -> Self {
        self.on_behalf(By::from(caller))
    }

    /// The same actors, asked on behalf of somebody who is no holder of a token. Without it, it is the server's own
    /// doing.
    #[must_use]
    pub fn on_behalf(&self, by: By) -> Self {
        Self {
            by: Arc::new(by),
            ..self.clone()
        }
    }

    /// The newest records that `filter` wants, newest first, each as it is stored. A page may have fewer than
    /// `limit`, and even none, while `next` says that there is more. Refuses with `Invalid` (`bad_cursor`,
    /// `too_many_chains`).
    pub async fn list_audit(&self, filter: AuditFilter) -> Result<Page<Box<RawValue>>, Refusal> {
        self.read_audit(move |store| audit::list(store, &filter)).await
    }

    /// The record `number` of a chain, as it is stored. Refuses with `NotFound`.
    pub async fn audit_record(&self, chain: String, number: u64) -> Result<Vec<u8>, Refusal> {
        let row = self.read_audit(move |store| audit::row(store, &chain, number));
        row.await?.ok_or_else(|| Refusal::NotFound {
            what: "audit record",
            id: number.to_string(),
        })
    }

    /// At most `limit` records of a chain with numbers from `from` on, ascending, each as it is stored.
    pub async fn audit_records(
        &self,
        chain: String,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Refusal> {
        self.read_audit(move |store| audit::rows(store, &chain, from, limit))
            .await
    }

    /// What is kept of each chain.
    pub async fn audit_chains(&self) -> Result<Vec<AuditChain>, Refusal> {
        self.read_audit(audit::chains).await
    }

    /// Reads much of the store, away from whoever asks.
    async fn read_audit<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = self.ground.store.clone();
        let read = tokio::task::spawn_blocking(move || read(&store)).await;
        read.unwrap_or(Err(Refusal::Unavailable {
            detail: "reading the audit failed",
        }))
    }

    /// Puts on record what changes nothing of the actors' own; durable when it returns. `complete` adds to the record
    /// what it was done to.
    pub async fn put_on_record(
        &self,
        action: Action,
        org: Option<&Org>,
        complete: impl FnOnce(Entry) -> Entry,
    ) -> Result<(), Refusal> {
        let mut batch = Batch::new();
        batch.audit(complete(self.ground.audit(action, &self.by, org)));
        let (done, wait) = tokio::sync::oneshot::channel();
        self.ground.store.commit(batch, move || {
            // An error says that nobody waits any more; the record counts all the same.
            let _ = done.send(());
        });
        wait.await.map_err(|_| Refusal::Unavailable {
            detail: "its store cannot write",
        })
    }

    /// Somebody was turned away: on record now, or together with others within a minute.
    pub fn note_denied(&self, denied: Denied) {
        let now = self.ground.now();
        if let Some(entry) = self.ground.denials.note(denied, now) {
            let mut batch = Batch::new();
            batch.audit(entry);
            self.ground.store.commit(batch, || {});
        }
    }

    /// The record of an event that a caller publishes.
    pub(super) fn event_entry(&self, event: &Event, bytes: usize) -> Entry {
        self.ground
            .audit(Action::EventPublish, &self.by, Some(&event.org))
            .on("event", event.key)
            .detail("id", &event.id)
            .detail("source", &event.source)
            .detail("etype", &event.etype)
            .detail("bytes", bytes)
    }

    /// On whose behalf, for a message to the actors.
    pub(super) fn on_record(&self) -> Arc<By> {
        Arc::clone(&self.by)
    }
}

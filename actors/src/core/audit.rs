//! On whose behalf the actors are asked, for the audit.

use super::Core;
use crate::access::Principal;
use crate::audit::{self, AuditFilter, By, Denied, Entry};
use crate::ground::read;
use crate::pipeline::RuleSet;
use crate::refusal::Refusal;
use crate::session::SessionRecord;
use crate::store::{Batch, Head, Store, Table};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tripline_protocol::api::Page;
use tripline_protocol::audit::{Action, AuditChain};
use tripline_protocol::{Event, JobId, Org, SessionId, Sha256};

/// Heads of other chains that a start puts on record: as many as fit into a record, however long their names are.
const HEADS_MAX: usize = 48;

/// What a file was found through.
#[derive(Debug, Clone, Copy)]
pub enum FetchedFrom<'a> {
    /// A job of an org.
    Job(&'a Org, JobId),
    /// A session.
    Session(SessionId),
}

fn head((chain, head): (String, Head)) -> (String, Value) {
    let sha256 = Sha256::from_digest(&head.sha256);
    (chain, Value::String(format!("{}:{sha256}", head.number)))
}

/// Names of the rules that are not in both, or differ.
fn changed_rules(present: &RuleSet, fresh: &RuleSet) -> Vec<String> {
    let versions = |rules: &RuleSet| -> BTreeMap<String, String> {
        let pipelines = rules.pipelines();
        let pipelines =
            pipelines.map(|rule| (format!("pipeline {}", rule.name()), rule.version().to_string()));
        let jobs = rules.named_jobs();
        let jobs = jobs.map(|job| (format!("job {}", job.name()), job.version().to_string()));
        pipelines.chain(jobs).collect()
    };
    let (present, fresh) = (versions(present), versions(fresh));
    let names: BTreeSet<&String> = present.keys().chain(fresh.keys()).collect();
    let differs = |name: &&&String| present.get(**name) != fresh.get(**name);
    names.iter().filter(differs).map(|name| (*name).clone()).collect()
}

impl Core {
    /// The same actors, asked on behalf of `caller`: what they are asked for goes on record as the caller's.
    #[must_use]
    pub fn by(&self, caller: &Principal) -> Self {
        let core = self.on_behalf(By::from(caller));
        match caller.depth {
            Some(depth) => core.deep(depth),
            None => core,
        }
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
        let (done, wait) = tokio::sync::oneshot::channel();
        self.note_then(action, org, complete, move || {
            // An error says that nobody waits any more; the record counts all the same.
            let _ = done.send(());
        });
        wait.await.map_err(|_| Refusal::Unavailable {
            detail: "its store cannot write",
        })
    }

    /// The same, without waiting for it.
    pub fn note(&self, action: Action, org: Option<&Org>, complete: impl FnOnce(Entry) -> Entry) {
        self.note_then(action, org, complete, || {});
    }

    fn note_then(
        &self,
        action: Action,
        org: Option<&Org>,
        complete: impl FnOnce(Entry) -> Entry,
        then: impl FnOnce() + Send + 'static,
    ) {
        let mut batch = Batch::new();
        batch.audit(complete(self.ground.audit(action, &self.by, org)));
        self.ground.store.commit(batch, then);
    }

    /// Puts on record that a file is about to be handed out; durable when it returns.
    pub async fn note_fetch(
        &self,
        from: FetchedFrom<'_>,
        complete: impl FnOnce(Entry) -> Entry,
    ) -> Result<(), Refusal> {
        let (org, kind, id) = match from {
            FetchedFrom::Job(org, job_id) => (Some(org.clone()), "job", job_id.to_string()),
            FetchedFrom::Session(session_id) => {
                let (store, key) = (&self.ground.store, session_id.as_bytes());
                let record: Option<SessionRecord> = read(store, Table::Session, key, "session")?;
                (record.map(|record| record.org), "session", session_id.to_string())
            }
        };
        let complete = |entry: Entry| complete(entry.on(kind, id));
        self.put_on_record(Action::FileFetch, org.as_ref(), complete)
            .await
    }

    /// Puts on record which rules are about to come into force, or why newer ones are refused.
    pub fn note_rules(&self, rules: Result<&RuleSet, &str>) {
        let present = self.generations.rules().set;
        self.note(Action::RulesLoad, None, |entry| match rules {
            Ok(rules) => entry
                .detail("sha256", rules.version())
                .detail("pipelines", rules.pipelines().count())
                .detail("named_jobs", rules.named_jobs().count())
                .detail("changed", changed_rules(&present, rules)),
            Err(why) => entry.detail("why", why).refused("invalid_rules"),
        });
    }

    /// The server runs, with these settings and rules.
    pub fn note_start(&self, version: &str, sha256: &Sha256, set: &[String]) {
        let store = &self.ground.store;
        let heads: Map<String, Value> = store.heads().into_iter().take(HEADS_MAX).map(head).collect();
        self.note(Action::ServerStart, None, |entry| {
            entry.detail("version", version).detail("heads", heads)
        });
        self.note(Action::ConfigLoad, None, |entry| {
            entry.detail("sha256", sha256).detail("set", set)
        });
        let rules = self.generations.rules().set;
        self.note(Action::RulesLoad, None, |entry| {
            entry
                .detail("sha256", rules.version())
                .detail("pipelines", rules.pipelines().count())
                .detail("named_jobs", rules.named_jobs().count())
        });
    }

    /// The server is about to end. What was counted goes on record now.
    pub fn note_stop(&self) {
        let mut batch = Batch::new();
        let entries = self.ground.denials.gathered(self.ground.now(), true);
        entries.into_iter().for_each(|entry| batch.audit(entry));
        batch.audit(self.ground.audit(Action::ServerStop, &self.by, None));
        self.ground.store.commit(batch, || {});
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, eventually};
    use tripline_protocol::audit::{AuditRecord, SERVER_CHAIN};

    /// Puts ten records into the chain of an org whose name is as long as any.
    async fn begin_chain(fixture: &Fixture, number: usize) {
        let org = format!("{number:064}").parse().unwrap();
        for _ in 1..10 {
            fixture.core.note(Action::HostLabel, Some(&org), |entry| entry);
        }
        let last = fixture
            .core
            .put_on_record(Action::HostLabel, Some(&org), |entry| entry);
        last.await.unwrap();
    }

    /// The heads that the next start puts on record.
    async fn heads_of_start(fixture: &Fixture) -> Map<String, Value> {
        let next = fixture.store.head(SERVER_CHAIN).number + 1;
        fixture.core.note_start("1", &Sha256::from_digest(&[0; 32]), &[]);
        let row = eventually("the start is on record", || async {
            let rows = fixture
                .core
                .audit_records(SERVER_CHAIN.into(), next, 1)
                .await
                .unwrap();
            rows.into_iter().next()
        });
        let (_, row) = row.await;
        let record: AuditRecord = serde_json::from_slice(&row).unwrap();
        record.detail["heads"].as_object().unwrap().clone()
    }

    #[actix::test]
    async fn a_start_puts_so_many_heads_on_record_and_leaves_out_the_others() {
        let fixture = Fixture::start();
        for number in 0..HEADS_MAX {
            begin_chain(&fixture, number).await;
        }
        let all = heads_of_start(&fixture).await;
        assert_eq!(all.len(), HEADS_MAX);
        assert!(all.values().all(|head| head.as_str().unwrap().starts_with("10:")));
        begin_chain(&fixture, HEADS_MAX).await;
        let first = heads_of_start(&fixture).await;
        assert_eq!(first, all, "the first by name");
    }
}

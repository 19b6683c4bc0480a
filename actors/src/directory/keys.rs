//! Agents' keys, as administrators list, revoke and rotate them.

use super::Directory;
use crate::access::{self, AgentKeyRecord};
use crate::audit::By;
use crate::door::Reply;
use crate::host::HostCommand;
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::store::{Batch, Table, key};
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::api::{HostView, KeyState, KeyView, Page};
use tripline_protocol::audit::Action;
use tripline_protocol::{HostId, Org, Sha256};

/// Keys that are looked at for one page.
pub(super) const SCANNED_MAX: usize = 5_000;
/// Keys that are read at once.
const READ_MAX: usize = 500;

/// A host's agent key is to be valid no longer; from the API. Refuses with `NotFound`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct RevokeKey {
    pub(crate) org: Option<Org>,
    pub(crate) name: String,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<HostView>,
}

/// A host's agent is to replace its key; from the API. Refuses with `NotFound` and `Conflict`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct RotateKey {
    pub(crate) org: Option<Org>,
    pub(crate) name: String,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<()>,
}

/// Many keys in the order of their hashes, or those of one host; from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ListKeys {
    pub(crate) org: Option<Org>,
    pub(crate) host: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
    pub(crate) reply: Reply<Page<KeyView>>,
}

impl Directory {
    /// From the batch on no key of the host opens a connection, and the one it opened is closed.
    fn revoke(&mut self, org: Option<&Org>, name: &str, by: &By) -> Result<(Batch, HostView), Refusal> {
        let record = self.book().named(org, name)?;
        let present = record.key_sha256.as_ref().ok_or_else(|| no_agent(&record))?;
        let mut batch = Batch::new();
        let now = self.ground.now();
        access::revoke_key(&self.ground.store, &mut batch, present, now)?;
        if let Some(next) = &record.next_key_sha256 {
            batch.delete(Table::AgentKey, key::sha256(next));
        }
        let entry = self.ground.audit(Action::KeyRevoke, by, Some(&record.org));
        batch.audit(entry.host(&record.to_ref()).on("key", present));
        if let Some(active) = self.active.get_mut(&record.host_id) {
            active.forwarded += 1;
            active.address.do_send(HostCommand::CutOff("revoked"));
        }
        tracing::warn!(host = %record.host_id, hostname = %record.hostname, "agent key revoked");
        Ok((batch, self.view(&record)?))
    }

    /// Refuses an agent whose key was revoked or replaced between its request and its hello. `presented`: the key of
    /// the request; without it the host's present one is looked at.
    pub(super) fn check_key(&self, host_id: HostId, presented: Option<&Sha256>) -> Result<(), Refusal> {
        let record = self.known(host_id)?;
        let of_host = |key: &&Sha256| record.keys().any(|known| known == *key);
        let key = match presented {
            Some(presented) => Some(presented).filter(of_host),
            None => record.key_sha256.as_ref(),
        };
        let speaks_for = key.map(|key| access::host_of_key(&self.ground.store, key));
        match speaks_for.transpose()?.flatten() {
            Some(_) => Ok(()),
            None => Err(Refusal::Forbidden {
                detail: "the agent's key was revoked".into(),
            }),
        }
    }

    /// The host whose agent is to replace its key.
    fn to_rotate(&self, org: Option<&Org>, name: &str) -> Result<HostId, Refusal> {
        let record = self.book().named(org, name)?;
        let present = record.key_sha256.as_ref().ok_or_else(|| no_agent(&record))?;
        match access::host_of_key(&self.ground.store, present)? {
            Some(host_id) => Ok(host_id),
            None => Err(Refusal::Conflict {
                code: "key_revoked",
                detail: format!("the key of {} is revoked; enrol its agent again", record.hostname),
            }),
        }
    }

    fn list_keys(&self, message: &ListKeys) -> Result<Page<KeyView>, Refusal> {
        if let Some(host) = &message.host {
            let record = self.book().named(message.org.as_ref(), host)?;
            return self.keys_of(&record);
        }
        let limit = message.limit.clamp(1, 1000);
        let mut after = message.after.as_deref().map(cursor).transpose()?;
        let (mut items, mut scanned) = (Vec::new(), 0);
        while items.len() < limit && scanned < SCANNED_MAX {
            let page = access::agent_keys(&self.ground.store, after.as_ref(), READ_MAX)?;
            if page.is_empty() {
                return Ok(Page { items, next: None });
            }
            for (key, stored) in page {
                scanned += 1;
                items.extend(self.listed_key(message.org.as_ref(), &key, stored)?);
                after = Some(key);
                if items.len() >= limit {
                    break;
                }
            }
        }
        let next = after.map(|key| key.to_string());
        Ok(Page { items, next })
    }

    fn keys_of(&self, record: &HostRecord) -> Result<Page<KeyView>, Refusal> {
        let mut items = Vec::new();
        for key in record.keys() {
            if let Some(stored) = access::read_key(&self.ground.store, key)? {
                items.push(self.key_view(record, key, stored));
            }
        }
        Ok(Page { items, next: None })
    }

    fn listed_key(
        &self,
        org: Option<&Org>,
        key: &Sha256,
        stored: AgentKeyRecord,
    ) -> Result<Option<KeyView>, Refusal> {
        let record = self.record(stored.host_id)?;
        let of_org = |record: &HostRecord| org.is_none_or(|org| *org == record.org);
        let record = record.filter(of_org);
        Ok(record.map(|record| self.key_view(&record, key, stored)))
    }

    fn key_view(&self, record: &HostRecord, key: &Sha256, stored: AgentKeyRecord) -> KeyView {
        let is_present = record.key_sha256.as_ref() == Some(key);
        let state = match (stored.revoked_at, is_present) {
            (Some(_), _) => KeyState::Revoked,
            (None, true) => KeyState::Current,
            (None, false) => KeyState::Next,
        };
        let attached = self.ground.attachments.reach(record.host_id).agent.is_some();
        KeyView {
            key_sha256: key.clone(),
            host_id: record.host_id,
            hostname: record.hostname.clone(),
            org: record.org.clone(),
            install_id: record.install_id,
            state,
            created_at: stored.created_at,
            last_used_at: stored.last_used_at,
            last_used_from: stored.last_used_from,
            agent_version: stored.agent_version,
            in_use: attached && state == KeyState::Current,
            rotation_asked_at: record.rotation_asked_at.filter(|_| state == KeyState::Current),
            revoked_at: stored.revoked_at,
        }
    }
}

fn no_agent(record: &HostRecord) -> Refusal {
    Refusal::Conflict {
        code: "no_agent",
        detail: format!("{} has no agent, and so no key", record.hostname),
    }
}

fn cursor(after: &str) -> Result<Sha256, Refusal> {
    after.parse().map_err(|_| Refusal::bad_cursor())
}

impl Handler<RevokeKey> for Directory {
    type Result = ();
    fn handle(&mut self, message: RevokeKey, _: &mut Self::Context) {
        let RevokeKey { org, name, by, reply } = message;
        match self.revoke(org.as_ref(), &name, &by) {
            Err(refusal) => reply.send(Err(refusal)),
            Ok((batch, view)) => self.ground.store.commit(batch, move || reply.send(Ok(view))),
        }
    }
}

impl Handler<RotateKey> for Directory {
    type Result = ();
    fn handle(&mut self, message: RotateKey, ctx: &mut Self::Context) {
        let RotateKey { org, name, by, reply } = message;
        let host = self.to_rotate(org.as_ref(), &name);
        let active = host.and_then(|host_id| self.activate(host_id, ctx));
        match active {
            Err(refusal) => reply.send(Err(refusal)),
            Ok(active) => {
                active.forwarded += 1;
                active.address.do_send(HostCommand::RotateKey { by, reply });
            }
        }
    }
}

impl Handler<ListKeys> for Directory {
    type Result = ();
    fn handle(&mut self, message: ListKeys, _: &mut Self::Context) {
        let answer = self.list_keys(&message);
        self.ground.after_commit(move || message.reply.send(answer));
    }
}

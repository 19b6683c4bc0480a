//! An agent's key: who presented it, from where, and how it is replaced.
//!
//! At every moment at least one key works. The agent keeps a new key before it names it; the server makes it valid
//! before it says so; and the old key ends in the batch of the attachment that the new one opened.

use super::runs::Returned;
use super::{Attach, Host};
use crate::access::{self, AgentKeyRecord};
use crate::audit::By;
use crate::door::Reply;
use crate::host::event_message;
use crate::outbox::Publish;
use crate::refusal::Refusal;
use crate::store::{Batch, Table, key};
use actix::prelude::*;
use serde_json::json;
use tripline_protocol::api::{AgentPlace, CloneView, HostChangeKind};
use tripline_protocol::audit::Action;
use tripline_protocol::event::HostHint;
use tripline_protocol::frame::ServerFrame;
use tripline_protocol::{Attestation, Event, EventKey, Sha256, Span, Timestamp};

/// Between two events about one cloned agent.
const TELL_AGAIN: Span = Span::from_secs(3600);

impl Host {
    /// Looks whether another process of the same agent came meanwhile. Refuses one that has to wait.
    pub(super) fn check_clone(&mut self, attach: &Attach, now: Timestamp) -> Result<(), Refusal> {
        let place = AgentPlace {
            address: attach.presented.address.map(|address| address.to_string()),
            hostname: attach.hello.hostname.clone(),
        };
        let Some(Returned { other, held }) = self.runs.arrive(attach.hello.run_id, place.clone(), now) else {
            return Ok(());
        };
        metrics::counter!("tripline_host_clones_total").increment(1);
        let (served, other) = if held { (other, place) } else { (place, other) };
        self.note_clone(served, other, now);
        match held {
            false => Ok(()),
            true => Err(Refusal::Conflict {
                code: "agent_cloned",
                detail: "another agent with the same key is attached".to_owned(),
            }),
        }
    }

    fn note_clone(&mut self, served: AgentPlace, other: AgentPlace, now: Timestamp) {
        let known = self.record.cloned.take();
        let view = CloneView {
            first_at: known.as_ref().map_or(now, |known| known.first_at),
            last_at: now,
            times: known.as_ref().map_or(0, |known| known.times) + 1,
            served,
            other,
        };
        let told = self.clone_told_at.is_some_and(|at| now.since(at) < TELL_AGAIN);
        if !told {
            self.clone_told_at = Some(now);
            self.tell_clone(&view, now);
        }
        self.record.cloned = Some(view);
        let mut batch = Batch::new();
        self.record.put(&mut batch);
        self.ground.store.commit(batch, || {});
        self.tell(HostChangeKind::Cloned);
    }

    fn tell_clone(&self, view: &CloneView, now: Timestamp) {
        let shown = |place: &AgentPlace| place.address.clone().unwrap_or_default();
        tracing::warn!(
            host = %self.record.host_id, hostname = %self.record.hostname,
            served = shown(&view.served), served_hostname = view.served.hostname,
            other = shown(&view.other), other_hostname = view.other.hostname,
            "two agents have one key: a machine was cloned with its agent's state directory; the one that came last is \
             served, for a minute at least. Rotate the key, and enrol the other one with an empty state directory"
        );
        let Some(event) = self.clone_event(view, now) else {
            return;
        };
        let host = self.record.host_id;
        let done = Box::new(move |result: Result<_, Refusal>| {
            if let Err(refusal) = result {
                tracing::warn!(%host, %refusal, "that an agent was cloned is not published");
            }
        });
        let message = event_message(&self.ground, &event);
        let (entry, once) = (None, None);
        self.outbox.do_send(Publish {
            message,
            entry,
            once,
            done,
        });
    }

    fn clone_event(&self, view: &CloneView, now: Timestamp) -> Option<Event> {
        let source = format!("agent/{}", self.record.host_id);
        let id = format!("agent_cloned/{}", now.as_micros());
        Some(Event {
            key: EventKey::derive(&self.record.org, &source, &id),
            etype: "agent_cloned".parse().ok()?,
            id,
            org: self.record.org.clone(),
            source,
            host: Some(HostHint::HostId(self.record.host_id)),
            time: now,
            data: json!({
                "host_id": self.record.host_id,
                "hostname": self.record.hostname,
                "first_at": view.first_at,
                "times": view.times,
                "served": view.served,
                "other": view.other,
            }),
            attested_by: Attestation::Agent,
            depth: 0,
            traceparent: None,
        })
    }

    /// Notes by which key an attachment was opened. The first one that the next key opened ends the present key.
    pub(super) fn note_key(
        &mut self,
        attach: &Attach,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let presented = attach.presented.key_sha256.as_ref();
        let used = presented.or(self.record.key_sha256.as_ref()).cloned();
        let Some(used) = used else { return Ok(()) };
        if self.record.next_key_sha256.as_ref() == Some(&used) {
            if let Some(old) = self.record.key_sha256.replace(used.clone()) {
                batch.delete(Table::AgentKey, key::sha256(&old));
            }
            self.record.next_key_sha256 = None;
            self.record.rotation_asked_at = None;
            self.record.cloned = None;
            metrics::counter!("tripline_host_keys_rotated_total").increment(1);
            tracing::info!(host = %self.record.host_id, hostname = %self.record.hostname, "agent key replaced");
        }
        if let Some(mut record) = access::read_key(&self.ground.store, &used)? {
            record.last_used_at = Some(now);
            record.last_used_from = attach.presented.address.map(|address| address.to_string());
            record.agent_version = Some(attach.hello.agent_version.clone());
            self.key_created_at = Some(record.created_at);
            access::put_key(batch, &used, &record)?;
        }
        Ok(())
    }

    /// Somebody wants the key replaced. An agent that is not attached is asked when it is.
    pub(super) fn rotate_key(&mut self, by: &By, reply: Reply<()>, ctx: &Context<Self>) {
        let batch = self.rotation(by);
        self.ground.store.commit(batch, move || reply.send(Ok(())));
        self.send_rotation(ctx);
    }

    /// Asks again for what was asked for, and for what is due by the key's age.
    pub(super) fn look_at_key(&mut self, ctx: &Context<Self>) {
        let asked = self.record.rotation_asked_at.is_some();
        let age = self.key_created_at.map(|at| self.ground.now().since(at));
        let limit = self.ground.config.key_age_max;
        let due = age.zip(limit).is_some_and(|(age, limit)| age >= limit);
        if self.link.is_some() && !self.rotation_sent && (asked || due) {
            if !asked {
                let batch = self.rotation(&By::system());
                self.ground.store.commit(batch, || {});
            }
            self.send_rotation(ctx);
        }
    }

    /// That the key is to be replaced, on whose behalf.
    fn rotation(&mut self, by: &By) -> Batch {
        let mut batch = Batch::new();
        let entry = self.ground.audit(Action::KeyRotate, by, Some(&self.record.org));
        batch.audit(entry.host(&self.record.to_ref()));
        if self.record.rotation_asked_at.is_none() {
            self.record.rotation_asked_at = Some(self.ground.now());
            self.record.put(&mut batch);
        }
        batch
    }

    fn send_rotation(&mut self, ctx: &Context<Self>) {
        self.rotation_sent = true;
        self.send(ServerFrame::RotateKey, ctx);
    }

    /// The agent made a new key.
    pub(super) fn take_key(&mut self, new: Sha256, ctx: &Context<Self>) {
        match self.stage_key(&new) {
            Ok(batch) => {
                self.ground.store.commit(batch, || {});
                self.send(ServerFrame::KeyTaken { key_sha256: new }, ctx);
            }
            Err(refusal) => {
                self.refuse_frame("key", &refusal);
            }
        }
    }

    fn stage_key(&mut self, new: &Sha256) -> Result<Batch, Refusal> {
        let mut batch = Batch::new();
        if self.record.keys().any(|known| known == new) {
            return Ok(batch);
        }
        let conflict = |code, detail: &str| {
            let detail = detail.to_owned();
            Err(Refusal::Conflict { code, detail })
        };
        if self.record.rotation_asked_at.is_none() {
            return conflict("not_asked", "nobody asked the agent for a new key");
        }
        if access::read_key(&self.ground.store, new)?.is_some() {
            return conflict("key_in_use", "the key is another host's, or was revoked");
        }
        // One that the agent does not know any more.
        if let Some(lost) = self.record.next_key_sha256.replace(new.clone()) {
            batch.delete(Table::AgentKey, key::sha256(&lost));
        }
        let record = AgentKeyRecord::new(self.record.host_id, self.ground.now());
        access::put_key(&mut batch, new, &record)?;
        self.record.put(&mut batch);
        Ok(batch)
    }
}

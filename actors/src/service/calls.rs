//! Calls: what goes out, and what becomes of it.

use super::actor::Service;
use super::book::FRONT_SEQS;
use super::data;
use super::messages::{CallOf, Called};
use super::record::{Content, DeliveryRecord, EventRecord};
use super::redact::{redact, redact_wants, without_secret};
use super::state::{End, Next};
use super::verdict::{Verdict, short};
use crate::outbox::{Outgoing, stage};
use crate::ports::{CallFailure, OutMessage, ServiceCall, ServiceSecret};
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::Batch;
use actix::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use tripline_protocol::limacharlie::{Answer, Call, Mtd, ServiceEtype, oid};
use tripline_protocol::subject::{HEADER_DEAD_REASON, HEADER_DEAD_SUBJECT, HEADER_DEAD_TEXT};
use tripline_protocol::{Org, Span, Timestamp};
use uuid::Uuid;

/// Longest description of what a service wants, in bytes.
const WANTS_BYTES_MAX: usize = 256 * 1024;
/// Messages that are looked at in a turn: more than may be under way. Some turn out not to be the service's any more.
const CALLS_MAX: u32 = 128;
/// How long a message waits that is not the service's any more and is about to be removed.
const LEFT_PAUSE: Span = Span::from_secs(60);
/// How long a message waits whose event cannot be read.
const UNREADABLE_PAUSE: Span = Span::from_secs(60);

impl Service {
    /// Makes the calls that may go out now.
    pub(super) fn pump(&mut self, ctx: &mut Context<Self>) {
        let now = self.ground.now();
        self.sweep(ctx);
        for _ in 0..CALLS_MAX {
            if self.edge().is_none() {
                break;
            }
            match self.machine.next(now) {
                None => break,
                Some(Next::Health) => {
                    let call = self.new_call(ServiceEtype::Health, Uuid::new_v4(), None, json!({}), 0);
                    self.call(call, CallOf::Health(self.version), ctx);
                }
                Some(Next::Deliver(seq)) => self.deliver(seq, now, ctx),
            }
        }
    }

    fn deliver(&mut self, seq: u64, now: Timestamp, ctx: &mut Context<Self>) {
        let Some(delivery) = self.delivery(seq) else {
            self.lose(seq, "its record is gone");
            return;
        };
        if !self.may_get(seq, &delivery) {
            // What tells of a subscription is none of those that go together, and holds up all of its org.
            let is_barrier = self.machine.queue.get(seq).is_some_and(|item| item.is_barrier);
            if is_barrier || self.leftovers.is_over() {
                return self.leave_out(seq);
            }
            // It goes with the others.
            self.machine.queue.rest(seq, now.after(LEFT_PAUSE), false);
            return;
        }
        match self.content(&delivery) {
            Ok(Some((data, depth))) => {
                let org = delivery.org.as_ref();
                let call = self.new_call(delivery.etype, delivery.mid, org, data, depth);
                let place = self.place;
                self.call(call, CallOf::Delivery { seq, place }, ctx);
            }
            Ok(None) => self.lose(seq, "its event is gone"),
            Err(error) => {
                tracing::error!(service = %self.name(), %error, "an event for a service cannot be read");
                self.machine.queue.rest(seq, now.after(UNREADABLE_PAUSE), false);
            }
        }
    }

    /// What a message says, and how deep what led to it is.
    fn content(&self, delivery: &DeliveryRecord) -> Result<Option<(Value, u8)>, Refusal> {
        match &delivery.content {
            Content::Data(data) => Ok(Some((data.clone(), delivery.depth))),
            Content::Request => self.asked(delivery.mid),
            Content::Event(_) => {
                let record = delivery.event(&self.ground.store)?;
                Ok(record.map(|record| (data::data(&record, delivery.etype), record.event.depth)))
            }
        }
    }

    /// The org of a message has left, or was refused: its data is not this service's any more.
    fn leave_out(&mut self, seq: u64) {
        self.machine.queue.remove(seq);
        self.release(1);
        self.note_left(1);
        let mut batch = Batch::new();
        self.bury(seq, &mut batch);
        self.commit(batch, Vec::new(), || {});
        self.leave_if_over();
    }

    /// In a damaged store: nothing can be delivered.
    fn lose(&mut self, seq: u64, why: &'static str) {
        tracing::error!(service = %self.name(), seq, why, "a message for a service is lost");
        self.machine.queue.remove(seq);
        self.release(1);
        let mut batch = Batch::new();
        self.bury(seq, &mut batch);
        self.commit(batch, Vec::new(), || {});
    }

    pub(super) fn new_call(
        &self,
        etype: ServiceEtype,
        mid: Uuid,
        org: Option<&Org>,
        data: Value,
        depth: u8,
    ) -> Call {
        let now = self.ground.now();
        let org = org.filter(|_| etype.is_of_org());
        let token = |org: &Org| {
            let joined = self.orgs.get(org)?.joined;
            let tokens = &self.edge()?.tokens;
            Some(tokens.token(self.name(), (org, joined), depth, now))
        };
        Call {
            version: Some(tripline_protocol::limacharlie::VERSION),
            oid: org.map(|org| oid(org).to_string()),
            mid: Some(mid.to_string()),
            deadline: Some(now.after(self.spec.deadline)),
            jwt: org.and_then(token),
            tripdepth: Some(depth),
            etype: etype.to_string(),
            data,
        }
    }

    pub(super) fn call(&self, call: Call, what: CallOf, ctx: &mut Context<Self>) {
        let Some(edge) = self.edge() else { return };
        let called = edge.caller.call(ServiceCall {
            service: Arc::clone(&self.spec),
            secret: self.secret.clone(),
            call,
        });
        let me = ctx.address();
        actix::spawn(async move {
            let result = called.await;
            me.do_send(Called { what, result });
        });
    }

    pub(super) fn called(&mut self, Called { what, mut result }: Called, ctx: &mut Context<Self>) {
        redact(&mut result, &self.secret);
        match what {
            CallOf::Health(version) => self.examined(version, result),
            CallOf::Delivery { seq, place } => self.delivered(seq, place, result),
            CallOf::Resource { request, with_data } => self.got_resource(request, with_data, result, ctx),
        }
    }

    fn count(&self, etype: &str, verdict: &Verdict) {
        metrics::counter!(
            "tripline_service_calls_total",
            "service" => self.name().to_string(),
            "result" => verdict.word(),
        )
        .increment(1);
        if let Some(why) = verdict.text() {
            tracing::debug!(service = %self.name(), etype, why, "a call to a service did not succeed");
        }
    }

    /// Its health was asked for.
    fn examined(&mut self, version: u64, result: Result<Answer, CallFailure>) {
        let now = self.ground.now();
        let (verdict, wants) = health(&result, &self.secret);
        self.count("health", &verdict);
        let before = self.machine.state();
        match version == self.version {
            true => self
                .machine
                .health_ended(&verdict, now, chance(Uuid::new_v4(), 0)),
            // It was asked as what it was before it was changed.
            false => self.machine.health_of_before(now),
        }
        if self.has_left() {
            // Its rows are about to go.
            return;
        }
        let mut batch = Batch::new();
        self.hear_of_jobs(result, None, &mut batch);
        if version != self.version {
            return self.commit(batch, Vec::new(), || {});
        }
        self.tell_state(before);
        let Some(mut wants) = wants else {
            if let Some(why) = verdict.text() {
                self.fail("health", why, now);
            }
            return self.commit(batch, Vec::new(), || {});
        };
        redact_wants(&mut wants, &self.secret);
        self.record.wants = Some(wants);
        self.record.healthy_at = Some(now);
        self.machine.is_known = true;
        self.record.put(&mut batch);
        self.reconcile(now, &mut batch);
        self.publish();
        self.commit(batch, Vec::new(), || {});
        self.leave_if_over();
    }

    fn tell_state(&self, before: tripline_protocol::api::ServiceState) {
        let state = self.machine.state();
        if state != before {
            tracing::warn!(service = %self.name(), ?before, ?state, "a service is in another state");
        }
    }

    /// A message was tried.
    fn delivered(&mut self, seq: u64, place: u64, result: Result<Answer, CallFailure>) {
        let now = self.ground.now();
        let verdict = Verdict::of(&result);
        let before = self.machine.state();
        let Some(mut delivery) = self.delivery(seq) else {
            // Its rows went with an org or the service; the machine learns from the call all the same.
            if place == self.place {
                self.machine.ended(seq, &verdict, now, 0);
            } else {
                self.machine.queue.rest(seq, now, false);
            }
            return;
        };
        self.count(delivery.etype.as_str(), &verdict);
        if place != self.place {
            return self.delivered_elsewhere(seq, delivery, &verdict, result);
        }
        if let Some(why) = verdict.text() {
            self.fail(delivery.etype.as_str(), why, now);
        }
        let chance = chance(delivery.mid, delivery.attempts);
        let end = self.machine.ended(seq, &verdict, now, chance);
        self.tell_state(before);
        delivery.attempts += u32::from(!matches!(end, End::Held | End::Unknown));
        let mut batch = Batch::new();
        let mut outgoing = Vec::new();
        self.note_request(&delivery, &end, &verdict, result.as_ref().ok(), &mut batch);
        self.hear_of_jobs(result, delivery.org.as_ref(), &mut batch);
        match end {
            End::Delivered | End::Refused => self.settle(seq, &delivery, end == End::Delivered, &mut batch),
            End::GivenUp(why) => {
                let text = verdict.text().unwrap_or("it was not delivered");
                outgoing.extend(self.give_up(seq, &delivery, (why, text), &mut batch));
            }
            End::Rests { not_before, .. } => {
                delivery.not_before = Some(not_before);
                delivery.put(&mut batch, &self.spec.name, seq);
            }
            End::Held | End::Unknown => {}
        }
        self.commit(batch, outgoing, || {});
        self.leave_if_over();
    }

    /// A message was tried where the service was before. What was done there is done; anything else says nothing of the place where
    /// it is now, and the message goes there. Of its orgs it is told anew in any case.
    fn delivered_elsewhere(
        &mut self,
        seq: u64,
        mut delivery: DeliveryRecord,
        verdict: &Verdict,
        result: Result<Answer, CallFailure>,
    ) {
        let now = self.ground.now();
        let mut batch = Batch::new();
        if *verdict == Verdict::Done && delivery.etype != ServiceEtype::OrgInstall {
            self.machine.queue.remove(seq);
            delivery.attempts += 1;
            let answer = result.as_ref().ok();
            self.note_request(&delivery, &End::Delivered, verdict, answer, &mut batch);
            self.settle(seq, &delivery, true, &mut batch);
        } else {
            self.machine.queue.rest(seq, now, false);
        }
        self.hear_of_jobs(result, delivery.org.as_ref(), &mut batch);
        // Where it is now it may not want to be told of orgs, and what was under way could not be taken back.
        self.reconcile(now, &mut batch);
        self.publish();
        self.commit(batch, Vec::new(), || {});
        self.leave_if_over();
    }

    /// A message is delivered; `is_done`: and the service did what it is about.
    fn settle(&mut self, seq: u64, delivery: &DeliveryRecord, is_done: bool, batch: &mut Batch) {
        self.release(1);
        self.delivered += 1;
        self.bury(seq, batch);
        self.note_org(seq, delivery, is_done, batch);
    }

    /// Messages that have waited for too long.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let expired = self.machine.expire(now);
        if expired.is_empty() {
            return;
        }
        let (mut batch, mut outgoing) = (Batch::new(), Vec::new());
        for (seq, item) in expired {
            if !item.is_barrier && self.is_left(seq, item.org.as_ref()) {
                self.release(1);
                self.bury(seq, &mut batch);
                self.note_left(1);
                continue;
            }
            match self.delivery(seq) {
                Some(delivery) => {
                    let text = "it could not be delivered in time";
                    outgoing.extend(self.give_up(seq, &delivery, ("too_old", text), &mut batch));
                }
                None => self.release(1),
            }
        }
        self.commit(batch, outgoing, || {});
        self.leave_if_over();
    }

    /// A message, removed from the queue, was never delivered: its event becomes a dead letter, and the service is told when it
    /// wants to be.
    fn give_up(
        &mut self,
        seq: u64,
        delivery: &DeliveryRecord,
        (why, text): (&'static str, &str),
        batch: &mut Batch,
    ) -> Option<Outgoing> {
        self.release(1);
        self.given_up += 1;
        metrics::counter!(
            "tripline_service_given_up_total",
            "service" => self.name().to_string(),
            "reason" => why,
        )
        .increment(1);
        tracing::warn!(service = %self.name(), etype = %delivery.etype, mid = %delivery.mid, why, "a message for a service is given up: {text}");
        let event = delivery.event(&self.ground.store).unwrap_or_else(|error| {
            tracing::error!(%error, "the event of a message that is given up cannot be read");
            None
        });
        self.give_request_up(delivery, text, batch);
        self.bury(seq, batch);
        self.note_org(seq, delivery, false, batch);
        self.tell_error(delivery, event.as_ref(), text, batch);
        let event = event?;
        let message = self.letter(delivery, &event, (why, text));
        Some(stage(&self.ground.load, batch, message))
    }

    fn letter(
        &self,
        delivery: &DeliveryRecord,
        EventRecord { event, .. }: &EventRecord,
        (why, text): (&'static str, &str),
    ) -> OutMessage {
        let reason = match why {
            "rejected" => "service_rejected",
            _ => "service_gave_up",
        };
        metrics::counter!("tripline_ingest_dead_total", "reason" => reason).increment(1);
        let subjects = &self.ground.config.subjects;
        let text = format!("service {}: {text}", self.name());
        let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        let header = |name: &str, value: String| (name.to_owned(), value);
        OutMessage {
            subject: subjects.dead(Some(&event.org), reason),
            message_id: format!("dead/service/{}/{}", self.name(), delivery.mid),
            headers: vec![
                header("Content-Type", "application/cloudevents+json".to_owned()),
                header(HEADER_DEAD_REASON, reason.to_owned()),
                header(HEADER_DEAD_TEXT, text.take(500).collect()),
                header(HEADER_DEAD_SUBJECT, subjects.event(&event.org, &event.etype)),
            ],
            payload: encode(&event.to_cloudevent()),
        }
    }

    /// Tells the service that it did not get a message; never about such news. They are as deep as the message, so that what
    /// the service does about them comes to an end, too.
    fn tell_error(
        &mut self,
        delivery: &DeliveryRecord,
        event: Option<&EventRecord>,
        text: &str,
        batch: &mut Batch,
    ) {
        let is_wanted = self.record.listens_to(ServiceEtype::ServiceError)
            && delivery.etype != ServiceEtype::ServiceError
            && !self.record.leaving
            && self.waiting.load(std::sync::atomic::Ordering::Relaxed) < u64::from(self.spec.queue_max);
        // News about no org have no call to come with.
        let Some(org) = delivery.org.as_ref().filter(|_| is_wanted) else {
            return;
        };
        let depth = match event {
            Some(record) => record.event.depth,
            None => self.depth_of(delivery),
        };
        let data = json!({ "error": text, "mid": delivery.mid, "etype": delivery.etype });
        self.enqueue(ServiceEtype::ServiceError, org, (data, depth), batch);
    }

    /// How deep a message is that is about no event.
    fn depth_of(&self, delivery: &DeliveryRecord) -> u8 {
        let asked = match delivery.content {
            Content::Request => self.asked(delivery.mid).ok().flatten(),
            Content::Data(_) | Content::Event(_) => None,
        };
        asked.map_or(delivery.depth, |(_, depth)| depth)
    }

    /// Puts a message of our own into the queue: what it says, and how deep it is. It goes out when the batch is durable.
    pub(super) fn enqueue(
        &mut self,
        etype: ServiceEtype,
        org: &Org,
        content: (Value, u8),
        batch: &mut Batch,
    ) {
        let seq = self.ground.services.take_seq();
        self.enqueue_as(seq, etype, org, content, batch);
    }

    /// The same before all that waits.
    pub(super) fn enqueue_first(
        &mut self,
        etype: ServiceEtype,
        org: &Org,
        content: (Value, u8),
        batch: &mut Batch,
    ) {
        // What is on its way here has a number beyond these.
        let first = self.machine.queue.first().unwrap_or(FRONT_SEQS);
        let seq = match first.min(FRONT_SEQS).saturating_sub(1) {
            0 => self.ground.services.take_seq(),
            seq => seq,
        };
        self.enqueue_as(seq, etype, org, content, batch);
    }

    fn enqueue_as(
        &mut self,
        seq: u64,
        etype: ServiceEtype,
        org: &Org,
        (data, depth): (Value, u8),
        batch: &mut Batch,
    ) {
        let delivery = DeliveryRecord {
            mid: Uuid::new_v4(),
            etype,
            org: Some(org.clone()),
            sensor: None,
            content: Content::Data(data),
            depth,
            queued_at: self.ground.now(),
            attempts: 0,
            not_before: None,
        };
        delivery.put(batch, self.name(), seq);
        self.waiting.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // What follows waits for it from now on.
        self.machine.queue.add_unwritten(seq, delivery.item());
        self.unwritten.push(seq);
    }

    /// Keeps what an answer, to whatever call, tells of jobs.
    pub(super) fn hear_of_jobs(
        &mut self,
        result: Result<Answer, CallFailure>,
        org: Option<&Org>,
        batch: &mut Batch,
    ) {
        let Ok(Answer { jobs: updates, .. }) = result else {
            return;
        };
        let now = self.ground.now();
        let merged = self.jobs.merge(&self.ground.store, updates, org, now, batch);
        if let Err(error) = merged {
            tracing::error!(service = %self.name(), %error, "what a service tells of its jobs cannot be kept");
        }
    }
}

/// What an answer to `health` says.
fn health(result: &Result<Answer, CallFailure>, secret: &ServiceSecret) -> (Verdict, Option<Mtd>) {
    let answer = match (Verdict::of(result), result) {
        (Verdict::Done, Ok(answer)) => answer,
        (verdict, _) => return (verdict, None),
    };
    let no_health = |why: String| (Verdict::Failed(why), None);
    let Some(mtd) = answer.data.get("mtd") else {
        return no_health("its health does not say what it wants: data.mtd is missing".to_owned());
    };
    if mtd.to_string().len() > WANTS_BYTES_MAX {
        return no_health(format!("what it wants has more than {WANTS_BYTES_MAX} bytes"));
    }
    match serde_json::from_value(mtd.clone()) {
        Ok(wants) => (Verdict::Done, Some(wants)),
        Err(error) => {
            // It quotes what cannot be read.
            let error = short(without_secret(&error.to_string(), secret));
            no_health(format!("what it wants cannot be read: {error}"))
        }
    }
}

/// A number that is as good as one by chance, the same for the same attempt.
fn chance(mid: Uuid, attempts: u32) -> u64 {
    let (high, low) = mid.as_u64_pair();
    high ^ low.rotate_left(attempts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(data: Value) -> Verdict {
        let secret = ServiceSecret::new("s3cr3t");
        health(&Ok(Answer::done_with(data)), &secret).0
    }

    #[test]
    fn a_health_that_says_too_much_or_nothing_is_a_failure() {
        let wants = |name: &str| json!({ "mtd": { "callbacks": [name] } });
        assert_eq!(verdict(wants("detection")), Verdict::Done);
        let room = WANTS_BYTES_MAX - wants("")["mtd"].to_string().len();
        assert_eq!(verdict(wants(&"x".repeat(room))), Verdict::Done);
        assert!(matches!(
            verdict(wants(&"x".repeat(room + 1))),
            Verdict::Failed(_)
        ));
        for nothing in [
            json!({}),
            json!({ "mtd": 7 }),
            json!({ "mtd": { "callbacks": 7 } }),
        ] {
            assert!(matches!(verdict(nothing), Verdict::Failed(_)));
        }
        let refused = health(&Ok(Answer::refused("no")), &ServiceSecret::new("s3cr3t"));
        assert_eq!(refused, (Verdict::Refused("no".into()), None));
    }

    #[test]
    fn what_a_health_that_cannot_be_read_says_is_told_without_the_secret() {
        let quoted = json!({ "mtd": { "callbacks": "s3cr3t" } });
        let Verdict::Failed(why) = verdict(quoted) else {
            panic!("it can be read");
        };
        assert!(why.contains("cannot be read") && !why.contains("s3cr3t"), "{why}");
    }
}

//! Outbox: what is to be published, in order, until the broker has it.
//!
//! An entry is written in the batch of the decision that made it ([`stage`]) and handed to the actor once
//! that batch is durable. Entries of one subject are published in runs, one after the other; those of others overlap. An
//! acknowledged entry is marked `sent` and kept for a while, to be published again at the next start with
//! the same `Nats-Msg-Id`, because a broker acknowledges before it syncs. What the broker refuses for good
//! is quarantined and the rest goes on.
//!
//! Deliberately not here: NATS. Publishing is the [`Publisher`](crate::ports::Publisher) port.

mod codec;
mod load;
mod quarantine;
mod replay;
mod results;
mod spans;
mod state;
#[cfg(test)]
mod tests;
mod withdraw;

pub(crate) use codec::{Outgoing, is_message, stage};
pub(crate) use load::Load;
pub(crate) use quarantine::{DropEntry, GetOutbox, GetOutboxCounts, ListQuarantine, RetryEntries};
pub(crate) use replay::ReplayEvent;
pub(crate) use results::PublishedResult;

use crate::audit::Entry;
use crate::ground::Ground;
use crate::guardian::{Sentinel, retires};
use crate::once::{Made, Once};
use crate::ports::{OutMessage, PublishError};
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use actix::prelude::*;
use results::Results;
use spans::Spans;
use state::{Ready, State};
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::api::PublishedEvent;
use tripline_protocol::{Span, Timestamp};

/// How often acknowledgements are written down and what failed is tried again.
const TICK: Duration = Duration::from_millis(20);
/// How long the outbox rests after something went out. What comes meanwhile goes out together, which costs the broker and
/// us a fraction of what each alone would.
const REST: Duration = Duration::from_millis(1);
/// Acknowledgements written at once at the latest.
const ACKS_BATCH: usize = 512;

/// Durable entries, from whoever staged them.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Enqueue(pub(crate) Vec<Outgoing>);

/// Tells how a [`Publish`] went, once it is durable; with the event that was published before, if it was.
pub(crate) type Done = Box<dyn FnOnce(Result<Option<PublishedEvent>, Refusal>) + Send>;

/// An event from an edge. It is staged here, so that no generation of actors can miss it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Publish {
    pub(crate) message: OutMessage,
    /// The record of a caller who publishes it.
    pub(crate) entry: Option<Entry>,
    /// To be published once, as this event.
    pub(crate) once: Option<(Once, PublishedEvent)>,
    pub(crate) done: Done,
}

/// The broker is back: try now what waits for a retry.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct BrokerReturned;

/// How an entry's publication went, with its sequence in its stream.
type Answer = (u64, Result<u64, PublishError>);

/// The broker answered to all of a run, or did not. Sent by the outbox to itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct Published(Vec<Answer>);

/// The actor.
pub(crate) struct Outbox {
    ground: Arc<Ground>,
    state: State,
    /// Something went out within [`REST`].
    rests: bool,
    ticks: u64,
    spans: Spans,
    results: Results,
    sentinel: Sentinel,
}

retires!(Outbox);

impl Outbox {
    /// Reads what an earlier process left.
    pub(crate) fn load(ground: Arc<Ground>, sentinel: Sentinel) -> Result<Self, crate::store::Error> {
        let now = ground.now();
        let window = ground.config.outbox_resend_window;
        let (mut state, mut results) = (State::new(), Results::default());
        let mut old = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = ground.store.scan(Table::Outbox, &[], after.as_deref(), 1000)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, value) in &page {
                let Some(seq) = codec::decode_seq(key) else {
                    continue;
                };
                let sent = ground
                    .store
                    .get(Table::Sent, key)?
                    .and_then(|bytes| codec::decode_time(&bytes));
                match sent {
                    Some(at) if at.after(window) < now => {
                        state.taken(seq);
                        old.push(seq);
                    }
                    sent => {
                        let message = codec::decode(value);
                        // What was acknowledged is known already.
                        if let Some(message) = message.as_ref().filter(|_| sent.is_none()) {
                            results.add(&ground.config.subjects, seq, message);
                        }
                        state.restore(seq, message, sent);
                    }
                }
            }
        }
        // What is put back keeps its number, which must not be given away a second time.
        let newest = ground.store.scan_back(Table::Quarantine, &[], None, 1)?;
        let newest = newest.first().and_then(|(key, _)| codec::decode_seq(key));
        state.taken(newest.unwrap_or(0));
        let quarantined = ground.store.count(Table::Quarantine)?;
        ground
            .load
            .restart(state.waiting_len() as u64, quarantined, state.seq_last());
        codec::forgetting(&old).for_each(|batch| ground.store.commit(batch, || {}));
        Ok(Self {
            ground,
            state,
            rests: false,
            ticks: 0,
            spans: Spans::default(),
            results,
            sentinel,
        })
    }

    /// Publishes what may go out now, or after the rest.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        if self.rests {
            return;
        }
        let now = self.ground.now();
        while let Some(run) = self.state.next(now) {
            self.send(run, ctx);
            self.rests = true;
        }
        if self.rests {
            ctx.run_later(REST, |outbox, ctx| {
                outbox.rests = false;
                outbox.pump(ctx);
            });
        }
    }

    fn send(&self, run: Vec<Ready>, ctx: &mut Context<Self>) {
        let (mut seqs, mut messages, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for Ready { seq, message } in run {
            match message.or_else(|| self.reread(seq)) {
                Some(message) => {
                    seqs.push(seq);
                    messages.push(message);
                }
                None => answers.push((seq, Err(PublishError::Permanent("unreadable".into())))),
            }
        }
        let sent = self.ground.publisher.publish_run(messages);
        let me = ctx.address();
        actix::spawn(async move {
            answers.extend(seqs.into_iter().zip(sent.await));
            me.do_send(Published(answers));
        });
    }

    /// Long queues keep only their numbers in memory, and so does what was with the broker before.
    fn reread(&self, seq: u64) -> Option<OutMessage> {
        match self.ground.store.get(Table::Outbox, &seq.to_be_bytes()) {
            Ok(bytes) => bytes.as_deref().and_then(codec::decode),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    seq,
                    "outbox entry is unreadable"
                );
                None
            }
        }
    }

    /// Writes down what was acknowledged or refused since the last time.
    fn settle(&mut self, now: Timestamp) {
        let settled = self.state.take_settled();
        let mut batch = Batch::new();
        for seq in &settled.sent {
            batch.put(Table::Sent, seq.to_be_bytes().to_vec(), codec::encode_time(now));
        }
        for (seq, why) in &settled.refused {
            let key = seq.to_be_bytes();
            if let Ok(Some(entry)) = self.ground.store.get(Table::Outbox, &key) {
                batch.put(Table::Quarantine, key.to_vec(), codec::with_reason(&entry, why));
                self.ground.load.quarantine();
            }
            codec::forget(&mut batch, *seq);
            metrics::counter!("tripline_outbox_quarantined_total").increment(1);
            tracing::error!(
                seq,
                why,
                "the broker refuses a message for good; it is quarantined"
            );
        }
        self.results.stage(&self.ground.store, &mut batch);
        self.ground.load.settled(settled.waiting);
        self.ground.tally.published.add(settled.sent.len() as u64);
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
    }

    /// Forgets what was acknowledged so long ago that the broker has synced it.
    fn prune(&mut self, now: Timestamp) {
        let horizon = now.before(self.ground.config.outbox_resend_window);
        let synced = self.state.take_synced(horizon);
        codec::forgetting(&synced).for_each(|batch| self.ground.store.commit(batch, || {}));
    }
}

impl Actor for Outbox {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.pump(ctx);
        ctx.run_interval(TICK, |outbox, ctx| {
            let now = outbox.ground.now();
            outbox.settle(now);
            outbox.ticks += 1;
            if outbox.ticks.is_multiple_of(50) {
                outbox.prune(now);
                metrics::gauge!("tripline_outbox_waiting").set(outbox.ground.load.waiting() as f64);
                metrics::gauge!("tripline_outbox_quarantined").set(outbox.ground.load.quarantined() as f64);
            }
            outbox.pump(ctx);
        });
    }
}

impl Handler<Enqueue> for Outbox {
    type Result = ();
    fn handle(&mut self, Enqueue(entries): Enqueue, ctx: &mut Self::Context) {
        for entry in entries {
            self.spans.add(entry.seq, entry.span);
            self.results
                .add(&self.ground.config.subjects, entry.seq, &entry.message);
            self.state.enqueue(entry.seq, entry.message);
        }
        self.pump(ctx);
    }
}

impl Handler<Publish> for Outbox {
    type Result = ();
    fn handle(&mut self, message: Publish, ctx: &mut Self::Context) {
        let Publish {
            message,
            entry,
            once,
            done,
        } = message;
        let mut batch = Batch::new();
        match self.note(once.as_ref(), &mut batch) {
            Ok(None) => {}
            decided => return self.ground.after_commit(move || done(decided)),
        }
        let outgoing = stage(&self.ground.load, &mut batch, message);
        entry.into_iter().for_each(|entry| batch.audit(entry));
        let me = ctx.address();
        self.ground.store.commit(batch, move || {
            me.do_send(Enqueue(vec![outgoing]));
            done(Ok(None));
        });
    }
}

impl Outbox {
    /// The event that was published before, or the note that this one is now.
    fn note(
        &self,
        once: Option<&(Once, PublishedEvent)>,
        batch: &mut Batch,
    ) -> Result<Option<PublishedEvent>, Refusal> {
        let (wanted, published) = match once {
            Some((wanted, published)) => (Some(wanted), Some(published)),
            None => (None, None),
        };
        let now = self.ground.now();
        if let Some(Made::Event(before)) = self.ground.onces.made(wanted, now)? {
            return Ok(Some(before));
        }
        self.ground.admit()?;
        if let Some(published) = published {
            let made = || Made::Event(published.clone());
            self.ground.onces.note(wanted, made, now, batch)?;
        }
        Ok(None)
    }
}

impl Handler<Published> for Outbox {
    type Result = ();
    fn handle(&mut self, Published(answers): Published, ctx: &mut Self::Context) {
        let now = self.ground.now();
        let told = |(seq, result)| (seq, self.note_answer(seq, result, now));
        let run = answers.into_iter().map(told).collect();
        self.state.published(run, now);
        if self.state.settled_len() >= ACKS_BATCH {
            self.settle(now);
        }
        self.pump(ctx);
    }
}

impl Outbox {
    /// Tells traces and the jobs of results what became of an entry.
    fn note_answer(
        &mut self,
        seq: u64,
        result: Result<u64, PublishError>,
        now: Timestamp,
    ) -> Result<(), PublishError> {
        if let Err(error) = &result {
            tracing::debug!(seq, %error, "publish failed");
        }
        if let Some(span) = self.spans.published(seq, &result, now) {
            self.ground.traces.send(vec![span]);
        }
        if matches!(result, Ok(_) | Err(PublishError::Permanent(_))) {
            self.results.settled(seq, result.as_ref().ok().copied(), now);
        }
        result.map(drop)
    }
}

impl Handler<BrokerReturned> for Outbox {
    type Result = ();
    fn handle(&mut self, _: BrokerReturned, ctx: &mut Self::Context) {
        self.state.retry_now();
        self.pump(ctx);
    }
}

/// The last pause between two attempts for the same entry.
const RETRY_MAX: Span = Span::from_secs(5);

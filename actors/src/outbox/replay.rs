//! The event of a dead letter, published once more. It is decided here, so that the replays of an event count one
//! after the other.

use super::{Enqueue, Outbox, stage};
use crate::audit::By;
use crate::door::Reply;
use crate::refusal::Refusal;
use crate::replay::{self, Letter};
use crate::store::Batch;
use actix::prelude::*;
use tripline_protocol::Event;
use tripline_protocol::api::{Asker, ReplayedEvent};
use tripline_protocol::audit::Action;

/// Replay a dead letter; from the API. Refuses with `Conflict` when it was replayed before and is not wanted again.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ReplayEvent {
    pub(crate) by: Asker,
    /// The same, for the audit.
    pub(crate) on_behalf: By,
    pub(crate) letter: Letter,
    pub(crate) event: Box<Event>,
    pub(crate) again: bool,
    pub(crate) reply: Reply<ReplayedEvent>,
}

impl Handler<ReplayEvent> for Outbox {
    type Result = ();
    fn handle(&mut self, message: ReplayEvent, ctx: &mut Self::Context) {
        let ReplayEvent {
            by,
            on_behalf,
            letter,
            event,
            again,
            reply,
        } = message;
        let mut batch = Batch::new();
        let name = by.name.clone();
        let decided = self
            .ground
            .admit()
            .and_then(|()| replay::decide(&self.ground, &mut batch, by, (&letter, &event), again));
        let (replay, message) = match decided {
            Ok(decided) => decided,
            Err(refusal) => return refuse(self, reply, refusal),
        };
        let (sequence, run) = (letter.sequence, replay.run);
        tracing::warn!(by = name, letter = sequence, event = %event.key, run, "dead letter replayed");
        metrics::counter!("tripline_outbox_replays_total").increment(1);
        let entry = self
            .ground
            .audit(Action::DeadReplay, &on_behalf, Some(&event.org));
        let entry = entry.on("letter", sequence).on("event", event.key);
        batch.audit(entry.detail("run", run));
        let outgoing = stage(&self.ground.load, &mut batch, message);
        let me = ctx.address();
        self.ground.store.commit(batch, move || {
            me.do_send(Enqueue(vec![outgoing]));
            reply.send(Ok(ReplayedEvent {
                sequence,
                id: event.id,
                key: event.key,
                run,
            }));
        });
    }
}

/// Refuses, once what the refusal rests on is durable.
fn refuse<T: Send + 'static>(outbox: &Outbox, reply: Reply<T>, refusal: Refusal) {
    outbox.ground.after_commit(move || reply.send(Err(refusal)));
}

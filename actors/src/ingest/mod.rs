//! Ingest: takes deliveries of the events stream in order and remembers how far it came.
//!
//! A batch is answered once everything it causes is durable; then the NATS edge acks it. When the server can
//! take no more the whole batch is refused unchanged and offered again, so nothing overtakes. The position is
//! written with the next decision, at the latest once a second while events come, and when the edge asks for it, which
//! it does when none come: after a crash some deliveries come again, and the router knows those that mattered.
//!
//! Deliberately not here: NATS, and what an event means.

mod attest;
mod intake;
#[cfg(test)]
mod tests;

pub(crate) use attest::Attester;
pub(crate) use intake::{Abandoned, Dead, Incoming};

use crate::core::IngestPosition;
use crate::door::Reply;
use crate::ground::{Ground, read};
use crate::guardian::{Sentinel, retires};
use crate::record::{encode, meta};
use crate::refusal::Refusal;
use crate::router::{EtypeRouter, Route};
use crate::store::{Batch, Table};
use actix::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tripline_protocol::{Span, Timestamp};

/// The position is written at the latest this long after it changed.
const POSITION_LAG: Span = Span::from_secs(1);

/// Deliveries in order, from the NATS edge. Refuses with `Busy` (offer again) or `Unavailable`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Offer {
    pub(crate) batch: Vec<Incoming>,
    pub(crate) reply: Reply<()>,
}

/// Another stream, or one that has lost its beginning, from the NATS edge: go on after this position.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct SetPosition {
    pub(crate) position: IngestPosition,
    pub(crate) reply: Reply<()>,
}

/// Make durable how far it is, from the NATS edge. Answered when it is, and with it all that was handled by then.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct KeepPosition {
    pub(crate) reply: Reply<()>,
}

/// How far? From the NATS edge.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetPosition {
    pub(crate) reply: Reply<Option<IngestPosition>>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct PositionRecord {
    stream_created: Timestamp,
    last_sequence: u64,
}

/// The actor.
pub(crate) struct Ingest {
    ground: Arc<Ground>,
    router: Addr<EtypeRouter>,
    position: Option<PositionRecord>,
    written_at: Timestamp,
    /// First sequence of a batch that was refused: until it is offered again nothing may overtake it.
    refused: Option<u64>,
    sentinel: Sentinel,
}

retires!(Ingest);

impl Ingest {
    pub(crate) fn load(
        ground: Arc<Ground>,
        router: Addr<EtypeRouter>,
        sentinel: Sentinel,
    ) -> Result<Self, Refusal> {
        let position = read(&ground.store, Table::Meta, meta::POSITION, "ingest position")?;
        Ok(Self {
            ground,
            router,
            position,
            written_at: Timestamp::default(),
            refused: None,
            sentinel,
        })
    }

    fn put(&mut self, batch: &mut Batch, position: PositionRecord) {
        self.position = Some(position);
        self.written_at = self.ground.now();
        batch.put(Table::Meta, meta::POSITION.to_vec(), encode(&position));
    }
}

impl Actor for Ingest {
    type Context = Context<Self>;
}

impl Handler<Offer> for Ingest {
    type Result = ();
    fn handle(&mut self, offer: Offer, _: &mut Self::Context) {
        if let Err(refusal) = self.admit(&offer.batch) {
            return offer.reply.send(Err(refusal));
        }
        let Some(mut position) = self.position else {
            let detail = "the events stream was not introduced";
            return offer.reply.send(Err(Refusal::Unavailable { detail }));
        };
        let sequences = offer.batch.iter().map(|incoming| incoming.delivery.sequence);
        let settled = self.ground.abandoned.settle(sequences);
        position.last_sequence = position.last_sequence.max(settled);
        let due = self.written_at.after(POSITION_LAG) <= self.ground.now();
        let mut batch = Batch::new();
        self.put_if(&mut batch, position, due);
        let position = (!due).then(|| encode(&position));
        self.router.do_send(Route {
            batch,
            position,
            incoming: offer.batch,
            reply: offer.reply,
        });
    }
}

impl Ingest {
    /// Takes a batch unless the server is full or an earlier batch was refused and must come first.
    fn admit(&mut self, batch: &[Incoming]) -> Result<(), Refusal> {
        let mut sequences = batch.iter().map(|incoming| incoming.delivery.sequence);
        if let Some(refused) = self.refused
            && !sequences.clone().any(|sequence| sequence == refused)
        {
            return Err(Refusal::Busy {
                what: "ingest",
                retry_after: Span::from_millis(200),
            });
        }
        let admitted = self.ground.admit();
        self.refused = if admitted.is_err() { sequences.next() } else { None };
        admitted
    }

    fn put_if(&mut self, batch: &mut Batch, position: PositionRecord, due: bool) {
        if due {
            self.put(batch, position);
        } else {
            self.position = Some(position);
        }
    }
}

impl Handler<SetPosition> for Ingest {
    type Result = ();
    fn handle(&mut self, message: SetPosition, _: &mut Self::Context) {
        let IngestPosition {
            stream_created,
            mut last_sequence,
        } = message.position;
        match self.position {
            Some(present) if present.stream_created == stream_created => {
                self.ground.abandoned.forget_up_to(last_sequence);
                last_sequence = last_sequence.max(present.last_sequence);
            }
            _ => self.ground.abandoned.clear(),
        }
        let mut batch = Batch::new();
        self.put(
            &mut batch,
            PositionRecord {
                stream_created,
                last_sequence,
            },
        );
        self.ground
            .store
            .commit(batch, move || message.reply.send(Ok(())));
    }
}

impl Handler<KeepPosition> for Ingest {
    type Result = ();
    fn handle(&mut self, KeepPosition { reply }: KeepPosition, _: &mut Self::Context) {
        let mut batch = Batch::new();
        if let Some(position) = self.position {
            self.put(&mut batch, position);
        }
        // Behind the deliveries that the router still has: the position is not durable before what they cause.
        self.router.do_send(Route {
            batch,
            position: None,
            incoming: Vec::new(),
            reply,
        });
    }
}

impl Handler<GetPosition> for Ingest {
    type Result = ();
    fn handle(&mut self, message: GetPosition, _: &mut Self::Context) {
        // Who asks begins anew, and what was refused comes again from the broker.
        self.refused = None;
        let position = self.position.map(|position| IngestPosition {
            stream_created: position.stream_created,
            last_sequence: position.last_sequence,
        });
        self.ground.after_commit(move || message.reply.send(Ok(position)));
    }
}

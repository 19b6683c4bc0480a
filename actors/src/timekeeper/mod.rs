//! Timekeeper: the ticks of the clock, as events of the stream.
//!
//! For each of `org_per_*`, `once_per_*` and `sensor_per_*` there is one clock as soon as somebody listens, and its row says how
//! far it has come; when its members are due follows from their names ([`ring`](ring::Ring)). Ticks go into the outbox in the
//! batch that moves their clock on, so that none is skipped and none doubled, whatever dies. A clock that was late gives everybody
//! one tick, however many were missed. While the outbox is full, clocks stand still.
//!
//! Deliberately not here: who is to get an event (the router), and which services there are.

mod clocks;
mod known;
mod listeners;
mod newcomers;
mod place;
mod ring;
mod state;
#[cfg(test)]
mod tests;
mod tick;

pub(crate) use listeners::{PipelineTicks, ServiceTicks};
pub(crate) use newcomers::Newcomers;
pub(crate) use state::is_clock;
pub(crate) use tick::{SOURCE, service_of};

use crate::ground::Ground;
use crate::guardian::{Sentinel, retires};
use crate::host::event_message;
use crate::outbox::{Enqueue, Outbox, stage};
use crate::refusal::Refusal;
use crate::service::stored_ticks;
use crate::store::{Batch, Table};
use actix::prelude::*;
use clocks::Turn;
use known::Known;
use state::{Rows, State};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tick::Tick;
use tripline_protocol::{Name, Timestamp};

/// How often it is looked who is due.
const TICK: Duration = Duration::from_secs(1);
/// Ticks made at once.
const TURN_TICKS_MAX: usize = 256;
/// Members looked at at once.
const TURN_LOOKS_MAX: usize = 1_024;
/// Messages that may wait for the broker while ticks are made.
const OUTBOX_WAITING_MAX: u64 = 10_000;

/// What pipelines listen to; from whoever puts rules in force.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct PipelinesListen(pub(crate) PipelineTicks);

/// Ticks are durable, and more may be due; from itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct Written;

/// The actor.
pub(crate) struct Timekeeper {
    ground: Arc<Ground>,
    outbox: Addr<Outbox>,
    state: State,
    /// What services listened to before this process, until the configuration says which there are.
    before: BTreeMap<Name, ServiceTicks>,
    /// How often what they want had changed when it was last looked at.
    heard: u64,
    /// Ticks are on the way to the disk.
    is_writing: bool,
    sentinel: Sentinel,
}

retires!(Timekeeper);

impl Timekeeper {
    /// With how far the clocks have come. Clocks to which nobody listens are forgotten: so who listened before is to be known.
    pub(crate) fn load(
        ground: Arc<Ground>,
        outbox: Addr<Outbox>,
        pipelines: PipelineTicks,
        sentinel: Sentinel,
    ) -> Result<Self, Refusal> {
        let mut state = State::default();
        for (row, value) in ground
            .store
            .scan(Table::Clock, &[], None, listeners::all().count())?
        {
            if !state.restore(&row, &value) {
                tracing::error!("how far a clock has come cannot be read; it begins anew");
            }
        }
        // What is noted already is in the store, too.
        drop(ground.newcomers.take());
        state.note(known::all(&ground)?);
        let now = ground.now();
        let before = stored_ticks(&ground.store)?;
        let rows = state.set_listeners(pipelines, before.clone(), now);
        let mut batch = Batch::new();
        put(&mut batch, rows);
        if !batch.is_empty() {
            ground.store.commit(batch, || {});
        }
        Ok(Self {
            ground,
            outbox,
            state,
            before,
            heard: 0,
            is_writing: false,
            sentinel,
        })
    }

    /// Makes the ticks that are due, as many as may be at once.
    fn turn(&mut self, ctx: &Context<Self>) {
        let now = self.ground.now();
        self.hear(now);
        self.state.note(self.ground.newcomers.take());
        let since = self.state.waits_since(now);
        self.measure(since, now);
        if self.is_writing || since.is_none() {
            return;
        }
        let Some(room) = self.room() else { return };
        let turn = Turn {
            ticks: TURN_TICKS_MAX.min(room),
            looks: TURN_LOOKS_MAX,
        };
        let known = Known {
            ground: &self.ground,
            now,
        };
        let (ticks, rows) = self.state.advance(now, turn, &known);
        self.write(&ticks, rows, now, ctx);
    }

    /// Looks whether services want something else than before.
    fn hear(&mut self, now: Timestamp) {
        let Some(present) = self.ground.services.ticks_since(&mut self.heard) else {
            return;
        };
        if self.ground.services.is_whole() {
            self.before.clear();
        }
        let mut services = self.before.clone();
        services.extend(present);
        let rows = self.state.set_services(services, now);
        self.keep(rows);
    }

    /// How many ticks the outbox takes; `None`: they wait, and what they miss meanwhile is one tick for each.
    fn room(&self) -> Option<usize> {
        let load = &self.ground.load;
        if load.waiting() >= OUTBOX_WAITING_MAX || !self.ground.admits() {
            return None;
        }
        usize::try_from(load.room()).ok().filter(|room| *room > 0)
    }

    /// One batch: the ticks, and how far their clocks have come with them.
    fn write(&mut self, ticks: &[Tick], rows: Rows, now: Timestamp, ctx: &Context<Self>) {
        let mut batch = Batch::new();
        put(&mut batch, rows);
        let mut outgoing = Vec::with_capacity(ticks.len());
        for tick in ticks {
            let Some(event) = tick.to_event(now) else { continue };
            metrics::counter!("tripline_timekeeper_ticks_total", "etype" => tick.word()).increment(1);
            let message = event_message(&self.ground, &event);
            outgoing.push(stage(&self.ground.load, &mut batch, message));
        }
        let (outbox, me) = (self.outbox.clone(), ctx.address());
        self.is_writing = true;
        self.ground.store.commit(batch, move || {
            outbox.do_send(Enqueue(outgoing));
            me.do_send(Written);
        });
    }

    fn measure(&self, since: Option<u64>, now: Timestamp) {
        let late = since.map_or(0, |since| place::millis(now).saturating_sub(since));
        metrics::gauge!("tripline_timekeeper_late_seconds").set(late as f64 / 1000.0);
        metrics::gauge!("tripline_timekeeper_sensors").set(self.state.sensors() as f64);
    }

    /// Clocks begin and end.
    fn keep(&self, rows: Rows) {
        if rows.is_empty() {
            return;
        }
        let mut batch = Batch::new();
        put(&mut batch, rows);
        self.ground.store.commit(batch, || {});
    }
}

fn put(batch: &mut Batch, rows: Rows) {
    for (row, value) in rows {
        match value {
            Some(value) => batch.put(Table::Clock, row, value),
            None => batch.delete(Table::Clock, row),
        }
    }
}

impl Actor for Timekeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.turn(ctx);
        ctx.run_interval(TICK, |timekeeper, ctx| timekeeper.turn(ctx));
    }
}

impl Handler<PipelinesListen> for Timekeeper {
    type Result = ();
    fn handle(&mut self, PipelinesListen(ticks): PipelinesListen, _: &mut Self::Context) {
        let rows = self.state.set_pipelines(ticks, self.ground.now());
        self.keep(rows);
    }
}

impl Handler<Written> for Timekeeper {
    type Result = ();
    fn handle(&mut self, _: Written, ctx: &mut Self::Context) {
        self.is_writing = false;
        self.turn(ctx);
    }
}

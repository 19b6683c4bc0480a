//! Fanouts: one submission of a job over a set of hosts, by a person or by a pipeline whose target is a set.
//!
//! A fan-out is durable before its hosts are known. They are found slice by slice, each once; a host's job is made when
//! the host is attached and the pace allows, so that a fan-out over many hosts costs few jobs at once. What it decides
//! goes through the scheduler, in order with its jobs; how a job ended is written by the scheduler with the job's end,
//! in the row of its host.
//!
//! Deliberately not here: which hosts a target selects (Directory), how a job runs, reading the keys of pipelines.

mod begin;
mod change;
mod finish;
mod gone;
mod leave;
mod load;
mod lost;
mod making;
mod messages;
mod plan;
mod prune;
mod query;
mod reading;
mod record;
mod reopen;
mod resolve;
mod rota;
mod state;
#[cfg(test)]
mod tests;
mod work;
mod written;

pub use plan::FanoutPlan;

pub(crate) use begin::{Submission, from_pipeline, submitted};
pub(crate) use messages::{
    BeginFanouts, Change, ChangeFanout, FoundHost, GetFanout, HostLanded, HostNews, HostSeen, HostsFound,
    JobLost, ListFanoutHosts, ListFanouts, NewFanout, News, PausedPipelines, SubmitNew,
};
pub(crate) use record::{
    Definition as FanoutDefinition, FanoutPart, FanoutRecord, HostRow, brief, read_chunk,
};

use crate::directory::Directory;
use crate::ground::Ground;
use crate::guardian::{Sentinel, retires};
use crate::outbox::Outgoing;
use crate::scheduler::{JobScheduler, Persist};
use crate::store::Batch;
use actix::prelude::*;
use state::Machine;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::job::Reason;
use tripline_protocol::{FanoutId, HostId, Name, Timestamp};
use work::Work;

/// Fan-outs that have not ended.
pub(crate) const FANOUTS_OPEN_MAX: usize = 100;
/// Hosts of all of them.
const FANOUT_HOSTS_OPEN_MAX: usize = 500_000;
/// How often times are looked at.
const TICK: Duration = Duration::from_millis(250);

/// A fan-out that has not ended.
struct Open {
    machine: Machine,
    /// What it does on a host; or why that cannot be read any more.
    work: Result<Work, String>,
    /// A timer is set for then.
    wakes_at: Option<Timestamp>,
    written: written::Written,
}

impl Open {
    fn new(machine: Machine, work: Result<Work, String>) -> Self {
        Self {
            machine,
            work,
            wakes_at: None,
            written: Default::default(),
        }
    }

    /// Writes the row of a host.
    fn put_row(&mut self, host: HostId, row: HostRow, batch: &mut Batch) {
        row.put(batch, self.machine.record().fanout_id, host);
        let order = self.machine.member(host).map(|member| member.order);
        self.written.note(order, host, row);
    }
}

/// How many hosts fan-outs have together.
fn hosts_of_all(open: &BTreeMap<FanoutId, Open>) -> usize {
    open.values().map(|open| open.machine.len()).sum()
}

/// Let hosts have their turn.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct GoOn;

/// The actor.
pub(crate) struct Fanouts {
    ground: Arc<Ground>,
    scheduler: Addr<JobScheduler>,
    directory: Addr<Directory>,
    open: BTreeMap<FanoutId, Open>,
    /// Those that ended and are on their way to the store.
    finishing: BTreeMap<FanoutId, FanoutRecord>,
    /// Those that ended, are to be tried again, and are being read.
    reopening: BTreeMap<FanoutId, reopen::Reopening>,
    /// Those of which a host may be able to have its turn.
    eager: rota::Rota,
    /// Told to go on already.
    goes_on: bool,
    /// Pipelines that are paused, and why; `None` until the router has said.
    paused: Option<HashMap<Name, String>>,
    pruner: prune::Pruner,
    sentinel: Sentinel,
}

retires!(Fanouts);

impl Fanouts {
    /// How far the histories of open fan-outs have come, for the scheduler.
    pub(crate) fn turns(&self) -> HashMap<FanoutId, u32> {
        let turn = |(id, open): (&FanoutId, &Open)| (*id, open.machine.record().turn());
        self.open.iter().map(turn).collect()
    }

    /// Why a fan-out that is not paused itself is held back.
    fn held(&self, record: &FanoutRecord) -> Option<Reason> {
        let pipeline = record.pipeline.as_ref()?;
        let text = match &self.paused {
            None => "whether its pipeline is paused is not known yet",
            Some(paused) => paused.get(&pipeline.name)?,
        };
        Some(Reason::new("pipeline_paused", text))
    }

    /// Lets a fan-out go on as soon as what came before was heard.
    fn wake(&mut self, id: FanoutId, ctx: &mut Context<Self>) {
        self.eager.add(id);
        self.go_on(ctx);
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.goes_on, true) {
            ctx.notify(GoOn);
        }
    }

    /// Writes what changed in a fan-out, and its end if it has come to it.
    fn settle(&mut self, id: FanoutId) {
        let machine = self.open.get(&id).map(|open| &open.machine);
        let is_as_it_was = |machine: &Machine| !machine.is_changed() && machine.conclusion().is_none();
        if machine.is_none_or(is_as_it_was) {
            return;
        }
        self.settle_with(id, Batch::new(), || {});
    }

    /// The same, with `batch`; `then` runs when it is durable.
    fn settle_with(&mut self, id: FanoutId, mut batch: Batch, then: impl FnOnce() + Send + 'static) {
        let Some(open) = self.open.get_mut(&id) else {
            return self.persist(batch, Vec::new(), None, then);
        };
        if let Some((outcome, reason)) = open.machine.conclusion() {
            return self.finish(id, (outcome, reason), batch, then);
        }
        let mut turn = None;
        if open.machine.take_changed() {
            let record = open.machine.record();
            record.put(&mut batch);
            turn = Some((id, Some(record.turn())));
        }
        self.persist(batch, Vec::new(), turn, then);
    }

    fn persist(
        &self,
        batch: Batch,
        outgoing: Vec<Outgoing>,
        turn: Option<(FanoutId, Option<u32>)>,
        then: impl FnOnce() + Send + 'static,
    ) {
        self.scheduler.do_send(Persist {
            batch,
            outgoing,
            turn,
            then: Box::new(then),
        });
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.ground.now();
        let late: Vec<FanoutId> = self
            .open
            .iter()
            .filter(|(_, open)| open.machine.is_late(now))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.expire(id, now);
        }
        self.eager.add_all(self.open.keys());
        self.forget_finished();
        self.prune();
        metrics::gauge!("tripline_fanouts_open").set(self.open.len() as f64);
        let pending: u64 = self.open.values().map(|open| open.machine.counts().pending).sum();
        metrics::gauge!("tripline_fanouts_hosts_pending").set(pending as f64);
        self.go_on(ctx);
    }
}

impl Actor for Fanouts {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.begin_again(ctx);
        ctx.run_interval(TICK, Fanouts::tick);
    }
}

impl Handler<GoOn> for Fanouts {
    type Result = ();
    fn handle(&mut self, _: GoOn, ctx: &mut Self::Context) {
        self.goes_on = false;
        self.make_jobs(ctx);
    }
}

impl Handler<PausedPipelines> for Fanouts {
    type Result = ();
    fn handle(&mut self, PausedPipelines(paused): PausedPipelines, ctx: &mut Self::Context) {
        self.paused = Some(paused);
        self.eager.add_all(self.open.keys());
        self.go_on(ctx);
    }
}

impl Handler<HostLanded> for Fanouts {
    type Result = ();
    fn handle(&mut self, message: HostLanded, ctx: &mut Self::Context) {
        let Some(open) = self.open.get_mut(&message.fanout_id) else {
            return;
        };
        open.machine
            .landed(message.host_id, message.run, message.outcome, message.turn);
        self.wake(message.fanout_id, ctx);
    }
}

impl Handler<JobLost> for Fanouts {
    type Result = ();
    fn handle(&mut self, JobLost(job_id): JobLost, ctx: &mut Self::Context) {
        if let Err(error) = self.lose_job(job_id, ctx) {
            // The store cannot be read: the process is about to end with that reason.
            tracing::error!(job = %job_id, %error, "the host of a lost job has no outcome");
        }
    }
}

impl Handler<HostNews> for Fanouts {
    type Result = ();
    fn handle(&mut self, HostNews { host_id, news }: HostNews, ctx: &mut Self::Context) {
        match news {
            News::Attached => {
                for (id, open) in &mut self.open {
                    if open.machine.member(host_id).is_some() {
                        open.machine.attached(host_id);
                        self.eager.add(*id);
                    }
                }
                self.look_at(host_id, ctx);
                self.go_on(ctx);
            }
            News::Detached => {
                for (id, open) in &mut self.open {
                    if open.machine.member(host_id).is_some() {
                        open.machine.detached(host_id);
                        self.eager.add(*id);
                    }
                }
                self.go_on(ctx);
            }
            News::Changed => self.look_at(host_id, ctx),
            News::Forgotten => self.forget(host_id, ctx),
            News::Linked => self.linked(host_id, ctx),
        }
    }
}

//! Hosts have their turn: their jobs are made, a few at a time, in turns with the other fan-outs.

use super::record::{FanoutPart, HostRow, HostTurn, brief};
use super::state::Machine;
use super::work::Work;
use super::{Fanouts, Open};
use crate::ground::Ground;
use crate::labels;
use crate::pipeline::RenderedJob;
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::router::{HostBook, Hosts as _};
use crate::scheduler::{Accept, NewJob};
use crate::service::Deliveries;
use crate::store::Batch;
use actix::prelude::*;
use std::time::Duration;
use tripline_protocol::fanout::FanoutHostState;
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::{FanoutId, HostId, JobId, Timestamp};

/// Hosts of all fan-outs that have their turn before others are heard.
const MADE_MAX: usize = 50;

/// What a host's turn led to.
enum Made {
    Job(Box<NewJob>),
    /// No job; its row says why.
    Over(FanoutHostState, Reason),
}

impl Fanouts {
    /// Lets hosts have their turn where one may.
    pub(super) fn make_jobs(&mut self, ctx: &mut Context<Self>) {
        // Whoever starts no jobs needs no more of them; and what they end with must have room.
        let held = self.ground.pause.load().is_some() || !self.ground.admits();
        let mut eager = std::mem::take(&mut self.eager);
        eager.share(MADE_MAX, |id, room| {
            let made = match !held && self.may_go(id) {
                true => self.make_some(id, room),
                false => 0,
            };
            self.settle(id);
            self.set_timer(id, ctx);
            made
        });
        self.eager = eager;
        if !self.eager.is_empty() {
            self.go_on(ctx);
        }
    }

    fn may_go(&self, id: FanoutId) -> bool {
        let open = self.open.get(&id);
        open.is_some_and(|open| self.held(open.machine.record()).is_none())
    }

    /// Lets hosts of one have their turn, at most `room`. The answer is how many.
    fn make_some(&mut self, id: FanoutId, room: usize) -> usize {
        let now = self.ground.now();
        let Some(open) = self.open.get_mut(&id) else {
            return 0;
        };
        let (mut batch, mut jobs, mut count) = (Batch::new(), Vec::new(), 0);
        while count < room {
            let Some(host) = open.machine.next(now) else { break };
            count += 1;
            jobs.extend(have_turn(&self.ground, open, host, now, &mut batch));
        }
        if !batch.is_empty() {
            self.scheduler.do_send(Accept {
                batch,
                jobs,
                outgoing: Vec::new(),
                spans: Vec::new(),
                deliveries: Deliveries::default(),
                reply: None,
            });
        }
        count
    }

    /// Looks again when the pace lets the next host have its turn.
    fn set_timer(&mut self, id: FanoutId, ctx: &mut Context<Self>) {
        let now = self.ground.now();
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        let due = open.machine.due().filter(|at| *at > now);
        if due.is_none() || due == open.wakes_at {
            return;
        }
        open.wakes_at = due;
        let wait = due.map_or(0, |at| at.as_micros().saturating_sub(now.as_micros()));
        let wait = Duration::from_micros(u64::try_from(wait).unwrap_or(0));
        ctx.run_later(wait, move |fanouts, ctx| fanouts.wake(id, ctx));
    }
}

/// Makes the job of a host that has its turn, if there can be one.
fn have_turn(
    ground: &Ground,
    open: &mut Open,
    host: HostId,
    now: Timestamp,
    batch: &mut Batch,
) -> Option<NewJob> {
    let made = make(ground, &open.machine, &open.work, host).unwrap_or_else(|error| {
        // The store cannot be read: the process is about to end with that reason.
        let failed = FanoutHostState::Ended(Outcome::Failed);
        Made::Over(failed, Reason::new(error.code(), error.to_string()))
    });
    let (run, turn) = (
        open.machine.member(host).map_or(0, |member| member.run),
        open.machine.record().turn(),
    );
    let mut row = HostRow {
        state: FanoutHostState::InFlight,
        job_id: None,
        run,
        turn,
        made: Some(HostTurn { since: turn, at: now }),
        reason: None,
        finished_at: None,
        unreadable: false,
    };
    let job = match made {
        Made::Job(job) => {
            row.job_id = Some(job.job_id);
            Some(*job)
        }
        Made::Over(state, reason) => {
            row.state = state;
            row.reason = Some(brief(&reason));
            row.finished_at = Some(now);
            match state {
                FanoutHostState::Ended(Outcome::Failed) => {
                    open.machine.landed(host, run, Outcome::Failed, turn);
                }
                state => {
                    row.made = None;
                    open.machine.pass_over(host, state);
                }
            }
            None
        }
    };
    open.put_row(host, row, batch);
    job
}

fn make(
    ground: &Ground,
    machine: &Machine,
    work: &Result<Work, String>,
    host: HostId,
) -> Result<Made, Refusal> {
    let book = HostBook::new(&ground.store, &ground.attachments);
    let record = machine.record();
    let over = |state, code: &str, text: String| Ok(Made::Over(state, Reason::new(code, text)));
    let failed = FanoutHostState::Ended(Outcome::Failed);
    let found = match book.by_id(host)? {
        None => {
            let text = "its host was forgotten by an administrator".to_owned();
            return over(FanoutHostState::Ended(Outcome::Cancelled), "host_forgotten", text);
        }
        Some(found) if found.host_id != host => {
            let text = format!("it is a client that host {} reports as", found.host_id);
            return over(FanoutHostState::Skipped, "host_linked", text);
        }
        Some(found) => found,
    };
    let facts = book.facts(&found)?;
    let protected = labels::protecting(&facts.labels, &ground.config.hosts_protected);
    if let Some(label) = protected.filter(|_| !record.include_protected) {
        return over(
            FanoutHostState::Skipped,
            "protected_host",
            labels::protected_text(label),
        );
    }
    match work {
        Err(why) => over(failed, "definition_unreadable", why.clone()),
        Ok(work) => match work.render(&facts) {
            Err(error) => over(failed, error.code(), error.to_string()),
            Ok(rendered) => Ok(Made::Job(Box::new(new_job(machine, &found, rendered)))),
        },
    }
}

fn new_job(machine: &Machine, host: &HostRecord, rendered: RenderedJob) -> NewJob {
    let record = machine.record();
    let run = machine.member(host.host_id).map_or(0, |member| member.run);
    let mut spec = rendered.spec;
    spec.timeout = record.timeout.or(spec.timeout);
    NewJob {
        job_id: JobId::derive_fanout(record.fanout_id, &record.name, host.host_id, run),
        org: record.org.clone(),
        spec,
        vars: rendered.vars,
        host: host.to_ref(),
        pipeline: record.pipeline.clone(),
        event: record.event.clone(),
        fanout: Some(FanoutPart {
            of: record.to_ref(),
            host_id: host.host_id,
            made_in: record.turn(),
            // What has not begun when the fan-out expires does not begin behind it.
            expires_at: Some(record.expires_at),
            include_protected: record.include_protected,
        }),
        traceparent: record.traceparent.clone(),
        investigation_id: None,
        depth: record.depth,
        by: record.by.clone(),
        run,
    }
}

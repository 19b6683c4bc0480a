//! A fan-out that ended is tried again: it is read from the store, a slice at a time, and others are served between two of them.
//! What its record says already refuses a retry before anything is read.

use super::change::{check_history, nothing_to_retry};
use super::reading::Reading;
use super::record::FanoutRecord;
use super::{Change, ChangeFanout, FANOUT_HOSTS_OPEN_MAX, Fanouts};
use crate::refusal::Refusal;
use actix::prelude::*;
use tripline_protocol::fanout::FanoutHostState;
use tripline_protocol::job::Outcome;
use tripline_protocol::{FanoutId, Span};

/// Read the next slice.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct ReadOn(FanoutId);

/// One that is being read, and what is to be done with it then.
pub(super) struct Reopening {
    reading: Reading,
    message: ChangeFanout,
}

impl Fanouts {
    /// Begins to read the fan-out of a retry. `Some`: it is open, and need not be read.
    pub(super) fn reopen(&mut self, message: ChangeFanout, ctx: &mut Context<Self>) -> Option<ChangeFanout> {
        let id = message.fanout_id;
        let Change::Retry(retry) = &message.change else {
            return Some(message);
        };
        if self.open.contains_key(&id) {
            return Some(message);
        }
        match self
            .check_visible(&message)
            .and_then(|()| self.record_to_reopen(id, &retry.outcomes))
        {
            Err(refusal) => self.ground.after_commit(move || message.reply.send(Err(refusal))),
            Ok(record) => {
                let reading = Reading::new(record);
                self.reopening.insert(id, Reopening { reading, message });
                ctx.notify(ReadOn(id));
            }
        }
        None
    }

    /// The record of one that may be opened again.
    fn record_to_reopen(&mut self, id: FanoutId, outcomes: &[Outcome]) -> Result<FanoutRecord, Refusal> {
        self.room()?;
        self.forget_finished();
        if self.finishing.contains_key(&id) || self.reopening.contains_key(&id) {
            return Err(Refusal::Busy {
                what: "fan-out's end",
                retry_after: Span::from_millis(500),
            });
        }
        let record = self.ended(id)?.ok_or_else(|| super::change::not_found(id))?;
        check_history(&record.history)?;
        if !may_retry(&record, outcomes) {
            return Err(nothing_to_retry());
        }
        self.check_hosts(hosts_of(&record))?;
        Ok(record)
    }

    /// Whether so many hosts more may be of open fan-outs.
    fn check_hosts(&self, more: usize) -> Result<(), Refusal> {
        let reopening = self.reopening.values();
        let coming: usize = reopening.map(|one| hosts_of(one.reading.record())).sum();
        if super::hosts_of_all(&self.open) + coming + more <= FANOUT_HOSTS_OPEN_MAX {
            return Ok(());
        }
        metrics::counter!("tripline_fanouts_refused_total", "limit" => "hosts").increment(1);
        Err(Refusal::Busy {
            what: "list of hosts of open fan-outs",
            retry_after: Span::from_secs(60),
        })
    }

    fn read_on(&mut self, id: FanoutId, ctx: &mut Context<Self>) {
        let (store, now) = (&self.ground.store, self.ground.now());
        let Some(reopening) = self.reopening.get_mut(&id) else {
            return;
        };
        let more = reopening.reading.go_on(store, now);
        if let Ok(true) = more {
            return ctx.notify(ReadOn(id));
        }
        let Some(Reopening { reading, message }) = self.reopening.remove(&id) else {
            return;
        };
        let open = more.and_then(|_| reading.finish(&self.ground));
        // Others may have got more hosts meanwhile.
        let open = open.and_then(|open| self.check_hosts(open.machine.len()).map(|()| open));
        match open {
            Err(refusal) => self.ground.after_commit(move || message.reply.send(Err(refusal))),
            Ok(open) => {
                self.open.insert(id, open);
                self.carry_out(message, ctx);
            }
        }
    }
}

fn hosts_of(record: &FanoutRecord) -> usize {
    let hosts = record.ended.as_ref().map_or(0, |ended| ended.counts.hosts);
    usize::try_from(hosts).unwrap_or(usize::MAX)
}

/// Whether a host may be tried again, as far as the record says: hosts that were not found before it was over are as those that
/// waited then.
fn may_retry(record: &FanoutRecord, outcomes: &[Outcome]) -> bool {
    let Some(ended) = &record.ended else { return true };
    let mut counts = ended.counts;
    let unfound = record.closed().filter(|_| !record.resolved);
    let mut wanted = outcomes.iter();
    wanted.any(|outcome| *counts.of(FanoutHostState::Ended(*outcome)) > 0 || unfound == Some(*outcome))
}

impl Handler<ReadOn> for Fanouts {
    type Result = ();
    fn handle(&mut self, ReadOn(id): ReadOn, ctx: &mut Self::Context) {
        self.read_on(id, ctx);
    }
}

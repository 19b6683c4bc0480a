//! What waits for a service and is not its any more: messages of orgs that left it or that it refused, and all of a service
//! that leaves. Which those are follows from rows that are durable before anything goes; they go slice by slice, and a start
//! goes on with it.
//!
//! Where an org or a service comes back meanwhile, it has a floor: what has a lower number was another's.

use super::actor::Service;
use super::queue::Item;
use crate::store::Batch;
use actix::prelude::*;
use tripline_protocol::api::Installation;
use tripline_protocol::{Name, Org};

/// Messages that are removed at once.
const SLICE: usize = 200;

/// Messages that are to go.
#[derive(Debug)]
pub(super) struct Leftovers {
    /// Orgs came or went since it was looked for them.
    pub(super) is_stale: bool,
    /// The oldest is last.
    seqs: Vec<u64>,
    is_writing: bool,
}

impl Default for Leftovers {
    /// Nobody looked yet.
    fn default() -> Self {
        Self {
            is_stale: true,
            seqs: Vec::new(),
            is_writing: false,
        }
    }
}

impl Leftovers {
    pub(super) fn is_over(&self) -> bool {
        !self.is_stale && self.seqs.is_empty() && !self.is_writing
    }
}

/// A slice is durable; from the service to itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct Swept;

impl Service {
    /// Whether a message is not its any more. What tells it of the beginning and the end of a subscription is looked at elsewhere.
    pub(super) fn is_left(&self, seq: u64, org: Option<&Org>) -> bool {
        if self.record.leaving || seq <= self.record.floor {
            return true;
        }
        let Some(org) = org else { return false };
        self.orgs.get(org).is_none_or(|known| {
            let is_open = matches!(known.state, Installation::Pending | Installation::Installed);
            !is_open || seq <= known.floor
        })
    }

    /// Removes the next of what is not its any more, if there is any and none is being removed.
    pub(super) fn sweep(&mut self, ctx: &Context<Self>) {
        if self.leftovers.is_writing {
            return;
        }
        if self.leftovers.seqs.is_empty() && std::mem::take(&mut self.leftovers.is_stale) {
            let is_left = |seq, item: &Item| !item.is_barrier && self.is_left(seq, item.org.as_ref());
            let mut seqs = self.machine.queue.which(is_left);
            seqs.reverse();
            self.leftovers.seqs = seqs;
        }
        let seqs = &mut self.leftovers.seqs;
        if seqs.is_empty() {
            return self.leave_if_over();
        }
        let slice = seqs.split_off(seqs.len().saturating_sub(SLICE));
        let mut batch = Batch::new();
        self.drop_waiting(slice, &mut batch);
        self.leftovers.is_writing = true;
        let me = ctx.address();
        self.commit(batch, Vec::new(), move || me.do_send(Swept));
    }

    /// Removes messages that are not under way.
    pub(super) fn drop_waiting(&mut self, seqs: Vec<u64>, batch: &mut Batch) {
        let mut dropped = 0;
        for (seq, _) in self.machine.remove(seqs) {
            self.release(1);
            self.bury(seq, batch);
            dropped += 1;
        }
        self.note_left(dropped);
    }

    /// So many messages were removed because they are not its any more.
    pub(super) fn note_left(&mut self, count: u64) {
        self.given_up += count;
        count_left(self.name(), count);
    }

    /// Whether it is no more: it was told of the end of all of its orgs, and nothing waits that could be delivered.
    pub(super) fn has_left(&self) -> bool {
        self.record.leaving && self.orgs.is_empty() && self.leftovers.is_over()
    }
}

/// Counts messages that a service does not get because it, or their org, is no more.
pub(super) fn count_left(service: &Name, count: u64) {
    if count > 0 {
        metrics::counter!(
            "tripline_service_given_up_total",
            "service" => service.to_string(),
            "reason" => "left",
        )
        .increment(count);
    }
}

impl Handler<Swept> for Service {
    type Result = ();
    fn handle(&mut self, _: Swept, ctx: &mut Self::Context) {
        self.leftovers.is_writing = false;
        self.pump(ctx);
    }
}

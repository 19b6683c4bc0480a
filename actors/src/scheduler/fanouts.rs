//! What the scheduler does for fan-outs: it commits what they decide in order with their jobs, writes the end of a job
//! into the row of its host, and tells them what it hears of hosts.

use super::JobScheduler;
use super::messages::{HostDiffers, Persist};
use crate::fanout::{FanoutPart, HostLanded, HostNews, News};
use crate::record::JobRecord;
use crate::store::Batch;
use actix::prelude::*;
use std::collections::HashMap;
use tripline_protocol::{FanoutId, HostId};

/// How far the histories of open fan-outs have come, as far as the store knows; those at their beginning are not there.
pub(super) type Turns = HashMap<FanoutId, u32>;

impl JobScheduler {
    /// A job of a fan-out ends with this batch: its host's row says so, and the fan-out is told.
    pub(super) fn tell_fanout(&self, batch: &mut Batch, record: &JobRecord) {
        let Some(part) = &record.fanout else { return };
        let turn = self.turns.get(&part.of.fanout_id).copied().unwrap_or(0);
        let (Some(row), Some(outcome)) = (part.row_of_end(record, turn), record.state.outcome()) else {
            return;
        };
        let FanoutPart { of, host_id, .. } = part;
        row.put(batch, of.fanout_id, *host_id);
        self.fanouts.do_send(HostLanded {
            fanout_id: of.fanout_id,
            host_id: *host_id,
            run: record.run,
            outcome,
            turn,
        });
    }

    pub(super) fn tell_news(&self, host_id: HostId, news: News) {
        self.fanouts.do_send(HostNews { host_id, news });
    }
}

impl Handler<Persist> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: Persist, _: &mut Self::Context) {
        match message.turn {
            Some((id, Some(turn))) => drop(self.turns.insert(id, turn)),
            Some((id, None)) => drop(self.turns.remove(&id)),
            None => {}
        }
        self.commit(message.batch, message.outgoing, message.then);
    }
}

impl Handler<HostDiffers> for JobScheduler {
    type Result = ();
    fn handle(&mut self, HostDiffers(host_id): HostDiffers, _: &mut Self::Context) {
        self.tell_news(host_id, News::Changed);
    }
}

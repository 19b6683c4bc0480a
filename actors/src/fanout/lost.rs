//! Jobs of fan-outs that have no record any more: their hosts have an outcome all the same.

use super::finish::row_of;
use super::{Fanouts, Open};
use crate::refusal::Refusal;
use crate::store::Batch;
use actix::prelude::*;
use tripline_protocol::fanout::FanoutHostState;
use tripline_protocol::job::Outcome;
use tripline_protocol::{HostId, JobId};

impl Fanouts {
    /// The host of an open job that has no record ends as one whose job was interrupted.
    pub(super) fn lose_job(&mut self, job_id: JobId, ctx: &mut Context<Self>) -> Result<(), Refusal> {
        let mut found = self.open.iter();
        let found = found.find_map(|(id, open)| Some((*id, host_of(open, job_id)?)));
        let Some((id, (host, run))) = found else {
            return Ok(());
        };
        let row = row_of(&self.ground, id, host)?;
        let now = self.ground.now();
        let mut batch = Batch::new();
        if let (Some(open), Some(mut row)) = (self.open.get_mut(&id), row) {
            let turn = open.machine.record().turn();
            row.lose_job(Outcome::Interrupted, turn, now);
            open.put_row(host, row, &mut batch);
            open.machine.landed(host, run, Outcome::Interrupted, turn);
        }
        self.settle_with(id, batch, || {});
        self.wake(id, ctx);
        Ok(())
    }
}

/// The host on which a fan-out made a job that has not ended, and in which run.
fn host_of(open: &Open, job_id: JobId) -> Option<(HostId, u32)> {
    let record = open.machine.record();
    let mut in_flight = open
        .machine
        .members()
        .filter(|(_, member)| member.state == FanoutHostState::InFlight);
    let (host, member) = in_flight.find(|(host, member)| {
        JobId::derive_fanout(record.fanout_id, &record.name, *host, member.run) == job_id
    })?;
    Some((host, member.run))
}

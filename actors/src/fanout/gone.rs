//! Hosts that wait in vain: their record is no more, or another host stands for them. Nobody will ever attach as they do.
//!
//! Open fan-outs are told when that happens. What happened while one was not in memory, or was not in its rows when the process
//! died, is looked up when it goes on: after a start, and when it is tried again.

use super::record::{HostRow, brief};
use super::state::Member;
use super::{Fanouts, Open};
use crate::link;
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use actix::prelude::*;
use tripline_protocol::fanout::FanoutHostState;
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::{FanoutId, HostId, Timestamp};

/// Hosts looked at before others are heard.
const LOOKED_AT_MAX: usize = 500;

/// Look whether these hosts of a fan-out are still there, a part of them at a time.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct LookAtWaiting {
    fanout_id: FanoutId,
    hosts: Vec<HostId>,
}

/// How a host ends that waits in vain.
struct Gone {
    state: FanoutHostState,
    reason: Reason,
}

impl Gone {
    fn forgotten() -> Self {
        Self {
            state: FanoutHostState::Ended(Outcome::Cancelled),
            reason: Reason::new("host_forgotten", "its host was forgotten by an administrator"),
        }
    }

    fn linked() -> Self {
        Self {
            state: FanoutHostState::Skipped,
            reason: Reason::new(
                "host_linked",
                "it is a client that was linked to a host, which reports as it",
            ),
        }
    }

    /// As the store has it. `None`: it is there.
    fn look(store: &Store, host: HostId) -> Result<Option<Self>, Refusal> {
        if store.get(Table::Host, host.as_bytes())?.is_none() {
            return Ok(Some(Self::forgotten()));
        }
        Ok(link::host_of(store, host)?.map(|_| Self::linked()))
    }
}

fn waits(member: &Member) -> bool {
    member.state == FanoutHostState::Pending
}

fn has_waiting(open: &Open, host: HostId) -> bool {
    open.machine.member(host).is_some_and(waits)
}

impl Fanouts {
    /// A host that is forgotten waits no more.
    pub(super) fn forget(&mut self, host: HostId, ctx: &mut Context<Self>) {
        self.end_everywhere(host, Gone::forgotten, ctx);
    }

    /// A client that is linked to a host is never attached itself: it waits no more.
    pub(super) fn linked(&mut self, client: HostId, ctx: &mut Context<Self>) {
        self.end_everywhere(client, Gone::linked, ctx);
    }

    /// Ends a host so in every fan-out in which it waits.
    fn end_everywhere(&mut self, host: HostId, gone: fn() -> Gone, ctx: &mut Context<Self>) {
        let of = self.open.iter().filter(|(_, open)| has_waiting(open, host));
        for id in of.map(|(id, _)| *id).collect::<Vec<FanoutId>>() {
            self.end_gone(id, vec![(host, gone())], ctx);
        }
    }

    /// Ends hosts of a fan-out that wait in vain.
    fn end_gone(&mut self, id: FanoutId, hosts: Vec<(HostId, Gone)>, ctx: &mut Context<Self>) {
        let now = self.ground.now();
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        let mut batch = Batch::new();
        for (host, Gone { state, reason }) in hosts {
            let row = row_without_job(open, host, state, &reason, now);
            open.put_row(host, row, &mut batch);
            open.machine.pass_over(host, state);
        }
        self.settle_with(id, batch, || {});
        self.wake(id, ctx);
    }

    /// Begins to look which hosts of a fan-out wait in vain. Of what happens from now on it is told.
    pub(super) fn look_at_waiting(&self, fanout_id: FanoutId, ctx: &mut Context<Self>) {
        let Some(open) = self.open.get(&fanout_id) else {
            return;
        };
        let waiting = open.machine.members().filter(|(_, member)| waits(member));
        let hosts: Vec<HostId> = waiting.map(|(host, _)| host).collect();
        if !hosts.is_empty() {
            ctx.notify(LookAtWaiting { fanout_id, hosts });
        }
    }

    /// Which of these wait in vain.
    fn gone(&self, id: FanoutId, hosts: &[HostId]) -> Result<Vec<(HostId, Gone)>, Refusal> {
        let Some(open) = self.open.get(&id) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for host in hosts.iter().filter(|host| has_waiting(open, **host)) {
            let gone = Gone::look(&self.ground.store, *host)?;
            found.extend(gone.map(|gone| (*host, gone)));
        }
        Ok(found)
    }
}

/// The row of a host that ends without a job.
pub(super) fn row_without_job(
    open: &Open,
    host: HostId,
    state: FanoutHostState,
    reason: &Reason,
    now: Timestamp,
) -> HostRow {
    HostRow {
        state,
        job_id: None,
        run: open.machine.member(host).map_or(0, |member| member.run),
        turn: open.machine.record().turn(),
        made: None,
        reason: Some(brief(reason)),
        finished_at: Some(now),
        unreadable: false,
    }
}

impl Handler<LookAtWaiting> for Fanouts {
    type Result = ();
    fn handle(&mut self, message: LookAtWaiting, ctx: &mut Self::Context) {
        let LookAtWaiting { fanout_id, mut hosts } = message;
        let looked_at = hosts.split_off(hosts.len().saturating_sub(LOOKED_AT_MAX));
        match self.gone(fanout_id, &looked_at) {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => self.end_gone(fanout_id, gone, ctx),
            // The store cannot be read: the process is about to end with that reason.
            Err(error) => {
                tracing::error!(fanout = %fanout_id, %error, "whether hosts are still there cannot be read");
            }
        }
        if !hosts.is_empty() {
            ctx.notify(LookAtWaiting { fanout_id, hosts });
        }
    }
}

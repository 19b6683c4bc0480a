//! Finding the hosts: slice by slice, each once; and those that join a standing fan-out later.

use super::record::{CHUNK_HOSTS_MAX, FanoutRecord, HostRow, brief, chunk, chunk_key};
use super::{FANOUT_HOSTS_OPEN_MAX, Fanouts, FoundHost, HostSeen, HostsFound, Open, hosts_of_all};
use crate::directory::{FindHosts, LookAtHost};
use crate::ground::Ground;
use crate::store::{Batch, Table};
use actix::prelude::*;
use std::collections::BTreeMap;
use tripline_protocol::fanout::FanoutHostState;
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::limit::FANOUT_HOSTS_MAX;
use tripline_protocol::{FanoutId, HostId, Timestamp};

impl Fanouts {
    /// Asks for the next slice of hosts.
    pub(super) fn look_for_hosts(&self, id: FanoutId, ctx: &Context<Self>) {
        let Some(open) = self.open.get(&id) else { return };
        let record = open.machine.record();
        if record.resolved {
            return;
        }
        self.directory.do_send(FindHosts {
            fanout_id: id,
            org: record.org.clone(),
            selector: record.plan.target.to_selector(),
            after: record.cursor,
            to: ctx.address(),
        });
    }

    /// Asks how a host is now that may join a standing fan-out.
    pub(super) fn look_at(&self, host_id: HostId, ctx: &Context<Self>) {
        let wanted = |open: &Open| takes(open.machine.record()) && open.machine.member(host_id).is_none();
        if self.open.values().any(wanted) {
            let to = ctx.address();
            self.directory.do_send(LookAtHost { host_id, to });
        }
    }

    /// Adds hosts to a fan-out, in `batch`.
    fn add(&mut self, id: FanoutId, found: &[FoundHost], batch: &mut Batch) {
        let now = self.ground.now();
        let too_many = too_many(&self.open, id, found.len());
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        if let Some(text) = too_many {
            metrics::counter!("tripline_fanouts_refused_total", "limit" => "hosts").increment(1);
            return open.machine.fail(Reason::new("too_many_hosts", text), now);
        }
        let attachments = &self.ground.attachments;
        let hosts = found
            .iter()
            .map(|host| (host.host_id, attachments.get(host.host_id).is_some()));
        let new = open.machine.join(hosts.collect::<Vec<_>>());
        write_chunks(open, &new, batch);
        let passed_over = found.iter().filter(|host| host.is_protected);
        for host in passed_over.filter(|host| new.contains(&host.host_id)) {
            if !open.machine.record().include_protected {
                let skipped = FanoutHostState::Skipped;
                pass_over(open, host.host_id, skipped, protected(&self.ground), now, batch);
            }
        }
    }
}

impl Fanouts {
    /// A host that is forgotten waits no more.
    pub(super) fn forget(&mut self, host: HostId, ctx: &mut Context<Self>) {
        let now = self.ground.now();
        let waits = |open: &Open| {
            let member = open.machine.member(host);
            member.is_some_and(|member| member.state == FanoutHostState::Pending)
        };
        let of = self.open.iter().filter(|(_, open)| waits(open));
        for id in of.map(|(id, _)| *id).collect::<Vec<FanoutId>>() {
            let mut batch = Batch::new();
            if let Some(open) = self.open.get_mut(&id) {
                let reason = Reason::new("host_forgotten", "its host was forgotten by an administrator");
                pass_over(
                    open,
                    host,
                    FanoutHostState::Ended(Outcome::Cancelled),
                    reason,
                    now,
                    &mut batch,
                );
            }
            self.settle_with(id, batch, || {});
            self.wake(id, ctx);
        }
    }
}

/// Why a fan-out cannot have so many hosts more, if it cannot.
fn too_many(open: &BTreeMap<FanoutId, Open>, id: FanoutId, more: usize) -> Option<String> {
    let most = FANOUT_HOSTS_MAX as usize;
    let its_own = open.get(&id).map_or(0, |open| open.machine.len());
    if its_own + more > most {
        return Some(format!("its target selects more than {most} hosts"));
    }
    (hosts_of_all(open) + more > FANOUT_HOSTS_OPEN_MAX)
        .then(|| format!("all open fan-outs have more than {FANOUT_HOSTS_OPEN_MAX} hosts"))
}

/// A host that waits ends without a turn.
fn pass_over(
    open: &mut Open,
    host: HostId,
    state: FanoutHostState,
    reason: Reason,
    now: Timestamp,
    batch: &mut Batch,
) {
    let row = HostRow {
        state,
        job_id: None,
        run: open.machine.member(host).map_or(0, |member| member.run),
        turn: open.machine.record().turn(),
        made: None,
        reason: Some(brief(&reason)),
        finished_at: Some(now),
    };
    row.put(batch, open.machine.record().fanout_id, host);
    open.machine.pass_over(host, state);
}

/// Whether hosts may join it now.
fn takes(record: &FanoutRecord) -> bool {
    record.plan.standing && record.closed().is_none()
}

fn write_chunks(open: &mut Open, new: &[HostId], batch: &mut Batch) {
    let record = open.machine.record();
    let (id, turn, mut chunks) = (record.fanout_id, record.turn(), record.chunks);
    for hosts in new.chunks(CHUNK_HOSTS_MAX) {
        batch.put(Table::FanoutChunk, chunk_key(id, chunks), chunk(turn, hosts));
        chunks += 1;
    }
    open.machine.record_mut().chunks = chunks;
}

fn protected(ground: &Ground) -> Reason {
    let labels = ground.config.hosts_protected.iter().map(ToString::to_string);
    let labels = labels.collect::<Vec<_>>().join(", ");
    Reason::new(
        "protected_host",
        format!("its host has a label that protects it ({labels})"),
    )
}

impl Handler<HostsFound> for Fanouts {
    type Result = ();
    fn handle(&mut self, message: HostsFound, ctx: &mut Self::Context) {
        let id = message.fanout_id;
        // Its time may have been over, or it was cancelled, since it asked.
        let wants = |open: &Open| !open.machine.record().resolved;
        if !self.open.get(&id).is_some_and(wants) {
            return;
        }
        let mut batch = Batch::new();
        self.add(id, &message.hosts, &mut batch);
        if let Some(open) = self.open.get_mut(&id).filter(|open| wants(open)) {
            match message.looked_up_to {
                Some(host) => open.machine.record_mut().cursor = Some(host),
                None => open.machine.resolve(),
            }
        }
        self.settle_with(id, batch, || {});
        self.look_for_hosts(id, ctx);
        self.wake(id, ctx);
    }
}

impl Handler<HostSeen> for Fanouts {
    type Result = ();
    fn handle(&mut self, HostSeen { view, is_protected }: HostSeen, ctx: &mut Self::Context) {
        let now = self.ground.now();
        let joins = |open: &Open| {
            let record = open.machine.record();
            takes(record)
                && record.org == view.org
                && record.plan.target.to_selector().selects(&view, now)
                && open.machine.member(view.host_id).is_none()
        };
        let joined: Vec<FanoutId> = self
            .open
            .iter()
            .filter(|(_, open)| joins(open))
            .map(|(id, _)| *id)
            .collect();
        let found = FoundHost {
            host_id: view.host_id,
            is_protected,
        };
        for id in joined {
            let mut batch = Batch::new();
            self.add(id, &[found], &mut batch);
            self.settle_with(id, batch, || {});
            self.wake(id, ctx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;
    use crate::fanout::state::Machine;
    use std::ops::Range;
    use tripline_protocol::fanout::Pace;
    use uuid::Uuid;

    const MOST: u128 = FANOUT_HOSTS_MAX as u128;

    fn id(n: u128) -> FanoutId {
        FanoutId(Uuid::from_u128(n))
    }

    fn open(hosts: Range<u128>) -> Open {
        let mut machine = Machine::new(record(Pace::default(), false));
        machine.join(hosts.map(|n| (HostId(Uuid::from_u128(n)), false)));
        Open {
            machine,
            work: Err("it does nothing".into()),
            wakes_at: None,
        }
    }

    #[test]
    fn so_many_hosts_are_of_one_fan_out_and_so_many_of_all_that_are_open() {
        // As many as all may have but two, although they are the same hosts.
        let mut all: BTreeMap<_, _> = (0..4).map(|n| (id(n), open(0..MOST))).collect();
        all.insert(id(4), open(0..MOST - 2));
        all.insert(id(5), open(0..0));
        assert_eq!(hosts_of_all(&all) + 2, FANOUT_HOSTS_OPEN_MAX);
        assert_eq!(too_many(&all, id(5), 2), None);
        assert_eq!(
            too_many(&all, id(5), 3).unwrap(),
            "all open fan-outs have more than 500000 hosts"
        );
        assert_eq!(too_many(&all, id(4), 2), None);
        assert_eq!(
            too_many(&all, id(4), 3).unwrap(),
            "its target selects more than 100000 hosts"
        );
        all.remove(&id(0));
        assert_eq!(too_many(&all, id(5), 3), None, "one of them ended");
    }
}

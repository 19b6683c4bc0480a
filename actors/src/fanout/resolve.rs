//! Finding the hosts: slice by slice, each once; and those that join a standing fan-out later.

use super::gone::row_without_job;
use super::record::{CHUNK_HOSTS_MAX, FanoutRecord, chunk, chunk_key};
use super::state::Joining;
use super::{FANOUT_HOSTS_OPEN_MAX, Fanouts, FoundHost, HostSeen, HostsFound, Open, hosts_of_all};
use crate::directory::{FindHosts, LookAtHost};
use crate::ground::Ground;
use crate::store::{Batch, Table};
use actix::prelude::*;
use std::collections::BTreeMap;
use tripline_protocol::fanout::FanoutHostState;
use tripline_protocol::job::Reason;
use tripline_protocol::limit::FANOUT_HOSTS_MAX;
use tripline_protocol::{FanoutId, HostId};

impl Fanouts {
    /// Asks for the next slice of hosts.
    pub(super) fn look_for_hosts(&self, id: FanoutId, ctx: &Context<Self>) {
        let Some(open) = self.open.get(&id) else { return };
        let record = open.machine.record();
        if !record.is_resolving() {
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

    /// Adds hosts to a fan-out, in `batch`. Those that it has are passed over.
    fn add(&mut self, id: FanoutId, found: &[FoundHost], batch: &mut Batch) {
        let now = self.ground.now();
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        let spares = !open.machine.record().include_protected;
        let attachments = &self.ground.attachments;
        let joining = found.iter().map(|host| Joining {
            host_id: host.host_id,
            attached: attachments.get(host.host_id).is_some(),
            skipped: spares && host.is_protected,
        });
        let new = open.machine.join(joining);
        write_chunks(open, &new, batch);
        for host in new {
            if open
                .machine
                .member(host)
                .is_some_and(|member| member.state.is_over())
            {
                let row = row_without_job(
                    open,
                    host,
                    FanoutHostState::Skipped,
                    &protected(&self.ground),
                    now,
                );
                open.put_row(host, row, batch);
            }
        }
    }

    /// Adds the hosts of a slice; more than there may be end the fan-out.
    fn add_slice(&mut self, id: FanoutId, found: &[FoundHost], batch: &mut Batch) {
        let Some(text) = too_many(&self.open, id, found) else {
            return self.add(id, found, batch);
        };
        metrics::counter!("tripline_fanouts_refused_total", "limit" => "hosts").increment(1);
        let now = self.ground.now();
        if let Some(open) = self.open.get_mut(&id) {
            open.machine.fail(Reason::new("too_many_hosts", text), now);
        }
    }
}

/// Why a fan-out cannot have these hosts, too, if it cannot.
fn too_many(open: &BTreeMap<FanoutId, Open>, id: FanoutId, found: &[FoundHost]) -> Option<String> {
    let most = FANOUT_HOSTS_MAX as usize;
    let machine = &open.get(&id)?.machine;
    let more = found.iter().filter(|host| machine.member(host.host_id).is_none());
    let more = more.count();
    if machine.len() + more > most {
        return Some(format!("its target selects more than {most} hosts"));
    }
    (hosts_of_all(open) + more > FANOUT_HOSTS_OPEN_MAX)
        .then(|| format!("all open fan-outs have more than {FANOUT_HOSTS_OPEN_MAX} hosts"))
}

/// Whether a host that appeared later is too many: it is turned away then, and the fan-out goes on without it and shows that.
fn turned_away(all: &mut BTreeMap<FanoutId, Open>, id: FanoutId, found: FoundHost) -> bool {
    let refused = too_many(all, id, &[found]);
    let Some(open) = all.get_mut(&id) else {
        return true;
    };
    let was_full = open.machine.record().full.is_some();
    match refused {
        None if was_full => open.machine.record_mut().full = None,
        None => {}
        Some(text) => {
            metrics::counter!("tripline_fanouts_hosts_refused_total").increment(1);
            if !was_full {
                tracing::warn!(fanout = %id, host = %found.host_id, text, "a host is turned away");
                let text = format!("hosts that would join it are turned away: {text}");
                open.machine.record_mut().full = Some(Reason::new("too_many_hosts", text));
            }
            return true;
        }
    }
    false
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
        // Its time may have been over, or it was cancelled, since it asked; or tried again, and it asked once more.
        let wants = |open: &Open| {
            let record = open.machine.record();
            record.is_resolving() && record.cursor == message.after
        };
        if !self.open.get(&id).is_some_and(wants) {
            return;
        }
        let mut batch = Batch::new();
        self.add_slice(id, &message.hosts, &mut batch);
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
            if !turned_away(&mut self.open, id, found) {
                self.add(id, &[found], &mut batch);
            }
            self.settle_with(id, batch, || {});
            self.wake(id, ctx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{joins, record};
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
        machine.join(hosts.map(|n| joins(n, false)));
        Open::new(machine, Err("it does nothing".into()))
    }

    fn found(hosts: Range<u128>) -> Vec<FoundHost> {
        let found = |n| FoundHost {
            host_id: HostId(Uuid::from_u128(n)),
            is_protected: false,
        };
        hosts.map(found).collect()
    }

    #[test]
    fn so_many_hosts_are_of_one_fan_out_and_so_many_of_all_that_are_open() {
        // As many as all may have but two, although they are the same hosts.
        let mut all: BTreeMap<_, _> = (0..4).map(|n| (id(n), open(0..MOST))).collect();
        all.insert(id(4), open(0..MOST - 2));
        all.insert(id(5), open(0..0));
        assert_eq!(hosts_of_all(&all) + 2, FANOUT_HOSTS_OPEN_MAX);
        assert_eq!(too_many(&all, id(5), &found(0..2)), None);
        assert_eq!(
            too_many(&all, id(5), &found(0..3)).unwrap(),
            "all open fan-outs have more than 500000 hosts"
        );
        assert_eq!(too_many(&all, id(4), &found(MOST - 2..MOST)), None);
        assert_eq!(
            too_many(&all, id(4), &found(MOST - 2..MOST + 1)).unwrap(),
            "its target selects more than 100000 hosts"
        );
        assert_eq!(
            too_many(&all, id(4), &found(0..3)),
            None,
            "they are among its hosts already"
        );
        all.remove(&id(0));
        assert_eq!(too_many(&all, id(5), &found(0..3)), None, "one of them ended");
    }

    #[test]
    fn a_host_that_is_too_many_for_a_standing_fan_out_is_turned_away_alone() {
        let mut all: BTreeMap<_, _> = (0..5).map(|n| (id(n), open(0..MOST))).collect();
        all.insert(id(5), open(0..0));
        let late = found(7..8)[0];
        let joining = turned_away(&mut all, id(5), late);
        assert!(joining, "it is turned away");
        let of = |all: &BTreeMap<FanoutId, Open>| all[&id(5)].machine.record().clone();
        let record = of(&all);
        assert_eq!(
            (record.closed(), record.failure.is_none()),
            (None, true),
            "it goes on"
        );
        let full = record.full.unwrap();
        assert_eq!(full.code, "too_many_hosts");
        all.remove(&id(0));
        assert!(!turned_away(&mut all, id(5), late), "there is room now");
        assert_eq!(of(&all).full, None);
    }
}

//! The pure machine beside a world that keeps everything: what the scheduler has committed, what is on its way there,
//! what it told and was not heard yet. The process may die at any place.

use super::super::record::{FanoutRecord, HostRow, Phase, Turn, place};
use super::super::state::{Joining, Known, Machine};
use super::{EXPIRES, at, host, in_flight, record};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tripline_protocol::HostId;
use tripline_protocol::fanout::{AutoPause, FanoutHostState, FanoutOutcome, Pace};
use tripline_protocol::job::{Outcome, Reason};

const HOSTS: u128 = 8;
/// How long an open job keeps its place after a restart, in seconds.
const GRACE: i64 = 30;

/// What is on its way to the scheduler.
#[derive(Debug)]
enum Sent {
    /// With the hosts that joined, and whether all were found.
    Record(Box<FanoutRecord>, Vec<HostId>, bool),
    Job(HostId, HostRow),
}

/// The end of a job, as the scheduler wrote it.
#[derive(Debug, Clone, Copy)]
struct End {
    host: HostId,
    run: u32,
    outcome: Outcome,
    turn: u32,
    since: u32,
}

struct World {
    now: i64,
    machine: Machine,
    // What is durable.
    record: FanoutRecord,
    hosts: Vec<(u32, HostId)>,
    rows: BTreeMap<HostId, HostRow>,
    /// Open jobs, with their run.
    open: BTreeMap<HostId, u32>,
    /// Every job there ever was, and in which turn it was made.
    jobs: BTreeMap<(HostId, u32), u32>,
    ends: Vec<End>,
    // What is not.
    sent: VecDeque<Sent>,
    /// How many of `ends` were heard.
    heard: usize,
    attached: BTreeSet<HostId>,
    /// In which turn a person let it go on although canaries failed.
    forgiven: Option<u32>,
    /// Whether all hosts were looked at, and whether that is durable.
    found_all: bool,
    found_all_durably: bool,
    /// Hosts whose jobs were open at the last restart and that were not heard of since, and until when that counts.
    kept: BTreeSet<HostId>,
    kept_until: i64,
    /// Hosts whose rows cannot be read.
    spoiled: BTreeSet<HostId>,
}

impl World {
    fn new(pace: Pace, max_in_flight: Option<u32>, standing: bool) -> Self {
        let mut record = record(pace, standing);
        record.plan.max_in_flight = max_in_flight;
        Self {
            now: 0,
            machine: Machine::new(record.clone()),
            record,
            hosts: Vec::new(),
            rows: BTreeMap::new(),
            open: BTreeMap::new(),
            jobs: BTreeMap::new(),
            ends: Vec::new(),
            sent: VecDeque::new(),
            heard: 0,
            attached: BTreeSet::new(),
            forgiven: None,
            found_all: false,
            found_all_durably: false,
            kept: BTreeSet::new(),
            kept_until: 0,
            spoiled: BTreeSet::new(),
        }
    }

    fn pace(&self) -> &Pace {
        &self.record.plan.pace
    }

    /// Writes what changed, as the shell does.
    fn settle(&mut self, new: Vec<HostId>) {
        if self.machine.take_changed() || !new.is_empty() {
            let record = Box::new(self.machine.record().clone());
            self.sent.push_back(Sent::Record(record, new, self.found_all));
        }
    }

    fn join(&mut self, hosts: &[u128]) {
        let record = self.machine.record();
        if record.closed().is_some() || (record.resolved && !record.plan.standing) {
            return;
        }
        let found = hosts.iter().map(|n| Joining {
            host_id: host(*n),
            attached: self.attached.contains(&host(*n)),
            skipped: false,
        });
        let new = self.machine.join(found.collect::<Vec<_>>());
        self.settle(new);
    }

    /// Hosts of open jobs, durable or on their way.
    fn open_jobs(&self) -> impl Iterator<Item = HostId> {
        let sent = self.sent.iter().filter_map(|sent| match sent {
            Sent::Job(host, _) => Some(*host),
            Sent::Record(..) => None,
        });
        self.open.keys().copied().chain(sent)
    }

    /// Open jobs on hosts that are attached, or that may come back after a restart.
    fn in_flight(&self) -> usize {
        let kept = |host: &HostId| self.now < self.kept_until && self.kept.contains(host);
        self.open_jobs()
            .filter(|host| self.attached.contains(host) || kept(host))
            .count()
    }

    /// Jobs made since an entry of the history, durable or on their way.
    fn made_since(&self, since: u32) -> usize {
        let sent = self.sent.iter().filter(|sent| match sent {
            Sent::Job(_, row) => row.made.is_some_and(|made| made.since >= since),
            Sent::Record(..) => false,
        });
        let jobs = self.jobs.iter();
        let known = jobs.filter(|((host, _), made)| **made >= since && !self.spoiled.contains(host));
        known.count() + sent.count()
    }

    fn ends_heard(&self) -> &[End] {
        &self.ends[..self.heard]
    }

    /// What has to hold where a host has its turn, by the words of the documentation.
    fn check_turn(&self, before: &Phase) {
        let (record, pace) = (self.machine.record(), self.pace());
        assert!(record.paused.is_none() && record.closed().is_none() && self.found_all);
        assert!(self.in_flight() < pace.in_flight as usize, "too many at once");
        if let Some(most) = record.plan.max_in_flight {
            let open = self.open_jobs().count();
            assert!(
                open < most as usize,
                "the guard of the pipeline allows {most} open jobs"
            );
        }
        let since = match record
            .history
            .iter()
            .rposition(|turn| matches!(turn, Turn::Retried { .. }))
        {
            Some(index) => u32::try_from(index + 1).unwrap(),
            None => 0,
        };
        if let Some(canary) = pace.canary {
            if let Phase::Canary { since } = before {
                assert!(self.made_since(*since) < canary as usize, "one canary too many");
            } else if self.forgiven.is_none_or(|turn| turn < since) {
                let well = self
                    .ends_heard()
                    .iter()
                    .filter(|end| end.since >= since && end.outcome == Outcome::Succeeded);
                assert!(
                    well.count() >= canary as usize,
                    "the canaries have not all succeeded"
                );
            }
        }
        if let Phase::Ramp { width } = before {
            assert!(self.in_flight() < *width as usize, "wider than the ramp");
        }
        if let Some(AutoPause { failed, of }) = pace.auto_pause {
            let counted = self.ends_heard().iter().filter(|end| {
                end.turn >= record.counted_since()
                    && !self.spoiled.contains(&end.host)
                    && !matches!(end.outcome, Outcome::Expired | Outcome::Cancelled)
            });
            let last: Vec<_> = counted.rev().take(of as usize).collect();
            let wrong = last
                .iter()
                .filter(|end| end.outcome != Outcome::Succeeded)
                .count();
            assert!(wrong < failed as usize, "too many failed");
        }
    }

    /// As many hosts as may have their turn.
    fn go(&mut self, most: usize) {
        for _ in 0..most {
            let before = self.machine.record().phase;
            let Some(host) = self.machine.next(at(self.now)) else {
                break;
            };
            self.check_turn(&before);
            assert!(
                !self.spoiled.contains(&host),
                "nobody knows whether it ran before"
            );
            let turn = self.machine.record().turn();
            let run = self.machine.member(host).unwrap().run;
            let row = in_flight(run, turn, at(self.now));
            self.sent.push_back(Sent::Job(host, row));
        }
        self.settle(Vec::new());
    }

    /// The scheduler commits the next of what it was told.
    fn commit(&mut self) {
        match self.sent.pop_front() {
            None => {}
            Some(Sent::Record(record, new, found_all)) => {
                self.found_all_durably = found_all;
                self.hosts
                    .extend(new.into_iter().map(|host| (record.turn(), host)));
                self.record = *record;
            }
            Some(Sent::Job(host, row)) => {
                let first = self.jobs.insert((host, row.run), row.made.unwrap().since);
                assert_eq!(first, None, "a second job of one host and run");
                assert_eq!(self.open.insert(host, row.run), None, "two open jobs of one host");
                self.rows.insert(host, row);
            }
        }
    }

    /// An open job ends, and its row says so.
    fn end(&mut self, index: usize, outcome: Outcome) {
        let open: Vec<_> = self.open.iter().map(|(host, run)| (*host, *run)).collect();
        let Some((host, run)) = open.get(index % open.len().max(1)).copied() else {
            return;
        };
        self.open.remove(&host);
        // Ends are told apart by their time.
        self.now += 1;
        let row = self.rows.get_mut(&host).unwrap();
        row.state = FanoutHostState::Ended(outcome);
        row.turn = self.record.turn();
        row.finished_at = Some(at(self.now));
        let since = row.made.unwrap().since;
        let turn = row.turn;
        self.ends.push(End {
            host,
            run,
            outcome,
            turn,
            since,
        });
    }

    fn hear(&mut self) {
        let Some(end) = self.ends.get(self.heard).copied() else {
            return;
        };
        self.heard += 1;
        self.machine.landed(end.host, end.run, end.outcome, end.turn);
        self.settle(Vec::new());
    }

    fn all_arrives(&mut self) {
        while !self.sent.is_empty() || self.heard < self.ends.len() {
            self.commit();
            self.hear();
        }
    }

    fn restored(&self) -> Machine {
        let known = self.hosts.iter().map(|(turn, host)| Known {
            host_id: *host,
            turn: *turn,
            row: self.rows.get(host).cloned(),
            attached: self.attached.contains(host),
        });
        Machine::restore(self.record.clone(), known, at(self.now + GRACE))
    }

    fn crash(&mut self) {
        self.sent.clear();
        self.heard = self.ends.len();
        self.attached.clear();
        (self.kept, self.kept_until) = (self.open.keys().copied().collect(), self.now + GRACE);
        self.found_all = self.found_all_durably;
        // A resumption that was not written did not happen.
        let written = self.record.turn();
        self.forgiven = self.forgiven.filter(|turn| *turn < written);
        self.machine = self.restored();
        self.settle(Vec::new());
    }

    /// It dies, and the row of a host that had ended cannot be read any more.
    fn spoil(&mut self, index: usize) {
        let over = self.rows.iter().filter(|(_, row)| row.state.is_over());
        let over: Vec<HostId> = over.map(|(host, _)| *host).collect();
        if let Some(host) = over.get(index % over.len().max(1)) {
            self.rows.insert(*host, HostRow::unreadable(at(self.now)));
            self.spoiled.insert(*host);
        }
        self.crash();
    }

    /// Once everything arrived, memory and disk say the same.
    fn check_same(&mut self) {
        self.all_arrives();
        let again = self.restored();
        assert_eq!(again.counts(), self.machine.counts());
        assert_eq!(self.machine.record().resolved, self.found_all);
        for (id, member) in again.in_order() {
            let same = self.machine.member(id).unwrap();
            assert_eq!(
                (member.state, member.run, member.order),
                (same.state, same.run, same.order)
            );
        }
        assert_eq!(again.record().paused, self.machine.record().paused);
        assert_eq!(again.record().phase, self.machine.record().phase);
    }

    fn leave(&mut self, host: HostId) {
        self.attached.remove(&host);
        self.kept.remove(&host);
        self.machine.detached(host);
    }

    fn resume(&mut self) {
        let canary = |reason: &Reason| reason.code == "canary_failed";
        let forgives = self.machine.record().paused.as_ref().is_some_and(canary);
        let turn = self.machine.record().turn();
        if self.machine.resume() && forgives {
            self.forgiven = Some(turn);
        }
        self.settle(Vec::new());
    }

    fn act(&mut self, op: &Op) {
        match op {
            Op::Join(hosts) => self.join(hosts),
            Op::Resolve if self.machine.record().is_resolving() => {
                self.found_all = true;
                self.machine.resolve();
                self.settle(Vec::new());
            }
            Op::Resolve => {}
            Op::Attach(n) => {
                self.attached.insert(host(*n));
                self.kept.remove(&host(*n));
                self.machine.attached(host(*n));
            }
            Op::Detach(n) => self.leave(host(*n)),
            Op::Leave(index) => {
                let open: Vec<HostId> = self.open_jobs().collect();
                if let Some(host) = open.get(index % open.len().max(1)) {
                    self.leave(*host);
                }
            }
            Op::Go(most) => self.go(*most),
            Op::Commit => self.commit(),
            Op::End(index, outcome) => self.end(*index, *outcome),
            Op::Hear => self.hear(),
            Op::Pause if self.machine.record().closed().is_none() => {
                self.machine.pause(Reason::new("paused", "paused"));
                self.settle(Vec::new());
            }
            Op::Pause => {}
            Op::Resume => self.resume(),
            Op::Close(outcome) => {
                if self.machine.record().closed().is_none() {
                    self.machine
                        .close(*outcome, Reason::new("over", "over"), at(self.now));
                    self.settle(Vec::new());
                }
            }
            Op::Retry => {
                let outcomes = [Outcome::Failed, Outcome::Expired];
                if !self.machine.record().is_resolving() && self.machine.has_to_retry(&outcomes) {
                    self.machine.retry(&outcomes, at(self.now).after(EXPIRES));
                    self.settle(Vec::new());
                }
            }
            Op::Crash => self.crash(),
            Op::Spoil(index) => self.spoil(*index),
            Op::Wait => self.now += GRACE,
            Op::Arrive => self.check_same(),
        }
    }

    /// Everybody comes, nothing fails any more, and its time is over in the end.
    fn finish(&mut self) {
        self.all_arrives();
        self.act(&Op::Resolve);
        (1..=HOSTS).for_each(|n| self.act(&Op::Attach(n)));
        for _ in 0..200 {
            self.resume();
            self.go(100);
            self.all_arrives();
            self.end(0, Outcome::Succeeded);
            self.all_arrives();
        }
        assert!(self.open.is_empty());
        self.act(&Op::Close(Outcome::Expired));
        self.check_same();
        let record = &self.record;
        for (turn, host) in &self.hosts {
            let is = place(&record.history, *turn, self.rows.get(host));
            assert!(is.state.is_over(), "{host} has no outcome");
        }
        let ids: BTreeSet<_> = self.hosts.iter().map(|(_, host)| host).collect();
        assert_eq!(ids.len(), self.hosts.len(), "a host is there twice");
        let (outcome, _) = self.machine.conclusion().expect("it ends");
        let counts = self.machine.counts();
        let none = ids.is_empty() && self.found_all && !self.record.plan.standing;
        let expected = match self.record.closed() {
            Some(Outcome::Cancelled) => FanoutOutcome::Cancelled,
            _ if none || counts.failed + counts.interrupted > 0 => FanoutOutcome::Failed,
            _ if !self.found_all => FanoutOutcome::Expired,
            _ if counts.expired > 0 && !self.record.plan.standing => FanoutOutcome::Expired,
            _ => FanoutOutcome::Succeeded,
        };
        assert_eq!(outcome, expected);
    }
}

#[derive(Debug, Clone)]
enum Op {
    Join(Vec<u128>),
    Resolve,
    Attach(u128),
    Detach(u128),
    /// A host whose job is open goes away.
    Leave(usize),
    Go(usize),
    /// The scheduler commits what it was told next.
    Commit,
    /// A job ends, whether or not anybody hears of it.
    End(usize, Outcome),
    Hear,
    Pause,
    Resume,
    Close(Outcome),
    Retry,
    Crash,
    /// The same, and a row of a host that ended is damaged.
    Spoil(usize),
    /// As long as open jobs keep their places after a restart.
    Wait,
    /// All that is under way arrives.
    Arrive,
}

fn op() -> impl Strategy<Value = Op> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Succeeded),
        2 => Just(Outcome::Failed),
        1 => Just(Outcome::Interrupted),
        1 => Just(Outcome::Expired),
    ];
    prop_oneof![
        2 => prop::collection::vec(1..=HOSTS, 1..4).prop_map(Op::Join),
        2 => Just(Op::Resolve),
        4 => (1..=HOSTS).prop_map(Op::Attach),
        2 => (1..=HOSTS).prop_map(Op::Detach),
        3 => (0..8_usize).prop_map(Op::Leave),
        5 => (1..4_usize).prop_map(Op::Go),
        6 => Just(Op::Commit),
        5 => (0..8_usize, outcome).prop_map(|(index, outcome)| Op::End(index, outcome)),
        5 => Just(Op::Hear),
        1 => Just(Op::Pause),
        3 => Just(Op::Resume),
        1 => prop_oneof![Just(Outcome::Expired), Just(Outcome::Cancelled)].prop_map(Op::Close),
        1 => Just(Op::Retry),
        1 => Just(Op::Crash),
        1 => (0..8_usize).prop_map(Op::Spoil),
        1 => Just(Op::Wait),
        1 => Just(Op::Arrive),
    ]
}

fn pace() -> impl Strategy<Value = Pace> {
    let auto_pause = prop::option::of((1..3_u32).prop_map(|failed| AutoPause {
        failed,
        of: failed + 1,
    }));
    (1..5_u32, prop::option::of(1..3_u32), auto_pause).prop_map(|(in_flight, canary, auto_pause)| Pace {
        in_flight,
        canary,
        auto_pause,
        ..Pace::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_host_has_one_outcome_and_the_pace_is_kept_wherever_the_process_dies(
        pace in pace(),
        max_in_flight in prop::option::of(1..4_u32),
        standing in any::<bool>(),
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let mut world = World::new(pace, max_in_flight, standing);
        ops.iter().for_each(|op| world.act(op));
        world.finish();
    }
}

//! The pure machine beside a world that keeps everything: what the scheduler has committed, what is on its way there,
//! what it told and was not heard yet. The process may die at any place.

use super::plan::FanoutPlan;
use super::record::{FanoutRecord, HostRow, HostTurn, Phase, standing};
use super::state::{Known, Machine};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tripline_protocol::fanout::{AutoPause, FanoutHostState, FanoutOutcome, Pace, Target};
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::{FanoutId, HostId, Org, Span, Timestamp};
use uuid::Uuid;

const START: i64 = 1_800_000_000_000_000;
const HOSTS: u128 = 8;
/// Longer than any sequence takes.
const EXPIRES: Span = Span::from_secs(3600);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(START + seconds * 1_000_000)
}

fn host(n: u128) -> HostId {
    HostId(Uuid::from_u128(n))
}

pub(super) fn record(pace: Pace, standing: bool) -> FanoutRecord {
    let phase = match pace.canary {
        Some(_) => Phase::Canary { since: 0 },
        None => Phase::Wide,
    };
    FanoutRecord {
        fanout_id: FanoutId(Uuid::nil()),
        org: Org::default_org(),
        name: "sweep".parse().unwrap(),
        plan: FanoutPlan {
            target: Target::All,
            pace,
            standing,
            expires: EXPIRES,
            max_hosts: None,
            max_in_flight: None,
        },
        include_protected: false,
        pipeline: None,
        event: None,
        by: None,
        traceparent: None,
        depth: 0,
        created_at: at(0),
        expires_at: at(0).after(EXPIRES),
        timeout: None,
        resolved: false,
        cursor: None,
        chunks: 0,
        phase,
        history: Vec::new(),
        paused: None,
        any_number: false,
        failure: None,
        ends: 0,
        ended: None,
    }
}

/// What is on its way to the scheduler.
#[derive(Debug)]
enum Sent {
    Record(Box<FanoutRecord>, Vec<HostId>),
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
}

impl World {
    fn new(pace: Pace, standing: bool) -> Self {
        let record = record(pace, standing);
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
        }
    }

    fn pace(&self) -> &Pace {
        &self.record.plan.pace
    }

    /// Writes what changed, as the shell does.
    fn settle(&mut self, new: Vec<HostId>) {
        if self.machine.take_changed() || !new.is_empty() {
            let record = Box::new(self.machine.record().clone());
            self.sent.push_back(Sent::Record(record, new));
        }
    }

    fn join(&mut self, hosts: &[u128]) {
        let record = self.machine.record();
        if record.closed().is_some() || (record.resolved && !record.plan.standing) {
            return;
        }
        let found = hosts
            .iter()
            .map(|n| (host(*n), self.attached.contains(&host(*n))));
        let new = self.machine.join(found.collect::<Vec<_>>());
        self.settle(new);
    }

    /// Jobs on attached hosts that have not ended, or of which the machine does not know it.
    fn in_flight(&self) -> usize {
        let sent = self.sent.iter().filter_map(|sent| match sent {
            Sent::Job(host, _) => Some(*host),
            Sent::Record(..) => None,
        });
        let open = self.open.keys().copied().chain(sent);
        open.filter(|host| self.attached.contains(host)).count()
    }

    /// Jobs made since an entry of the history, durable or on their way.
    fn made_since(&self, since: u32) -> usize {
        let sent = self.sent.iter().filter(|sent| match sent {
            Sent::Job(_, row) => row.made.is_some_and(|made| made.since >= since),
            Sent::Record(..) => false,
        });
        self.jobs.values().filter(|made| **made >= since).count() + sent.count()
    }

    fn ends_heard(&self) -> &[End] {
        &self.ends[..self.heard]
    }

    /// What has to hold where a host has its turn, by the words of the documentation.
    fn check_turn(&self, before: &Phase) {
        let (record, pace) = (self.machine.record(), self.pace());
        assert!(record.paused.is_none() && record.closed().is_none() && record.resolved);
        assert!(self.in_flight() < pace.in_flight as usize, "too many at once");
        let since = match record
            .history
            .iter()
            .rposition(|turn| matches!(turn, super::record::Turn::Retried { .. }))
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
            let turn = self.machine.record().turn();
            let row = HostRow {
                state: FanoutHostState::InFlight,
                job_id: None,
                run: self.machine.member(host).unwrap().run,
                turn,
                made: Some(HostTurn {
                    since: turn,
                    at: at(self.now),
                }),
                reason: None,
                finished_at: None,
            };
            self.sent.push_back(Sent::Job(host, row));
        }
        self.settle(Vec::new());
    }

    /// The scheduler commits the next of what it was told.
    fn commit(&mut self) {
        match self.sent.pop_front() {
            None => {}
            Some(Sent::Record(record, new)) => {
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
        Machine::restore(self.record.clone(), known)
    }

    fn crash(&mut self) {
        self.sent.clear();
        self.heard = self.ends.len();
        self.attached.clear();
        // A resumption that was not written did not happen.
        let written = self.record.turn();
        self.forgiven = self.forgiven.filter(|turn| *turn < written);
        self.machine = self.restored();
        self.settle(Vec::new());
    }

    /// Once everything arrived, memory and disk say the same.
    fn check_same(&mut self) {
        self.all_arrives();
        let again = self.restored();
        assert_eq!(again.counts(), self.machine.counts());
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
            Op::Resolve if self.machine.record().closed().is_none() => {
                self.machine.resolve();
                self.settle(Vec::new());
            }
            Op::Resolve => {}
            Op::Attach(n) => {
                self.attached.insert(host(*n));
                self.machine.attached(host(*n));
            }
            Op::Detach(n) => {
                self.attached.remove(&host(*n));
                self.machine.detached(host(*n));
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
                if self.machine.record().resolved && self.machine.count_to_retry(&outcomes) > 0 {
                    self.machine.retry(&outcomes, at(self.now).after(EXPIRES));
                    self.settle(Vec::new());
                }
            }
            Op::Crash => self.crash(),
            Op::Arrive => self.check_same(),
        }
    }

    /// Everybody comes, nothing fails any more, and its time is over in the end.
    fn finish(&mut self) {
        self.all_arrives();
        if !self.machine.record().resolved {
            self.machine.resolve();
        }
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
            let (turn, state, run) = match self.rows.get(host) {
                Some(row) => (row.turn, row.state, row.run),
                None => (*turn, FanoutHostState::Pending, 0),
            };
            assert!(
                standing(&record.history, turn, state, run).state.is_over(),
                "{host} has no outcome"
            );
        }
        let ids: BTreeSet<_> = self.hosts.iter().map(|(_, host)| host).collect();
        assert_eq!(ids.len(), self.hosts.len(), "a host is there twice");
        let (outcome, _) = self.machine.conclusion().expect("it ends");
        let counts = self.machine.counts();
        let none = ids.is_empty() && !self.record.plan.standing;
        let expected = match self.record.closed() {
            Some(Outcome::Cancelled) => FanoutOutcome::Cancelled,
            _ if none || counts.failed + counts.interrupted > 0 => FanoutOutcome::Failed,
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
        5 => (1..4_usize).prop_map(Op::Go),
        6 => Just(Op::Commit),
        5 => (0..8_usize, outcome).prop_map(|(index, outcome)| Op::End(index, outcome)),
        5 => Just(Op::Hear),
        1 => Just(Op::Pause),
        3 => Just(Op::Resume),
        1 => prop_oneof![Just(Outcome::Expired), Just(Outcome::Cancelled)].prop_map(Op::Close),
        1 => Just(Op::Retry),
        1 => Just(Op::Crash),
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
        standing in any::<bool>(),
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let mut world = World::new(pace, standing);
        ops.iter().for_each(|op| world.act(op));
        world.finish();
    }
}

#[test]
fn the_width_grows_by_the_ramp_with_each_wave_that_ended_well() {
    let pace = Pace {
        in_flight: 5,
        canary: Some(1),
        ramp: 2,
        ..Pace::default()
    };
    let mut machine = Machine::new(record(pace, false));
    machine.join((1..=8).map(|n| (host(n), true)));
    machine.resolve();
    let mut widths = Vec::new();
    loop {
        let made: Vec<HostId> = std::iter::from_fn(|| machine.next(at(0))).collect();
        if made.is_empty() {
            break;
        }
        widths.push(made.len());
        made.iter()
            .for_each(|host| machine.landed(*host, 0, Outcome::Succeeded, 0));
    }
    assert_eq!(widths, [1, 1, 2, 4]);
    assert_eq!(machine.conclusion().unwrap().0, FanoutOutcome::Succeeded);
}

#[test]
fn a_canary_that_failed_during_a_persons_pause_is_decided_about_when_it_goes_on() {
    let pace = Pace {
        canary: Some(2),
        ..Pace::default()
    };
    let mut machine = Machine::new(record(pace, false));
    machine.join((1..=5).map(|n| (host(n), true)));
    machine.resolve();
    let canaries: Vec<HostId> = std::iter::from_fn(|| machine.next(at(0))).collect();
    machine.pause(Reason::new("paused", "ana wants to look first"));
    machine.landed(canaries[0], 0, Outcome::Failed, 0);
    machine.landed(canaries[1], 0, Outcome::Succeeded, 0);
    assert!(machine.resume());
    let code = |machine: &Machine| machine.record().paused.clone().map(|reason| reason.code);
    assert_eq!(code(&machine).as_deref(), Some("canary_failed"));
    assert_eq!(machine.next(at(1)), None);
    assert!(machine.resume() && machine.next(at(2)).is_some());
}

#[test]
fn a_retry_lets_nobody_go_on_who_waits_for_a_person_because_of_their_number() {
    let mut record = record(Pace::default(), true);
    record.plan.max_hosts = Some(2);
    let mut machine = Machine::new(record);
    machine.join((1..=2).map(|n| (host(n), true)));
    machine.resolve();
    let first = machine.next(at(0)).unwrap();
    machine.landed(first, 0, Outcome::Failed, 0);
    machine.join([(host(3), true)]);
    let paused = |machine: &Machine| machine.record().paused.clone().map(|reason| reason.code);
    assert_eq!(paused(&machine).as_deref(), Some("max_hosts"));
    machine.retry(&[Outcome::Failed], at(3600));
    assert_eq!(paused(&machine).as_deref(), Some("max_hosts"));
    assert_eq!(machine.next(at(1)), None);
}

#[test]
fn jobs_are_as_far_apart_as_the_pace_says_also_after_a_restart() {
    let pace = Pace {
        per_minute: Some(2),
        ..Pace::default()
    };
    let mut machine = Machine::new(record(pace, false));
    machine.join((1..=3).map(|n| (host(n), true)));
    machine.resolve();
    let first = machine.next(at(0)).unwrap();
    assert_eq!((machine.next(at(29)), machine.due()), (None, Some(at(30))));
    assert!(machine.next(at(30)).is_some());
    let row = HostRow {
        state: FanoutHostState::InFlight,
        job_id: None,
        run: 0,
        turn: 0,
        made: Some(HostTurn { since: 0, at: at(30) }),
        reason: None,
        finished_at: None,
    };
    let known = (1..=3).map(|n| Known {
        host_id: host(n),
        turn: 0,
        row: (host(n) == first).then(|| row.clone()),
        attached: true,
    });
    let mut again = Machine::restore(machine.record().clone(), known);
    assert_eq!(again.next(at(59)), None);
    assert!(again.next(at(60)).is_some());
}

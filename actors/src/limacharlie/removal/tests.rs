//! The removal of an org against a world that goes on: jobs that end when they like, a broker that is away, others who publish in
//! the name of the org, and a server that is killed between any two steps.

use super::super::record::{Cut, Removal};
use super::plan::{Found, Next, Plan};
use super::{REST_MAX, rest};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tripline_protocol::{Span, Timestamp};

#[derive(Debug, Clone)]
enum Op {
    /// The removal does its next step.
    Step,
    /// The server is killed and starts again.
    Crash,
    /// Somebody publishes an event of the org, or submits a job for it.
    Event,
    Wish,
    /// The broker takes what waits, refuses one of them for good, comes or goes.
    Publish,
    Refuse,
    Broker(bool),
    /// A host confirms the end of a job.
    JobEnds,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => Just(Op::Step),
        2 => Just(Op::Crash),
        2 => Just(Op::Event),
        1 => Just(Op::Wish),
        4 => Just(Op::Publish),
        1 => Just(Op::Refuse),
        1 => any::<bool>().prop_map(Op::Broker),
        3 => Just(Op::JobEnds),
    ]
}

/// Where the present pass is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    Jobs,
    Messages { rows: usize },
    Purge,
    NotePurged,
}

#[derive(Debug, Clone, Copy)]
struct Job {
    queued_at: Timestamp,
    by_event: bool,
    has_ended: bool,
}

/// A message in the outbox.
#[derive(Debug, Clone, Copy)]
struct Message {
    /// The job that it is of: when it was queued, and whether by an event.
    of: (Timestamp, bool),
    sent: bool,
    quarantined: bool,
    /// A client's connection has it, and the broker has not said what became of it.
    flying: bool,
}

struct World {
    now: i64,
    /// What is durable.
    removal: Removal,
    jobs: Vec<Job>,
    outbox: BTreeMap<u64, Message>,
    /// What is with the broker though its row has gone.
    parting: Vec<Message>,
    seq: u64,
    stream: Vec<Message>,
    is_away: bool,
    /// What is in memory.
    plan: Plan,
    at: At,
}

fn at(time: i64) -> Timestamp {
    Timestamp::from_micros(time)
}

impl World {
    fn new(jobs: usize, messages: usize) -> Self {
        let mut world = Self {
            now: 10,
            removal: Removal::begin(at(10)),
            jobs: Vec::new(),
            outbox: BTreeMap::new(),
            parting: Vec::new(),
            seq: 0,
            stream: Vec::new(),
            is_away: false,
            plan: Plan::begin(),
            at: At::Jobs,
        };
        for number in 0..jobs {
            world.jobs.push(Job {
                queued_at: at(5),
                by_event: number.is_multiple_of(2),
                has_ended: number.is_multiple_of(3),
            });
        }
        for number in 0..messages {
            world.stage((at(5), true));
            if let Some(message) = world.outbox.get_mut(&world.seq) {
                message.sent = number.is_multiple_of(3);
                message.quarantined = number % 3 == 1;
                if message.sent {
                    world.stream.push(*message);
                }
            }
        }
        world
    }

    fn stage(&mut self, of: (Timestamp, bool)) {
        self.seq += 1;
        let message = Message {
            of,
            sent: false,
            quarantined: false,
            flying: false,
        };
        self.outbox.insert(self.seq, message);
    }

    fn cut(&self) -> Cut {
        self.removal.cut()
    }

    fn act(&mut self, op: &Op) {
        self.now += 1;
        match op {
            Op::Step => self.step(),
            Op::Crash => self.crash(),
            Op::Event => self.add_job(true),
            Op::Wish => self.add_job(false),
            Op::Publish => self.publish(),
            Op::Refuse => self.refuse(),
            Op::Broker(is_away) => self.is_away = *is_away,
            Op::JobEnds => self.end_one(),
        }
    }

    fn add_job(&mut self, by_event: bool) {
        self.jobs.push(Job {
            queued_at: at(self.now),
            by_event,
            has_ended: false,
        });
    }

    /// With a result.
    fn end_one(&mut self) {
        if let Some(job) = self.jobs.iter_mut().find(|job| !job.has_ended) {
            job.has_ended = true;
            let of = (job.queued_at, job.by_event);
            self.stage(of);
        }
    }

    /// What waits goes to the broker, which has what was with it before.
    fn publish(&mut self) {
        if self.is_away {
            return;
        }
        self.stream.append(&mut self.parting);
        for message in self.outbox.values_mut() {
            if message.flying {
                (message.flying, message.sent) = (false, true);
                self.stream.push(*message);
            } else if !message.sent && !message.quarantined {
                message.flying = true;
            }
        }
    }

    fn refuse(&mut self) {
        let waiting = self.outbox.values_mut();
        if let Some(message) = waiting.into_iter().find(|message| message.flying) {
            (message.flying, message.quarantined) = (false, true);
        }
    }

    /// What was acknowledged goes out again, because the broker may not have synced it; what was with it may have arrived.
    fn crash(&mut self) {
        (self.plan, self.at) = (Plan::begin(), At::Jobs);
        self.stream.append(&mut self.parting);
        for message in self.outbox.values_mut().filter(|message| !message.quarantined) {
            message.flying = false;
            if message.sent {
                self.stream.push(*message);
            }
        }
    }

    fn step(&mut self) {
        if self.removal.done_at.is_some() {
            return;
        }
        match self.at {
            At::Jobs => {
                let cut = self.cut();
                let goes = |job: &Job| cut.takes(job.queued_at, job.by_event);
                let rows = self.jobs.iter().filter(|job| goes(job)).count();
                self.jobs.retain(|job| !(goes(job) && job.has_ended));
                self.at = At::Messages { rows };
            }
            At::Messages { rows } => {
                let messages = self.plan.sealed().map_or(0, |upto| self.withdraw(upto));
                self.plan.passed(Found { rows, messages }, self.seq);
                self.at = match self.plan.next() {
                    Next::Pass => At::Jobs,
                    Next::Purge => At::Purge,
                    Next::Done => {
                        self.removal.done_at = Some(at(self.now));
                        At::Jobs
                    }
                };
            }
            // It is tried again, without another pass.
            At::Purge if self.is_away => assert_eq!(self.plan.next(), Next::Purge),
            At::Purge => {
                self.stream.clear();
                self.at = At::NotePurged;
            }
            At::NotePurged => {
                self.removal.purged_at.get_or_insert(at(self.now));
                self.plan.purged();
                self.at = At::Jobs;
            }
        }
    }

    fn withdraw(&mut self, upto: u64) -> usize {
        let later = self.outbox.split_off(&(upto + 1));
        let gone = std::mem::replace(&mut self.outbox, later);
        let found = gone.len() + self.parting.len();
        self.parting
            .extend(gone.into_values().filter(|message| message.flying));
        found
    }

    /// Nothing is left, and nothing comes back.
    fn check(&mut self) {
        let cut = self.cut();
        let left = |world: &Self| {
            let jobs = world.jobs.iter();
            let jobs = jobs.filter(|job| cut.takes(job.queued_at, job.by_event)).count();
            let goes = |message: &&Message| cut.takes(message.of.0, message.of.1);
            let rows = world.outbox.values().filter(goes).count();
            let stored = world.stream.iter().filter(goes).count();
            (jobs, rows, stored)
        };
        assert_eq!(left(self), (0, 0, 0), "jobs, messages, in the stream");
        self.crash();
        self.publish();
        self.publish();
        assert_eq!(left(self), (0, 0, 0), "after the next start");
    }
}

proptest! {
    #[test]
    fn a_removal_ends_though_others_go_on_and_leaves_nothing_that_comes_back(
        jobs in 0_usize..6,
        messages in 0_usize..6,
        ops in prop::collection::vec(op(), 0..120),
    ) {
        let mut world = World::new(jobs, messages);
        for op in ops {
            world.act(&op);
        }
        world.is_away = false;
        // From now on nothing is in its way but others, who do not stop.
        for round in 0.. {
            if world.removal.done_at.is_some() {
                break;
            }
            prop_assert!(round < 500, "it does not end: {:?} {:?}", world.plan, world.at);
            for op in [Op::Event, Op::Wish, Op::Publish, Op::JobEnds, Op::JobEnds, Op::JobEnds, Op::Step] {
                world.act(&op);
            }
        }
        world.check();
    }
}

#[test]
fn a_pass_is_followed_by_a_rest_that_is_as_long() {
    for seconds in [0, 1, 600] {
        let span = Span::from_secs(seconds);
        assert_eq!(rest(span), span.to_duration());
    }
    assert_eq!(rest(Span::from_secs(3_600)), REST_MAX, "a clock was set on");
}

#[test]
fn what_was_there_when_the_org_left_goes_and_of_what_came_later_what_events_made_before_the_purge() {
    let before = Cut {
        asked_at: at(10),
        purged_at: None,
    };
    let after = Cut {
        purged_at: Some(at(20)),
        ..before
    };
    let goes =
        |cut: Cut| [10, 11, 20, 21].map(|time| (cut.takes(at(time), false), cut.takes(at(time), true)));
    let (yes, no) = ((true, true), (false, false));
    assert_eq!(goes(before), [yes, no, no, no]);
    assert_eq!(goes(after), [yes, (false, true), (false, true), no]);
    let clock_went_back = Cut {
        purged_at: Some(at(5)),
        ..before
    };
    assert_eq!(clock_went_back.latest(), at(10));
}

//! Clocks against a look at every member's due times, over crashes, downtimes and full outboxes.

use super::super::clocks::Turn;
use super::super::listeners::{PipelineTicks, ServiceTicks};
use super::super::newcomers::{Newcomers, Noted};
use super::super::place::{Phase, due, millis};
use super::super::state::{Book, State};
use super::super::tick::{Subject, Tick};
use crate::pipeline::{RuleSet, SourceFile};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::limacharlie::{Period, TickScope};
use tripline_protocol::{HostId, Name, Org, Span, Timestamp};
use uuid::Uuid;

const START: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);
const PLENTY: Turn = Turn {
    ticks: usize::MAX,
    looks: usize::MAX,
};

/// Sensors that get ticks, of this org; and orgs that get theirs from elsewhere.
#[derive(Debug, Default)]
struct Table {
    sensors: BTreeMap<HostId, Org>,
    elsewhere: BTreeSet<Org>,
}

impl Book for Table {
    fn org_of(&self, host_id: HostId) -> Option<Org> {
        self.sensors.get(&host_id).cloned()
    }

    fn serves(&self, org: &Org, _: bool) -> bool {
        !self.elsewhere.contains(org)
    }
}

fn host(number: u8) -> HostId {
    HostId(Uuid::from_u128(u128::from(number) << 64))
}

fn noted(hosts: impl IntoIterator<Item = HostId>, orgs: &[Org]) -> Noted {
    Noted {
        come: hosts.into_iter().collect(),
        orgs: orgs.iter().cloned().collect(),
        gone: BTreeSet::new(),
    }
}

fn org(name: &str) -> Org {
    name.parse().unwrap()
}

fn listening(on: &str) -> PipelineTicks {
    let text = format!("name: p\non: [{on}]\njob: {{ steps: [ list_processes: {{}} ] }}\n");
    let path = "p.yaml".into();
    PipelineTicks::of(&RuleSet::parse(&[SourceFile { path, text }], &[]).unwrap())
}

/// A state and its rows, as the store would have them.
struct Kept {
    state: State,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    on: &'static str,
    hosts: Vec<HostId>,
}

impl Kept {
    fn start(on: &'static str, hosts: Vec<HostId>, now: Timestamp) -> Self {
        let mut kept = Self {
            state: State::default(),
            rows: BTreeMap::new(),
            on,
            hosts,
        };
        kept.crash(now);
        kept
    }

    /// Begins again with what is in the rows alone.
    fn crash(&mut self, now: Timestamp) {
        self.state = State::default();
        for (row, value) in &self.rows {
            assert!(self.state.restore(row, value));
        }
        self.state.note(noted(self.hosts.iter().copied(), &[]));
        let rows = self.state.set_listeners(listening(self.on), BTreeMap::new(), now);
        self.write(rows);
    }

    fn write(&mut self, rows: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        for (row, value) in rows {
            match value {
                Some(value) => drop(self.rows.insert(row, value)),
                None => drop(self.rows.remove(&row)),
            }
        }
    }

    /// The ticks that are made and durable, or lost with their rows in a crash.
    fn advance(&mut self, now: Timestamp, turn: Turn, book: &Table, is_durable: bool) -> Vec<Tick> {
        let (ticks, rows) = self.state.advance(now, turn, book);
        if is_durable {
            self.write(rows);
            return ticks;
        }
        self.crash(now);
        Vec::new()
    }
}

/// When a sensor is due after `from` and until `to`, found by looking at one round after the other.
fn dues(host_id: HostId, period: Period, from: Timestamp, to: Timestamp) -> Vec<u64> {
    let (from, to) = (millis(from), millis(to));
    let length = period.span().as_millis();
    let rounds = from / length..=to / length;
    let all = rounds.map(|round| due(period, round, Phase::of(host_id.as_bytes())));
    all.filter(|due| from < *due && *due <= to).collect()
}

/// What happens.
#[derive(Debug, Clone)]
enum Act {
    /// So many seconds pass, in which nobody looks.
    Pass(u32),
    /// It goes on by so many ticks at most; not durable: it is killed before they are.
    Turn {
        ticks: usize,
        is_durable: bool,
    },
    /// It goes on until nothing is due.
    Through,
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u32..9_000).prop_map(Act::Pass),
        1 => (0u32..400_000).prop_map(Act::Pass),
        3 => (0usize..4, any::<bool>()).prop_map(|(ticks, is_durable)| Act::Turn { ticks, is_durable }),
        3 => Just(Act::Through),
        1 => Just(Act::Crash),
    ]
}

proptest! {
    /// Of the due times between two moments at which nothing waited, each sensor got the last, or every one where each was looked at in
    /// time; never one twice.
    #[test]
    fn nobody_misses_a_tick_or_gets_one_twice(acts in proptest::collection::vec(act(), 1..60), hosts in 1u8..8) {
        let hosts: Vec<HostId> = (0..hosts).map(host).collect();
        let book = Table {
            sensors: hosts.iter().map(|host_id| (*host_id, Org::default_org())).collect(),
            ..Table::default()
        };
        let mut now = START;
        let mut kept = Kept::start("sensor_per_1h, sensor_per_3h", hosts.clone(), now);
        let mut through_at = now;
        let mut since: Vec<Tick> = Vec::new();
        let mut seen = BTreeSet::new();
        for act in acts.into_iter().chain([Act::Through]) {
            let made = match act {
                Act::Pass(seconds) => {
                    now = now.after(Span::from_secs(seconds.into()));
                    Vec::new()
                }
                Act::Crash => {
                    kept.crash(now);
                    Vec::new()
                }
                Act::Turn { ticks, is_durable } => {
                    kept.advance(now, Turn { ticks, looks: 5 }, &book, is_durable)
                }
                Act::Through => kept.advance(now, PLENTY, &book, true),
            };
            for tick in made {
                prop_assert!(tick.due <= millis(now));
                prop_assert!(seen.insert((tick.subject.clone(), tick.period, tick.due)), "twice: {tick:?}");
                since.push(tick);
            }
            if kept.state.waits_since(now).is_some() {
                continue;
            }
            for (host_id, period) in hosts.iter().flat_map(|host| [(host, Period::H1), (host, Period::H3)]) {
                let due = dues(*host_id, period, through_at, now);
                let got = since.iter().filter(|tick| tick.period == period);
                let got: Vec<u64> = got
                    .filter(|tick| matches!(tick.subject, Subject::Sensor(subject, _) if subject == *host_id))
                    .map(|tick| tick.due)
                    .collect();
                prop_assert_eq!(got.last(), due.last(), "the last one always comes");
                prop_assert!(got.iter().all(|got| due.contains(got)));
                // Whoever missed several gets one; so nobody gets more than was due.
                prop_assert!(got.is_sorted() && got.len() <= due.len());
            }
            (through_at, since) = (now, Vec::new());
        }
    }
}

#[test]
fn who_is_looked_at_all_the_time_gets_every_tick_at_its_time() {
    let hosts: Vec<HostId> = (0..50).map(host).collect();
    let book = Table {
        sensors: hosts
            .iter()
            .map(|host_id| (*host_id, Org::default_org()))
            .collect(),
        ..Table::default()
    };
    let mut kept = Kept::start("sensor_per_1h", hosts.clone(), START);
    let mut now = START;
    let mut got: BTreeMap<HostId, Vec<u64>> = BTreeMap::new();
    for _ in 0..24 * 60 {
        now = now.after(Span::from_secs(60));
        for tick in kept.advance(now, PLENTY, &book, true) {
            assert!(millis(now) - tick.due < 60_000, "within the minute");
            let Subject::Sensor(host_id, _) = tick.subject else {
                panic!("no sensor")
            };
            got.entry(host_id).or_default().push(tick.due);
        }
    }
    for host_id in hosts {
        assert_eq!(got.get(&host_id), Some(&dues(host_id, Period::H1, START, now)));
        assert_eq!(got.get(&host_id).unwrap().len(), 24);
    }
}

#[test]
fn sensors_are_spread_over_their_period() {
    let mut tenths = [0; 10];
    for number in 0..10_000u32 {
        let name = HostId(Uuid::new_v5(&Uuid::nil(), &number.to_be_bytes()));
        let due = due(Period::H1, 0, Phase::of(name.as_bytes()));
        tenths[usize::try_from(due / 360_000).unwrap()] += 1;
    }
    assert!(
        tenths.iter().all(|count| (900..1_100).contains(count)),
        "{tenths:?}"
    );
}

#[test]
fn a_downtime_of_many_periods_is_one_tick_for_each() {
    let hosts: Vec<HostId> = (0..20).map(host).collect();
    let book = Table {
        sensors: hosts
            .iter()
            .map(|host_id| (*host_id, Org::default_org()))
            .collect(),
        ..Table::default()
    };
    let mut kept = Kept::start("sensor_per_1h, org_per_24h, once_per_7d", hosts, START);
    let now = START.after(Span::from_secs(40 * 24 * 3600));
    kept.crash(now);
    let ticks = kept.advance(now, PLENTY, &book, true);
    assert_eq!(ticks.len(), 20 + 1 + 1, "{ticks:?}");
    assert_eq!(kept.advance(now, PLENTY, &book, true), []);
}

#[test]
fn a_clock_to_which_nobody_listened_begins_when_somebody_does() {
    let book = Table::default();
    let mut kept = Kept::start("org_per_1h", Vec::new(), START);
    assert_eq!(kept.rows.len(), 1);
    let week = Span::from_secs(7 * 24 * 3600);
    kept.on = "org_per_3h";
    kept.crash(START.after(week));
    assert_eq!(kept.rows.len(), 1, "the other is forgotten");
    kept.on = "org_per_1h, org_per_3h";
    kept.crash(START.after(week));
    assert_eq!(kept.advance(START.after(week), PLENTY, &book, true), []);
    let ticks = kept.advance(
        START.after(week).after(Span::from_secs(3600)),
        PLENTY,
        &book,
        true,
    );
    assert_eq!(ticks.iter().filter(|tick| tick.period == Period::H1).count(), 1);
}

#[test]
fn a_clock_that_is_set_back_far_goes_on() {
    let book = Table::default();
    let mut kept = Kept::start(
        "org_per_1h",
        Vec::new(),
        START.after(Span::from_secs(365 * 24 * 3600)),
    );
    assert_eq!(kept.advance(START, PLENTY, &book, true), []);
    let ticks = kept.advance(START.after(Span::from_secs(3600)), PLENTY, &book, true);
    assert_eq!(ticks.len(), 1);
}

#[test]
fn orgs_of_limacharlie_and_hosts_that_are_not_seen_get_none() {
    let (acme, lc) = (org("acme"), org("5f5a8d67-4d3c-4c3a-9d0b-3f4f0a8f1b11"));
    let book = Table {
        sensors: [(host(1), acme.clone()), (host(2), lc.clone())].into(),
        elsewhere: [lc.clone()].into(),
    };
    let mut state = State::default();
    state.note(noted([host(1), host(2), host(3)], &[acme.clone(), lc]));
    state.set_listeners(listening("org_per_1h, sensor_per_1h"), BTreeMap::new(), START);
    let (ticks, _) = state.advance(START.after(Span::from_secs(3600)), PLENTY, &book);
    let subjects: BTreeSet<Subject> = ticks.into_iter().map(|tick| tick.subject).collect();
    let expected = [
        Subject::Org(acme.clone()),
        Subject::Org(Org::default_org()),
        Subject::Sensor(host(1), acme),
    ];
    assert_eq!(subjects, expected.into());
}

#[test]
fn a_host_that_is_forgotten_costs_nothing_and_gets_nothing() {
    let mut state = State::default();
    state.note(noted([host(1), host(2)], &[]));
    let news = Newcomers::default();
    news.gone(host(1));
    news.come(host(3), &Org::default_org());
    news.gone(host(3));
    news.gone(host(2));
    news.come(host(2), &Org::default_org());
    state.note(news.take());
    assert_eq!(state.sensors(), 1);
    state.set_listeners(listening("sensor_per_1h"), BTreeMap::new(), START);
    let book = Table {
        sensors: (1..4).map(|number| (host(number), Org::default_org())).collect(),
        ..Table::default()
    };
    let (ticks, _) = state.advance(START.after(Span::from_secs(3600)), PLENTY, &book);
    let subjects: Vec<Subject> = ticks.into_iter().map(|tick| tick.subject).collect();
    assert_eq!(subjects, [Subject::Sensor(host(2), Org::default_org())]);
}

#[test]
fn every_service_has_a_tick_of_its_own_and_the_pipelines_one_together() {
    let service = |ticks: &[Period]| ServiceTicks {
        ticks: ticks.iter().map(|period| (TickScope::Once, *period)).collect(),
        orgs: [org("acme")].into(),
    };
    let name = |name: &str| name.parse::<Name>().unwrap();
    let services = [
        (name("a"), service(&[Period::H1])),
        (name("b"), service(&[Period::H3])),
    ];
    let mut state = State::default();
    state.set_listeners(listening("once_per_1h"), services.into(), START);
    let (ticks, _) = state.advance(START.after(Span::from_secs(3 * 3600)), PLENTY, &Table::default());
    let mut told: Vec<_> = ticks
        .into_iter()
        .map(|tick| (tick.period, tick.subject))
        .collect();
    told.sort();
    let once = |name: Option<Name>| Subject::Once(name);
    let expected = [
        (Period::H1, once(None)),
        (Period::H1, once(Some(name("a")))),
        (Period::H3, once(Some(name("b")))),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_hundred_thousand_sensors_take_two_megabytes() {
    let hosts = (0..100_000u32).map(|number| HostId(Uuid::new_v5(&Uuid::nil(), &number.to_be_bytes())));
    let mut state = State::default();
    state.note(noted(hosts, &[]));
    assert!(
        state.sensor_bytes() <= 100_000 * 20 * 2,
        "{}",
        state.sensor_bytes()
    );
}

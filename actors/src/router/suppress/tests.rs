//! Windows beside a model that keeps all times for ever, and their bounds.

use super::*;
use crate::store::{Batch, Options, Store, Table};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tripline_protocol::Span;

const START: i64 = 1_800_000_000_000_000;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(START + micros)
}

fn place(pipeline: &str, key: u128) -> Place {
    Place {
        pipeline: pipeline.parse().unwrap(),
        identity: Uuid::nil(),
        id: Uuid::from_u128(key),
    }
}

fn rule(min: u32, max: u32, millis: u64) -> Rule {
    Rule {
        min,
        max,
        per: Span::from_millis(millis),
    }
}

/// All times of everything, and the definition as the documentation has it.
#[derive(Debug, Clone, Default)]
struct Model {
    matched: BTreeMap<Place, Vec<Timestamp>>,
    acted: BTreeMap<Place, Vec<Timestamp>>,
}

fn within(times: Option<&Vec<Timestamp>>, rule: Rule, now: Timestamp) -> u32 {
    let inside = |at: &&Timestamp| at.after(rule.per) > now;
    let count = times.into_iter().flatten().filter(inside).count();
    u32::try_from(count).unwrap()
}

impl Model {
    fn matched(&mut self, place: &Place, rule: Rule, now: Timestamp) -> Verdict {
        self.matched.entry(place.clone()).or_default().push(now);
        let matches = within(self.matched.get(place), rule, now);
        if within(self.acted.get(place), rule, now) >= rule.max {
            Verdict::Suppressed
        } else if matches < rule.min {
            Verdict::BelowThreshold(matches)
        } else {
            Verdict::Act
        }
    }

    fn acted(&mut self, place: &Place, now: Timestamp) {
        self.acted.entry(place.clone()).or_default().push(now);
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// An event matches so many milliseconds later; it acts if it may, unless another guard is in the way.
    Match {
        key: u128,
        later: u64,
        hindered: bool,
    },
    /// What was decided is durable.
    Stage,
    /// What was decided since then is refused.
    RollBack,
    Sweep,
    /// The process dies, and another reads what is durable.
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..3_u128, 0..40_u64, prop::bool::weighted(0.2))
            .prop_map(|(key, later, hindered)| Op::Match { key, later, hindered }),
        4 => Just(Op::Stage),
        1 => Just(Op::RollBack),
        2 => Just(Op::Sweep),
        1 => Just(Op::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_window_decides_as_one_that_remembers_everything(
        min in 1..5_u32,
        max in 1..4_u32,
        per in 1..120_u64,
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let rule = rule(min, max, per);
        let (mut windows, mut model) = (Windows::default(), Model::default());
        let mut durable = model.clone();
        let mut now = at(0);
        for op in ops {
            match op {
                Op::Match { key, later, hindered } => {
                    now = now.after(Span::from_millis(later));
                    let place = place("p", key);
                    let verdict = windows.matched(&place, rule, now);
                    prop_assert_eq!(verdict, model.matched(&place, rule, now));
                    if verdict == Verdict::Act && !hindered {
                        windows.acted(&place, rule, now);
                        model.acted(&place, now);
                    }
                }
                Op::Stage => {
                    stage(&mut windows, &store);
                    durable = model.clone();
                }
                Op::RollBack => {
                    windows.roll_back();
                    model = durable.clone();
                }
                Op::Sweep => windows.sweep(now, usize::MAX),
                Op::Crash => {
                    windows = Windows::load(&store, now).unwrap();
                    model = durable.clone();
                }
            }
            windows.assert_invariants();
        }
    }
}

fn stage(windows: &mut Windows, store: &Store) -> usize {
    let mut batch = Batch::new();
    windows.stage(&mut batch);
    let writes = batch.len();
    store.commit(batch, || {});
    writes
}

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    (dir, store)
}

#[test]
fn what_is_suppressed_with_a_min_of_one_changes_nothing() {
    let (_dir, store) = open();
    let (mut windows, place, rule) = (Windows::default(), place("p", 1), rule(1, 1, 1_000));
    assert_eq!(windows.matched(&place, rule, at(0)), Verdict::Act);
    windows.acted(&place, rule, at(0));
    assert_eq!(stage(&mut windows, &store), 1);
    for n in 1..1_000 {
        assert_eq!(windows.matched(&place, rule, at(n)), Verdict::Suppressed);
    }
    assert_eq!(stage(&mut windows, &store), 0);
    assert_eq!(windows.matched(&place, rule, at(999_999)), Verdict::Suppressed);
    assert_eq!(
        windows.matched(&place, rule, at(1_000_000)),
        Verdict::Act,
        "exactly one second later"
    );
}

#[test]
fn a_window_holds_no_more_times_than_can_decide() {
    let (mut windows, place, rule) = (Windows::default(), place("p", 1), rule(5, 2, 60_000));
    for n in 0..10_000 {
        if windows.matched(&place, rule, at(n)) == Verdict::Act {
            windows.acted(&place, rule, at(n));
        }
    }
    assert_eq!(windows.times, 4 + 2);
}

#[test]
fn windows_that_are_over_leave_no_row_and_make_room() {
    let (_dir, store) = open();
    let limits = Limits {
        per_pipeline: 2,
        ..Limits::default()
    };
    let (mut windows, rule) = (Windows::with_limits(limits), rule(1, 1, 1));
    for key in 1..=2 {
        assert_eq!(windows.matched(&place("p", key), rule, at(0)), Verdict::Act);
        windows.acted(&place("p", key), rule, at(0));
    }
    assert_eq!(stage(&mut windows, &store), 2);
    assert_eq!(windows.matched(&place("p", 3), rule, at(999)), Verdict::Full);
    assert_eq!(windows.matched(&place("p", 3), rule, at(1_000)), Verdict::Act);
    assert_eq!(stage(&mut windows, &store), 2, "the rows of both are deleted");
    assert_eq!(store.count(Table::Window).unwrap(), 0);
}

#[test]
fn at_every_bound_a_pipeline_does_not_act_and_others_are_not_touched() {
    let rule = rule(1, 1, 1_000);
    let narrow = |per_pipeline, total, times| {
        let mut windows = Windows::with_limits(Limits {
            per_pipeline,
            total,
            times,
        });
        windows.matched(&place("p", 1), rule, at(0));
        windows.acted(&place("p", 1), rule, at(0));
        windows
    };
    let mut own = narrow(1, 9, 9);
    assert_eq!(own.matched(&place("p", 2), rule, at(1)), Verdict::Full);
    assert_eq!(own.matched(&place("q", 2), rule, at(1)), Verdict::Act);
    assert_eq!(
        own.matched(&place("p", 1), rule, at(1)),
        Verdict::Suppressed,
        "it is there"
    );
    for mut all in [narrow(9, 1, 9), narrow(9, 9, 2)] {
        assert_eq!(all.matched(&place("q", 2), rule, at(1)), Verdict::Full);
    }
}

#[test]
fn the_windows_of_a_pipeline_that_is_gone_go_with_their_rows() {
    let (_dir, store) = open();
    let (mut windows, rule) = (Windows::default(), rule(1, 1, 1_000));
    for place in [place("p", 1), place("q", 1)] {
        windows.acted(&place, rule, at(0));
    }
    stage(&mut windows, &store);
    windows.retain(|place| place.pipeline.as_str() == "q");
    stage(&mut windows, &store);
    let again = Windows::load(&store, at(1)).unwrap();
    assert_eq!(again.kept.keys().collect::<Vec<_>>(), [&place("q", 1)]);
}

#[test]
fn a_clock_that_was_set_back_does_not_lengthen_a_window() {
    let (_dir, store) = open();
    let (mut windows, place, rule) = (Windows::default(), place("p", 1), rule(1, 1, 1_000));
    windows.acted(&place, rule, at(3_600_000_000));
    stage(&mut windows, &store);
    let mut again = Windows::load(&store, at(0)).unwrap();
    assert_eq!(again.matched(&place, rule, at(999_999)), Verdict::Suppressed);
    assert_eq!(again.matched(&place, rule, at(1_000_000)), Verdict::Act);
}

#[test]
fn bounds_are_as_documented() {
    let limits = Limits::default();
    assert_eq!(
        (limits.per_pipeline, limits.total, limits.times),
        (10_000, 200_000, 4_000_000)
    );
}

#[test]
fn a_window_that_is_unreadable_is_not_taken_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    let (mut windows, place, rule) = (Windows::default(), place("p", 1), rule(1, 1, 1_000));
    windows.matched(&place, rule, at(0));
    windows.acted(&place, rule, at(0));
    let mut batch = Batch::new();
    windows.stage(&mut batch);
    store.commit(batch, || {});
    assert_eq!(Windows::load(&store, at(0)).unwrap().len(), 1);
    let [(key, _)] = store
        .scan(Table::Window, &[], None, 2)
        .unwrap()
        .try_into()
        .unwrap();
    let mut batch = Batch::new();
    batch.put(Table::Window, key, b"no window".to_vec());
    store.commit(batch, || {});
    assert!(Windows::load(&store, at(0)).is_err());
}

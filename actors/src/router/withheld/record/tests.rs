//! Which decisions get a row, for how long, and what is counted of the others.

use super::*;
use crate::router::withheld::{Why, decisions};
use crate::store::Options;
use serde_json::Value;
use tripline_protocol::Attestation;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000).after(Span::from_millis(millis))
}

fn event(n: u64) -> Event {
    let org = Org::default_org();
    let id = format!("e{n}");
    Event {
        key: EventKey::derive(&org, "test", &id),
        id,
        org,
        source: "test".into(),
        etype: "acme.alert".parse().unwrap(),
        host: None,
        time: at(0),
        data: Value::Null,
        attested_by: Attestation::Publisher,
        depth: 0,
        traceparent: None,
    }
}

fn suppressed(pipeline: &str) -> Withheld {
    Withheld::new(&pipeline.parse().unwrap(), Why::Suppressed, "so often")
}

struct Kept {
    _dir: tempfile::TempDir,
    store: Store,
    records: Records,
}

impl Kept {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let records = Records::load(&store, at(0)).unwrap();
        Self {
            _dir: dir,
            store,
            records,
        }
    }

    fn withhold(&mut self, number: u64, withheld: &Withheld, now: Timestamp) {
        let event = event(number);
        let of = Of {
            event: &event,
            run: 0,
            sequence: number,
            now,
        };
        self.records.withheld(of, withheld, None);
    }

    fn stage(&mut self) {
        let mut batch = Batch::new();
        self.records.stage(&self.store, &mut batch).unwrap();
        self.store.commit(batch, || {});
        assert_eq!(self.rows(), [self.records.count; 2]);
    }

    fn rows(&self) -> [u64; 2] {
        [Table::Withheld, Table::WithheldByTime].map(|table| self.store.count(table).unwrap())
    }
}

#[test]
fn a_flood_gets_so_many_rows_at_once_and_then_one_a_second() {
    let mut kept = Kept::new();
    let (flood, other) = (suppressed("p"), suppressed("q"));
    for n in 0..500 {
        kept.withhold(n, &flood, at(0));
    }
    kept.withhold(500, &other, at(0));
    kept.stage();
    assert_eq!(kept.records.count, u64::from(BURST) + 1, "others have their own");
    for n in 501..1_000 {
        kept.withhold(n, &flood, at(3_500));
    }
    kept.stage();
    assert_eq!(kept.records.count, u64::from(BURST) + 4);
    let counts = kept.records.counts(&"p".parse().unwrap());
    assert_eq!(counts.len(), 1);
    assert_eq!(
        (counts[0].count, counts[0].unrecorded),
        (999, 999 - u64::from(BURST) - 3)
    );
    assert_eq!((counts[0].first_at, counts[0].last_at), (at(0), at(3_500)));
}

#[test]
fn all_pipelines_together_get_so_many_rows_at_once() {
    let mut kept = Kept::new();
    for n in 0..u64::from(ALL_BURST) + 50 {
        kept.withhold(n, &suppressed(&format!("p{n}")), at(0));
    }
    kept.stage();
    assert_eq!(kept.records.count, u64::from(ALL_BURST));
    for n in 2_000..2_050 {
        kept.withhold(n, &suppressed(&format!("p{n}")), at(10 * ALL_REFILL_MILLIS));
    }
    kept.stage();
    assert_eq!(kept.records.count, u64::from(ALL_BURST) + 10);
}

#[test]
fn an_event_that_is_decided_again_has_one_row() {
    let mut kept = Kept::new();
    for now in [at(0), at(1), at(2)] {
        kept.withhold(1, &suppressed("p"), now);
        kept.withhold(1, &suppressed("p"), now);
        kept.stage();
    }
    assert_eq!(kept.rows(), [1, 1]);
    kept.withhold(1, &suppressed("q"), at(3));
    kept.records.roll_back();
    kept.stage();
    assert_eq!(kept.rows(), [1, 1], "what was refused is not there");
}

#[test]
fn beyond_what_is_remembered_the_oldest_go() {
    let mut kept = Kept::new();
    kept.records.count_max = 3;
    for n in 0..3 {
        kept.withhold(n, &suppressed("p"), at(n));
    }
    kept.stage();
    // The oldest is decided again in the batch in which it would go.
    for n in [0, 3, 4] {
        kept.withhold(n, &suppressed("p"), at(10 + n));
    }
    kept.stage();
    assert_eq!(kept.records.count, 3);
    let there = |n: u64| {
        kept.store
            .get(Table::Withheld, &row(event(n).key, Some(&"p".parse().unwrap())))
    };
    let there: Vec<bool> = (0..5).map(|n| there(n).unwrap().is_some()).collect();
    assert_eq!(there, [true, false, false, true, true]);
    assert_eq!(Kept::new().records.count_max, 200_000);
}

#[test]
fn a_decision_is_remembered_for_so_long_and_no_longer() {
    let mut kept = Kept::new();
    kept.withhold(1, &suppressed("p"), at(0));
    kept.stage();
    let last = at(0).after(RETAIN);
    kept.records.tick(&kept.store, last).unwrap();
    assert_eq!(kept.rows(), [1, 1]);
    kept.records
        .tick(&kept.store, last.after(Span::from_millis(1)))
        .unwrap();
    assert_eq!(kept.rows(), [0, 0]);
    assert_eq!(kept.records.count, 0);
}

#[test]
fn decisions_of_an_org_that_leaves_are_forgotten_a_part_at_a_time_and_no_others() {
    let mut kept = Kept::new();
    let page = FORGET_PAGE as u64;
    for number in 0..=page {
        // Each at its own time, so that all of them get a row.
        kept.withhold(number, &suppressed("p"), at(number * REFILL_MILLIS));
    }
    kept.withhold(page + 1, &suppressed("p"), at(2 * page * REFILL_MILLIS));
    kept.stage();
    let (until, org) = (at(page * REFILL_MILLIS), Org::default_org());
    let stranger = "acme".parse().unwrap();
    let mut forget = |org: &Org, after: Option<Vec<u8>>| {
        let forgotten = kept.records.forget_org(&kept.store, org, until, after.as_deref());
        (forgotten.unwrap(), kept.records.count)
    };
    let ((found, next), count) = forget(&stranger, None);
    assert_eq!((found, next.is_some(), count), (0, true, page + 2));
    let ((found, next), count) = forget(&org, None);
    assert_eq!((found as u64, next.is_some(), count), (page, true, 2));
    let ((found, next), count) = forget(&org, next);
    assert_eq!((found, next, count), (1, None, 1), "the last one is later");
    assert_eq!(kept.rows(), [1, 1]);
}

#[test]
fn what_was_counted_is_known_after_a_restart_and_goes_with_its_pipeline() {
    let mut kept = Kept::new();
    for pipeline in ["p", "q"] {
        kept.withhold(1, &suppressed(pipeline), at(0));
    }
    kept.records.tick(&kept.store, at(1)).unwrap();
    let mut again = Records::load(&kept.store, at(2)).unwrap();
    let p: Name = "p".parse().unwrap();
    assert_eq!(again.counts(&p), kept.records.counts(&p));
    let mut batch = Batch::new();
    again.keep(|name| *name != p, &mut batch);
    kept.store.commit(batch, || {});
    let again = Records::load(&kept.store, at(3)).unwrap();
    assert!(again.counts(&p).is_empty() && !again.counts(&"q".parse().unwrap()).is_empty());
}

#[test]
fn a_long_text_is_cut() {
    let mut kept = Kept::new();
    let withheld = Withheld::new(&"p".parse().unwrap(), Why::Suppressed, "é".repeat(10_000));
    kept.withhold(1, &withheld, at(0));
    let text = kept
        .records
        .fresh
        .values()
        .next()
        .map(|record| record.text.chars().count());
    assert_eq!(text, Some(TEXT_CHARS_MAX));
}

#[test]
fn an_unreadable_record_keeps_nothing_from_being_decided() {
    let mut kept = Kept::new();
    kept.withhold(1, &suppressed("p"), at(0));
    kept.stage();
    kept.records.tick(&kept.store, at(0)).unwrap();
    let mut batch = Batch::new();
    for table in [Table::Withheld, Table::WithheldTally] {
        let rows = kept.store.scan(table, &[], None, 10).unwrap();
        assert_eq!(rows.len(), 1);
        rows.into_iter()
            .for_each(|(key, _)| batch.put(table, key, b"no record".to_vec()));
    }
    kept.store.commit(batch, || {});
    kept.records = Records::load(&kept.store, at(1)).unwrap();
    assert_eq!(kept.records.counts(&"p".parse().unwrap()), []);
    kept.withhold(1, &suppressed("p"), at(1));
    let mut batch = Batch::new();
    kept.records.stage(&kept.store, &mut batch).unwrap();
    kept.store.commit(batch, || {});
    assert_eq!(kept.store.count(Table::Withheld).unwrap(), 1);
    assert_eq!(kept.records.counts(&"p".parse().unwrap())[0].count, 1);
}

#[test]
fn so_many_decisions_about_one_event_are_shown() {
    let kept = Kept::new();
    let event = event(1);
    let of = Of {
        event: &event,
        run: 0,
        sequence: 1,
        now: at(0),
    };
    let mut batch = Batch::new();
    for n in 0..=1_000 {
        let name: Name = format!("p{n}").parse().unwrap();
        batch.put(
            Table::Withheld,
            row(event.key, Some(&name)),
            encode(&record(of, "suppressed", "so often")),
        );
    }
    kept.store.commit(batch, || {});
    let shown = |kept: &Kept| decisions(&kept.store, None, event.key).unwrap().withheld.len();
    assert_eq!(shown(&kept), 1_000, "of 1,001");
    let mut batch = Batch::new();
    batch.delete(Table::Withheld, row(event.key, Some(&"p7".parse().unwrap())));
    kept.store.commit(batch, || {});
    assert_eq!(shown(&kept), 1_000, "all of them");
}

//! Ended fan-outs are forgotten, and the process may die between any two batches.

use super::super::prune::Pruner;
use super::super::record::{CHUNK_HOSTS_MAX, Definition, Ended, FanoutRecord, chunk, chunk_key};
use super::rows::{commit, ended_row, store};
use super::{at, record};
use crate::check::check;
use crate::store::{Batch, Store, Table};
use tripline_protocol::fanout::{FanoutCounts, FanoutOutcome, Pace};
use tripline_protocol::job::{JobSpec, Outcome, Reason};
use tripline_protocol::{FanoutId, HostId};
use uuid::Uuid;

/// More than two batches have room for.
const HOSTS: u128 = 2_500;

fn id(n: u128) -> FanoutId {
    FanoutId(Uuid::from_u128(n))
}

/// One that ended, with a row for each of its hosts.
fn ended(store: &Store, n: u128, hosts: u128) -> FanoutRecord {
    let mut record = FanoutRecord {
        fanout_id: id(n),
        resolved: true,
        ..record(Pace::default(), false)
    };
    record.ended = Some(Ended {
        outcome: FanoutOutcome::Failed,
        reason: Reason::new("hosts_failed", "it went wrong"),
        at: at(1),
        counts: FanoutCounts::default(),
    });
    let mut batch = Batch::new();
    let hosts: Vec<HostId> = (0..hosts).map(|n| HostId(Uuid::from_u128(n))).collect();
    for (number, part) in (0..).zip(hosts.chunks(CHUNK_HOSTS_MAX)) {
        batch.put(Table::FanoutChunk, chunk_key(id(n), number), chunk(0, part));
        record.chunks = number + 1;
    }
    for host in hosts {
        ended_row(Outcome::Failed).put(&mut batch, id(n), host);
    }
    let spec = Box::new(JobSpec::new("sweep".parse().unwrap(), Vec::new()));
    record.put_new(&Definition::Job { spec }, &mut batch);
    commit(store, batch);
    record
}

fn rows(store: &Store, table: Table, id: FanoutId) -> usize {
    store.scan(table, id.as_bytes(), None, 10_000).unwrap().len()
}

/// It is there whole, or nobody finds it any more; and a check of the store finds nothing wrong.
fn is_whole_or_gone(store: &Store, id: FanoutId) {
    if store.get(Table::Fanout, id.as_bytes()).unwrap().is_some() {
        assert_eq!(rows(store, Table::FanoutHost, id), HOSTS as usize);
        assert!(
            store
                .get(Table::FanoutDefinition, id.as_bytes())
                .unwrap()
                .is_some()
        );
    } else {
        let tombstone = store.get(Table::JobTombstone, id.as_bytes()).unwrap();
        assert!(tombstone.is_some(), "nobody knows that it was there");
    }
    let report = check(store, None).unwrap();
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
}

/// Forgets it, and dies after so many batches. The answer is whether that was before the end.
fn dies_after(batches: usize) -> bool {
    let (_dir, store) = store();
    let record = ended(&store, 1, HOSTS);
    ended(&store, 2, 1);
    let mut pruner = Pruner::load(&store, 2).unwrap();
    for number in 0..batches {
        let mut batch = Batch::new();
        if number == 0 {
            pruner.bury(&record, at(2), &mut batch);
        }
        pruner.clear(&store, &mut batch).unwrap();
        commit(&store, batch);
        is_whole_or_gone(&store, id(1));
    }
    let left = rows(&store, Table::FanoutHost, id(1)) > 0;
    // The next process goes on where this one died, unless it had not begun.
    let mut pruner = Pruner::load(&store, 1).unwrap();
    for _ in 0..10 {
        let mut batch = Batch::new();
        pruner.clear(&store, &mut batch).unwrap();
        commit(&store, batch);
        is_whole_or_gone(&store, id(1));
    }
    if batches > 0 {
        for table in [Table::FanoutHost, Table::FanoutChunk] {
            assert_eq!(rows(&store, table, id(1)), 0, "{table:?}");
        }
        assert_eq!(store.count(Table::FanoutByTime).unwrap(), 1, "the other one's");
    }
    assert_eq!(rows(&store, Table::FanoutHost, id(2)), 1, "the other one's");
    left
}

#[test]
fn a_fan_out_counts_as_one_of_its_org_until_its_last_row_is_gone_also_in_the_next_process() {
    let (_dir, store) = store();
    let record = ended(&store, 1, HOSTS);
    let (own, other) = (record.org.clone(), "acme".parse().unwrap());
    let mut pruner = Pruner::load(&store, 1).unwrap();
    assert_eq!(pruner.buried_of(&own), 0);
    let mut batch = Batch::new();
    pruner.bury(&record, at(2), &mut batch);
    pruner.clear(&store, &mut batch).unwrap();
    commit(&store, batch);
    assert_eq!(pruner.buried_of(&own), 1);
    let mut pruner = Pruner::load(&store, 0).unwrap();
    assert_eq!((pruner.buried_of(&own), pruner.buried_of(&other)), (1, 0));
    while pruner.buried_of(&own) > 0 {
        assert!(rows(&store, Table::FanoutHost, id(1)) > 0 || store.count(Table::FanoutByTime).unwrap() > 0);
        let mut batch = Batch::new();
        pruner.clear(&store, &mut batch).unwrap();
        commit(&store, batch);
    }
    assert_eq!(store.count(Table::FanoutByTime).unwrap(), 0);
    assert_eq!(rows(&store, Table::FanoutHost, id(1)), 0);
}

#[test]
fn a_fan_out_that_is_forgotten_is_gone_at_once_and_the_next_process_removes_what_is_left() {
    let mut batches = 0;
    while dies_after(batches) {
        batches += 1;
        assert!(batches < 10, "it takes too many batches");
    }
    assert!(batches >= 3, "its rows were removed in {batches} batches");
}

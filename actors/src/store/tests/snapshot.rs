//! A snapshot is the store between two commits, whatever happens while it is read.

use super::*;
use crate::store::{Snapshot, SnapshotError, TableRow};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Model = BTreeMap<(u8, Vec<u8>), Vec<u8>>;
type ModelRow = ((u8, Vec<u8>), Vec<u8>);

// On both sides of the table with the pieces of long values.
const TABLES: [Table; 5] = [
    Table::Meta,
    Table::Job,
    Table::HandledEvent,
    Table::FileBySession,
    Table::ServiceDelivery,
];

fn rows(snapshot: &mut Snapshot) -> Model {
    let mut rows = Model::new();
    while let Some(page) = next(snapshot) {
        rows.extend(page);
    }
    rows
}

fn next(snapshot: &mut Snapshot) -> Option<Vec<ModelRow>> {
    let page = snapshot.next_page().unwrap();
    let row = |TableRow { table, key, value }| ((table, key), value);
    (!page.is_empty()).then(|| page.into_iter().map(row).collect())
}

/// A key and its value, or its end.
type Change = (usize, u16, Option<(u8, usize)>);

fn change() -> impl Strategy<Value = Change> {
    // Lengths on both sides of what fits one entry.
    let length = prop_oneof![0_usize..40, 4090_usize..4100, 9000_usize..20_000];
    (
        0..TABLES.len(),
        0..300_u16,
        prop::option::of((any::<u8>(), length)),
    )
}

fn apply(store: &Store, model: &mut Model, changes: &[Change]) {
    let mut batch = Batch::new();
    for (table, key, value) in changes {
        let (table, key) = (TABLES[*table], key.to_be_bytes().to_vec());
        match value {
            Some((byte, length)) => {
                batch.put(table, key.clone(), vec![*byte; *length]);
                model.insert((table as u8, key), vec![*byte; *length]);
            }
            None => {
                batch.delete(table, key.clone());
                model.remove(&(table as u8, key));
            }
        }
    }
    assert!(commit(store, batch));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn commits_during_a_snapshot_are_not_in_it(
        before in prop::collection::vec(prop::collection::vec(change(), 1..120), 1..6),
        during in prop::collection::vec(prop::collection::vec(change(), 1..60), 0..12),
    ) {
        let (_dir, store) = fresh();
        let mut model = Model::new();
        for changes in &before {
            apply(&store, &mut model, changes);
        }
        let expected = model.clone();
        let mut snapshot = store.snapshot().unwrap();
        let mut found = Model::new();
        // One batch between every two pages.
        for changes in &during {
            apply(&store, &mut model, changes);
            found.extend(next(&mut snapshot).unwrap_or_default());
        }
        found.extend(rows(&mut snapshot));
        prop_assert!(found == expected, "{} rows of {}", found.len(), expected.len());
        drop(snapshot);
        prop_assert!(rows(&mut store.snapshot().unwrap()) == model);
    }
}

#[test]
fn each_batch_is_in_a_snapshot_whole_or_not_at_all_while_writers_go_on() {
    let (_dir, store) = fresh();
    // Each batch sets one number in the first and in the last row of all.
    let write = |n: u64| {
        let mut batch = Batch::new();
        for table in TABLES {
            batch.put(table, b"a", n.to_be_bytes());
            batch.put(table, n.to_be_bytes(), vec![1; 600]);
            batch.put(table, b"z", n.to_be_bytes());
        }
        batch
    };
    let acknowledged = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (store, acknowledged, stop) = (store.clone(), acknowledged.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut n = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                n += 1;
                assert!(commit(&store, write(n)));
                acknowledged.store(n, std::sync::atomic::Ordering::Release);
            }
        })
    };
    while acknowledged.load(std::sync::atomic::Ordering::Acquire) < 200 {
        std::thread::yield_now();
    }
    for _ in 0..5 {
        let least = acknowledged.load(std::sync::atomic::Ordering::Acquire);
        let found = rows(&mut store.snapshot().unwrap());
        let number = |table: Table, key: &[u8]| {
            let value = &found[&(table as u8, key.to_vec())];
            u64::from_be_bytes(value.as_slice().try_into().unwrap())
        };
        let n = number(Table::Meta, b"a");
        assert!(n >= least, "{n} of {least}");
        for table in TABLES {
            assert_eq!((number(table, b"a"), number(table, b"z")), (n, n));
            let others = found
                .keys()
                .filter(|(of, key)| *of == table as u8 && key.len() == 8);
            assert_eq!(others.count() as u64, n);
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
}

#[test]
fn there_is_one_snapshot_at_a_time() {
    let (_dir, store) = fresh();
    let first = store.snapshot().unwrap();
    assert!(matches!(store.snapshot(), Err(SnapshotError::Busy)));
    drop(first);
    assert!(store.snapshot().is_ok());
}

#[test]
fn a_reader_that_is_overtaken_loses_its_snapshot_and_no_commit_fails() {
    let (_dir, store) = fresh();
    assert!(commit(&store, put(Table::Job, b"a", &[1; 4000])));
    let mut snapshot = Snapshot::with_room(store.inner.shared.clone(), 3000).unwrap();
    assert!(commit(&store, put(Table::Job, b"a", b"2")));
    assert!(matches!(snapshot.next_page(), Err(SnapshotError::Overtaken)));
    assert!(matches!(snapshot.next_page(), Err(SnapshotError::Overtaken)));
    drop(snapshot);
    assert!(commit(&store, put(Table::Job, b"b", b"3")));
    assert_eq!(rows(&mut store.snapshot().unwrap()).len(), 2);
}

#[test]
fn what_was_passed_needs_no_room() {
    let (_dir, store) = fresh();
    let mut batch = Batch::new();
    for n in 0..2000_u32 {
        batch.put(Table::Job, n.to_be_bytes(), vec![7; 200]);
    }
    assert!(commit(&store, batch));
    let mut snapshot = Snapshot::with_room(store.inner.shared.clone(), 3000).unwrap();
    let first = snapshot.next_page().unwrap();
    for row in &first {
        assert!(commit(&store, put(Table::Job, &row.key, b"changed")));
    }
    assert_eq!(first.len() + rows(&mut snapshot).len(), 2000);
}

#[test]
fn a_snapshot_ends_when_the_store_is_closed() {
    let (_dir, store) = fresh();
    assert!(commit(&store, put(Table::Job, b"a", b"1")));
    let mut snapshot = store.snapshot().unwrap();
    store.flush_and_close();
    assert!(matches!(snapshot.next_page(), Err(SnapshotError::Closed)));
}

#[test]
fn what_is_submitted_and_not_durable_is_in_no_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    keeper.let_through(1);
    assert!(commit(&store, put(Table::Job, b"a", b"1")));
    let mut snapshot = store.snapshot().unwrap();
    let later = submit(&store, put(Table::Job, b"b", b"2"));
    keeper.open();
    assert!(acknowledged(&later));
    assert_eq!(rows(&mut snapshot).len(), 1);
}

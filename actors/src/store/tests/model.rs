//! Reads compared with a map, at every moment between submission and disk.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(Vec<u8>, Option<usize>)>),
    LetThrough(u64),
    Settle,
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0xff)], 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![Just(0_usize), 1..40_usize, Just(4096), Just(4097), Just(9000)];
    let write = (key(), proptest::option::weighted(0.7, length));
    prop_oneof![
        8 => proptest::collection::vec(write, 0..5).prop_map(Step::Commit),
        4 => (1..3_u64).prop_map(Step::LetThrough),
        1 => Just(Step::Settle),
        1 => Just(Step::Reopen),
    ]
}

fn expected(model: &Model, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = model.iter().filter(|(key, _)| key.starts_with(prefix));
    rows.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn compare(store: &Store, model: &Model, prefix: &[u8], from: &[u8], limit: usize) {
    assert_eq!(store.get(Table::Job, from).unwrap().as_ref(), model.get(from));
    let all = expected(model, prefix);
    assert_eq!(store.scan(Table::Job, prefix, None, 1000).unwrap(), all);
    let after = all
        .iter()
        .filter(|(key, _)| key.as_slice() > from)
        .take(limit)
        .cloned();
    assert_eq!(
        store.scan(Table::Job, prefix, Some(from), limit).unwrap(),
        after.collect::<Vec<_>>()
    );
    let back = all.iter().rev().take(limit).cloned();
    assert_eq!(
        store.scan_back(Table::Job, prefix, None, limit).unwrap(),
        back.collect::<Vec<_>>()
    );
    let before = all
        .iter()
        .rev()
        .filter(|(key, _)| key.as_slice() < from)
        .take(limit)
        .cloned();
    assert_eq!(
        store.scan_back(Table::Job, prefix, Some(from), limit).unwrap(),
        before.collect::<Vec<_>>()
    );
}

/// Entries on disk for the model: each key's, and for a long value its register and chunks.
fn entries_of(model: &Model) -> usize {
    let chunks = |length: usize| {
        if length <= 4096 {
            0
        } else {
            1 + length.div_ceil(4096)
        }
    };
    model.values().map(|value| 1 + chunks(value.len())).sum()
}

fn run(steps: Vec<(Step, Vec<u8>, Vec<u8>, usize)>) {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, mut keeper) = gated(&dir.path().join("store"));
    let mut model = Model::new();
    // A neighbour on each side, which no scan may reach.
    for table in [Table::Meta, Table::OpenJob] {
        store.commit(put(table, b"", b"neighbour"), || {});
    }
    for (seed, (step, prefix, from, limit)) in steps.into_iter().enumerate() {
        match step {
            Step::Commit(writes) => {
                let mut batch = Batch::new();
                for (key, length) in writes {
                    match length.map(|length| vec![seed as u8; length]) {
                        Some(value) => {
                            batch.put(Table::Job, key.clone(), value.clone());
                            model.insert(key, value);
                        }
                        None => {
                            batch.delete(Table::Job, key.clone());
                            model.remove(&key);
                        }
                    }
                }
                store.commit(batch, || {});
            }
            Step::LetThrough(applies) => keeper.let_through(applies),
            Step::Settle => {
                keeper.let_through(1_000_000);
                assert!(commit(&store, Batch::new()));
                keeper.set(|gate| gate.applies_let_through = 0);
            }
            Step::Reopen => {
                keeper.open();
                drop(store);
                (store, keeper) = gated(&dir.path().join("store"));
            }
        }
        compare(&store, &model, &prefix, &from, limit);
    }
    keeper.open();
    drop(store);
    assert_eq!(entries(dir.path()).len(), 2 + entries_of(&model));
    assert!(no_spilled_files(dir.path()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_agree_with_a_map_whatever_has_reached_the_disk(
        steps in proptest::collection::vec((step(), key(), key(), 0..5_usize), 1..40)
    ) {
        run(steps);
    }
}

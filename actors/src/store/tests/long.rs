//! Values longer than one entry.

use super::*;
use crate::check::{PROBLEMS_MAX, check};
use crate::store::long::INLINE_BYTES_MAX;

fn value(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|n| (n as u8).wrapping_mul(31) ^ seed).collect()
}

#[test]
fn values_of_every_length_come_back_from_memory_and_from_disk() {
    let lengths = [
        0,
        1,
        21,
        22,
        INLINE_BYTES_MAX,
        INLINE_BYTES_MAX + 1,
        2 * INLINE_BYTES_MAX,
        768 * 1024,
    ];
    let dir = tempfile::tempdir().unwrap();
    for when in ["submitted", "durable", "reopened"] {
        let store = open(dir.path());
        let mut batch = Batch::new();
        for length in lengths {
            batch.put(Table::Outbox, (length as u64).to_be_bytes(), value(length, 7));
        }
        match when {
            "submitted" => store.commit(batch, || {}),
            "durable" => assert!(commit(&store, batch)),
            _ => {}
        }
        for length in lengths {
            let key = (length as u64).to_be_bytes();
            assert!(
                store.get(Table::Outbox, &key).unwrap().unwrap() == value(length, 7),
                "{when} {length}"
            );
        }
        let rows = store.scan(Table::Outbox, b"", None, 100).unwrap();
        assert!(rows.iter().map(|(_, value)| value.len()).eq(lengths));
    }
    assert!(no_spilled_files(dir.path()));
}

#[test]
fn overwritten_and_deleted_values_leave_no_chunks() {
    let lengths = [9000, 100_000, 5000, 10, 20_000, 4096, 4097];
    let dir = tempfile::tempdir().unwrap();
    for (round, length) in lengths.into_iter().enumerate() {
        // Every other overwrite is by another process, which knows of the chunks only from the disk.
        let store = open(dir.path());
        for step in [length, length / 2] {
            assert!(commit(&store, put(Table::Job, b"key", &value(step, round as u8))));
            assert!(store.get(Table::Job, b"key").unwrap().unwrap() == value(step, round as u8));
        }
        drop(store);
        let chunks = match length / 2 {
            short if short <= INLINE_BYTES_MAX => 0,
            long => 1 + long.div_ceil(INLINE_BYTES_MAX),
        };
        assert_eq!(
            entries(dir.path()).len(),
            2 + chunks,
            "format, entry, register, chunks after {length}"
        );
    }
    let store = open(dir.path());
    assert!(commit(&store, put(Table::Job, b"key", &value(50_000, 1))));
    let mut batch = Batch::new();
    batch.delete(Table::Job, b"key");
    assert!(commit(&store, batch));
    drop(store);
    assert_eq!(entries(dir.path()).len(), 1);
}

#[test]
fn keys_that_continue_like_chunk_numbers_do_not_mix() {
    let (_dir, store) = fresh();
    let keys: [&[u8]; 3] = [b"a", b"a\0\0\0\0", b"a\0\0\0\x01\0\0\0\0"];
    let mut batch = Batch::new();
    for (seed, key) in keys.into_iter().enumerate() {
        batch.put(Table::Job, key, value(20_000 + seed, seed as u8));
    }
    assert!(commit(&store, batch));
    let mut batch = Batch::new();
    batch.delete(Table::Job, b"a\0\0\0\0");
    assert!(commit(&store, batch));
    assert!(store.get(Table::Job, keys[0]).unwrap().unwrap() == value(20_000, 0));
    assert_eq!(store.get(Table::Job, keys[1]).unwrap(), None);
    assert!(store.get(Table::Job, keys[2]).unwrap().unwrap() == value(20_002, 2));
}

#[test]
fn leaves_full_of_the_longest_entries_stay_in_the_one_file() {
    let (dir, store) = fresh();
    for round in 0..4_u8 {
        let mut batch = Batch::new();
        for n in 0..200_u32 {
            let key = [&[b'k'; crate::store::KEY_BYTES_MAX - 4][..], &n.to_be_bytes()].concat();
            batch.put(Table::Job, key, value(INLINE_BYTES_MAX, round));
        }
        assert!(commit(&store, batch));
    }
    assert!(!store.failed() && no_spilled_files(dir.path()));
}

/// Writes pieces that belong to no row, past the store.
fn strew_pieces(dir: &Path, count: usize) {
    let disk = SledDisk::open(&dir.join("store"), 8 * 1024 * 1024).unwrap();
    let mut batch = sled::Batch::default();
    for number in 0..u32::try_from(count).unwrap() {
        let piece = [&[Table::Chunk as u8, 1], &b"row"[..], &number.to_be_bytes()].concat();
        batch.insert(piece, b"x");
    }
    disk.apply(batch).unwrap();
    disk.sync().unwrap();
}

#[test]
fn a_check_names_so_many_problems_and_counts_the_others() {
    for count in [PROBLEMS_MAX, PROBLEMS_MAX + 1] {
        let (dir, store) = fresh();
        drop(store);
        strew_pieces(dir.path(), count);
        let report = check(&open(dir.path()), None).unwrap();
        assert_eq!(report.problems.len(), PROBLEMS_MAX);
        assert_eq!(report.problems_total, count as u64);
    }
}

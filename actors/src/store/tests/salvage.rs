//! What can be read of a log without sled: all of a sound one, and of a damaged one nothing that was never written.

use super::*;
use crate::store::disk::wait_until_free;
use crate::store::{Salvaged, TableRow};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

const TABLE: Table = Table::Job;

struct Log {
    dir: TempDir,
    rows: Rows,
    /// Every value that a key ever had.
    history: HashMap<Vec<u8>, HashSet<Vec<u8>>>,
}

/// Rows are written, written again and removed, so that pages split, merge and move.
fn log(batches: &[Vec<(u16, Option<usize>)>]) -> Log {
    let (dir, store) = fresh();
    let (mut rows, mut history) = (Rows::new(), HashMap::<_, HashSet<_>>::new());
    for (number, batch) in batches.iter().enumerate() {
        let mut writes = Batch::new();
        for (key, length) in batch {
            let key = key.to_be_bytes().to_vec();
            match length {
                Some(length) => {
                    let mut value = vec![u8::try_from(number % 256).unwrap(); *length];
                    value.extend(&key);
                    writes.put(TABLE, key.clone(), value.clone());
                    history.entry(key.clone()).or_default().insert(value.clone());
                    rows.insert(key, value);
                }
                None => {
                    writes.delete(TABLE, key.clone());
                    rows.remove(&key);
                }
            }
        }
        assert!(commit(&store, writes));
    }
    drop(store);
    wait_until_free(&dir.path().join("store")).unwrap();
    Log { dir, rows, history }
}

/// A few segments.
fn large() -> Log {
    let batch = |round: u16| (0..500).map(move |n| (round * 250 + n, Some(300))).collect();
    log(&(0..24).map(batch).collect::<Vec<_>>())
}

impl Log {
    fn path(&self) -> PathBuf {
        self.dir.path().join("store/db")
    }

    fn salvage(&self) -> (Rows, crate::store::Loss) {
        let salvaged = Salvaged::read(&self.dir.path().join("store")).unwrap();
        let (rows, loss) = salvaged.into_rows();
        // A change that was made to a page in a state that is lost has a key of another length, which no row has.
        let rows = rows
            .into_iter()
            .filter(|row| row.table == TABLE as u8 && row.key.len() == 2);
        let row = |TableRow { key, value, .. }| (key, value);
        (rows.map(row).collect(), loss)
    }

    fn damage(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(self.path()).unwrap();
        change(&mut bytes);
        std::fs::write(self.path(), bytes).unwrap();
    }

    fn assert_nothing_is_invented(&self, rows: &Rows) {
        for (key, value) in rows {
            // Of a long value the pieces are entries of their own, each as it was at some time.
            let pieces = value.chunks(4096).enumerate();
            for (number, piece) in pieces {
                let written = self.history.get(key).is_some_and(|values| {
                    let mut values = values.iter();
                    values.any(|value| value.chunks(4096).nth(number) == Some(piece))
                });
                assert!(written, "piece {number} of a value that {key:?} never had");
            }
        }
    }
}

fn batches() -> impl Strategy<Value = Vec<Vec<(u16, Option<usize>)>>> {
    let length = prop_oneof![8 => 0_usize..400, 1 => 4090_usize..4100, 1 => 9000_usize..20_000];
    let write = (0..700_u16, prop::option::weighted(0.6, length));
    prop::collection::vec(prop::collection::vec(write, 1..250), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_sound_log_is_read_whole(batches in batches()) {
        let log = log(&batches);
        let (rows, loss) = log.salvage();
        prop_assert!(rows == log.rows, "{} rows of {}, {loss:?}", rows.len(), log.rows.len());
        prop_assert_eq!((loss.unreadable_bytes, loss.incomplete_values), (0, 0));
        prop_assert_eq!(loss.tables, Vec::<u8>::new());
    }

    #[test]
    fn of_a_damaged_log_nothing_is_invented(
        batches in batches(),
        wounds in prop::collection::vec((0.0..1.0_f64, 1..9000_usize, 0..4_u8), 1..5),
    ) {
        let log = log(&batches);
        log.damage(|bytes| {
            for (place, length, kind) in &wounds {
                let at = (place * bytes.len() as f64) as usize;
                let end = (at + length).min(bytes.len());
                match kind {
                    0 => bytes[at..end].fill(0),
                    1 => bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a),
                    2 => bytes[at] ^= 1,
                    _ => bytes.truncate(at.max(1)),
                }
            }
        });
        log.assert_nothing_is_invented(&log.salvage().0);
    }
}

#[test]
fn a_hole_in_the_middle_costs_little_more_than_what_was_in_it() {
    let log = large();
    let length = log.path().metadata().unwrap().len() as usize;
    assert!(length > 3 * 512 * 1024, "{length}");
    log.damage(|bytes| bytes[length / 2..length / 2 + 4096].fill(0xee));
    let (rows, loss) = log.salvage();
    log.assert_nothing_is_invented(&rows);
    assert!(
        rows.len() * 100 > log.rows.len() * 95,
        "{} of {}",
        rows.len(),
        log.rows.len()
    );
    // Where the hole is in what sled had freed already, nothing is lost and nothing is said.
    let is_whole = rows.len() == log.rows.len();
    assert!(is_whole || loss.unreadable_bytes > 0, "{loss:?}");
}

#[test]
fn a_segment_without_its_header_is_read_all_the_same() {
    let log = large();
    log.damage(|bytes| bytes[512 * 1024..512 * 1024 + 20].fill(0));
    assert!(log.salvage().0 == log.rows);
}

#[test]
fn a_log_that_was_cut_has_its_first_part() {
    let log = large();
    log.damage(|bytes| bytes.truncate(bytes.len() / 2));
    let (rows, loss) = log.salvage();
    log.assert_nothing_is_invented(&rows);
    assert!(
        rows.len() * 3 > log.rows.len(),
        "{} of {}",
        rows.len(),
        log.rows.len()
    );
    assert!(!loss.tables.is_empty() || rows.len() < log.rows.len());
}

#[test]
fn a_log_that_is_gone_has_no_rows_and_every_table_has_a_gap() {
    let log = large();
    std::fs::remove_file(log.path()).unwrap();
    let (rows, loss) = log.salvage();
    assert!(rows.is_empty());
    assert_eq!(loss.tables.len(), 0x9f);
}

#[test]
fn neither_snapshot_nor_configuration_is_needed() {
    let log = large();
    for file in log.dir.path().join("store").read_dir().unwrap() {
        let file = file.unwrap().path();
        if file.is_file() && !file.ends_with("db") {
            std::fs::remove_file(file).unwrap();
        }
    }
    assert!(log.salvage().0 == log.rows);
}

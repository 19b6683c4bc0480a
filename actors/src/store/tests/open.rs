//! Opening: who may, what is refused, and that a store which does not open stays as it was.

use super::*;
use crate::store::disk::wait_until_free;
use crate::store::format::Upgrade;
use crate::store::lock::DirLock;
use crate::store::{OpenError, open};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn options(dir: &Path) -> Options {
    Options {
        disk_free_min: 0,
        ..Options::new(dir)
    }
}

fn refusal(dir: &Path) -> OpenError {
    Store::open(&options(dir)).map(drop).unwrap_err()
}

/// A store of a few segments, written by two processes one after the other.
fn filled() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for process in 0..2_u32 {
        let store = super::open(dir.path());
        for round in 0..10_u32 {
            let mut batch = Batch::new();
            for n in 0..200_u32 {
                let key = [process, round, n].map(u32::to_be_bytes).concat();
                batch.put(Table::Job, key, vec![7; 300]);
            }
            assert!(commit(&store, batch));
        }
    }
    // Threads of sled may write until they let go of the file.
    wait_until_free(&dir.path().join("store")).unwrap();
    dir
}

fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = dir
        .join("store")
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

fn damage(dir: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = contents(dir)
        .into_keys()
        .find(|path| path.to_string_lossy().contains(name))
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn a_second_opener_is_told_who_holds_the_store_and_touches_nothing() {
    let (dir, store) = fresh();
    assert!(commit(&store, put(Table::Job, b"a", b"1")));
    let before = contents(dir.path());
    let error = refusal(dir.path());
    assert!(
        matches!(error, OpenError::Held { pid: Some(pid), .. } if pid == std::process::id()),
        "{error}"
    );
    assert!(error.to_string().contains("choose another data_dir"));
    assert!(contents(dir.path()) == before);
    drop(store);
    assert_eq!(
        super::open(dir.path()).get(Table::Job, b"a").unwrap().unwrap(),
        b"1"
    );
}

#[test]
fn a_data_directory_that_cannot_be_made_is_unwritable() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = refusal(&file.join("data"));
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error}");
}

#[test]
fn a_damaged_store_does_not_open_and_stays_as_it_was() {
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, &str, Change); 6] = [
        ("cut in half", "db", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut to a rest", "db", |bytes| bytes.truncate(10_000)),
        ("emptied", "db", Vec::clear),
        ("other bytes", "db", |bytes| {
            bytes
                .iter_mut()
                .for_each(|byte| *byte = byte.wrapping_mul(31) ^ 0x5a)
        }),
        ("a wrong configuration", "conf", |bytes| bytes[0] ^= 0xff),
        ("a wrong snapshot", "snap.", |bytes| bytes.truncate(20)),
    ];
    for (name, file, change) in cases {
        for keep_snapshot in [true, false] {
            let dir = filled();
            if !keep_snapshot && file == "db" {
                let snapshots = contents(dir.path()).into_keys();
                let mut snapshots = snapshots.filter(|path| path.to_string_lossy().contains("snap."));
                std::fs::remove_file(snapshots.next().unwrap()).unwrap();
            }
            damage(dir.path(), file, change);
            let before = contents(dir.path());
            let error = refusal(dir.path());
            assert!(matches!(error, OpenError::Broken { .. }), "{name}: {error}");
            assert!(!error.to_string().contains("backtrace"), "{name}: {error}");
            assert!(contents(dir.path()) == before, "{name}: files changed");
            assert!(!dir.path().join("store.opening").exists());
        }
    }
}

#[test]
fn a_store_from_a_newer_version_is_refused_before_anything_is_touched() {
    let (dir, store) = fresh();
    drop(store);
    wait_until_free(&dir.path().join("store")).unwrap();
    damage(dir.path(), "FORMAT", |text| *text = b"9\n".to_vec());
    let before = contents(dir.path());
    let error = refusal(dir.path());
    assert!(
        matches!(
            error,
            OpenError::NewerFormat {
                found: 9,
                known: 2,
                ..
            }
        ),
        "{error}"
    );
    assert!(contents(dir.path()) == before);
}

#[test]
fn an_older_format_is_upgraded_step_by_step_and_once() {
    let upgrades: [Upgrade; 3] = [
        |_, _| panic!("the store is newer than this step"),
        |disk, batch| {
            let old = disk.get(&Table::Job.full_key(b"count"))?.unwrap_or_default();
            batch.insert(Table::Job.full_key(b"count"), [&old[..], b"2"].concat());
            Ok(())
        },
        |disk, batch| {
            let old = disk.get(&Table::Job.full_key(b"count"))?.unwrap_or_default();
            batch.insert(Table::Job.full_key(b"count"), [&old[..], b"3"].concat());
            Ok(())
        },
    ];
    let (dir, store) = fresh();
    assert!(commit(&store, put(Table::Job, b"count", b"1")));
    drop(store);
    for _ in 0..2 {
        let lock = DirLock::take(dir.path()).unwrap();
        let store = open::open(&options(dir.path()), lock, &upgrades).unwrap();
        assert_eq!(store.get(Table::Job, b"count").unwrap().unwrap(), b"123");
    }
    let error = refusal(dir.path());
    assert!(
        matches!(
            error,
            OpenError::NewerFormat {
                found: 4,
                known: 2,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_first_start_that_was_interrupted_is_a_new_store() {
    let dir = tempfile::tempdir().unwrap();
    drop(sled::Config::new().path(dir.path().join("store")).open().unwrap());
    assert!(commit(&super::open(dir.path()), put(Table::Job, b"a", b"1")));
}

#[test]
fn what_an_interrupted_start_left_does_not_hinder_the_next() {
    let dir = filled();
    let store = dir.path().join("store");
    // sled 0.34.7 would take it for the newest snapshot.
    std::fs::write(store.join("snap.FFFFFFFFFFFFFFFF.generating"), b"half a snapshot").unwrap();
    std::fs::create_dir(dir.path().join("store.opening")).unwrap();
    std::fs::write(dir.path().join("store.opening/db"), b"half a copy").unwrap();
    assert_eq!(
        super::open(dir.path())
            .scan(Table::Job, b"", None, 5000)
            .unwrap()
            .len(),
        4000
    );
    assert!(!dir.path().join("store.opening").exists());
}

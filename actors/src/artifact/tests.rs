//! Tests of artifacts.

use super::*;
use crate::store::{Batch, Options};
use std::io::Read;
use tempfile::TempDir;
use tripline_protocol::{JobId, Org};

const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn fresh(bytes_max: u64) -> (TempDir, ArtifactStore) {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = ArtifactStore::open(dir.path(), bytes_max).unwrap();
    (dir, artifacts)
}

fn read(artifacts: &ArtifactStore, sha256: &Sha256) -> Vec<u8> {
    let (mut file, length) = artifacts.open_read(sha256).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, length);
    bytes
}

fn incomplete(dir: &Path) -> usize {
    dir.join("artifacts/incoming").read_dir().unwrap().count()
}

#[test]
fn a_content_comes_in_pieces_and_lies_under_its_hash() {
    let (dir, artifacts) = fresh(100);
    let mut incoming = artifacts.begin().unwrap();
    incoming.write(0, b"he").unwrap();
    incoming.write(2, b"").unwrap();
    incoming.write(2, b"llo").unwrap();
    let expected = HELLO.parse().unwrap();
    assert_eq!(incoming.finish(Some(&expected)).unwrap(), (expected.clone(), 5));
    assert_eq!(read(&artifacts, &expected), b"hello");
    assert!(artifacts.exists(&expected));
    assert!(dir.path().join("artifacts/2c").join(&HELLO[2..]).is_file());
    assert_eq!((incomplete(dir.path()), artifacts.bytes_used()), (0, 5));
}

#[test]
fn a_piece_at_a_wrong_offset_is_refused_and_changes_nothing() {
    let (_dir, artifacts) = fresh(100);
    let mut incoming = artifacts.begin().unwrap();
    incoming.write(0, b"hel").unwrap();
    for wrong in [0, 2, 4] {
        let error = incoming.write(wrong, b"x").unwrap_err();
        assert!(matches!(error, Error::Offset { expected: 3, found } if found == wrong));
    }
    incoming.write(3, b"lo").unwrap();
    assert_eq!(incoming.finish(None).unwrap().0.as_str(), HELLO);
}

#[test]
fn another_content_than_announced_is_not_kept() {
    let (dir, artifacts) = fresh(100);
    let expected: Sha256 = "0".repeat(64).parse().unwrap();
    let mut incoming = artifacts.begin().unwrap();
    incoming.write(0, b"hello").unwrap();
    let error = incoming.finish(Some(&expected)).unwrap_err();
    assert!(matches!(error, Error::Hash { found, .. } if found.as_str() == HELLO));
    assert!(!artifacts.exists(&HELLO.parse().unwrap()) && !artifacts.exists(&expected));
    assert_eq!((incomplete(dir.path()), artifacts.bytes_used()), (0, 0));
}

#[test]
fn the_same_content_is_kept_and_counted_once() {
    let (dir, artifacts) = fresh(10);
    let mut incoming = artifacts.begin().unwrap();
    incoming.write(0, b"hello").unwrap();
    artifacts.put_bytes(b"hello").unwrap();
    assert_eq!(artifacts.bytes_used(), 10);
    incoming.finish(None).unwrap();
    assert_eq!((incomplete(dir.path()), artifacts.bytes_used()), (0, 5));
}

#[test]
fn what_does_not_fit_is_refused_until_something_goes() {
    let (dir, artifacts) = fresh(8);
    let (hello, _) = artifacts.put_bytes(b"hello").unwrap();
    let mut incoming = artifacts.begin().unwrap();
    incoming.write(0, b"abc").unwrap();
    let error = incoming.write(3, b"d").unwrap_err();
    assert!(matches!(
        error,
        Error::Full {
            bytes_used: 8,
            bytes_max: 8
        }
    ));
    assert!(error.to_string().contains("artifacts.bytes_max"));
    assert!(artifacts.remove(&hello).unwrap());
    assert!(!artifacts.remove(&hello).unwrap());
    incoming.write(3, b"d").unwrap();
    drop(incoming);
    assert_eq!((incomplete(dir.path()), artifacts.bytes_used()), (0, 0));
    assert!(matches!(artifacts.open_read(&hello).unwrap_err(), Error::Missing { sha256 } if sha256 == hello));
}

#[test]
fn reopening_removes_the_incomplete_and_counts_the_rest() {
    let (dir, artifacts) = fresh(100);
    let (hello, _) = artifacts.put_bytes(b"hello").unwrap();
    let mut incoming = artifacts.begin().unwrap();
    incoming.write(0, b"killed before it was complete").unwrap();
    std::mem::forget(incoming);
    assert_eq!(incomplete(dir.path()), 1);
    let reopened = ArtifactStore::open(dir.path(), 100).unwrap();
    assert_eq!((incomplete(dir.path()), reopened.bytes_used()), (0, 5));
    assert_eq!(read(&reopened, &hello), b"hello");
}

const TRANSFER: uuid::Uuid = uuid::Uuid::from_u128(7);

#[test]
fn a_transfer_that_was_cut_goes_on_where_it_stopped() {
    let (dir, artifacts) = fresh(100);
    let mut incoming = artifacts.begin_transfer(TRANSFER).unwrap();
    incoming.write(0, b"hel").unwrap();
    drop(incoming);
    assert_eq!((incomplete(dir.path()), artifacts.bytes_used()), (1, 3));
    let mut incoming = artifacts.begin_transfer(TRANSFER).unwrap();
    assert_eq!(incoming.bytes(), 3);
    let expected = artifacts.put_bytes(b"hel").unwrap().0;
    assert_eq!(incoming.sha256(), expected);
    incoming.write(3, b"lo").unwrap();
    assert_eq!(incoming.finish(None).unwrap().0.as_str(), HELLO);
    assert_eq!((incomplete(dir.path()), artifacts.bytes_used()), (0, 8));
    assert_eq!(artifacts.begin_transfer(TRANSFER).unwrap().bytes(), 0);
}

#[test]
fn a_transfer_goes_on_after_the_process_was_killed_but_not_after_another_boot() {
    let (dir, artifacts) = fresh(100);
    let mut incoming = artifacts.begin_transfer(TRANSFER).unwrap();
    incoming.write(0, b"hel").unwrap();
    std::mem::forget(incoming);
    let reopened = ArtifactStore::open(dir.path(), 100).unwrap();
    assert_eq!(reopened.bytes_used(), 3);
    let mut incoming = reopened.begin_transfer(TRANSFER).unwrap();
    incoming.write(3, b"l").unwrap();
    std::mem::forget(incoming);
    let reopened = ArtifactStore::open(dir.path(), 100).unwrap();
    let mut incoming = reopened.begin_transfer(TRANSFER).unwrap();
    assert_eq!(incoming.bytes(), 4);
    incoming.write(4, b"o").unwrap();
    let expected = HELLO.parse().unwrap();
    assert_eq!(incoming.finish(Some(&expected)).unwrap().1, 5);
    let mut incoming = reopened.begin_transfer(TRANSFER).unwrap();
    incoming.write(0, b"hel").unwrap();
    drop(incoming);
    let folder = dir.path().join("artifacts/incoming");
    let name = folder.read_dir().unwrap().next().unwrap().unwrap().file_name();
    let other = name.to_str().unwrap().split('.').next().unwrap().to_owned();
    std::fs::rename(folder.join(&name), folder.join(format!("{other}.{other}.5"))).unwrap();
    let reopened = ArtifactStore::open(dir.path(), 100).unwrap();
    assert_eq!((incomplete(dir.path()), reopened.bytes_used()), (0, 5));
    assert_eq!(reopened.begin_transfer(TRANSFER).unwrap().bytes(), 0);
}

#[test]
fn a_transfer_that_ended_wrong_or_is_discarded_leaves_nothing() {
    let (dir, artifacts) = fresh(100);
    let mut incoming = artifacts.begin_transfer(TRANSFER).unwrap();
    incoming.write(0, b"hel").unwrap();
    incoming.discard();
    let mut incoming = artifacts.begin_transfer(TRANSFER).unwrap();
    incoming.write(0, b"other").unwrap();
    let expected = HELLO.parse().unwrap();
    assert!(matches!(
        incoming.finish(Some(&expected)),
        Err(Error::Hash { .. })
    ));
    drop(artifacts.begin_transfer(TRANSFER).unwrap());
    assert_eq!((incomplete(dir.path()), artifacts.bytes_used()), (0, 0));
}

#[test]
fn the_next_connection_waits_until_the_one_before_has_let_go() {
    let (_dir, artifacts) = fresh(100);
    let mut incoming = artifacts.begin_transfer(TRANSFER).unwrap();
    incoming.write(0, b"hel").unwrap();
    std::thread::scope(|scope| {
        let next = scope.spawn(|| artifacts.begin_transfer(TRANSFER).unwrap().bytes());
        incoming.write(3, b"lo").unwrap();
        drop(incoming);
        assert_eq!(next.join().unwrap(), 5);
    });
}

#[test]
fn what_nobody_goes_on_with_goes_by_count_by_age_and_for_want_of_room() {
    let (dir, artifacts) = fresh(1000);
    let cut = |n: usize| {
        let transfer = uuid::Uuid::from_u128(n as u128);
        let mut incoming = artifacts.begin_transfer(transfer).unwrap();
        incoming.write(0, b"0123456789").unwrap();
    };
    (0..PARTIALS_MAX).for_each(cut);
    assert_eq!(incomplete(dir.path()), PARTIALS_MAX);
    cut(PARTIALS_MAX);
    assert_eq!(incomplete(dir.path()), PARTIALS_MAX);
    // The oldest is gone, the newest is there.
    let there = |n: usize| {
        artifacts
            .begin_transfer(uuid::Uuid::from_u128(n as u128))
            .unwrap()
            .bytes()
    };
    assert_eq!((there(0), there(PARTIALS_MAX)), (0, 10));
    let used = artifacts.bytes_used();
    artifacts.put_bytes(&[7; 990]).unwrap();
    assert!(used > 10 && artifacts.bytes_used() <= 1000);
    assert!(incomplete(dir.path()) <= 1);
    artifacts.sweep_partials(PARTIALS_KEPT_FOR);
    assert_eq!(artifacts.bytes_used(), 1000);
    assert_eq!(artifacts.sweep_partials(Duration::ZERO), 1);
    assert_eq!((incomplete(dir.path()), artifacts.bytes_used()), (0, 990));
}

#[test]
fn many_bring_the_same_content_at_once() {
    let (dir, artifacts) = fresh(1_000_000);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..20_u8 {
                    artifacts.put_bytes(&[n; 100]).unwrap();
                }
            });
        }
    });
    assert_eq!((incomplete(dir.path()), artifacts.bytes_used()), (0, 2000));
    assert_eq!(ArtifactStore::open(dir.path(), 1).unwrap().bytes_used(), 2000);
}

#[test]
fn an_org_reads_what_its_jobs_have_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    let hello: Sha256 = HELLO.parse().unwrap();
    let orgs: [Org; 3] = ["acme", "acm", "acme2"].map(|org| org.parse().unwrap());
    let jobs = [1, 2].map(|n| JobId(uuid::Uuid::from_u128(n)));
    let mut batch = Batch::new();
    jobs.iter()
        .for_each(|job| note_use(&mut batch, &hello, &orgs[0], *job));
    store.commit(batch, || {});
    let may = || {
        orgs.each_ref()
            .map(|org| may_read(&store, &hello, Some(org)).unwrap())
    };
    assert_eq!(may(), [true, false, false]);
    assert!(may_read(&store, &hello, None).unwrap());
    assert!(!may_read(&store, &"0".repeat(64).parse().unwrap(), None).unwrap());
    for (job, still) in [(jobs[0], true), (jobs[1], false)] {
        let mut batch = Batch::new();
        forget_use(&mut batch, &hello, &orgs[0], job);
        store.commit(batch, || {});
        assert_eq!((may()[0], is_used(&store, &hello).unwrap()), (still, still));
    }
}

#[test]
fn a_sweep_removes_what_is_old_and_unused() {
    let (dir, artifacts) = fresh(100);
    let store = Store::open(&Options::new(dir.path())).unwrap();
    let [used, unused, young, again] =
        [b"used.", b"alone", b"young", b"again"].map(|bytes| artifacts.put_bytes(bytes).unwrap().0);
    let mut batch = Batch::new();
    note_use(
        &mut batch,
        &used,
        &Org::default_org(),
        JobId(uuid::Uuid::from_u128(1)),
    );
    store.commit(batch, || {});
    let old = SystemTime::now() - Duration::from_secs(7200);
    for sha256 in [&used, &unused, &again] {
        artifacts.open_read(sha256).unwrap().0.set_modified(old).unwrap();
    }
    artifacts.put_bytes(b"again").unwrap();
    let swept = artifacts.sweep(&store, Duration::from_secs(3600)).unwrap();
    assert_eq!(
        swept,
        Swept {
            artifacts: 1,
            bytes: 5
        }
    );
    let there = [&used, &unused, &young, &again].map(|sha256| artifacts.exists(sha256));
    assert_eq!(there, [true, false, true, true]);
    assert_eq!(artifacts.bytes_used(), 15);
}

//! Order and visibility of commits.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a_submitted_batch_is_visible_before_it_is_durable_and_answered_after() {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    let answer = submit(&store, put(Table::Job, b"a", b"1"));
    assert_eq!(store.get(Table::Job, b"a").unwrap().unwrap(), b"1");
    assert_eq!(store.durable_lag(), 1);
    assert!(answer.try_recv().is_err());
    keeper.open();
    assert!(acknowledged(&answer));
    assert_eq!((keeper.applied(), keeper.synced()), (1, 1));
    assert_eq!(store.get(Table::Job, b"a").unwrap().unwrap(), b"1");
}

#[test]
fn a_row_is_durable_when_its_last_write_is_synced_and_not_when_it_is_only_written() {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    assert!(store.is_durable(Table::Job, b"a"));
    keeper.set(|gate| gate.holds_sync = true);
    let first = submit(&store, put(Table::Job, b"a", b"1"));
    assert!(!store.is_durable(Table::Job, b"a"));
    keeper.let_through(1);
    keeper.wait_until_applied(1);
    assert!(!store.is_durable(Table::Job, b"a"));
    let second = submit(&store, put(Table::Job, b"a", b"2"));
    keeper.set(|gate| gate.holds_sync = false);
    assert!(acknowledged(&first));
    assert!(!store.is_durable(Table::Job, b"a"));
    assert!(store.is_durable(Table::Job, b"b"));
    keeper.open();
    assert!(acknowledged(&second));
    assert!(store.is_durable(Table::Job, b"a"));
}

#[test]
fn a_row_whose_sync_failed_is_never_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    keeper.set(|gate| gate.fail_sync = true);
    keeper.open();
    assert!(!commit(&store, put(Table::Job, b"a", b"1")));
    assert!(!store.is_durable(Table::Job, b"a"));
}

#[test]
fn a_batch_submitted_after_another_was_applied_keeps_its_own_value() {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    let first = submit(&store, put(Table::Job, b"a", b"1"));
    let second = submit(&store, put(Table::Job, b"a", b"2"));
    keeper.open();
    assert!(acknowledged(&first) && acknowledged(&second));
    let third = submit(&store, put(Table::Job, b"a", b"3"));
    assert_eq!(store.get(Table::Job, b"a").unwrap().unwrap(), b"3");
    assert!(acknowledged(&third));
}

#[test]
fn answers_come_in_the_order_of_submission_and_never_before_the_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    let (told, heard) = channel();
    for n in 0..3000_u32 {
        let batch = match n % 3 {
            0 => Batch::new(),
            _ => put(Table::Job, &n.to_be_bytes(), b"x"),
        };
        let (told, keeper) = (told.clone(), keeper.clone());
        store.commit(batch, move || {
            told.send((n, keeper.applied(), keeper.synced())).unwrap()
        });
    }
    // The very first, empty one had nothing to wait for.
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), (0, 0, 0));
    assert!(heard.try_recv().is_err());
    keeper.open();
    for n in 1..3000 {
        let (number, applied, synced) = heard.recv_timeout(PATIENCE).unwrap();
        assert_eq!(number, n);
        assert!(synced >= 1 && synced == applied);
    }
    assert!(
        keeper.synced() <= 10,
        "2000 writes waiting together take few syncs"
    );
}

#[test]
fn an_empty_batch_with_nothing_before_it_answers_at_once_without_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    let caller = std::thread::current().id();
    let (told, heard) = channel();
    store.commit(Batch::new(), move || {
        told.send(std::thread::current().id()).unwrap()
    });
    assert_eq!(heard.try_recv().unwrap(), caller);
    assert_eq!(keeper.synced(), 0);
}

#[test]
fn an_empty_batch_waits_for_those_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    let write = submit(&store, put(Table::Job, b"a", b"1"));
    let read = submit(&store, Batch::new());
    assert!(read.try_recv().is_err());
    keeper.open();
    assert!(acknowledged(&write) && acknowledged(&read));
    assert_eq!(keeper.synced(), 1);
}

#[test]
fn what_runs_after_a_commit_may_commit_and_may_panic() {
    let (_dir, store) = fresh();
    store.commit(put(Table::Job, b"a", b"1"), || panic!("a caller's mistake"));
    let (told, heard) = channel();
    let again = store.clone();
    store.commit(put(Table::Job, b"b", b"1"), move || {
        let told = told.clone();
        again.commit(Batch::new(), move || told.send(()).unwrap());
    });
    heard.recv_timeout(PATIENCE).unwrap();
    assert!(!store.failed());
}

#[test]
fn many_threads_commit_and_every_batch_is_durable_once() {
    let (dir, store) = fresh();
    let answers = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let (store, answers) = (store.clone(), answers.clone());
            scope.spawn(move || {
                for n in 0..200_u16 {
                    let [high, low] = n.to_be_bytes();
                    let answers = answers.clone();
                    store.commit(put(Table::Job, &[thread, high, low], b"x"), move || {
                        answers.fetch_add(1, Ordering::SeqCst);
                    });
                }
            });
        }
    });
    store.flush_and_close();
    assert_eq!(answers.load(Ordering::SeqCst), 1600);
    drop(store);
    assert_eq!(
        open(dir.path()).scan(Table::Job, b"", None, 5000).unwrap().len(),
        1600
    );
}

#[test]
fn after_closing_nothing_is_taken() {
    let (_dir, store) = fresh();
    store.flush_and_close();
    assert!(!commit(&store, put(Table::Job, b"a", b"1")));
    assert_eq!(store.get(Table::Job, b"a").unwrap(), None);
    store.flush_and_close();
}

#[test]
fn the_last_handle_may_be_dropped_by_what_runs_after_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    let (told, heard) = channel();
    let last = store.clone();
    store.commit(put(Table::Job, b"a", b"1"), move || {
        drop(last);
        told.send(()).unwrap();
    });
    drop(store);
    keeper.open();
    heard.recv_timeout(PATIENCE).unwrap();
}

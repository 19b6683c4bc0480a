//! What happens when the disk fails.

use super::*;

fn fails(tell: impl Fn(&mut Gate)) {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    let (told, heard) = channel();
    store.on_failure(move |reason| told.send(reason.to_owned()).unwrap());
    let before = submit(&store, put(Table::Job, b"a", b"1"));
    keeper.let_through(1);
    assert!(acknowledged(&before));
    keeper.set(&tell);
    let at = submit(&store, put(Table::Job, b"b", b"1"));
    let reading = submit(&store, Batch::new());
    keeper.open();
    assert!(!acknowledged(&at) && !acknowledged(&reading));
    assert!(heard.recv_timeout(PATIENCE).unwrap().contains("told to"));
    assert!(store.failed());
    keeper.set(|gate| {
        *gate = Gate {
            applies_let_through: u64::MAX,
            ..Gate::default()
        }
    });
    assert!(!commit(&store, put(Table::Job, b"c", b"1")));
    assert!(!commit(&store, Batch::new()), "not even a read is answered");
    assert_eq!(keeper.applied(), 0, "nothing was tried again");
    assert!(heard.try_recv().is_err(), "told once");
    store.flush_and_close();
}

#[test]
fn after_a_failed_write_nothing_is_answered_any_more() {
    fails(|gate| gate.fail_apply = true);
}

#[test]
fn after_a_failed_sync_nothing_is_answered_any_more() {
    fails(|gate| gate.fail_sync = true);
}

#[test]
fn after_a_panic_in_a_write_nothing_is_answered_any_more() {
    fails(|gate| gate.panic_in_apply = true);
}

#[test]
fn who_asks_late_hears_of_the_failure_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    keeper.set(|gate| gate.fail_sync = true);
    keeper.open();
    assert!(!commit(&store, put(Table::Job, b"a", b"1")));
    store.flush_and_close();
    let (told, heard) = channel();
    store.on_failure(move |reason| told.send(reason.to_owned()).unwrap());
    assert_eq!(
        heard.try_recv().unwrap(),
        "failed to sync the store to disk: told to fail"
    );
}

#[test]
fn a_file_that_sled_spilled_is_a_failure() {
    let (dir, store) = fresh();
    assert!(commit(&store, put(Table::Job, b"a", b"1")));
    std::fs::write(dir.path().join("store/blobs/17"), b"x").unwrap();
    assert!(!commit(&store, put(Table::Job, b"b", b"1")));
    assert!(store.failed());
}

#[test]
fn free_space_below_the_minimum_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let plenty = Space::new(dir.path().to_owned(), 1);
    let never = Space::new(dir.path().to_owned(), u64::MAX);
    let nowhere = Space::new(dir.path().join("missing"), 0);
    assert!(!plenty.is_low() && never.is_low() && nowhere.is_low());
}

//! Signs of life, watches and numbers.

use super::*;
use crate::store::{Batch, Options, Store};
use tempfile::TempDir;
use tripline_protocol::{SessionId, Timestamp};
use uuid::Uuid;

const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const ID: SessionId = SessionId(Uuid::from_u128(7));

fn fresh() -> (TempDir, Store, LiveSessions) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    let live = LiveSessions::load(&store).unwrap();
    (dir, store, live)
}

#[test]
fn a_sign_of_life_is_never_older_than_the_last() {
    let (_dir, _store, live) = fresh();
    let at = |seconds| START.after(Span::from_secs(seconds));
    live.touch(ID, at(1));
    assert_eq!(live.last_request(ID), None, "it is not open");
    live.begin(ID, at(5));
    live.touch(ID, at(9));
    live.touch(ID, at(7));
    live.begin(ID, at(20));
    assert_eq!(live.last_request(ID), Some(at(9)));
    live.end(ID);
    assert_eq!(live.last_request(ID), None);
}

#[tokio::test]
async fn a_change_after_the_watch_was_made_is_not_missed() {
    let (_dir, _store, live) = fresh();
    assert!(live.watch(ID).is_none(), "it is not open");
    live.begin(ID, START);
    live.changed(ID);
    let mut watch = live.watch(ID).unwrap();
    live.changed(ID);
    watch.changed().await;
    live.end(ID);
    watch.changed().await;
}

#[test]
fn only_so_many_requests_are_held() {
    let (_dir, _store, live) = fresh();
    live.begin(ID, START);
    let mut held: Vec<Watch> = std::iter::from_fn(|| live.watch(ID)).take(10_000).collect();
    assert_eq!(held.len(), 4096);
    held.pop();
    assert!(live.watch(ID).is_some());
}

#[test]
fn slots_that_are_waited_for_are_counted_down() {
    let (_dir, _store, live) = fresh();
    live.give();
    assert!(!live.is_wanted());
    live.set_wanted(2);
    live.give();
    assert!(live.is_wanted());
    live.give();
    assert!(!live.is_wanted());
}

#[test]
fn numbers_go_on_after_those_in_the_store() {
    let (_dir, store, live) = fresh();
    let mut batch = Batch::new();
    assert_eq!(live.next_session(&mut batch).unwrap(), 1);
    assert_eq!(live.next_session(&mut batch).unwrap(), 2);
    assert_eq!(live.next_file(&mut batch).unwrap(), 1);
    store.commit(batch, || {});
    let live = LiveSessions::load(&store).unwrap();
    let mut batch = Batch::new();
    assert_eq!(live.next_session(&mut batch).unwrap(), 3);
    assert_eq!(live.next_file(&mut batch).unwrap(), 2);
}

//! What is read from the store, and written there.

use super::super::reading::Reading;
use super::super::record::{FanoutRecord, HostRow, chunk, chunk_key, host_key};
use super::{at, host, in_flight, record};
use crate::artifact::ArtifactStore;
use crate::clock::SystemClock;
use crate::core::CoreConfig;
use crate::fixture::RecordingPublisher;
use crate::ground::Ground;
use crate::store::{Batch, Options, Store, Table};
use std::sync::Arc;
use tempfile::TempDir;
use tripline_protocol::fanout::{FanoutHostState, Pace};
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::{FanoutId, HostId};
use uuid::Uuid;

pub(in crate::fanout) fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    (dir, store)
}

/// Writes a batch and waits until it is on the disk.
pub(in crate::fanout) fn commit(store: &Store, batch: Batch) {
    let (done, wait) = std::sync::mpsc::channel();
    store.commit(batch, move || done.send(()).unwrap());
    wait.recv().unwrap();
}

pub(in crate::fanout) fn ground(dir: &TempDir, store: &Store) -> Ground {
    let artifacts = Arc::new(ArtifactStore::open(dir.path(), 0).unwrap());
    let publisher = Arc::new(RecordingPublisher::default());
    let clock = Arc::new(SystemClock::default());
    Ground::load(CoreConfig::default(), store.clone(), artifacts, publisher, clock).unwrap()
}

/// The row of a host whose job ended.
pub(in crate::fanout) fn ended_row(outcome: Outcome) -> HostRow {
    HostRow {
        state: FanoutHostState::Ended(outcome),
        reason: Some(Reason::new("step_failed", "no")),
        finished_at: Some(at(1)),
        ..in_flight(0, 0, at(0))
    }
}

const ID: FanoutId = FanoutId(Uuid::nil());

/// A fan-out over these hosts, in two lists.
fn listed(batch: &mut Batch, first: &[HostId], second: &[HostId]) -> FanoutRecord {
    for (number, hosts) in [(0, first), (1, second)] {
        batch.put(Table::FanoutChunk, chunk_key(ID, number), chunk(0, hosts));
    }
    FanoutRecord {
        resolved: true,
        chunks: 2,
        ..record(Pace::default(), false)
    }
}

fn read(ground: &Ground, record: FanoutRecord) -> super::super::Open {
    let mut reading = Reading::new(record);
    while reading.go_on(&ground.store, at(9)).unwrap() {}
    reading.finish(ground).unwrap()
}

#[test]
fn a_host_whose_row_cannot_be_read_failed_for_good_and_its_row_says_so_from_then_on() {
    let (dir, store) = store();
    let mut batch = Batch::new();
    let record = listed(&mut batch, &[host(1)], &[host(2)]);
    batch.put(Table::FanoutHost, host_key(ID, host(1)), b"{ not a row".to_vec());
    commit(&store, batch);
    let ground = ground(&dir, &store);
    let mut open = read(&ground, record.clone());
    let counts = open.machine.counts();
    assert_eq!((counts.failed, counts.pending), (1, 1));
    open.machine.attached(host(1));
    assert_eq!(open.machine.next(at(10)), None, "only the other one waits");
    let row = store
        .get(Table::FanoutHost, &host_key(ID, host(1)))
        .unwrap()
        .unwrap();
    let row: HostRow = serde_json::from_slice(&row).unwrap();
    assert!(row.unreadable);
    assert_eq!(row.reason.unwrap().code, "row_unreadable");
    let again = read(&ground, record);
    assert!(
        !again.machine.has_to_retry(&[Outcome::Failed]),
        "also after the next start"
    );
}

#[test]
fn of_a_list_that_cannot_be_read_those_that_had_a_turn_stay_and_the_others_are_no_success() {
    let (dir, store) = store();
    let mut batch = Batch::new();
    let record = listed(&mut batch, &[host(1)], &[host(2), host(3)]);
    batch.put(Table::FanoutChunk, chunk_key(ID, 1), b"no list".to_vec());
    for n in [1, 2] {
        ended_row(Outcome::Succeeded).put(&mut batch, ID, host(n));
    }
    commit(&store, batch);
    let open = read(&ground(&dir, &store), record);
    assert_eq!(
        (open.machine.counts().hosts, open.machine.counts().succeeded),
        (2, 2)
    );
    let (_, reason) = open.machine.conclusion().unwrap();
    assert_eq!(reason.code, "hosts_lost");
}

#[test]
fn a_fan_out_is_read_so_many_rows_at_once() {
    const HOSTS: u128 = 2_600;
    let (dir, store) = store();
    let mut batch = Batch::new();
    let hosts: Vec<HostId> = (1..=HOSTS).map(host).collect();
    let mut record = record(Pace::default(), false);
    for (number, part) in (0..).zip(hosts.chunks(250)) {
        batch.put(Table::FanoutChunk, chunk_key(ID, number), chunk(0, part));
        record.chunks = number + 1;
    }
    for host in hosts {
        ended_row(Outcome::Failed).put(&mut batch, ID, host);
    }
    commit(&store, batch);
    let mut reading = Reading::new(record);
    let mut slices = 1;
    while reading.go_on(&store, at(9)).unwrap() {
        slices += 1;
    }
    // Three of rows, three of lists.
    assert_eq!(slices, 6);
    let open = reading.finish(&ground(&dir, &store)).unwrap();
    assert_eq!(u128::from(open.machine.counts().failed), HOSTS);
}

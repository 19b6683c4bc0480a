//! Checking, repairing and recovering the store that real actors wrote.

use crate::client::{Client, served};
use crate::fixture::{Fixture, delete, list};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use tempfile::TempDir;
use tripline_actors::check::{check, repair};
use tripline_actors::clock::SystemClock;
use tripline_actors::export::{Exporter, unpack};
use tripline_actors::recover::{self, Condition};
use tripline_actors::store::{Batch, Built, Inspected, OpenError, Options, Store, Table};
use tripline_protocol::JobId;

/// A world with jobs that ended and that wait, a client of LittleBrother, labels and messages. Its data is left.
async fn world() -> (TempDir, Vec<JobId>) {
    let fixture = served();
    fixture.publisher.set_away(true);
    let mut jobs = Vec::new();
    for name in ["ana", "bo", "cy"] {
        let host = fixture.enrol(name).await;
        let mut agent = fixture.attach(host.host_id, name).await;
        let job = fixture.submit(host.host_id, vec![list()]).await;
        agent.obey().await;
        fixture.ended(job.job_id).await;
        jobs.push(job.job_id);
    }
    let away = fixture.enrol("di").await;
    for _ in 0..3 {
        jobs.push(fixture.submit(away.host_id, vec![delete()]).await.job_id);
    }
    Client::new("kid").arrive(&fixture, 7).await;
    (fixture.stop().await, jobs)
}

fn export(dir: &Path) -> (TempDir, Built) {
    let inspected = Inspected::open(dir, None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Arc::new(tripline_actors::artifact::ArtifactStore::open(dir, 1 << 30).unwrap());
    let clock = Arc::new(SystemClock::default());
    let exporter = Exporter::new(inspected.store().clone(), artifacts, clock, dir, 0);
    let file = folder.path().join("export");
    exporter.write_file(&file, true).unwrap();
    drop(exporter);
    let scratch = folder.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let (_, built) = unpack(&file, &scratch, &mut |_, _| {}).unwrap();
    (folder, built)
}

fn commit(store: &Store, batch: Batch) {
    let (done, wait) = channel();
    store.commit(batch, move || done.send(()).unwrap());
    wait.recv().unwrap();
}

fn all(store: &Store) -> BTreeSet<(u8, Vec<u8>, Vec<u8>)> {
    let mut snapshot = store.snapshot().unwrap();
    let mut rows = BTreeSet::new();
    loop {
        let page = snapshot.next_page().unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page.into_iter().map(|row| (row.table, row.key, row.value)));
    }
}

const TABLES: [Table; 14] = [
    Table::Job,
    Table::OpenJob,
    Table::JobByTime,
    Table::Host,
    Table::HostBySensor,
    Table::HostByName,
    Table::AgentKey,
    Table::LbHost,
    Table::LbAlive,
    Table::Token,
    Table::Outbox,
    Table::Meta,
    Table::HandledEvent,
    Table::Sent,
];

/// Rows that another row needs, or that follow from another row.
const MISSED: [Table; 8] = [
    Table::Job,
    Table::OpenJob,
    Table::JobByTime,
    Table::Host,
    Table::HostBySensor,
    Table::HostByName,
    Table::AgentKey,
    Table::LbHost,
];

/// Indexes, which can be made again.
const INDEXES: [Table; 4] = [
    Table::OpenJob,
    Table::JobByTime,
    Table::HostBySensor,
    Table::HostByName,
];

#[actix::test]
async fn every_row_that_is_missing_where_another_needs_it_is_named_with_its_key() {
    let (dir, _) = world().await;
    let (_folder, built) = export(dir.path());
    let store = built.store();
    assert_eq!(check(store, None).unwrap().problems, []);
    let before = all(store);
    let mut seen = BTreeSet::new();
    for table in TABLES {
        let rows: Vec<_> = before.iter().filter(|row| row.0 == table as u8).collect();
        for (_, key, value) in rows {
            seen.insert(table);
            let mut batch = Batch::new();
            batch.delete(table, key.clone());
            commit(store, batch);
            let problems = check(store, None).unwrap().problems;
            if MISSED.contains(&table) {
                assert!(!problems.is_empty(), "{table:?} {key:?} is not missed");
            }
            if INDEXES.contains(&table) {
                let repaired = repair(store).unwrap();
                assert!(repaired.dropped.is_empty(), "{repaired:?}");
                assert_eq!(all(store), before, "{table:?} was not made again");
            }
            let mut batch = Batch::new();
            batch.put(table, key.clone(), value.clone());
            commit(store, batch);
        }
    }
    let expected = MISSED.iter().copied().collect();
    assert!(seen.is_superset(&expected), "only {seen:?} had rows");
}

#[actix::test]
async fn a_value_that_cannot_be_read_is_named_without_what_is_in_it() {
    let (dir, _) = world().await;
    let (_folder, built) = export(dir.path());
    let store = built.store();
    for table in [
        Table::Job,
        Table::Host,
        Table::AgentKey,
        Table::Token,
        Table::Outbox,
        Table::LbHost,
    ] {
        let (key, value) = store.scan(table, &[], None, 1).unwrap().remove(0);
        let mut batch = Batch::new();
        batch.put(table, key.clone(), br#"{"secret":"hunter2"#.to_vec());
        commit(store, batch);
        let report = check(store, None).unwrap();
        let problem = report
            .problems
            .iter()
            .find(|problem| problem.table == format!("{table:?}"));
        assert!(problem.is_some(), "{table:?}: {:?}", report.problems);
        assert!(!format!("{report:?}").contains("hunter2"));
        let mut batch = Batch::new();
        batch.put(table, key, value);
        commit(store, batch);
    }
    assert_eq!(check(store, None).unwrap().problems, []);
}

#[actix::test]
async fn a_repair_leaves_nothing_wrong_whatever_was_lost() {
    let (dir, _) = world().await;
    let (_folder, built) = export(dir.path());
    let store = built.store();
    let rows: Vec<_> = all(store).into_iter().collect();
    // Every third row of each table, from another begin each time.
    for begin in 0..3 {
        let mut batch = Batch::new();
        for table in TABLES {
            let of_table = rows.iter().filter(|row| row.0 == table as u8);
            for (_, key, value) in of_table.clone() {
                batch.put(table, key.clone(), value.clone());
            }
            for (_, key, _) in of_table.skip(begin).step_by(3) {
                batch.delete(table, key.clone());
            }
        }
        commit(store, batch);
        repair(store).unwrap();
        let left = check(store, None).unwrap().problems;
        // What nobody can make again is told, and stays.
        let left: Vec<_> = left
            .iter()
            .filter(|left| !left.problem.contains("agent's key"))
            .collect();
        assert!(left.is_empty(), "{left:#?}");
    }
}

fn damage(dir: &Path) {
    let path = dir.join("store/db");
    let mut bytes = std::fs::read(&path).unwrap();
    // What sled cannot do without, and little else: the end of the log is emptied, and the snapshots are gone.
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end.saturating_sub(600)..].fill(0xaa);
    std::fs::write(path, bytes).unwrap();
    for entry in dir.join("store").read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
            let length = path.metadata().unwrap().len();
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(length / 2).unwrap();
        }
    }
}

#[actix::test]
async fn a_store_that_does_not_open_is_recovered_and_a_core_goes_on_with_it() {
    let (dir, jobs) = world().await;
    damage(dir.path());
    let refused = Store::open(&Options::new(dir.path())).map(drop).unwrap_err();
    assert!(
        refused.to_string().contains("tripline store recover"),
        "{refused}"
    );
    assert!(matches!(
        recover::examine(dir.path(), None).unwrap(),
        Condition::Broken(_)
    ));
    let before = std::fs::read(dir.path().join("store/db")).unwrap();
    // Without a yes nothing is changed.
    drop(recover::recover(dir.path()).unwrap());
    assert!(std::fs::read(dir.path().join("store/db")).unwrap() == before);
    assert!(!dir.path().join("store.recovering").exists());
    let recovery = recover::recover(dir.path()).unwrap();
    assert!(recovery.saved.read["Job"] > 0);
    let aside = recovery.put_in_place().unwrap().unwrap();
    assert!(
        std::fs::read(aside.join("db")).unwrap() == before,
        "the old store was not kept"
    );
    assert!(matches!(
        recover::examine(dir.path(), None).unwrap(),
        Condition::Sound
    ));
    let fixture = Fixture::resume(dir);
    let mut found = 0;
    for job in &jobs {
        found += usize::from(fixture.core.get_job(None, *job).await.is_ok());
    }
    assert!(found > 0, "no job was saved");
    let host = fixture.enrol("new").await;
    let mut agent = fixture.attach(host.host_id, "new").await;
    let job = fixture.submit(host.host_id, vec![list()]).await;
    agent.obey().await;
    fixture.ended(job.job_id).await;
}

#[actix::test]
async fn a_recovery_that_was_cut_short_between_its_renames_goes_on() {
    let (dir, _) = world().await;
    let store = dir.path().join("store");
    // As the first rename leaves it.
    std::fs::rename(&store, dir.path().join("store.recovered")).unwrap();
    let refused = Store::open(&Options::new(dir.path())).map(drop).unwrap_err();
    assert!(
        matches!(refused, OpenError::Unfinished { verb: "recover", .. }),
        "{refused}"
    );
    assert!(!store.exists(), "a new store was begun");
    assert_eq!(recover::go_on(dir.path()).unwrap(), None);
    assert!(matches!(
        recover::examine(dir.path(), None).unwrap(),
        Condition::Sound
    ));
}

#[actix::test]
async fn looking_at_a_store_changes_nothing_and_makes_nothing() {
    let (dir, _) = world().await;
    let files = |dir: &Path| {
        let mut files: Vec<_> = walk(dir);
        files.sort();
        files
    };
    let before = files(dir.path());
    assert!(matches!(
        recover::examine(dir.path(), None).unwrap(),
        Condition::Sound
    ));
    assert!(files(dir.path()) == before);
    let none = dir.path().join("nothing");
    assert!(matches!(
        recover::examine(&none, None),
        Err(OpenError::Missing { .. })
    ));
    assert!(!none.exists());
}

fn walk(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in dir.read_dir().unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            // The lock says who looked last.
            false if path.ends_with("lock") => {}
            false => files.push((path.clone(), std::fs::read(path).unwrap())),
        }
    }
    files
}

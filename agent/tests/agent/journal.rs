//! The journal on a real file.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use tripline_agent::journal::{Journal, Known, Options};
use tripline_protocol::CommandId;
use uuid::Uuid;

fn id(n: u128) -> CommandId {
    CommandId(Uuid::from_u128(n))
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, Options::default()).unwrap()
}

#[tokio::test]
async fn what_began_and_what_finished_survives_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let identity = journal.id();
    journal.begin(id(1), b"/tmp/.tripline-1".to_vec()).await.unwrap();
    journal.started(id(1), 77);
    journal.begin(id(2), Vec::new()).await.unwrap();
    journal.finish(id(2), "{\"two\":2}").await.unwrap();
    journal.begin(id(3), Vec::new()).await.unwrap();
    journal.finish(id(3), "{}").await.unwrap();
    journal.ack(id(3));
    journal.note_epoch(9);
    drop(journal);

    let journal = open(dir.path());
    assert_eq!((journal.id(), journal.epoch()), (identity, 9));
    let begun = journal.begun();
    assert_eq!(begun.len(), 1);
    assert_eq!(
        (begun[0].id, begun[0].pid, &*begun[0].leftover),
        (id(1), Some(77), &b"/tmp/.tripline-1"[..])
    );
    assert_eq!(journal.known(id(2)), Some(Known::Finished("{\"two\":2}".into())));
    assert_eq!(journal.known(id(3)), Some(Known::Acked));
    assert_eq!(journal.known(id(4)), None);
    assert_eq!(journal.unacked().len(), 1);
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_the_journal_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("commands.journal");
    let journal = open(dir.path());
    journal.begin(id(1), Vec::new()).await.unwrap();
    let identity = journal.id();
    drop(journal);
    let whole = fs::metadata(&path).unwrap().len();
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(&[0, 0, 0, 40, 1, 2, 3])
        .unwrap();

    let journal = open(dir.path());
    assert_eq!(journal.id(), identity);
    assert_eq!(fs::metadata(&path).unwrap().len(), whole);
    assert_eq!(journal.known(id(1)), Some(Known::Begun));
    journal.finish(id(1), "{}").await.unwrap();
    drop(journal);
    assert!(matches!(open(dir.path()).known(id(1)), Some(Known::Finished(_))));
}

#[tokio::test]
async fn damage_in_the_middle_gives_a_new_identity_and_keeps_what_is_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("commands.journal");
    let journal = open(dir.path());
    let identity = journal.id();
    for n in 1..=3 {
        journal.begin(id(n), Vec::new()).await.unwrap();
        journal.finish(id(n), "{}").await.unwrap();
    }
    drop(journal);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&path, bytes).unwrap();

    let journal = open(dir.path());
    assert_ne!(journal.id(), identity);
    assert!(matches!(journal.known(id(1)), Some(Known::Finished(_))));
    assert_eq!(journal.known(id(3)), None);
    assert!(dir.path().join("commands.damaged").exists());
    let identity = journal.id();
    drop(journal);
    assert_eq!(open(dir.path()).id(), identity);
}

#[tokio::test]
async fn compaction_keeps_identity_results_and_acked_ids() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        compact_bytes_min: 2048,
        acked_max: 10,
        acked_seconds: 3600,
    };
    let journal = Journal::open(dir.path(), options).unwrap();
    let identity = journal.id();
    journal.begin(id(1000), Vec::new()).await.unwrap();
    journal.finish(id(1001), "{\"kept\":true}").await.unwrap();
    for n in 0..500 {
        journal.begin(id(n), Vec::new()).await.unwrap();
        journal.finish(id(n), &"x".repeat(500)).await.unwrap();
        journal.ack(id(n));
    }
    drop(journal);
    let bytes = fs::metadata(dir.path().join("commands.journal")).unwrap().len();
    assert!(bytes < 20_000, "{bytes} bytes are left of 300,000");
    let journal = Journal::open(dir.path(), options).unwrap();
    assert_eq!(journal.id(), identity);
    assert_eq!(journal.known(id(1000)), Some(Known::Begun));
    assert_eq!(
        journal.known(id(1001)),
        Some(Known::Finished("{\"kept\":true}".into()))
    );
    assert_eq!(journal.known(id(499)), Some(Known::Acked));
    assert_eq!(journal.known(id(5)), None);
}

#[tokio::test]
async fn commands_at_once_are_all_durable() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let begins = (0..200).map(|n| journal.begin(id(n), Vec::new()));
    assert!(
        futures_util::future::join_all(begins)
            .await
            .iter()
            .all(Result::is_ok)
    );
    drop(journal);
    assert_eq!(open(dir.path()).begun().len(), 200);
}

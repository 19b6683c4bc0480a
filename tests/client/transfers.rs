//! Large contents both ways, and what a session's record has of them.

use crate::harness::scripted::{Behaviour, Content, Persona};
use crate::scene::{Scene, content, on_host};
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex};
use tripline_client::{CommandState, FaultClass, Progress, Verb};

/// Not a whole number of pieces.
const BYTES: usize = (40 << 20) + 12_345;

/// What a transfer told, and whether it told it in order.
fn told() -> (Arc<Mutex<Vec<Progress>>>, impl FnMut(Progress) + Send + 'static) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    (told, move |progress| tell.lock().expect("whole").push(progress))
}

fn assert_whole(told: &Mutex<Vec<Progress>>) {
    let told = told.lock().expect("whole");
    assert!(told.len() > 10, "{}", told.len());
    assert!(told.is_sorted_by_key(|progress| progress.bytes_done));
    let last = told.last().expect("told");
    assert_eq!(
        (last.bytes_done, last.bytes_total),
        (BYTES as u64, Some(BYTES as u64))
    );
}

#[tokio::test]
async fn a_large_file_goes_to_the_host_and_back_byte_for_byte() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let (here, there, back) = (scene.path("here"), scene.path("there"), scene.path("back"));
    std::fs::write(&here, content(BYTES)).expect("written");
    let (up, tell) = told();
    let put = session
        .put_file(on_host(&there))
        .progress(tell)
        .from_path(&here)
        .await
        .expect("put");
    assert_whole(&up);
    assert!(std::fs::read(&there).expect("a file") == content(BYTES));
    let (down, tell) = told();
    let got = session
        .get_file(on_host(&there))
        .progress(tell)
        .to_path(&back)
        .await
        .expect("got");
    assert_whole(&down);
    assert_eq!(
        (got.name.as_str(), got.bytes, &got.sha256),
        ("there", BYTES as u64, &put.sha256)
    );
    assert!(std::fs::read(&back).expect("a file") == content(BYTES));
    session.close().await.expect("closed");
}

#[tokio::test]
async fn a_part_of_a_file_is_fetched() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let path = scene.site.write("digits", "0123456789");
    let part = session
        .get_file(on_host(&path))
        .offset(3)
        .bytes_max(4)
        .to_bytes()
        .await;
    assert_eq!(part.expect("fetched"), b"3456");
    let beyond = session.get_file(on_host(&path)).offset(100).to_bytes().await;
    assert_eq!(beyond.expect("fetched"), b"");
    session.close().await.expect("closed");
}

#[tokio::test]
async fn the_record_of_a_session_has_its_commands_and_its_contents() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let path = scene.path("tool");
    session
        .put_file(on_host(&path))
        .from_bytes("sharp")
        .await
        .expect("put");
    session.list_processes().await.expect("a list");
    let fetched = session.get_file(on_host(&path)).await.expect("fetched").content();
    assert_eq!((fetched.name.as_str(), fetched.bytes), ("tool", 5));
    session.get_file("/nowhere").await.expect_err("not there");

    let commands = session.commands().list().await.expect("commands");
    let seen: Vec<(Verb, CommandState)> = commands
        .iter()
        .map(|command| (command.verb, command.state))
        .collect();
    let done = CommandState::Succeeded;
    let failed = CommandState::Failed;
    assert_eq!(
        seen,
        [
            (Verb::PutFile, done),
            (Verb::ListProcesses, done),
            (Verb::GetFile, done),
            (Verb::GetFile, failed)
        ]
    );
    // Outputs can be asked for by themselves; a content is not one.
    for (number, status) in [(2, 200), (3, 200), (4, 404), (5, 404)] {
        let path = format!("/v1/sessions/{}/commands/{number}/output", session.id());
        assert_eq!(scene.api().get(&path).await.status, status, "{number}");
    }
    let files = session.files().list().await.expect("files");
    assert_eq!(files.len(), 2);
    for file in &files {
        assert_eq!(session.download(file).to_bytes().await.expect("kept"), b"sharp");
    }
    let mut archive = Vec::new();
    let bytes = session
        .archive()
        .to_writer(&mut archive)
        .await
        .expect("an archive");
    assert_eq!(bytes, archive.len() as u64);
    let saved = scene.path("all.zip");
    session.archive().to_path(&saved).await.expect("an archive");
    let mut archive =
        zip::ZipArchive::new(Cursor::new(std::fs::read(&saved).expect("a file"))).expect("a zip");
    assert_eq!(archive.len(), 2);
    for index in 0..archive.len() {
        let mut kept = Vec::new();
        archive
            .by_index(index)
            .expect("a file")
            .read_to_end(&mut kept)
            .expect("read");
        assert_eq!(kept, b"sharp");
    }
    session.close().await.expect("closed");
}

#[tokio::test]
async fn a_transfer_that_the_host_cuts_arrives_whole_or_is_told() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.scripted(Persona::windows("win01")).await;
    let bytes = 3 << 20;
    let large = Content::Generated { seed: 9, bytes };
    agent.machine().files.write(r"C:\data\large", large.clone());
    let session = scene
        .client
        .host("win01")
        .await
        .expect("a host")
        .session()
        .await
        .expect("a session");
    agent.next(Verb::GetFile, [Behaviour::CutAfter(bytes / 2)]);
    let got = session.get_file(r"C:\data\large").to_bytes().await.expect("got");
    assert!(got == large.to_vec());
    agent.next(Verb::GetFile, [Behaviour::WrongHash]);
    let error = session
        .get_file(r"C:\data\large")
        .to_bytes()
        .await
        .expect_err("changed on its way");
    assert_eq!((error.class(), error.code()), (FaultClass::Server, "wrong_hash"));
    session
        .put_file(r"C:\data\copy")
        .from_bytes(got)
        .await
        .expect("put");
    let copy = agent
        .machine()
        .files
        .read(r"C:\data\copy")
        .map(|copy| copy.to_vec());
    assert!(copy.is_ok_and(|copy| copy == large.to_vec()));
    session.close().await.expect("closed");
}

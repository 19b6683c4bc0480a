//! Verbs of processes and directories on a real Linux host.

use crate::harness::until;
use crate::scene::{Scene, content, on_host};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;
use tripline_client::RemotePath;

#[tokio::test]
async fn a_program_runs_as_it_was_told() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let script = r#"pwd; printf '%s' "$WORD"; printf '\377\376' >&2; exit 3"#;
    let outcome = session
        .create_process(["/bin/sh", "-c", script])
        .working_directory("/tmp")
        .environment("WORD", "two words")
        .await
        .expect("it ran");
    assert_eq!((outcome.exit_code, outcome.signal), (Some(3), None));
    assert_eq!(outcome.stdout.expect("captured").to_bytes(), b"/tmp\ntwo words");
    assert_eq!(outcome.stderr.expect("captured").to_bytes(), [0xff, 0xfe]);
    let outcome = session.create_process_line("/bin/echo 'one  word' two").await;
    let outcome = outcome.expect("it ran");
    assert_eq!(outcome.stdout.expect("captured").to_bytes(), b"one  word two\n");
    let printed = scene.path("printed");
    let outcome = session
        .create_process(["/bin/sh", "-c", "echo first; echo second >&2"])
        .output_path(on_host(&printed))
        .await
        .expect("it ran");
    assert_eq!((outcome.exit_code, outcome.stdout), (Some(0), None));
    assert_eq!(std::fs::read(&printed).expect("a file"), b"first\nsecond\n");
    let little = session
        .create_process(["/bin/echo", "12345"])
        .output_bytes_max(2)
        .await;
    let captured = little.expect("it ran").stdout.expect("captured");
    assert_eq!(
        (captured.to_bytes().as_slice(), captured.truncated_bytes),
        (b"12".as_slice(), 4)
    );
    session.close().await.expect("closed");
}

#[tokio::test]
async fn a_process_is_seen_and_ended_and_no_other_in_its_place() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let started = session
        .create_process(["/bin/sleep", "987654"])
        .wait(false)
        .await
        .expect("started");
    assert_eq!(started.exit_code, None);
    let listing = session.list_processes().await.expect("a list");
    assert_eq!(listing.omitted, 0);
    let found = listing
        .processes
        .iter()
        .find(|process| process.pid == started.pid);
    let found = found.expect("in the list");
    assert_eq!(found.command_line, "/bin/sleep 987654");
    let other = session
        .kill_process(started.pid)
        .start_time(found.create_time - 100)
        .await;
    assert_eq!(other.expect_err("another process").code(), "recycled_pid");
    let wait = Duration::from_secs(30);
    let killed = session
        .kill_process(started.pid)
        .start_time(found.create_time)
        .wait(wait)
        .await;
    killed.expect("ended");
    until("it is gone", || !runs(started.pid)).await;
    session.close().await.expect("closed");
}

/// Whether there is such a process that has not ended; one that nobody waited for has.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn directories_are_made_listed_walked_and_emptied() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let top = scene.path("top");
    let deep = top.join("a/b");
    session.create_directory(on_host(&top)).await.expect("made");
    let again = session
        .create_directory(on_host(&top))
        .await
        .expect_err("it is there");
    assert_eq!(again.code(), "EEXIST");
    session
        .create_directory(on_host(&deep))
        .parents(true)
        .await
        .expect("made");
    std::fs::write(deep.join("file"), content(77)).expect("written");
    symlink("/etc", top.join("link")).expect("a link");
    let listing = session.list_directory(on_host(&top)).await.expect("a list");
    let names: Vec<String> = listing
        .files
        .iter()
        .map(|entry| entry.filename.to_lossy())
        .collect();
    assert_eq!(names, ["a", "link"]);
    assert_eq!(listing.files[0].attributes, ["DIRECTORY"]);
    assert_eq!(listing.files[1].attributes, ["REPARSE_POINT"]);
    let tree = session.walk(on_host(&top)).await.expect("a tree").files;
    let file = tree.iter().find(|entry| entry.filename.to_lossy() == "a/b/file");
    assert_eq!(file.expect("in the tree").size, 77);
    let flat = session
        .walk(on_host(&top))
        .depth_max(0)
        .await
        .expect("a tree")
        .files;
    assert!(
        flat.iter().all(|entry| !entry.filename.to_lossy().contains('/')),
        "{flat:?}"
    );
    session
        .delete_file(on_host(&deep.join("file")))
        .await
        .expect("removed");
    session.delete_file(on_host(&deep)).await.expect("removed");
    assert!(!deep.exists());
    session.close().await.expect("closed");
}

#[tokio::test]
async fn a_name_that_is_no_text_is_listed_fetched_and_removed() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let folder = scene.path("odd");
    std::fs::create_dir(&folder).expect("a folder");
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    std::fs::write(folder.join(name), "odd").expect("written");
    let listing = session.list_directory(on_host(&folder)).await.expect("a list");
    let [entry] = listing.files.as_slice() else {
        panic!("{listing:?}")
    };
    assert_eq!(entry.filename.as_bytes(), b"caf\xe9");
    let whole = [folder.as_os_str().as_bytes(), b"/", entry.filename.as_bytes()].concat();
    let path = RemotePath::from(whole);
    assert_eq!(
        session.get_file(path.clone()).to_bytes().await.expect("fetched"),
        b"odd"
    );
    session.delete_file(path).await.expect("removed");
    assert!(std::fs::read_dir(&folder).expect("a folder").next().is_none());
    session.close().await.expect("closed");
}

#[tokio::test]
async fn a_listing_that_is_too_large_to_be_kept_with_its_command_arrives_all_the_same() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let folder = scene.path("many");
    std::fs::create_dir(&folder).expect("a folder");
    for number in 0..1500 {
        let name = format!("{number:04}-{}", "x".repeat(100));
        std::fs::write(folder.join(name), "").expect("written");
    }
    let command = session
        .list_directory(on_host(&folder))
        .view()
        .await
        .expect("a list");
    assert!(
        command.output.is_none() && command.artifact.is_some(),
        "{:?}",
        command.artifact
    );
    let listing = session.list_directory(on_host(&folder)).await.expect("a list");
    assert_eq!(listing.files.len() as u64 + listing.omitted, 1500);
    assert!(listing.files.len() > 500, "{}", listing.files.len());
    assert!(listing.files[0].filename.to_lossy().starts_with("0000-"));
    session.close().await.expect("closed");
}

#[tokio::test]
async fn a_small_file_is_put_with_its_bits_and_not_over_another_unless_wanted() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let path = scene.path("tool");
    let written = session
        .put_file(on_host(&path))
        .mode(0o750)
        .from_bytes("#!/bin/sh\n")
        .await;
    assert_eq!(written.expect("written").bytes, 10);
    assert_eq!(std::fs::read(&path).expect("a file"), b"#!/bin/sh\n");
    assert_eq!(mode(&path), 0o750);
    let kept = session
        .put_file(on_host(&path))
        .overwrite(false)
        .from_bytes("other")
        .await;
    assert_eq!(kept.expect_err("it is there").code(), "EEXIST");
    let mut reader = "from a reader".as_bytes();
    session
        .put_file(on_host(&path))
        .from_reader(&mut reader)
        .await
        .expect("written");
    assert_eq!(std::fs::read(&path).expect("a file"), b"from a reader");
    session
        .put_file(on_host(&path))
        .from_bytes("")
        .await
        .expect("written");
    assert_eq!(std::fs::read(&path).expect("a file"), b"");
    session.close().await.expect("closed");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

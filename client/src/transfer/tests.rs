//! Contents that break off, are not what they should be, or cannot be read.

use crate::stub::{Asked, Reply, Stub, command, of_session};
use crate::{Error, Progress, Session};
use serde_json::json;
use sha2::Digest;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tripline_protocol::Sha256;

const CONTENT: &str = "/files/5/content";
const FILES: &str = "/files";

fn hash(content: &[u8]) -> Sha256 {
    Sha256::from_digest(&sha2::Sha256::digest(content).into())
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

/// A server that fetched `content`, and sends it as a test says.
async fn with_content(content: &[u8], mut send: impl FnMut(&Asked) -> Reply + Send + 'static) -> Stub {
    let artifact = json!({"sha256": hash(content), "bytes": content.len(), "name": "log"});
    let view = command("get_file", "succeeded", json!({"file": 5, "artifact": artifact}));
    Stub::with_session(move |asked| {
        if asked.is("POST", &of_session("/commands")) {
            return Some(Reply::json(201, &view));
        }
        asked.is("GET", &of_session(CONTENT)).then(|| send(asked))
    })
    .await
}

/// The content as it should be sent: whole, or from the byte that was wanted.
fn properly(content: &[u8], asked: &Asked) -> (u16, String, Vec<u8>) {
    let from = asked
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match from {
        None => (200, String::new(), content.to_vec()),
        Some(from) => {
            let last = content.len() - 1;
            let range = format!("content-range: bytes {from}-{last}/{}\r\n", content.len());
            (206, range, content[from..].to_vec())
        }
    }
}

async fn fetched(session: &Session) -> Result<Vec<u8>, Error> {
    session.get_file("/var/log/log").to_bytes().await
}

#[tokio::test]
async fn a_content_that_breaks_off_goes_on_where_it_did() {
    let content = bytes(100_000);
    let kept = content.clone();
    let mut parts = 0;
    let stub = with_content(&content, move |asked| {
        let (status, headers, body) = properly(&kept, asked);
        parts += 1;
        match parts {
            1 => Reply::cut(status, &headers, &body, 40_000),
            2 => Reply::HangUp,
            3 => Reply::problem(503, "unavailable"),
            4 => Reply::cut(status, &headers, &body, 1),
            _ => Reply::bytes(status, &headers, &body),
        }
    })
    .await;
    let session = stub.session().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let getting = session.get_file("/var/log/log");
    let getting = getting.progress(move |progress| tell.lock().unwrap().push(progress));
    let mut written = Vec::new();
    let file = getting.to_writer(&mut written).await.unwrap();
    assert!(written == content);
    assert_eq!(
        (file.name.as_str(), file.bytes, file.sha256),
        ("log", 100_000, hash(&content))
    );
    let asked = stub.asked();
    let of_content = asked.iter().filter(|asked| asked.is("GET", &of_session(CONTENT)));
    let ranges: Vec<Option<&str>> = of_content.map(|asked| asked.header("range")).collect();
    let rest = Some("bytes=40000-");
    assert_eq!(ranges, [None, rest, rest, rest, Some("bytes=40001-")]);
    let told = told.lock().unwrap();
    assert!(told.iter().is_sorted_by_key(|progress| progress.bytes_done));
    let total = Some(100_000);
    let at = |bytes_done| Progress {
        bytes_done,
        bytes_total: total,
    };
    assert_eq!((told.first(), told.last()), (Some(&at(0)), Some(&at(100_000))));
}

#[tokio::test]
async fn a_server_that_sends_the_whole_again_is_understood() {
    let content = bytes(1000);
    let kept = content.clone();
    let mut first = true;
    let stub = with_content(&content, move |_| {
        let sent = if std::mem::take(&mut first) { 600 } else { 1000 };
        Reply::cut(200, "", &kept, sent)
    })
    .await;
    assert!(fetched(&stub.session().await).await.unwrap() == content);
}

#[tokio::test]
async fn an_empty_content_is_not_asked_for() {
    let stub = with_content(b"", |_| Reply::problem(500, "internal")).await;
    assert!(fetched(&stub.session().await).await.unwrap().is_empty());
    assert_eq!(stub.count("GET", &of_session(CONTENT)), 0);
}

#[tokio::test]
async fn a_content_that_is_not_what_was_fetched_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let content = bytes(1000);
    let changed = |_: &Asked| Reply::bytes(200, "", &vec![7; 1000]);
    let longer = |_: &Asked| Reply::bytes(200, "", &bytes(1001));
    let elsewhere = |_: &Asked| Reply::bytes(206, "content-range: bytes 1-999/1000\r\n", &bytes(999));
    let gone = |_: &Asked| Reply::problem(404, "not_found");
    type Send = fn(&Asked) -> Reply;
    for (send, code) in [
        (changed as Send, "hash_mismatch"),
        (longer, "bad_answer"),
        (elsewhere, "bad_answer"),
        (gone, "not_found"),
    ] {
        let stub = with_content(&content, send).await;
        let session = stub.session().await;
        std::fs::write(&path, "as it was").unwrap();
        let error = session.get_file("/var/log/log").to_path(&path).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert_eq!(std::fs::read(&path).unwrap(), b"as it was");
        assert_eq!(names(folder.path()), ["log"], "{code}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn a_file_is_replaced_by_the_whole_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, "as it was").unwrap();
    let content = bytes(300_000);
    let kept = content.clone();
    let stub = with_content(&content, move |_| Reply::bytes(200, "", &kept)).await;
    let session = stub.session().await;
    session.get_file("/var/log/log").to_path(&path).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == content);
    assert_eq!(names(folder.path()), ["log"]);
    let nowhere = folder.path().join("nowhere/log");
    let error = session
        .get_file("/var/log/log")
        .to_path(&nowhere)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "local_io");
}

#[tokio::test]
async fn what_is_too_large_for_the_memory_is_refused() {
    let artifact = json!({"sha256": hash(b""), "bytes": 65 << 20, "name": "log"});
    let view = command("get_file", "succeeded", json!({"file": 5, "artifact": artifact}));
    let stub = Stub::with_session(move |asked| {
        asked
            .is("POST", &of_session("/commands"))
            .then(|| Reply::json(201, &view))
    })
    .await;
    let error = fetched(&stub.session().await).await.unwrap_err();
    assert_eq!(error.code(), "too_large_for_memory");
}

/// Takes an upload as `take` says, and writes every file.
async fn taking(mut take: impl FnMut(&Asked) -> Reply + Send + 'static) -> Stub {
    Stub::with_session(move |asked| {
        if asked.is("POST", &of_session("/commands")) {
            let sha256 = asked.json()["arguments"]["artifact"].clone();
            let output = json!({"output": {"sha256": sha256, "bytes": 1}});
            return Some(Reply::json(201, &command("put_file", "succeeded", output)));
        }
        asked.is("POST", &of_session(FILES)).then(|| take(asked))
    })
    .await
}

fn taken(content: &[u8]) -> Reply {
    let file = json!({
        "number": 6, "session_id": crate::stub::SESSION, "name": "tool", "sha256": hash(content),
        "bytes": content.len(), "added_at": "2026-11-21T00:00:00Z",
    });
    Reply::json(201, &file)
}

#[tokio::test]
async fn an_upload_that_broke_off_is_sent_again_from_what_can_be_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tool");
    let content = bytes(500_000);
    std::fs::write(&path, &content).unwrap();
    let mut first = true;
    let stub = taking(move |asked| match std::mem::take(&mut first) {
        true => Reply::HangUp,
        false => taken(&asked.body),
    })
    .await;
    let session = stub.session().await;
    let told = Arc::new(Mutex::new(0));
    let tell = Arc::clone(&told);
    let putting = session.put_file(r"C:\tools\tool").mode(0o700).overwrite(false);
    let putting = putting.progress(move |progress| *tell.lock().unwrap() = progress.bytes_done);
    putting.from_path(&path).await.unwrap();
    assert_eq!(*told.lock().unwrap(), 500_000);
    let asked = stub.asked();
    let last = asked
        .iter()
        .rfind(|asked| asked.is("POST", &of_session(FILES)))
        .unwrap();
    assert!(last.whole && last.body == content);
    assert!(last.line.ends_with("?name=tool"), "{}", last.line);
    let put = stub.until("POST", &of_session("/commands")).await.json();
    let wanted = json!({
        "path": r"C:\tools\tool", "artifact": hash(&content), "mode": 0o700, "overwrite": false,
    });
    assert_eq!(put["arguments"], wanted);
}

#[tokio::test]
async fn an_upload_that_arrives_changed_is_not_put_on_the_host() {
    let stub = taking(|_| taken(b"something else")).await;
    let session = stub.session().await;
    let error = session.put_file("/tool").from_bytes("content").await.unwrap_err();
    assert_eq!(error.code(), "hash_mismatch");
    assert_eq!(stub.count("POST", &of_session("/commands")), 0);
}

/// Gives some bytes, then an error.
struct BrokenReader(usize);

impl AsyncRead for BrokenReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0 == 0 {
            return Poll::Ready(Err(io::Error::other("the disk is gone")));
        }
        let piece = buffer.remaining().min(self.0);
        buffer.put_slice(&vec![1; piece]);
        self.0 -= piece;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_cannot_be_read_to_its_end_does_not_arrive_as_if_it_were_whole() {
    let stub = taking(|asked| taken(&asked.body)).await;
    let session = stub.session().await;
    let mut reader = BrokenReader(4_000_000);
    let error = session
        .put_file("/tool")
        .from_reader(&mut reader)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "local_io");
    let upload = stub.until("POST", &of_session(FILES)).await;
    assert!(!upload.whole);
    let missing = session
        .put_file("/tool")
        .from_path("/nowhere/at/all")
        .await
        .unwrap_err();
    assert_eq!(missing.code(), "local_io");
}

#[tokio::test]
async fn an_upload_that_is_dropped_does_not_arrive_as_if_it_were_whole() {
    let stub = taking(|asked| taken(&asked.body)).await;
    let session = stub.session().await;
    let (mut given, mut reader) = tokio::io::duplex(1000);
    let mut putting = Box::pin(session.put_file("/tool").from_reader(&mut reader));
    assert!(futures_util::poll!(&mut putting).is_pending());
    tokio::io::AsyncWriteExt::write_all(&mut given, b"some of it")
        .await
        .unwrap();
    let files = of_session(FILES);
    let asked = stub.until("POST", &files);
    // The server has the head and waits for the rest.
    let sending = async {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(100), &mut putting).await;
        drop(putting);
    };
    let (asked, ()) = tokio::join!(asked, sending);
    assert!(!asked.whole, "{asked:?}");
}

#[tokio::test]
async fn a_refused_upload_says_why() {
    let stub = taking(|_| Reply::problem(409, "session_ended")).await;
    let session = stub.session().await;
    let error = session.put_file("/tool").from_bytes("x").await.unwrap_err();
    assert_eq!(error.code(), "session_ended");
}

#[tokio::test]
async fn an_archive_that_breaks_off_is_fetched_anew_into_a_file_only() {
    let archive = bytes(50_000);
    let kept = archive.clone();
    let mut first = true;
    let stub = Stub::with_session(move |asked| {
        let sent = if first { 20_000 } else { 50_000 };
        asked.is("GET", &of_session("/archive")).then(|| {
            first = !first;
            Reply::cut(200, "", &kept, sent)
        })
    })
    .await;
    let session = stub.session().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.zip");
    assert_eq!(session.archive().to_path(&path).await.unwrap(), 50_000);
    assert!(std::fs::read(&path).unwrap() == archive);
    assert_eq!(names(folder.path()), ["all.zip"]);
    let mut written = Vec::new();
    let error = session.archive().to_writer(&mut written).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
}

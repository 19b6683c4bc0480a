//! All files of a session as one zip, made while it is sent: nothing of it is ever whole in memory or on disk.
//!
//! Contents are stored as they are. Deliberately not here: who may have it, and which files a session has.

use super::alive::SignsOfLife;
use super::content::disposition;
use super::problem::ApiError;
use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::Bytes;
use futures_util::stream;
use std::io::{self, Write};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tripline_actors::Refusal;
use tripline_actors::artifact::ArtifactStore;
use tripline_protocol::Span;
use tripline_protocol::session::SessionFile;
use zip::CompressionMethod;
use zip::result::ZipResult;
use zip::write::{SimpleFileOptions, ZipWriter};

/// Archives made at once: each has a thread as long as its receiver takes.
const ARCHIVES_MAX: usize = 16;
static ROOM: Semaphore = Semaphore::const_new(ARCHIVES_MAX);
/// Bytes sent at once.
const PIECE_BYTES: usize = 128 * 1024;
/// Pieces that may wait for a slow receiver.
const PIECES_MAX: usize = 4;
/// Longest name of an entry, in bytes, after its number.
const NAME_BYTES_MAX: usize = 200;

/// Answers with an archive of `files`, called `name`; sending it may be a sign of life.
pub(super) fn answer(
    store: ArtifactStore,
    files: Vec<SessionFile>,
    name: &str,
    alive: Option<SignsOfLife>,
) -> Result<HttpResponse, ApiError> {
    let receiver = begin(store, files)?;
    let pieces = stream::unfold((receiver, alive), async |(mut receiver, mut alive)| {
        let piece = receiver.recv().await?;
        if let Some(alive) = &mut alive {
            alive.give();
        }
        Some((piece, (receiver, alive)))
    });
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_DISPOSITION, disposition(name)))
        .content_type("application/zip")
        .streaming(pieces))
}

type Sender = mpsc::Sender<io::Result<Bytes>>;
type Receiver = mpsc::Receiver<io::Result<Bytes>>;

/// Begins to make an archive, and gives its pieces as they come.
fn begin(store: ArtifactStore, files: Vec<SessionFile>) -> Result<Receiver, Refusal> {
    let permit = ROOM.try_acquire().map_err(|_| Refusal::Busy {
        what: "making of archives",
        retry_after: Span::from_secs(10),
    })?;
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || make(&store, &files, sender, permit));
    Ok(receiver)
}

/// An archive that cannot be made breaks off, so that nobody takes a part for the whole.
fn make(store: &ArtifactStore, files: &[SessionFile], sender: Sender, permit: SemaphorePermit<'static>) {
    let pipe = Pipe {
        sender: sender.clone(),
        gathered: Vec::new(),
    };
    if let Err(error) = write(store, files, pipe) {
        if !sender.is_closed() {
            tracing::error!(%error, "an archive broke off");
        }
        // An error says that nobody takes it any more.
        let _ = sender.blocking_send(Err(io::Error::other("the archive broke off")));
    }
    drop(permit);
}

fn write(store: &ArtifactStore, files: &[SessionFile], pipe: Pipe) -> ZipResult<()> {
    let mut archive = ZipWriter::new_stream(pipe);
    for file in files {
        let (mut content, bytes) = store.open_read(&file.sha256).map_err(io::Error::other)?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(bytes >= u64::from(u32::MAX))
            .unix_permissions(0o600);
        archive.start_file(entry_name(file), options)?;
        io::copy(&mut content, &mut archive)?;
    }
    archive.finish()?.into_inner().flush()?;
    Ok(())
}

/// Unique by its number, and nothing but a name in a folder, whatever the host called the file.
fn entry_name(file: &SessionFile) -> String {
    let folder = match file.command {
        Some(_) => "fetched",
        None => "uploaded",
    };
    let name: String = file
        .name
        .chars()
        .map(|c| match c {
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
            c if c.is_control() => '_',
            c => c,
        })
        .collect();
    let name = name.trim_matches(['.', ' ']);
    let end = name.floor_char_boundary(NAME_BYTES_MAX.min(name.len()));
    let name = name.get(..end).unwrap_or_default();
    format!(
        "{folder}/{}-{}",
        file.number,
        if name.is_empty() { "file" } else { name }
    )
}

/// The way to the receiver; waits while it is slow.
struct Pipe {
    sender: Sender,
    gathered: Vec<u8>,
}

impl Pipe {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.gathered);
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.blocking_send(Ok(piece.into())).map_err(gone)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }

    /// The archive's writer flushes after every entry; only what is the rest is sent before it is large.
    fn flush(&mut self) -> io::Result<()> {
        match self.gathered.is_empty() {
            true => Ok(()),
            false => self.send(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::until;
    use actix_web::body::to_bytes;
    use std::io::Read;
    use tokio::sync::{Mutex, MutexGuard};
    use tripline_protocol::{SessionId, Timestamp};
    use uuid::Uuid;

    /// All tests of a process share its places for archives, so one takes its turn after the other.
    static TURN: Mutex<()> = Mutex::const_new(());

    /// Begins when no archive is made any more.
    async fn turn() -> MutexGuard<'static, ()> {
        let turn = TURN.lock().await;
        until("all places are free", async || {
            ROOM.available_permits() == ARCHIVES_MAX
        })
        .await;
        turn
    }

    fn file(store: &ArtifactStore, number: u32, name: &str, content: &[u8]) -> SessionFile {
        let (sha256, bytes) = store.put_bytes(content).expect("kept");
        SessionFile {
            number,
            session_id: SessionId(Uuid::nil()),
            name: name.into(),
            sha256,
            bytes,
            command: (number > 5).then_some(1),
            added_at: Timestamp::default(),
            deleted_at: None,
            deleted_by: None,
        }
    }

    fn store() -> (tempfile::TempDir, ArtifactStore) {
        let dir = tempfile::tempdir().expect("a folder");
        let store = ArtifactStore::open(dir.path(), 100 * 1024 * 1024).expect("a store");
        (dir, store)
    }

    #[actix_web::test]
    async fn an_archive_holds_every_file_under_a_name_of_its_own() {
        let _turn = turn().await;
        let (_dir, store) = store();
        let large = vec![9; 3 * PIECE_BYTES + 5];
        let files = vec![
            file(&store, 1, "hosts", b"a"),
            file(&store, 2, "hosts", b"b"),
            file(&store, 6, "dump", &large),
        ];
        let response = answer(store, files, "session-1.zip", None).expect("an archive");
        let body = to_bytes(response.into_body())
            .await
            .map_err(|_| ())
            .expect("a body");
        let mut archive = zip::ZipArchive::new(io::Cursor::new(body)).expect("a zip");
        let mut read = |name: &str| {
            let mut bytes = Vec::new();
            let mut entry = archive.by_name(name).expect("an entry");
            entry.read_to_end(&mut bytes).expect("read");
            bytes
        };
        assert_eq!(read("uploaded/1-hosts"), b"a");
        assert_eq!(read("uploaded/2-hosts"), b"b");
        assert!(read("fetched/6-dump") == large);
        assert_eq!(archive.len(), 3);
    }

    #[actix_web::test]
    async fn an_archive_of_nothing_is_an_archive() {
        let _turn = turn().await;
        let (_dir, store) = store();
        let response = answer(store, Vec::new(), "session-1.zip", None).expect("an archive");
        let body = to_bytes(response.into_body())
            .await
            .map_err(|_| ())
            .expect("a body");
        assert_eq!(
            zip::ZipArchive::new(io::Cursor::new(body)).expect("a zip").len(),
            0
        );
    }

    #[actix_web::test]
    async fn an_archive_with_a_content_that_is_gone_breaks_off() {
        let _turn = turn().await;
        let (_dir, store) = store();
        let gone = file(&store, 1, "hosts", b"a");
        store.remove(&gone.sha256).expect("removed");
        let response = answer(store, vec![gone], "session-1.zip", None).expect("an archive");
        assert!(to_bytes(response.into_body()).await.is_err());
    }

    #[test]
    fn no_name_leads_out_of_the_archive() {
        let (_dir, store) = store();
        for (name, entry) in [
            ("../../etc/passwd", "uploaded/1-_.._etc_passwd"),
            ("C:\\x\n", "uploaded/1-C__x_"),
            ("..", "uploaded/1-file"),
            ("", "uploaded/1-file"),
        ] {
            assert_eq!(entry_name(&file(&store, 1, name, b"")), entry);
        }
        let long = entry_name(&file(&store, 1, &"é".repeat(500), b""));
        assert!(long.len() <= "uploaded/1-".len() + NAME_BYTES_MAX, "{long}");
    }

    #[actix_web::test]
    async fn so_many_archives_are_made_at_once_and_another_when_one_is_done() {
        let _turn = turn().await;
        let (_dir, store) = store();
        // More than waits for a receiver, so that each is under way until its receiver goes.
        let large = file(&store, 1, "dump", &vec![9; (PIECES_MAX + 3) * PIECE_BYTES]);
        let make = || answer(store.clone(), vec![large.clone()], "session-1.zip", None);
        let mut made: Vec<HttpResponse> = (0..ARCHIVES_MAX).map(|_| make().expect("an archive")).collect();
        let refused = make().expect_err("no place").to_problem();
        assert_eq!((refused.status, &*refused.code), (503, "busy"));
        drop(made.pop());
        until("its place is free", async || ROOM.available_permits() == 1).await;
        made.push(make().expect("an archive"));
        assert!(make().is_err());
    }

    #[actix_web::test]
    async fn the_making_waits_when_so_many_pieces_wait_for_their_receiver() {
        let _turn = turn().await;
        let (_dir, store) = store();
        let content = vec![9; 3 * PIECES_MAX * PIECE_BYTES];
        let large = file(&store, 1, "dump", &content);
        let mut pieces = begin(store, vec![large]).expect("a place");
        assert_eq!(pieces.max_capacity(), PIECES_MAX);
        let mut bytes = 0;
        for _ in 0..PIECES_MAX {
            until("as many wait as may", async || pieces.len() == PIECES_MAX).await;
            assert_eq!(ROOM.available_permits(), ARCHIVES_MAX - 1, "it is not done");
            bytes += pieces.recv().await.expect("a piece").expect("made").len();
        }
        while let Some(piece) = pieces.recv().await {
            bytes += piece.expect("made").len();
        }
        assert!(bytes > content.len(), "all of it came");
    }
}

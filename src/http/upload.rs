//! A content that comes in as a body: streamed to the artifact store, bounded by its room and by the disk.
//!
//! What breaks off leaves nothing. Deliberately not here: how a dialect wraps the content, and who may send it.

use super::HttpState;
use super::alive::ALIVE_EVERY;
use super::bounds::Bounds;
use super::problem::ApiError;
use actix_web::HttpRequest;
use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt};
use std::io;
use std::time::Duration;
use tokio::time::Instant;
use tripline_actors::Refusal;
use tripline_actors::access::Principal;
use tripline_actors::artifact::{self, ArtifactStore, Incoming};
use tripline_protocol::{SessionId, Sha256, Span};

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// Takes `pieces` in for a session, which is kept alive meanwhile: the caller must be allowed to act on it.
/// The answer is the content's hash and length; it is durable.
pub(super) async fn receive(
    (request, state): (&HttpRequest, &HttpState),
    caller: &Principal,
    session_id: SessionId,
    mut pieces: impl Stream<Item = Result<Bytes, ApiError>> + Unpin,
) -> Result<(Sha256, u64), ApiError> {
    state.core.keep_alive(caller, session_id).await?;
    let patience = Bounds::of(request).body_timeout;
    let mut alive_at = Instant::now();
    let mut content = Content::new(state.artifacts.as_ref().clone());
    while let Some(piece) = next(&mut pieces, patience).await? {
        if content.add(piece) {
            admit(state)?;
            content.write().await?;
        }
        if alive_at.elapsed() >= ALIVE_EVERY {
            state.core.keep_alive(caller, session_id).await?;
            alive_at = Instant::now();
        }
    }
    admit(state)?;
    content.write().await?;
    content.finish().await
}

async fn next(
    pieces: &mut (impl Stream<Item = Result<Bytes, ApiError>> + Unpin),
    patience: Duration,
) -> Result<Option<Bytes>, ApiError> {
    within(patience, pieces.next()).await?.transpose()
}

/// Waits for something of a body, and not for ever.
pub(super) async fn within<T>(patience: Duration, coming: impl Future<Output = T>) -> Result<T, ApiError> {
    tokio::time::timeout(patience, coming)
        .await
        .map_err(|_| ApiError::BodyTooSlow { patience })
}

/// A disk with little left keeps it for what is accepted already.
fn admit(state: &HttpState) -> Result<(), ApiError> {
    match state.core.readiness().disk {
        true => Ok(()),
        false => Err(disk_full()),
    }
}

fn disk_full() -> ApiError {
    let retry_after = Span::from_secs(60);
    let what = "disk";
    Refusal::Busy { what, retry_after }.into()
}

fn refused(error: artifact::Error) -> ApiError {
    let full = |source: &io::Error| {
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    };
    match error {
        artifact::Error::Io { source, .. } if full(&source) => disk_full(),
        error => Refusal::from(error).into(),
    }
}

/// What came so far: some on the disk, some not yet.
struct Content {
    store: ArtifactStore,
    file: Option<Incoming>,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
}

impl Content {
    fn new(store: ArtifactStore) -> Self {
        Self {
            store,
            file: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    /// `true`: it is time to write.
    fn add(&mut self, piece: Bytes) -> bool {
        self.waiting_bytes += piece.len();
        self.waiting.push(piece);
        self.waiting_bytes >= WRITE_BYTES
    }

    async fn write(&mut self) -> Result<(), ApiError> {
        let (store, file) = (self.store.clone(), self.file.take());
        let pieces = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let written = tokio::task::spawn_blocking(move || append(&store, file, &pieces)).await;
        let written = written.map_err(|error| ApiError::internal("write the file", error))?;
        self.file = Some(written.map_err(refused)?);
        Ok(())
    }

    async fn finish(mut self) -> Result<(Sha256, u64), ApiError> {
        let (store, file) = (self.store.clone(), self.file.take());
        let kept = tokio::task::spawn_blocking(move || append(&store, file, &[])?.finish(None)).await;
        let kept = kept.map_err(|error| ApiError::internal("keep the file", error))?;
        kept.map_err(refused)
    }
}

fn append(
    store: &ArtifactStore,
    file: Option<Incoming>,
    pieces: &[Bytes],
) -> Result<Incoming, artifact::Error> {
    let mut file = match file {
        Some(file) => file,
        None => store.begin()?,
    };
    for piece in pieces {
        file.write(file.bytes(), piece)?;
    }
    Ok(file)
}

/// Removing a large file takes its time.
impl Drop for Content {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(file))),
            Err(_) => drop(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(bytes_max: u64) -> (tempfile::TempDir, ArtifactStore) {
        let dir = tempfile::tempdir().expect("a folder");
        let store = ArtifactStore::open(dir.path(), bytes_max).expect("a store");
        (dir, store)
    }

    #[actix_web::test]
    async fn a_content_is_written_in_large_pieces_and_arrives_whole() {
        let (_dir, store) = store(10 * 1024 * 1024);
        let mut content = Content::new(store.clone());
        let mut writes = 0;
        for _ in 0..100 {
            if content.add(Bytes::from(vec![7; 10_000])) {
                content.write().await.expect("written");
                writes += 1;
            }
        }
        assert_eq!(writes, 3);
        content.write().await.expect("written");
        let (sha256, bytes) = content.finish().await.expect("kept");
        assert_eq!(bytes, 1_000_000);
        assert_eq!(store.open_read(&sha256).expect("there").1, bytes);
    }

    #[actix_web::test]
    async fn what_does_not_fit_is_refused_and_leaves_nothing() {
        let (dir, store) = store(1000);
        let mut content = Content::new(store.clone());
        content.add(Bytes::from(vec![7; 600]));
        content.write().await.expect("written");
        content.add(Bytes::from(vec![7; 600]));
        let error = content.write().await.expect_err("full");
        assert_eq!(error.to_problem().code, "busy");
        drop(content);
        assert_eq!(store.bytes_used(), 0);
        let incoming = dir.path().join("artifacts/incoming");
        assert_eq!(incoming.read_dir().expect("a folder").count(), 0);
    }

    #[actix_web::test]
    async fn an_empty_content_is_a_content() {
        let (_dir, store) = store(1000);
        assert_eq!(Content::new(store).finish().await.expect("kept").1, 0);
    }
}

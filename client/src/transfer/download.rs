//! A content of the session from the server to this program: streamed, resumed where it broke off, verified.

use super::local_file::LocalFile;
use super::{Fetched, Observer, Progress, sha256};
use crate::client::Client;
use crate::error::{Error, Result, unreachable};
use crate::http::{Backoff, Repeat, Request};
use crate::session::{Link, Session};
use reqwest::header::{CONTENT_RANGE, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode};
use sha2::Digest;
use std::path::Path;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tripline_protocol::session::SessionFile;
use tripline_protocol::step::ArtifactRef;

/// Largest content that is given as bytes.
const IN_MEMORY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A content to be streamed from the server. Made by [`Session::download`].
///
/// ```no_run
/// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
/// for file in session.files().list().await? {
///     session.download(&file).to_path(&file.name).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it moves nothing before to_path, to_writer or to_bytes"]
pub struct Download<'s> {
    client: &'s Client,
    request: Request,
    content: ArtifactRef,
    observer: Observer<'s>,
}

impl Session {
    /// Gets the content of a file of this session from the server: one that was fetched from the host or uploaded
    /// earlier.
    pub fn download(&self, file: &SessionFile) -> Download<'_> {
        let content = ArtifactRef {
            sha256: file.sha256.clone(),
            bytes: file.bytes,
            name: file.name.clone(),
        };
        Download::new(self.link(), file.number, content, Observer::none())
    }
}

impl<'s> Download<'s> {
    pub(super) fn new(link: &'s Link, file: u32, content: ArtifactRef, observer: Observer<'s>) -> Self {
        let request = Request::get(&[&"sessions", &link.session_id, &"files", &file, &"content"]);
        Self {
            observer,
            ..Self::of(&link.client, request, content)
        }
    }

    /// A content that this request is answered with.
    pub(crate) fn of(client: &'s Client, request: Request, content: ArtifactRef) -> Self {
        Self {
            client,
            request,
            content,
            observer: Observer::none(),
        }
    }

    /// What is to be got: its name, its hash and its size.
    pub fn content(&self) -> Fetched {
        self.content.clone().into()
    }

    /// Called with how far it is, for every piece.
    pub fn progress(mut self, tell: impl FnMut(Progress) + Send + 's) -> Self {
        self.observer = Observer::new(tell);
        self
    }

    /// Writes it to a file, which is there whole and durable, or not at all: it is written beside its place and
    /// renamed. One that is there is replaced. Only its owner may read it.
    pub async fn to_path(self, path: impl AsRef<Path>) -> Result<Fetched> {
        let mut local = LocalFile::create(path.as_ref()).await?;
        let fetched = self.to_writer(&mut local.file).await?;
        local.finish().await?;
        Ok(fetched)
    }

    /// Writes it as it comes. When this fails, a part may have been written; that it is right is known at the end.
    pub async fn to_writer<W: AsyncWrite + Unpin + ?Sized>(self, writer: &mut W) -> Result<Fetched> {
        Transfer {
            writer,
            hash: sha2::Sha256::new(),
            done: 0,
            download: self,
        }
        .run()
        .await
    }

    /// Gives a content of at most 64 MiB as it is.
    pub async fn to_bytes(self) -> Result<Vec<u8>> {
        let bytes = self.content.bytes;
        if bytes > IN_MEMORY_BYTES_MAX {
            let text = format!("{bytes} bytes are too much for the memory");
            return Err(Error::unsupported("too_large_for_memory", text).advise("use to_path or to_writer"));
        }
        let mut content = Vec::new();
        self.to_writer(&mut content).await?;
        Ok(content)
    }

    fn request(&self, from: u64) -> Request {
        let request = self.request.clone();
        if from == 0 {
            return request;
        }
        // Both are plain ASCII.
        let range = HeaderValue::try_from(format!("bytes={from}-"));
        let etag = HeaderValue::try_from(format!("\"{}\"", self.content.sha256));
        match (range, etag) {
            (Ok(range), Ok(etag)) => request.header(RANGE, range).header(IF_RANGE, etag),
            _ => request,
        }
    }
}

struct Transfer<'s, 'w, W: ?Sized> {
    download: Download<'s>,
    writer: &'w mut W,
    hash: sha2::Sha256,
    done: u64,
}

impl<W: AsyncWrite + Unpin + ?Sized> Transfer<'_, '_, W> {
    async fn run(mut self) -> Result<Fetched> {
        let total = self.download.content.bytes;
        self.download.observer.tell(0, Some(total));
        let mut backoff = self.backoff();
        while self.done < total {
            let before = self.done;
            let error = match self.part().await {
                Ok(()) if self.done == total => break,
                Ok(()) => self.cut(),
                Err(error) => error,
            };
            if self.done > before {
                backoff = self.backoff();
            }
            backoff.again(Repeat::Freely, error).await?;
        }
        self.writer.flush().await.map_err(not_written)?;
        let Download { content, .. } = self.download;
        match sha256(self.hash) {
            found if found == content.sha256 => Ok(content.into()),
            found => Err(wrong_hash(&content, &found.to_string())),
        }
    }

    fn backoff(&self) -> Backoff {
        self.download.client.http().backoff()
    }

    /// From where it is to the end, or to where it breaks off.
    async fn part(&mut self) -> Result<()> {
        let http = self.download.client.http();
        let mut response = http.open(&self.download.request(self.done)).await?;
        let mut skip = self.done - begins_at(&response, self.done)?;
        loop {
            let piece = tokio::time::timeout(http.timing().request, response.chunk()).await;
            let piece = piece
                .map_err(|late| http.silent().because(late))?
                .map_err(|error| unreachable(http.server(), error))?;
            let Some(piece) = piece else { return Ok(()) };
            let known = skip.min(piece.len() as u64);
            skip -= known;
            self.take(piece.get(known as usize..).unwrap_or_default()).await?;
        }
    }

    async fn take(&mut self, piece: &[u8]) -> Result<()> {
        let total = self.download.content.bytes;
        if piece.len() as u64 > total - self.done {
            let text = format!("the server sent more than the {total} bytes of the content");
            return Err(Error::server("bad_answer", text));
        }
        self.writer.write_all(piece).await.map_err(not_written)?;
        self.hash.update(piece);
        self.done += piece.len() as u64;
        self.download.observer.tell(self.done, Some(total));
        Ok(())
    }

    fn cut(&self) -> Error {
        let total = self.download.content.bytes;
        let text = format!("the content broke off after {} of {total} bytes", self.done);
        Error::server("unreachable", text)
    }
}

/// Where the answer begins: a server may send the whole although a part was wanted.
fn begins_at(response: &Response, wanted: u64) -> Result<u64> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(0);
    }
    let range = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|range| range.to_str().ok());
    let first = range
        .and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok())
        .filter(|first| *first <= wanted);
    first.ok_or_else(|| {
        let text = format!("a part from byte {wanted} was wanted, and {range:?} was sent");
        Error::server("bad_answer", text)
    })
}

fn not_written(error: std::io::Error) -> Error {
    Error::local("write the content", error)
}

fn wrong_hash(content: &ArtifactRef, found: &str) -> Error {
    let (name, sha256) = (&content.name, &content.sha256);
    let text = format!("the content of {name} has the SHA-256 {found}, not {sha256}");
    Error::server("hash_mismatch", text)
}

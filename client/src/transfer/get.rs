//! `get_file` and `get_raw_file`: from the host to the server, and on to this program.

use super::download::Download;
use super::{Fetched, Observer, Progress};
use crate::command::{Command, LONG};
use crate::error::{Error, Result};
use crate::session::Session;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWrite;
use tripline_protocol::RemotePath;
use tripline_protocol::verb::{self, Verb};

/// A file of the host to be fetched. Made by [`Session::get_file`].
///
/// Awaited by itself it is fetched from the host and stays at the server, as a file of the session.
#[derive(Debug)]
#[must_use = "a file is fetched by to_path, to_writer, to_bytes, or when it is awaited"]
pub struct GetFile<'s> {
    session: &'s Session,
    verb: Verb,
    arguments: verb::GetFile,
    timeout: Duration,
    observer: Observer<'s>,
}

impl Session {
    /// Fetches a regular file of any size.
    ///
    /// ```no_run
    /// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
    /// let hosts = session.get_file("/etc/hosts").to_bytes().await?;
    /// let image = session
    ///     .get_file("/var/tmp/disk.img")
    ///     .progress(|progress| eprint!("\r{} bytes", progress.bytes_done))
    ///     .to_path("disk.img")
    ///     .await?;
    /// println!("sha256 {}", image.sha256);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_file(&self, path: impl Into<RemotePath>) -> GetFile<'_> {
        GetFile::new(self, Verb::GetFile, path.into())
    }

    /// Fetches a file as it lies on the disk: past locks of the file system where it has any, and without changing the
    /// time of its last access where the host allows that.
    pub fn get_raw_file(&self, path: impl Into<RemotePath>) -> GetFile<'_> {
        GetFile::new(self, Verb::GetRawFile, path.into())
    }
}

impl<'s> GetFile<'s> {
    fn new(session: &'s Session, verb: Verb, path: RemotePath) -> Self {
        Self {
            session,
            verb,
            arguments: verb::GetFile {
                path,
                offset: None,
                bytes_max: None,
            },
            timeout: LONG,
            observer: Observer::none(),
        }
    }

    /// The first byte wanted. Default: 0.
    pub fn offset(mut self, offset: u64) -> Self {
        self.arguments.offset = Some(offset);
        self
    }

    /// Most bytes wanted. Default: all.
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.arguments.bytes_max = Some(bytes);
        self
    }

    /// How long the host may take for it. Default: an hour.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Called with how far the way from the server to this program is, for every piece.
    pub fn progress(mut self, tell: impl FnMut(Progress) + Send + 's) -> Self {
        self.observer = Observer::new(tell);
        self
    }

    /// Writes it to a file of this program: see [`Download::to_path`].
    pub async fn to_path(self, path: impl AsRef<Path>) -> Result<Fetched> {
        self.fetch().await?.to_path(path).await
    }

    /// Writes it as it comes: see [`Download::to_writer`].
    pub async fn to_writer<W: AsyncWrite + Unpin + ?Sized>(self, writer: &mut W) -> Result<Fetched> {
        self.fetch().await?.to_writer(writer).await
    }

    /// Gives it as it is: see [`Download::to_bytes`].
    pub async fn to_bytes(self) -> Result<Vec<u8>> {
        self.fetch().await?.to_bytes().await
    }

    async fn fetch(self) -> Result<Download<'s>> {
        let link = self.session.link();
        let command = Command::new(self.session, self.verb, self.arguments, Ok::<Value, _>);
        let command = command.timeout(self.timeout).view().await?;
        match (command.file, command.artifact) {
            (Some(file), Some(content)) => Ok(Download::new(link, file, content, self.observer)),
            _ => Err(Error::server(
                "bad_answer",
                "the server fetched a file and has none",
            )),
        }
    }
}

impl<'s> IntoFuture for GetFile<'s> {
    type Output = Result<Download<'s>>;
    type IntoFuture = BoxFuture<'s, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.fetch())
    }
}

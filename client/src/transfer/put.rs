//! `put_file`: from this program to the server, and on to the host.

use super::upload::upload;
use super::{Observer, Progress};
use crate::command::{Command, LONG};
use crate::error::{Error, Result};
use crate::http::Repeat;
use crate::session::Session;
use bytes::Bytes;
use std::path::Path;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncRead;
use tripline_protocol::RemotePath;
use tripline_protocol::session::{FILE_NAME_BYTES_MAX, SessionFile};
use tripline_protocol::verb::{self, FileWritten, Verb};

/// A file of the host to be written. Made by [`Session::put_file`].
#[derive(Debug)]
#[must_use = "a file is written by from_path, from_reader or from_bytes"]
pub struct PutFile<'s> {
    session: &'s Session,
    arguments: verb::PutFile,
    timeout: Duration,
    observer: Observer<'s>,
}

impl Session {
    /// Writes a file of any size on the host, under a temporary name first; its folder must exist.
    ///
    /// ```no_run
    /// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
    /// session.put_file("/tmp/motd").from_bytes("maintenance at noon\n").await?;
    /// let tool = session.put_file("/tmp/collect").mode(0o700).from_path("collect").await?;
    /// println!("{} bytes, sha256 {}", tool.bytes, tool.sha256);
    /// # Ok(())
    /// # }
    /// ```
    pub fn put_file(&self, path: impl Into<RemotePath>) -> PutFile<'_> {
        PutFile {
            session: self,
            arguments: verb::PutFile {
                path: path.into(),
                content: None,
                content_b64: None,
                artifact: None,
                mode: None,
                overwrite: None,
            },
            timeout: LONG,
            observer: Observer::none(),
        }
    }
}

impl<'s> PutFile<'s> {
    /// Unix permission bits. Default: 0600, or those of the file that is replaced.
    pub fn mode(mut self, mode: u32) -> Self {
        self.arguments.mode = Some(mode);
        self
    }

    /// Whether a file that is there is replaced. Default: true.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.arguments.overwrite = Some(overwrite);
        self
    }

    /// How long the host may take for it. Default: an hour.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Called with how far the way from this program to the server is, for every piece. It begins anew when the
    /// connection broke and the content is sent again.
    pub fn progress(mut self, tell: impl FnMut(Progress) + Send + 's) -> Self {
        self.observer = Observer::new(tell);
        self
    }

    /// From a file of this program.
    pub async fn from_path(mut self, path: impl AsRef<Path>) -> Result<FileWritten> {
        let path = path.as_ref();
        let failed = |error| Error::local(format_args!("read {}", path.display()), error);
        let mut backoff = self.session.link().http().backoff();
        loop {
            let mut file = File::open(path).await.map_err(failed)?;
            let total = file.metadata().await.map_err(failed)?.len();
            match self.upload(&mut file, Some(total)).await {
                // What broke off left nothing at the server, or a file that nobody uses.
                Err(error) => backoff.again(Repeat::Freely, error).await?,
                Ok(file) => return self.write(file).await,
            }
        }
    }

    /// From bytes.
    pub async fn from_bytes(mut self, content: impl Into<Bytes>) -> Result<FileWritten> {
        let content = content.into();
        let mut backoff = self.session.link().http().backoff();
        loop {
            let total = Some(content.len() as u64);
            match self.upload(&mut content.as_ref(), total).await {
                Err(error) => backoff.again(Repeat::Freely, error).await?,
                Ok(file) => return self.write(file).await,
            }
        }
    }

    /// From whatever is read until its end. It can be read once only, so this fails when the connection breaks
    /// meanwhile. A reader that gives nothing for half a minute is too slow for the server.
    pub async fn from_reader<R: AsyncRead + Unpin + ?Sized>(mut self, reader: &mut R) -> Result<FileWritten> {
        let file = self.upload(reader, None).await?;
        self.write(file).await
    }

    async fn upload<R: AsyncRead + Unpin + ?Sized>(
        &mut self,
        reader: &mut R,
        total: Option<u64>,
    ) -> Result<SessionFile> {
        let name = self.name();
        upload(self.session.link(), &name, reader, total, &mut self.observer).await
    }

    /// By which name the session's record has it: that on the host, without folders.
    fn name(&self) -> String {
        let path = self.arguments.path.to_lossy();
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        let end = name.floor_char_boundary(FILE_NAME_BYTES_MAX);
        match name.get(..end) {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => "file".to_owned(),
        }
    }

    async fn write(mut self, file: SessionFile) -> Result<FileWritten> {
        self.arguments.artifact = Some(file.sha256);
        let command = Command::new(
            self.session,
            Verb::PutFile,
            self.arguments,
            serde_json::from_value,
        );
        command.timeout(self.timeout).await
    }
}

//! Everything a session transferred, as one zip that the server makes while it is sent.

use super::local_file::LocalFile;
use super::{Observer, Progress};
use crate::error::{Error, Result, unreachable};
use crate::http::{Repeat, Request};
use crate::session::{Link, Session};
use std::path::Path;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// The archive of a session. Made by [`Session::archive`].
#[derive(Debug)]
#[must_use = "it moves nothing before to_path or to_writer"]
pub struct Archive<'s> {
    link: &'s Link,
    observer: Observer<'s>,
}

impl Session {
    /// Gets every content that was uploaded to the session or fetched in it, as one zip.
    ///
    /// ```no_run
    /// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
    /// session.archive().to_path("evidence.zip").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn archive(&self) -> Archive<'_> {
        Archive {
            link: self.link(),
            observer: Observer::none(),
        }
    }
}

impl<'s> Archive<'s> {
    /// Called with how far it is, for every piece. How large it will be is not known.
    pub fn progress(mut self, tell: impl FnMut(Progress) + Send + 's) -> Self {
        self.observer = Observer::new(tell);
        self
    }

    /// Writes it to a file, which is there whole and durable, or not at all. One that is there is replaced. Only
    /// its owner may read it. Gives its size.
    pub async fn to_path(mut self, path: impl AsRef<Path>) -> Result<u64> {
        let mut backoff = self.link.http().backoff();
        loop {
            let mut local = LocalFile::create(path.as_ref()).await?;
            match self.stream(&mut local.file).await {
                Err(error) => backoff.again(Repeat::Freely, error).await?,
                Ok(bytes) => return local.finish().await.map(|()| bytes),
            }
        }
    }

    /// Writes it as it comes, once. When this fails, a part may have been written. Gives its size.
    pub async fn to_writer<W: AsyncWrite + Unpin + ?Sized>(mut self, writer: &mut W) -> Result<u64> {
        self.stream(writer).await
    }

    async fn stream<W: AsyncWrite + Unpin + ?Sized>(&mut self, writer: &mut W) -> Result<u64> {
        let http = self.link.http();
        let request = Request::get(&[&"sessions", &self.link.session_id, &"archive"]);
        let mut response = http.open(&request).await?;
        let mut done = 0;
        self.observer.tell(done, None);
        loop {
            let piece = tokio::time::timeout(http.timing().request, response.chunk()).await;
            let piece = piece
                .map_err(|late| http.silent().because(late))?
                .map_err(|error| unreachable(http.server(), error))?;
            let Some(piece) = piece else { break };
            writer.write_all(&piece).await.map_err(not_written)?;
            done += piece.len() as u64;
            self.observer.tell(done, None);
        }
        writer.flush().await.map_err(not_written)?;
        Ok(done)
    }
}

fn not_written(error: std::io::Error) -> Error {
    Error::local("write the archive", error)
}

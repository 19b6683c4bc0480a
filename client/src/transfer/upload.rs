//! A content from this program to the server, as a file of the session: streamed while it is read.

use super::{Observer, sha256};
use crate::error::{Error, Result};
use crate::http::{Http, Request};
use crate::session::Link;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use sha2::Digest;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tripline_protocol::Sha256;
use tripline_protocol::session::SessionFile;

/// Bytes read at once.
const PIECE_BYTES: usize = 128 * 1024;
/// Pieces that are read ahead.
const PIECES: usize = 4;
/// What the server takes beyond the usual to make a large content durable.
const DURABLE: Duration = Duration::from_secs(60);

/// What is handed over from the reader to the request.
enum Part {
    Piece(Bytes),
    End,
}

/// Uploads what `reader` gives, and checks that it arrived as it was read.
pub(super) async fn upload<R: AsyncRead + Unpin + ?Sized>(
    link: &Link,
    name: &str,
    reader: &mut R,
    total: Option<u64>,
    observer: &mut Observer<'_>,
) -> Result<SessionFile> {
    let request = Request::post(&[&"sessions", &link.session_id, &"files"]).query("name", name);
    let (parts, taken) = mpsc::channel(PIECES);
    let http = link.http();
    let body = reqwest::Body::wrap_stream(body(taken));
    let mut sent = pin!(http.upload::<SessionFile>(&request, body));
    // What the server says first counts: it may refuse in the middle.
    let hash = tokio::select! {
        biased;
        answer = &mut sent => return answer.and_then(|file| Err(early(&file))),
        read = feed(http, parts, reader, total, observer) => read?,
    };
    let answer = tokio::time::timeout(http.timing().request + DURABLE, sent).await;
    let file = answer.map_err(|late| http.silent().because(late))??;
    match file.sha256 == hash {
        true => Ok(file),
        false => Err(changed(&file, &hash)),
    }
}

/// A body that breaks off, instead of seeming whole, when its reader is gone before the end.
fn body(mut taken: mpsc::Receiver<Part>) -> impl Stream<Item = io::Result<Bytes>> {
    let mut ended = false;
    stream::poll_fn(move |context| {
        if ended {
            return None.into();
        }
        taken.poll_recv(context).map(|part| match part {
            Some(Part::Piece(piece)) => Some(Ok(piece)),
            Some(Part::End) => {
                ended = true;
                None
            }
            None => {
                ended = true;
                Some(Err(io::ErrorKind::UnexpectedEof.into()))
            }
        })
    })
}

/// Hands the reader's content over, piece by piece; its hash.
async fn feed<R: AsyncRead + Unpin + ?Sized>(
    http: &Http,
    parts: mpsc::Sender<Part>,
    reader: &mut R,
    total: Option<u64>,
    observer: &mut Observer<'_>,
) -> Result<Sha256> {
    let mut hash = sha2::Sha256::new();
    let mut done = 0_u64;
    observer.tell(0, total);
    loop {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let read = reader.read_buf(&mut piece).await;
        read.map_err(|error| Error::local("read the content", error))?;
        if piece.is_empty() {
            give(http, &parts, Part::End).await?;
            return Ok(sha256(hash));
        }
        hash.update(&piece);
        done += piece.len() as u64;
        give(http, &parts, Part::Piece(piece.freeze())).await?;
        observer.tell(done, total);
    }
}

async fn give(http: &Http, parts: &mpsc::Sender<Part>, part: Part) -> Result<()> {
    match tokio::time::timeout(http.timing().request, parts.send(part)).await {
        Err(late) => Err(http.silent().because(late)),
        // Nobody takes it any more: the request has ended, and says why.
        Ok(Err(_)) => std::future::pending().await,
        Ok(Ok(())) => Ok(()),
    }
}

fn early(file: &SessionFile) -> Error {
    let text = format!(
        "the server took {} bytes before the content had ended",
        file.bytes
    );
    Error::server("bad_answer", text)
}

fn changed(file: &SessionFile, hash: &Sha256) -> Error {
    let (name, found) = (&file.name, &file.sha256);
    let text = format!("{name} arrived at the server with the SHA-256 {found}, not {hash}");
    Error::server("hash_mismatch", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    #[tokio::test]
    async fn a_body_ends_only_when_its_reader_said_so() {
        for (said, whole) in [(true, true), (false, false)] {
            let (parts, taken) = mpsc::channel(PIECES);
            let piece = Part::Piece(Bytes::from_static(b"x"));
            assert!(parts.send(piece).await.is_ok());
            if said {
                assert!(parts.send(Part::End).await.is_ok());
            }
            drop(parts);
            let sent: Vec<io::Result<Bytes>> = body(taken).collect().await;
            assert_eq!(sent.iter().all(Result::is_ok), whole, "{sent:?}");
            assert_eq!(sent[0].as_ref().unwrap(), "x");
        }
    }
}

//! An HTTPS client that does nothing but move bytes, so that what is measured is the server's work.

use super::Outcome;
use super::source::{self, PIECE_BYTES};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BOUNDARY: &str = "of-the-bench";

pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
    piece: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, trust: &Arc<ClientConfig>) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(address.ip());
        Ok(Self {
            stream: TlsConnector::from(trust.clone()).connect(name, stream).await?,
            address,
            piece: Vec::with_capacity(PIECE_BYTES),
        })
    }

    /// Takes so many bytes in and drops them.
    pub(crate) async fn drain(&mut self, bytes: u64) -> Outcome {
        self.each_piece(bytes, |_| ()).await
    }

    async fn each_piece(&mut self, bytes: u64, mut each: impl FnMut(&[u8])) -> Outcome {
        let mut left = bytes;
        while left > 0 {
            self.piece.clear();
            let length = self.stream.read_buf(&mut self.piece).await? as u64;
            if length == 0 || length > left {
                return Err(format!("{length} bytes came where {left} were left of a content").into());
            }
            each(&self.piece);
            left -= length;
        }
        Ok(())
    }

    /// Gives the content of a path to `each`, and says how many bytes it has.
    pub(crate) async fn get(&mut self, path: &str, token: &str, mut each: impl FnMut(&[u8])) -> Outcome<u64> {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nX-Auth-Token: {token}\r\n\r\n",
            self.address
        );
        self.stream.write_all(head.as_bytes()).await?;
        let (bytes, begun) = self.head().await?;
        each(&begun);
        self.each_piece(bytes - begun.len() as u64, each).await?;
        Ok(bytes)
    }

    /// Sends a file as the part `file` of a form; the answer's content.
    pub(crate) async fn upload(&mut self, path: &str, token: &str, file: &Path) -> Outcome<Vec<u8>> {
        let before = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"large\"\r\n\r\n"
        );
        let after = format!("\r\n--{BOUNDARY}--\r\n");
        let mut content = File::open(file)?;
        let length = content.metadata()?.len() + (before.len() + after.len()) as u64;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nX-Auth-Token: {token}\r\nContent-Type: multipart/form-data; \
             boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\r\n{before}",
            self.address
        );
        self.stream.write_all(head.as_bytes()).await?;
        while source::next(&mut content, &mut self.piece)? {
            self.stream.write_all(&self.piece).await?;
        }
        self.stream.write_all(after.as_bytes()).await?;
        self.stream.flush().await?;
        let (bytes, mut answer) = self.head().await?;
        let left = bytes - answer.len() as u64;
        self.each_piece(left, |piece| answer.extend_from_slice(piece))
            .await?;
        Ok(answer)
    }

    /// The length of an answer's content, and what of it came with the head. Anything but 200 is an error.
    async fn head(&mut self) -> Outcome<(u64, Vec<u8>)> {
        let mut came = Vec::new();
        let end = loop {
            if let Some(at) = came.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if came.len() > HEAD_BYTES_MAX || self.stream.read_buf(&mut came).await? == 0 {
                return Err("no answer".into());
            }
        };
        let begun = came.split_off(end + 4);
        let head = String::from_utf8(came)?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("answered: {head}{}", String::from_utf8_lossy(&begun)).into());
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_it = name.eq_ignore_ascii_case("content-length");
            is_it.then(|| value.trim().parse().ok())?
        });
        Ok((length.ok_or("an answer without a length")?, begun))
    }
}

//! A network between agent and server that breaks: what goes over it is counted, and after so many bytes the
//! connection is cut.

use crate::harness::free_port;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[derive(Default)]
struct Counts {
    /// Bytes that went over it, both ways.
    bytes: AtomicU64,
    /// At how many of them the next cut comes.
    cut_at: AtomicU64,
    every: AtomicU64,
    cuts_left: AtomicU64,
    cuts: AtomicU64,
}

impl Counts {
    /// Counts what came; whether it is cut now.
    fn pass(&self, bytes: u64) -> bool {
        let sum = self.bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if self.cuts_left.load(Ordering::SeqCst) == 0 || sum < self.cut_at.load(Ordering::SeqCst) {
            return false;
        }
        self.cuts_left.fetch_sub(1, Ordering::SeqCst);
        self.cuts.fetch_add(1, Ordering::SeqCst);
        self.cut_at
            .store(sum + self.every.load(Ordering::SeqCst), Ordering::SeqCst);
        true
    }
}

/// Forwards connections to a server.
pub(crate) struct Relay {
    port: u16,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// One before the server at `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let server = url.trim_start_matches("http://").to_owned();
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
        let counts = Arc::new(Counts::default());
        let of_all = counts.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((agent, _)) = listener.accept().await {
                tokio::spawn(connect(agent, server.clone(), of_all.clone()));
            }
        });
        Self {
            port,
            counts,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on cuts what is connected after each `bytes`, so many times.
    pub(crate) fn cut_every(&self, bytes: u64, times: u64) {
        let at = self.bytes() + bytes;
        self.counts.every.store(bytes, Ordering::SeqCst);
        self.counts.cut_at.store(at, Ordering::SeqCst);
        self.counts.cuts.store(0, Ordering::SeqCst);
        self.counts.cuts_left.store(times, Ordering::SeqCst);
    }

    /// How often it was cut since it was last told to.
    pub(crate) fn cuts(&self) -> u64 {
        self.counts.cuts.load(Ordering::SeqCst)
    }

    /// Bytes that went over it.
    pub(crate) fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Forwards both ways until one end is gone, or it is cut.
async fn connect(agent: TcpStream, server: String, counts: Arc<Counts>) {
    // A server that is away refuses, and so does this.
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_agent, to_agent) = agent.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = forward(from_agent, to_server, &counts) => {}
        () = forward(from_server, to_agent, &counts) => {}
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, counts: &Counts) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if counts.pass(length as u64) || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

//! A server for tests of those who ask over HTTP: real sockets on the test's own runtime, so that a clock that is
//! paused is paused for both.

use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// What is answered.
pub(crate) enum Reply {
    /// This, and the connection is closed.
    Whole(String),
    /// This, and then nothing for ever.
    Open(String),
}

impl Reply {
    /// With more lines of its head, each ended.
    pub(crate) fn of(status: u16, headers: &str, body: &str) -> Self {
        let bytes = body.len();
        Self::Whole(format!(
            "HTTP/1.1 {status} Status\r\ncontent-length: {bytes}\r\nconnection: close\r\n{headers}\r\n{body}"
        ))
    }

    /// The beginning of a stream of events that says no more.
    pub(crate) fn stream(text: &str) -> Self {
        Self::Open(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{text}"
        ))
    }

    /// Not a word.
    pub(crate) fn silence() -> Self {
        Self::Open(String::new())
    }
}

/// The server; it ends with the test's runtime.
pub(crate) struct Stub {
    pub(crate) addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    /// Answers each request by its first line.
    pub(crate) async fn start(answer: impl FnMut(&str) -> Reply + Send + 'static) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (all, answer) = (Arc::clone(&asked), Arc::new(Mutex::new(answer)));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (all, answer) = (Arc::clone(&all), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut socket = BufReader::new(socket);
                    let Some(line) = read(&mut socket).await else {
                        return;
                    };
                    let reply = (answer.lock())(&line);
                    all.lock().push(line);
                    say(socket, reply).await;
                });
            }
        });
        Self { addr, asked }
    }

    /// The first lines of what came until now.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

/// An address that nobody answers at: connections wait for ever to be let in.
pub(crate) struct FullQueue {
    pub(crate) addr: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<std::net::TcpStream>,
}

impl FullQueue {
    /// The queue of whoever listens is full once a connection does not come about at once.
    pub(crate) fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let listener = socket.listen(1).expect("a listener");
        let addr = listener.local_addr().expect("an address");
        let soon = Duration::from_millis(100);
        let connect = || std::net::TcpStream::connect_timeout(&addr, soon).ok();
        let waiting = std::iter::from_fn(connect).collect();
        Self {
            addr,
            _listener: listener,
            _waiting: waiting,
        }
    }
}

/// A request whole, of which its first line is given.
async fn read(socket: &mut BufReader<TcpStream>) -> Option<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        socket
            .read_line(&mut line)
            .await
            .ok()
            .filter(|bytes| *bytes > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let length = lines.iter().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    let mut body = vec![0; length.unwrap_or_default()];
    socket.read_exact(&mut body).await.ok()?;
    Some(lines.swap_remove(0).trim_end_matches(" HTTP/1.1").to_owned())
}

async fn say(mut socket: BufReader<TcpStream>, reply: Reply) {
    let (text, open) = match reply {
        Reply::Whole(text) => (text, false),
        Reply::Open(text) => (text, true),
    };
    // Whoever asked may be gone.
    let _ = socket.write_all(text.as_bytes()).await;
    let _ = socket.flush().await;
    if open {
        std::future::pending().await
    }
}

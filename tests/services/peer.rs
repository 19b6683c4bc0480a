//! A service on a socket of its own that does what a test says, and remembers what it was told.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a peer does with a call.
pub(crate) enum Does {
    /// Answers with HTTP status 200 and this.
    Answer(Value),
    /// Sends this, and closes the connection.
    Say(String),
    /// Closes the connection so that the other side sees a reset.
    Reset,
    /// Nothing, for ever.
    Silence,
    /// Sends as much as is taken.
    Endless,
}

impl Does {
    pub(crate) fn done() -> Self {
        Self::Answer(json!({ "success": true, "data": {} }))
    }

    /// With more lines of its head, each ended.
    pub(crate) fn status(status: u16, headers: &str) -> Self {
        let head = format!("HTTP/1.1 {status} Status\r\n{headers}");
        Self::Say(format!("{head}content-length: 0\r\nconnection: close\r\n\r\n"))
    }

    /// What is answered to `health` by who handles these etypes and detections.
    pub(crate) fn health(callbacks: &[&str], detections: &[&str]) -> Self {
        let mtd = json!({
            "callbacks": callbacks, "detect_subscriptions": detections, "request_params": {},
        });
        let data = json!({ "version": 1, "start_time": 1, "calls_in_progress": 1, "mtd": mtd });
        Self::Answer(json!({ "success": true, "data": data }))
    }
}

type Behaviour = dyn Fn(&Value) -> Does + Send + Sync;

/// The service. Its connections end with the test's runtime.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    secret: &'static str,
    told: Arc<Mutex<Vec<Value>>>,
    sent: Arc<AtomicU64>,
    does: Arc<Behaviour>,
}

impl Peer {
    /// Does with every call that is signed with `secret` what `does` says, and answers others with 401.
    pub(crate) async fn start(
        secret: &'static str,
        does: impl Fn(&Value) -> Does + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let peer = Self {
            addr: listener.local_addr().expect("an address"),
            secret,
            told: Arc::default(),
            sent: Arc::default(),
            does: Arc::new(does),
        };
        let serving = peer.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let peer = serving.clone();
                tokio::spawn(async move { peer.serve(BufReader::new(socket)).await });
            }
        });
        peer
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// The calls of this etype, in the order in which they came.
    pub(crate) fn told(&self, etype: &str) -> Vec<Value> {
        let told = self.told.lock().expect("not poisoned");
        told.iter()
            .filter(|call| call["etype"] == etype)
            .cloned()
            .collect()
    }

    /// The detections of this name.
    pub(crate) fn detections(&self, cat: &str) -> Vec<Value> {
        let all = self.told("detection").into_iter();
        all.filter(|call| call["data"]["cat"] == cat).collect()
    }

    /// How many calls came, of any kind.
    pub(crate) fn calls(&self) -> usize {
        self.told.lock().expect("not poisoned").len()
    }

    /// Bytes of answers without end that were taken.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    async fn serve(&self, mut socket: BufReader<TcpStream>) {
        while let Some((lines, body)) = read(&mut socket).await {
            let given = header(&lines, "lc-svc-sig");
            let does = match tripline_service::verify(self.secret, &body, given.as_bytes()) {
                true => {
                    let call: Value = serde_json::from_slice(&body).expect("JSON");
                    let does = (self.does)(&call);
                    self.told.lock().expect("not poisoned").push(call);
                    does
                }
                false => Does::status(401, ""),
            };
            if !self.act(&mut socket, does).await {
                return;
            }
        }
    }

    /// Says whether the connection goes on.
    async fn act(&self, socket: &mut BufReader<TcpStream>, does: Does) -> bool {
        match does {
            Does::Answer(answer) => {
                let body = answer.to_string();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                socket.write_all((head + &body).as_bytes()).await.is_ok()
            }
            Does::Say(text) => {
                // The server may be gone: some tests kill it.
                let _ = socket.write_all(text.as_bytes()).await;
                false
            }
            Does::Reset => {
                socket.get_ref().set_zero_linger().expect("a socket");
                false
            }
            Does::Silence => std::future::pending().await,
            Does::Endless => {
                self.flood(socket).await;
                false
            }
        }
    }

    async fn flood(&self, socket: &mut BufReader<TcpStream>) {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let mut taken = socket.write_all(head).await;
        while taken.is_ok() {
            taken = socket.write_all(chunk.as_bytes()).await;
            self.sent.fetch_add(0x10000, Ordering::Relaxed);
        }
    }
}

async fn read(socket: &mut BufReader<TcpStream>) -> Option<(Vec<String>, Vec<u8>)> {
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
    let mut body = vec![0; header(&lines, "content-length").parse().ok()?];
    socket.read_exact(&mut body).await.ok()?;
    Some((lines, body))
}

fn header<'l>(lines: &'l [String], wanted: &str) -> &'l str {
    let pairs = lines.iter().filter_map(|line| line.split_once(": "));
    let mut found = pairs.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.next().map_or("", |(_, value)| value)
}

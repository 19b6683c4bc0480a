//! A broker for tests that lets clients in, if at all, and then answers nothing.

use super::NatsOptions;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tripline_protocol::Subjects;

/// What a broker says first.
const INFO: &str = "INFO {\"server_id\":\"x\",\"server_name\":\"x\",\"version\":\"2.11.0\",\"go\":\"x\",\
                    \"host\":\"x\",\"port\":1,\"proto\":1,\"headers\":true,\"max_payload\":1048576}\r\n";

/// It ends with the test's runtime.
pub(super) struct DeafBroker {
    addr: SocketAddr,
    connections: watch::Receiver<usize>,
}

impl DeafBroker {
    /// Takes connections and says nothing on them.
    pub(super) async fn start() -> Self {
        Self::serve(false).await
    }

    /// Lets clients in; what they ask then is not answered.
    pub(super) async fn that_lets_in() -> Self {
        Self::serve(true).await
    }

    async fn serve(lets_in: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (count, connections) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.send_modify(|count| *count += 1);
                tokio::spawn(hold(socket, lets_in));
            }
        });
        Self { addr, connections }
    }

    pub(super) fn url(&self) -> String {
        format!("nats://{}", self.addr)
    }

    pub(super) fn options(&self) -> NatsOptions {
        NatsOptions {
            url: self.url(),
            user: None,
            password: None,
            credentials: None,
            ca: None,
            subjects: Subjects::default(),
            stream_bytes_max: 0,
        }
    }

    /// Waits for so many connections.
    pub(super) async fn took(&self, count: usize) {
        let mut connections = self.connections.clone();
        connections
            .wait_for(|taken| *taken >= count)
            .await
            .expect("it runs");
    }
}

async fn hold(socket: TcpStream, lets_in: bool) {
    let mut socket = BufReader::new(socket);
    if lets_in {
        // Whoever connected may be gone.
        let _ = socket.write_all(INFO.as_bytes()).await;
        let _ = socket.flush().await;
    }
    let mut line = String::new();
    while matches!(socket.read_line(&mut line).await, Ok(bytes) if bytes > 0) {
        if lets_in && line.starts_with("PING") {
            let _ = socket.write_all(b"PONG\r\n").await;
            let _ = socket.flush().await;
        }
        line.clear();
    }
}

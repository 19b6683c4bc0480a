//! A server for the agent to talk to: enrolment by hand, then a WebSocket.

use crate::support::PATIENCE;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use tripline_agent::agent;
use tripline_agent::config::{Config, Options};
use tripline_protocol::api::{Enrol, Enrolled};
use tripline_protocol::frame::{
    AgentFrame, Chunk, Command, CommandResult, Hello, SUBPROTOCOL, ServerFrame, Transfer,
};
use tripline_protocol::littlebrother::{ClientMessage, WireEvent};
use tripline_protocol::verb::{Verb, VerbCall};
use tripline_protocol::{CommandId, HostId, Org};
use uuid::Uuid;

/// The token the server takes.
pub(crate) const TOKEN: &str = "enrol-me-please";

/// What a request had as `Authorization`.
fn bearer(request: &Request) -> String {
    request.headers()["authorization"].to_str().unwrap().to_owned()
}

/// Listens on loopback.
pub(crate) struct Server {
    listener: TcpListener,
    pub(crate) port: u16,
    /// What agents enrolled with.
    pub(crate) enrolments: Mutex<Vec<Enrol>>,
    /// How many enrolments it answers with "try later" before it takes one.
    pub(crate) unavailable: Mutex<u32>,
    /// What it answers keys with instead of taking them.
    pub(crate) refuse_keys: bool,
}

impl Server {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self {
            listener,
            port,
            enrolments: Mutex::default(),
            unavailable: Mutex::default(),
            refuse_keys: false,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next WebSocket; enrolments before it are answered. `None`: its key was refused.
    async fn next(&self) -> Option<(WebSocketStream<TcpStream>, String)> {
        loop {
            let (stream, _) = self.listener.accept().await.unwrap();
            let mut start = [0; 4];
            while stream.peek(&mut start).await.unwrap() < 4 {}
            if &start == b"POST" {
                self.enrol(stream).await;
                continue;
            }
            let mut key = String::new();
            #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
            let answer = |request: &Request, mut response: Response| {
                assert_eq!(request.uri().path(), "/v1/agent");
                assert_eq!(request.headers()["sec-websocket-protocol"], SUBPROTOCOL);
                key = bearer(request);
                if self.refuse_keys {
                    let mut refused = ErrorResponse::new(Some("{}".to_owned()));
                    *refused.status_mut() = StatusCode::UNAUTHORIZED;
                    return Err(refused);
                }
                let protocol = HeaderValue::from_static(SUBPROTOCOL);
                response.headers_mut().insert("sec-websocket-protocol", protocol);
                Ok(response)
            };
            let socket = accept_hdr_async(stream, answer).await.ok()?;
            return Some((socket, key));
        }
    }

    async fn enrol(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let body = loop {
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).await.unwrap();
            assert!(length > 0, "the request ended early");
            request.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&request);
            let Some((_, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            if let Ok(enrol) = serde_json::from_str::<Enrol>(body) {
                break enrol;
            }
        };
        let head = String::from_utf8_lossy(&request).to_lowercase();
        let (status, answer) = if self.is_unavailable() {
            ("503 Service Unavailable", String::new())
        } else if head.contains(&format!("authorization: bearer {TOKEN}")) {
            let enrolled = Enrolled {
                host_id: HostId(body.install_id.0),
                sensor_id: 1,
                org: Org::default_org(),
            };
            self.enrolments.lock().unwrap().push(body);
            ("200 OK", serde_json::to_string(&enrolled).unwrap())
        } else {
            let problem = json!({ "type": "x", "title": "x", "status": 401, "detail": "no such token", "code": "unauthorized" });
            ("401 Unauthorized", problem.to_string())
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
            answer.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }

    fn is_unavailable(&self) -> bool {
        let mut left = self.unavailable.lock().unwrap();
        let unavailable = *left > 0;
        *left = left.saturating_sub(1);
        unavailable
    }

    /// Answers enrolments and refuses keys until it is dropped.
    pub(crate) async fn refuse(&self) {
        while self.next().await.is_none() {}
    }

    /// Takes the next connection and welcomes it.
    pub(crate) async fn attach(&self, epoch: u64) -> Peer {
        self.welcome(epoch, false).await
    }

    /// The same, and wants processes watched.
    pub(crate) async fn attach_watching(&self, epoch: u64) -> Peer {
        self.welcome(epoch, true).await
    }

    async fn welcome(&self, epoch: u64, littlebrother: bool) -> Peer {
        timeout(PATIENCE, async {
            let (socket, key) = self.next().await.expect("a connection");
            let mut peer = Peer {
                socket,
                hello: None,
                key,
            };
            let AgentFrame::Hello(hello) = peer.frame().await else {
                panic!("the first frame is no hello")
            };
            let host_id = HostId(Uuid::nil());
            peer.send(ServerFrame::Welcome {
                host_id,
                epoch,
                server_version: "test".into(),
                littlebrother,
            })
            .await;
            peer.hello = Some(hello);
            peer
        })
        .await
        .expect("the agent attaches")
    }
}

/// An attached agent, seen from the server.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    hello: Option<Box<Hello>>,
    /// The `Authorization` it came with.
    pub(crate) key: String,
}

/// Something from the agent.
pub(crate) enum Received {
    Frame(AgentFrame),
    Chunk { offset: u64, bytes: Vec<u8> },
}

impl Peer {
    pub(crate) fn hello(&self) -> &Hello {
        self.hello.as_deref().unwrap()
    }

    pub(crate) async fn send(&mut self, frame: ServerFrame) {
        self.send_text(serde_json::to_string(&frame).unwrap()).await;
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_chunk(&mut self, command_id: CommandId, offset: u64, bytes: &[u8]) {
        let frame = Chunk {
            command_id,
            offset,
            bytes,
        }
        .encode();
        self.socket.send(Message::binary(frame)).await.unwrap();
    }

    pub(crate) async fn receive(&mut self) -> Received {
        let message = timeout(PATIENCE, self.socket.next())
            .await
            .expect("a frame in time");
        match message.expect("the connection is open").unwrap() {
            Message::Text(text) => Received::Frame(serde_json::from_str(&text).unwrap()),
            Message::Binary(bytes) => {
                let chunk = Chunk::decode(&bytes).unwrap();
                Received::Chunk {
                    offset: chunk.offset,
                    bytes: chunk.bytes.to_vec(),
                }
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    pub(crate) async fn frame(&mut self) -> AgentFrame {
        match self.receive().await {
            Received::Frame(frame) => frame,
            Received::Chunk { .. } => panic!("a chunk where a frame was expected"),
        }
    }

    /// The next result; what comes before it is passed over.
    pub(crate) async fn result(&mut self) -> CommandResult {
        loop {
            if let Received::Frame(AgentFrame::Result(result)) = self.receive().await {
                return *result;
            }
        }
    }

    /// The next message of the watcher, with its number; what comes before it is passed over.
    pub(crate) async fn report(&mut self) -> (u64, ClientMessage) {
        loop {
            if let Received::Frame(AgentFrame::Littlebrother { seq, message }) = self.receive().await {
                return (seq, *message);
            }
        }
    }

    /// Answers a message of the watcher.
    pub(crate) async fn answer(&mut self, seq: u64, events: Vec<WireEvent>) {
        self.send(ServerFrame::Littlebrother { seq, events }).await;
    }

    /// Answers messages with what `events` gives until one has an event that `wanted` wants.
    pub(crate) async fn reports_until(
        &mut self,
        mut events: impl FnMut() -> Vec<WireEvent>,
        wanted: impl Fn(&WireEvent) -> bool,
    ) -> WireEvent {
        timeout(PATIENCE, async {
            loop {
                let (seq, message) = self.report().await;
                self.answer(seq, events()).await;
                if let Some(event) = message.events.into_iter().find(&wanted) {
                    return event;
                }
            }
        })
        .await
        .expect("the event comes")
    }

    /// The code of the next result, which is a fault.
    pub(crate) async fn fault_code(&mut self, id: CommandId) -> String {
        let result = self.result().await;
        assert_eq!(result.command_id, id);
        result.error.expect("a fault").code
    }

    pub(crate) async fn command(&mut self, command: Command) {
        self.send(ServerFrame::Command(Box::new(command))).await;
    }

    /// Runs a command to its result.
    pub(crate) async fn run(&mut self, command: Command) -> CommandResult {
        let id = command.command_id;
        self.command(command).await;
        loop {
            let result = self.result().await;
            if result.command_id == id {
                return result;
            }
        }
    }

    pub(crate) async fn ack(&mut self, id: CommandId) {
        self.send(ServerFrame::Ack {
            command_ids: vec![id],
        })
        .await;
    }
}

/// A new command of epoch 1 with a minute to run.
pub(crate) fn command(verb: Verb, args: Value) -> Command {
    Command {
        command_id: CommandId(Uuid::new_v4()),
        epoch: 1,
        call: VerbCall::parse(verb, args).expect("legal arguments"),
        remaining_ms: 60_000,
        transfer: None,
        resume: None,
    }
}

/// A `put_file` whose content follows in chunks.
pub(crate) fn put_in_chunks(path: &Path, transfer: Transfer) -> Command {
    let args = json!({ "path": path, "artifact": transfer.sha256 });
    Command {
        transfer: Some(transfer),
        ..command(Verb::PutFile, args)
    }
}

/// An agent in this process.
pub(crate) struct InProcess {
    pub(crate) ended: JoinHandle<Result<(), agent::Error>>,
    stop: oneshot::Sender<()>,
}

impl InProcess {
    pub(crate) fn start(server: &Server, state_dir: &Path) -> Self {
        Self::start_with(server, state_dir, |_| ())
    }

    pub(crate) fn start_with(server: &Server, state_dir: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::load(Options {
            server: Some(server.url()),
            enrol_token: Some(TOKEN.to_owned()),
            state_dir: Some(state_dir.to_path_buf()),
            ..Options::default()
        })
        .unwrap();
        change(&mut config);
        Self::run(config)
    }

    pub(crate) fn run(config: Config) -> Self {
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        Self {
            ended: tokio::spawn(agent::run(config, shutdown)),
            stop,
        }
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        timeout(PATIENCE, self.ended)
            .await
            .expect("the agent stops")
            .unwrap()
            .unwrap();
    }
}

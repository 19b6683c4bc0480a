//! A LittleBrother server for the agent to talk to: HTTP by hand, one connection for each message.

use crate::quarry::{HOST, Orders, body};
use crate::support::wait_until;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tripline_agent::config::{Config, Options, WatchOptions};
use tripline_protocol::Span;
use tripline_protocol::littlebrother::{LocalTime, ReadMessage, WireEvent};

/// The secret the server takes.
pub(crate) const SECRET: &str = "abcdef";

/// What a server does with a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Manner {
    /// Takes it, and sends what waits.
    Proper,
    /// Takes it, and answers with this body.
    Body(String),
    /// Answers with this status and an HTML page.
    Status(u16),
    /// Never answers.
    Silent,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    /// To be sent with the next proper answer.
    waiting: Vec<WireEvent>,
    /// Sent with every proper answer.
    repeated: Vec<WireEvent>,
    /// What was taken properly.
    taken: Vec<ReadMessage>,
    /// Bodies as they came, whatever became of them.
    bodies: Vec<Value>,
    /// First lines and headers of all requests, in lower case.
    heads: Vec<String>,
}

/// Listens on loopback until it is dropped.
pub(crate) struct LittleBrother {
    pub(crate) port: u16,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
    serving: AbortHandle,
}

impl LittleBrother {
    pub(crate) async fn new() -> Self {
        Self::start(0, None).await
    }

    pub(crate) async fn at(port: u16) -> Self {
        Self::start(port, None).await
    }

    pub(crate) async fn with_tls(acceptor: TlsAcceptor) -> Self {
        Self::start(0, Some(acceptor)).await
    }

    async fn start(port: u16, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            manner: Manner::Proper,
            waiting: Vec::new(),
            repeated: Vec::new(),
            taken: Vec::new(),
            bodies: Vec::new(),
            heads: Vec::new(),
        }));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = state.clone();
        let serving = tokio::spawn(async move {
            // Dropped with the server: nobody is answered any more.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (shared.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &state).await,
                            Err(_) => None,
                        },
                        None => serve(stream, &state).await,
                    }
                });
            }
        });
        Self {
            port,
            scheme,
            state,
            serving: serving.abort_handle(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.port)
    }

    /// From now on.
    pub(crate) fn behave(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    /// Sends events with the next answer.
    pub(crate) fn tell(&self, events: Vec<WireEvent>) {
        self.state.lock().unwrap().waiting.extend(events);
    }

    /// Sends events with every answer from now on.
    pub(crate) fn repeat(&self, events: Vec<WireEvent>) {
        self.state.lock().unwrap().repeated = events;
    }

    /// How many requests came, whatever became of them.
    pub(crate) fn requests(&self) -> usize {
        self.state.lock().unwrap().heads.len()
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.state.lock().unwrap().heads.clone()
    }

    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.state.lock().unwrap().bodies.clone()
    }

    /// Events of messages that were taken, in order.
    pub(crate) fn events(&self) -> Vec<WireEvent> {
        let state = self.state.lock().unwrap();
        let events = state.taken.iter().flat_map(|taken| &taken.message.events);
        events.cloned().collect()
    }

    pub(crate) fn messages(&self) -> Vec<ReadMessage> {
        self.state.lock().unwrap().taken.clone()
    }

    /// Waits for an event.
    pub(crate) async fn event(&self, what: &str, wanted: impl Fn(&WireEvent) -> bool) -> WireEvent {
        self.event_after(0, what, wanted).await
    }

    /// Waits for one after the first `seen`.
    pub(crate) async fn event_after(
        &self,
        seen: usize,
        what: &str,
        wanted: impl Fn(&WireEvent) -> bool,
    ) -> WireEvent {
        let find = || self.events().into_iter().skip(seen).find(&wanted);
        until(what, || find().is_some()).await;
        find().unwrap()
    }

    /// Waits for as many more requests: whatever was due has been done by then.
    pub(crate) async fn more_requests(&self, more: usize) {
        let wanted = self.requests() + more;
        until("more messages came", || self.requests() >= wanted).await;
    }
}

impl Drop for LittleBrother {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A port on which nobody listens.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits for a condition without keeping the runtime from its other tasks.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    tokio::task::block_in_place(|| wait_until(what, &mut condition));
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State>) -> Option<()> {
    let (head, text) = request(&mut stream).await?;
    let sent: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let (status, answer) = {
        let mut state = state.lock().unwrap();
        state.heads.push(head);
        state.bodies.push(sent.clone());
        decide(&mut state, &text, &sent)
    }
    .unwrap_or_default();
    if status == 0 {
        // Until the client gives up, or the server is dropped.
        return std::future::pending().await;
    }
    let answer = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nLocation: /elsewhere\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    );
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

/// Status and body; nothing for a server that never answers.
fn decide(state: &mut State, text: &str, sent: &Value) -> Option<(u16, String)> {
    let answer = match &state.manner {
        Manner::Silent => return None,
        Manner::Status(status) => return Some((*status, "<html>no</html>".to_owned())),
        _ if sent["secret"] != SECRET => {
            return Some((401, json!({ "error": "invalid access code" }).to_string()));
        }
        Manner::Body(body) => body.clone(),
        Manner::Proper => {
            let mut events = std::mem::take(&mut state.waiting);
            events.extend(state.repeated.clone());
            body(&events).to_string()
        }
    };
    let read = ReadMessage::read(text.as_bytes(), LocalTime::epoch()).expect("a message");
    state.taken.push(read);
    Some((200, answer))
}

/// Head in lower case and body; `None` if the client went away.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some((head, body.to_owned()));
        }
    }
}

/// A file with the secret that only its owner may read.
pub(crate) fn secret_file(dir: &Path, secret: &str) -> PathBuf {
    let path = dir.join("secret");
    std::fs::write(&path, format!("{secret}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Often enough that no test waits long.
pub(crate) const OFTEN: Duration = Duration::from_millis(100);

/// An agent without a Tripline server that watches for a LittleBrother server, often.
pub(crate) fn watching(server: &LittleBrother, dir: &Path) -> Config {
    let often = Some(Span::from_millis(OFTEN.as_millis() as u64));
    Config::load(Options {
        state_dir: Some(dir.join("state")),
        watch: WatchOptions {
            littlebrother: Some(server.url()),
            secret_file: Some(secret_file(dir, SECRET)),
            littlebrother_hostname: Some(HOST.to_owned()),
            check_interval: often,
            scan_interval: often,
            kill_delay: often,
            ..WatchOptions::default()
        },
        ..Options::default()
    })
    .unwrap()
}

/// A server that gave these orders with its first answer.
pub(crate) async fn ordering(orders: &Orders) -> LittleBrother {
    let server = LittleBrother::new().await;
    server.tell(orders.events());
    server
}

//! A server for unit tests, which answers what a test says: real sockets, a few lines of HTTP, and every way to
//! answer badly. What a real server does is tested in `tests/client`.

use crate::client::Client;
use crate::session::Session;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Longest wait for anything; only failing tests wait that long.
const PATIENCE: Duration = Duration::from_secs(30);
/// The one session of the stub.
pub(crate) const SESSION: &str = "00000000-0000-0000-0000-000000000007";

/// A request that came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// `GET /v1/hosts?limit=1`.
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Its body came to its end.
    pub(crate) whole: bool,
}

impl Asked {
    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        let (found, rest) = self.line.split_once(' ').unwrap_or_default();
        found == method && rest.split('?').next() == Some(path)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// The head as it is, then the body; fewer bytes than the head promises break off.
    Raw(String, Vec<u8>),
    /// The same, and the connection stays open.
    Open(String, Vec<u8>),
    /// The connection is closed without a word.
    HangUp,
    /// Nothing at all.
    Silence,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "", body.to_string().as_bytes())
    }

    /// With more header lines, each ended.
    pub(crate) fn bytes(status: u16, headers: &str, body: &[u8]) -> Self {
        Self::cut(status, headers, body, body.len())
    }

    /// A body of which only the beginning is sent.
    pub(crate) fn cut(status: u16, headers: &str, body: &[u8], sent: usize) -> Self {
        let head = format!(
            "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
            body.len()
        );
        Self::Raw(head, body[..sent].to_vec())
    }

    pub(crate) fn problem(status: u16, code: &str) -> Self {
        let body = json!({
            "type": format!("urn:tripline:problem:{code}"), "title": "No", "status": status,
            "detail": format!("it is {code}"), "code": code,
        });
        Self::json(status, &body)
    }
}

/// What a test says to each request.
type Answer = dyn FnMut(&Asked) -> Reply + Send;

/// The server; it ends with the test's runtime.
pub(crate) struct Stub {
    url: String,
    asked: watch::Receiver<Vec<Asked>>,
}

impl Stub {
    pub(crate) async fn start(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, asked) = watch::channel(Vec::new());
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(answer));
        let tell = Arc::new(tell);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&answer), Arc::clone(&tell)));
            }
        });
        Self { url, asked }
    }

    /// One that has a session open and leaves the rest to the test.
    pub(crate) async fn with_session(
        mut answer: impl FnMut(&Asked) -> Option<Reply> + Send + 'static,
    ) -> Self {
        Self::start(move |asked| {
            let said = answer(asked);
            said.unwrap_or_else(|| {
                if asked.is("GET", "/v1/hosts/web01") {
                    Reply::json(200, &host("web01"))
                } else if asked.is("POST", "/v1/sessions") {
                    Reply::json(201, &session("active"))
                } else if asked.is("DELETE", &of_session("")) {
                    Reply::json(200, &session("closed"))
                } else if asked.is("POST", &of_session("/keepalive")) {
                    Reply::json(200, &session("active"))
                } else {
                    Reply::problem(404, "not_found")
                }
            })
        })
        .await
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with_patience(Duration::from_secs(10))
    }

    pub(crate) fn client_with_patience(&self, patience: Duration) -> Client {
        let client = Client::builder(&self.url).token("secret").patience(patience);
        client.build().unwrap()
    }

    pub(crate) async fn session(&self) -> Session {
        self.client()
            .host("web01")
            .await
            .unwrap()
            .session()
            .await
            .unwrap()
    }

    /// What came until now.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// How many requests of this kind came.
    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        let asked = self.asked.borrow();
        asked.iter().filter(|asked| asked.is(method, path)).count()
    }

    /// Waits for a request of this kind.
    pub(crate) async fn until(&self, method: &str, path: &str) -> Asked {
        let mut asked = self.asked.clone();
        let find = |asked: &Vec<Asked>| asked.iter().find(|asked| asked.is(method, path)).cloned();
        let waited = tokio::time::timeout(PATIENCE, asked.wait_for(|asked| find(asked).is_some())).await;
        let seen = waited
            .unwrap_or_else(|_| panic!("never: {method} {path}"))
            .unwrap();
        find(&seen).unwrap()
    }
}

async fn serve(socket: TcpStream, answer: Arc<Mutex<Answer>>, tell: Arc<watch::Sender<Vec<Asked>>>) {
    let mut socket = BufReader::new(socket);
    while let Some(asked) = read(&mut socket).await {
        let reply = (answer.lock().unwrap())(&asked);
        tell.send_modify(|all| all.push(asked));
        match reply {
            Reply::HangUp => return,
            Reply::Silence => std::future::pending().await,
            Reply::Raw(head, body) => return say(&mut socket, &head, &body).await,
            Reply::Open(head, body) => {
                say(&mut socket, &head, &body).await;
                std::future::pending().await
            }
        }
    }
}

async fn say(socket: &mut BufReader<TcpStream>, head: &str, body: &[u8]) {
    let whole = [head.as_bytes(), body].concat();
    // Whoever asked may be gone.
    let _ = socket.write_all(&whole).await;
    let _ = socket.flush().await;
}

async fn read(socket: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut asked = Asked::default();
    let first = line(socket).await?;
    asked.line = first.strip_suffix(" HTTP/1.1")?.to_owned();
    loop {
        let line = line(socket).await?;
        match line.split_once(": ") {
            Some((name, value)) => asked.headers.push((name.to_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let length: usize = asked
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap());
    asked.body = vec![0; length];
    asked.whole = socket.read_exact(&mut asked.body).await.is_ok();
    if asked.header("transfer-encoding") == Some("chunked") {
        asked.whole = chunks(socket, &mut asked.body).await.is_some();
    }
    Some(asked)
}

async fn line(socket: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    socket
        .read_line(&mut line)
        .await
        .ok()
        .filter(|bytes| *bytes > 0)?;
    Some(line.trim_end().to_owned())
}

/// `None`: it broke off.
async fn chunks(socket: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let bytes = usize::from_str_radix(&line(socket).await?, 16).ok()?;
        let mut chunk = vec![0; bytes + 2];
        socket.read_exact(&mut chunk).await.ok()?;
        body.extend_from_slice(&chunk[..bytes]);
        if bytes == 0 {
            return Some(());
        }
    }
}

/// A path of the one session.
pub(crate) fn of_session(rest: &str) -> String {
    format!("/v1/sessions/{SESSION}{rest}")
}

pub(crate) fn host(name: &str) -> Value {
    json!({
        "host_id": "00000000-0000-0000-0000-000000000001", "sensor_id": 1, "org": "default", "hostname": name,
        "platform": "linux", "arch": "x86_64", "attachments": [],
        "created_at": "2026-11-21T00:00:00Z", "last_seen_at": "2026-11-21T00:00:00Z",
    })
}

pub(crate) fn session(state: &str) -> Value {
    json!({
        "session_id": SESSION, "number": 7, "org": "default", "sensor_id": 1, "state": state,
        "host": {"host_id": "00000000-0000-0000-0000-000000000001", "hostname": "web01"},
        "owner": {"token_id": "t", "name": "tests"}, "verbs": ["list_processes"],
        "opened_at": "2026-11-21T00:00:00Z", "last_request_at": "2026-11-21T00:00:00Z", "idle_timeout": "5m",
    })
}

/// A command, with more fields than every one has.
pub(crate) fn command(verb: &str, state: &str, more: Value) -> Value {
    let mut command = json!({
        "session_id": SESSION, "number": 1, "command_id": "00000000-0000-0000-0000-000000000009", "verb": verb,
        "arguments": {}, "state": state, "timeout": "2m", "caller": "tests", "queued_at": "2026-11-21T00:00:00Z",
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut command, more) {
        all.extend(more);
    }
    command
}

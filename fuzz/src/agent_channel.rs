//! An agent that lies: any frames on an open channel of a whole server in this process, while a command is at the
//! agent.
//!
//! Input: one frame a line, `$COMMAND` standing for the command's id; a line that begins with `!` is a binary
//! frame about that command: an offset in decimal, a blank, the bytes.

use crate::stage::{Account, Server, server};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::sync::OnceLock;
use tokio::runtime::Runtime;
use tokio::time::{Duration, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tripline_protocol::frame::SUBPROTOCOL;
use uuid::Uuid;

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// Nothing takes this long unless it hangs.
const HANG: Duration = Duration::from_secs(20);
const FRAMES_MAX: usize = 64;

/// Whatever the agent sends, the server goes on and the host can attach again.
pub fn run(data: &[u8]) {
    let server = server();
    runtime().block_on(async { timeout(HANG, lie(server, data)).await.expect("no answer in time") });
    server.is_well();
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime"))
}

async fn lie(server: &Server, data: &[u8]) {
    // Each input has a host of its own: what one liar leaves behind must not keep the next one waiting.
    let account = server.enrol();
    let mut socket = attach(server, &account).await;
    let job = server.make(
        "/v1/jobs",
        &json!({
            "host": account.host_id,
            "job": {
                "name": "corpus", "expires": "1m", "timeout": "1m",
                "steps": [{"get_file": {"path": "/etc/hostname"}}],
            },
        }),
    );
    let command = command(&mut socket).await;
    for line in data.split(|byte| *byte == b'\n').take(FRAMES_MAX) {
        if socket.send(frame(line, command)).await.is_err() {
            break;
        }
    }
    // A server that has had enough closes; either way what it says is read before the channel ends.
    let _ = socket.close(None).await;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() {
            break;
        }
    }
    let job = job.get("job_id").and_then(Value::as_str).expect("a job");
    cancel(server, job);
}

async fn attach(server: &Server, account: &Account) -> Socket {
    let url = format!("ws://{}/v1/agent", server.addr);
    let mut request = url.into_client_request().expect("a request");
    let bearer = HeaderValue::try_from(format!("Bearer {}", account.key)).expect("a header");
    request.headers_mut().insert("authorization", bearer);
    let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
    request
        .headers_mut()
        .insert("sec-websocket-protocol", subprotocol);
    let (mut socket, _) = connect_async(request).await.expect("a channel");
    let hello = json!({
        "type": "hello", "agent_version": "0", "hostname": "liar", "platform": "linux", "arch": "x86_64",
        "verbs": ["get_file", "list_processes", "create_process"], "journal_id": Uuid::new_v4(),
    });
    let said = socket.send(Message::Text(hello.to_string().into())).await;
    said.expect("said hello");
    socket
}

/// The id of the next command.
async fn command(socket: &mut Socket) -> Uuid {
    loop {
        let message = socket.next().await.expect("an open channel").expect("a frame");
        let Message::Text(text) = message else { continue };
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        if frame.get("type").is_some_and(|kind| kind == "command") {
            let id = frame.get("command_id").and_then(Value::as_str);
            return id.and_then(|id| id.parse().ok()).expect("a command's id");
        }
    }
}

fn frame(line: &[u8], command: Uuid) -> Message {
    let Some(rest) = line.strip_prefix(b"!") else {
        let text = String::from_utf8_lossy(line).replace("$COMMAND", &command.to_string());
        return Message::Text(text.into());
    };
    let blank = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
    let (offset, bytes) = rest.split_at(blank);
    let offset: u64 = std::str::from_utf8(offset)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut chunk = command.as_bytes().to_vec();
    chunk.extend_from_slice(&offset.to_be_bytes());
    chunk.extend_from_slice(bytes.get(1..).unwrap_or_default());
    Message::Binary(chunk.into())
}

/// So that the next run's command comes first. The job may have ended already.
fn cancel(server: &Server, job: &str) {
    let head = format!(
        "POST /v1/jobs/{job}/cancel HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n\
         connection: close\r\n\r\n",
        server.token
    );
    let (status, _) = server.ask(&head, &[]);
    assert!(status < 500, "a job cannot be cancelled: {status}");
}

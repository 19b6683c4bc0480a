//! An agent that says on the real channel whatever a test has it say.

use crate::harness::scripted::connection::Account;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use tripline_protocol::frame::{Chunk, SUBPROTOCOL};
use tripline_protocol::{CommandId, HostId};
use uuid::Uuid;

/// An enrolled host, and its agent's connection.
pub(crate) struct Liar {
    url: String,
    key: String,
    journal_id: Uuid,
    pub(crate) host_id: HostId,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Liar {
    /// Enrols and attaches it.
    pub(crate) async fn attach(url: &str, token: &str, hostname: &str) -> Self {
        let mut liar = Self::open(url, token, hostname).await;
        liar.introduce(json!({})).await;
        assert_eq!(liar.hears().await["type"], "welcome");
        liar
    }

    /// Enrols it and opens the channel without a hello.
    pub(crate) async fn open(url: &str, token: &str, hostname: &str) -> Self {
        let account = Account::enrol(url, token, hostname, "linux").await;
        let account = account.expect("an enrolment");
        Self {
            socket: connect(url, &account.key).await,
            url: url.to_owned(),
            key: account.key,
            journal_id: Uuid::new_v4(),
            host_id: account.enrolled.host_id,
        }
    }

    /// Comes again with the same key, and has not said hello yet.
    pub(crate) async fn come_again(&mut self) {
        self.socket = connect(&self.url, &self.key).await;
    }

    /// Another connection of the same agent, without a hello.
    pub(crate) async fn twin(&self) -> Self {
        Self {
            socket: connect(&self.url, &self.key).await,
            url: self.url.clone(),
            key: self.key.clone(),
            journal_id: self.journal_id,
            host_id: self.host_id,
        }
    }

    /// Says hello, with some fields other than they should be.
    pub(crate) async fn introduce(&mut self, other: Value) {
        let mut hello = json!({
            "type": "hello", "agent_version": "0", "hostname": "liar", "platform": "linux", "arch": "x86_64",
            "verbs": ["list_processes", "create_process", "get_file"], "journal_id": self.journal_id,
        });
        let fields = other.as_object().expect("an object").clone();
        hello.as_object_mut().expect("an object").extend(fields);
        self.say(hello).await;
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.send(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.try_send(message).await.expect("sent");
    }

    /// An error when the server has ended the connection.
    pub(crate) async fn try_send(&mut self, message: Message) -> Result<(), String> {
        self.socket.send(message).await.map_err(|error| error.to_string())
    }

    pub(crate) async fn chunk(&mut self, command_id: CommandId, offset: u64, bytes: &[u8]) {
        let chunk = Chunk {
            command_id,
            offset,
            bytes,
        };
        self.send(Message::binary(chunk.encode())).await;
    }

    /// The result of a command.
    pub(crate) async fn result(&mut self, command_id: CommandId, output: Value) {
        self.say(json!({"type": "result", "command_id": command_id, "output": output}))
            .await;
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next frame that is no ping.
    pub(crate) async fn hears(&mut self) -> Value {
        self.hears_until(|frame| frame["type"] != "ping").await
    }

    /// The next frame of a kind.
    pub(crate) async fn hears_a(&mut self, kind: &str) -> Value {
        self.hears_until(|frame| frame["type"] == kind).await
    }

    async fn hears_until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.next().await.expect("the connection goes on");
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// The id of the next command.
    pub(crate) async fn command(&mut self) -> CommandId {
        let command = self.hears_a("command").await;
        serde_json::from_value(command["command_id"].clone()).expect("an id")
    }

    /// The last word of the server before it ends the connection; empty without one.
    pub(crate) async fn farewell(&mut self) -> String {
        let mut reason = String::new();
        while let Some(frame) = self.next().await {
            if frame["type"] == "bye" {
                reason = frame["reason"].as_str().expect("a word").to_owned();
            }
        }
        reason
    }
}

async fn connect(url: &str, key: &str) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    let url = format!("{}/v1/agent", url.replace("http://", "ws://"));
    let mut request = url.into_client_request().expect("a request");
    let bearer = HeaderValue::try_from(format!("Bearer {key}")).expect("a header");
    let headers = request.headers_mut();
    headers.insert(header::AUTHORIZATION, bearer);
    let protocol = HeaderValue::from_static(SUBPROTOCOL);
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    let connected = connect_async_tls_with_config(request, None, true, None).await;
    connected.expect("a connection").0
}

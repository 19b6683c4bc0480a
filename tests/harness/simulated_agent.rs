//! An agent in the test's own process, on a real WebSocket: for many hosts at once, and for what a good agent
//! would not do.

use super::Server;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use sha2::Digest;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message, protocol::CloseFrame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tripline_protocol::HostId;
use tripline_protocol::api::Enrolled;
use tripline_protocol::frame::SUBPROTOCOL;
use uuid::Uuid;

/// Enrolled, and perhaps connected.
pub(crate) struct SimulatedAgent {
    url: String,
    key: String,
    pub(crate) host_id: HostId,
    socket: Option<WebSocketStream<MaybeTlsStream<TcpStream>>>,
}

/// Commands that simulated agents hold at the same time.
#[derive(Clone, Default)]
pub(crate) struct Gauge {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Gauge {
    fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }
}

impl SimulatedAgent {
    /// Enrols in the org of the enrolment token.
    pub(crate) async fn enrol(server: &Server, token: &str, hostname: &str) -> Self {
        let key = Uuid::new_v4().to_string();
        let request = json!({
            "install_id": Uuid::new_v4(), "hostname": hostname, "platform": "linux", "arch": "x86_64",
            "key_sha256": tripline_protocol::Sha256::from_digest(&sha2::Sha256::digest(&key).into()),
        });
        let answer = server
            .api()
            .with_token(token)
            .post("/v1/agent/enrol", &request)
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let enrolled: Enrolled = serde_json::from_value(answer.body).expect("an enrolment");
        Self {
            url: server.url().replace("http://", "ws://"),
            key,
            host_id: enrolled.host_id,
            socket: None,
        }
    }

    /// Opens the channel; the HTTP status when it is refused.
    pub(crate) async fn open(&mut self) -> Result<(), u16> {
        let mut request = format!("{}/v1/agent", self.url)
            .into_client_request()
            .expect("a request");
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", SUBPROTOCOL.parse().expect("a header"));
        let bearer = format!("Bearer {}", self.key);
        headers.insert("authorization", bearer.parse().expect("a header"));
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, _)) => self.socket = Some(socket),
            Err(Error::Http(response)) => return Err(response.status().as_u16()),
            Err(error) => panic!("no connection: {error}"),
        }
        Ok(())
    }

    pub(crate) fn set_key(&mut self, key: &str) {
        key.clone_into(&mut self.key);
    }

    /// Opens the channel, says hello and hears welcome.
    pub(crate) async fn attach(&mut self) {
        self.open().await.expect("not refused");
        self.say(json!({
            "type": "hello", "agent_version": "0", "hostname": "simulated", "platform": "linux",
            "arch": "x86_64", "verbs": ["list_processes", "create_process"], "journal_id": Uuid::new_v4(),
        }))
        .await;
        assert_eq!(self.hear().await.expect("open")["type"], "welcome");
    }

    fn socket(&mut self) -> &mut WebSocketStream<MaybeTlsStream<TcpStream>> {
        self.socket.as_mut().expect("connected")
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.say_text(frame.to_string()).await;
    }

    pub(crate) async fn say_text(&mut self, text: String) {
        self.socket()
            .send(Message::Text(text.into()))
            .await
            .expect("sent");
    }

    /// The next text frame, or how the server closed the channel.
    pub(crate) async fn hear(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            match self.socket().next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(close))) => return Err(close),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Answers every command at once after it got a permit of `gate`, until the channel closes.
    pub(crate) async fn serve(mut self, gauge: Gauge, gate: Arc<Semaphore>) {
        while let Ok(frame) = self.hear().await {
            match frame["type"].as_str() {
                Some("ping") => self.say(json!({"type": "pong"})).await,
                Some("command") => {
                    gauge.enter();
                    gate.acquire().await.expect("never closed").forget();
                    let result = json!({"type": "result", "command_id": frame["command_id"],
                        "output": {"processes": [], "left_out": 0}});
                    gauge.leave();
                    self.say(result).await;
                }
                _ => {}
            }
        }
    }
}

//! Simulated agents: enrolled over the real API, each with a real WebSocket, answering every command at once.

use super::Outcome;
use super::stage::Stage;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use sha2::{Digest, Sha256 as Hasher};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use tripline_protocol::api::{CreateToken, CreatedToken, Enrol, Enrolled, Role};
use tripline_protocol::frame::{AgentFrame, Hello, SUBPROTOCOL};
use tripline_protocol::verb::Verb;
use tripline_protocol::{HostId, InstallId, Sha256};
use uuid::Uuid;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a small directory looks like; as long as the outputs of most commands that only look.
const OUTPUT: &str = r#"{"files":[{"filename":"report.txt","attributes":["ARCHIVE"],"size":4242,"create_time":1790000000,"last_access_time":1790000000,"last_write_time":1790000000,"mode":420,"owner":"amelie"},{"filename":"work","attributes":["DIRECTORY"],"size":4096,"create_time":1790000000,"last_access_time":1790000000,"last_write_time":1790000000,"mode":493,"owner":"amelie"}],"omitted":0}"#;

/// Agents at work. They end when this is dropped.
pub(crate) struct Agents {
    pub(crate) hosts: Vec<HostId>,
    _tasks: JoinSet<()>,
}

/// Enrols and attaches `count` agents.
pub(crate) async fn start(stage: &Stage, count: u32) -> Outcome<Agents> {
    let door = Door::open(stage).await?;
    let (mut hosts, mut tasks) = (Vec::new(), JoinSet::new());
    for number in 0..count {
        let (host_id, socket) = door.enter(&format!("bench-{number}")).await?;
        hosts.push(host_id);
        tasks.spawn(serve(socket));
    }
    Ok(Agents { hosts, _tasks: tasks })
}

/// The way in: where the server is, and a token to enrol with.
struct Door {
    http: reqwest::Client,
    address: SocketAddr,
    token: String,
}

impl Door {
    async fn open(stage: &Stage) -> Outcome<Self> {
        let (http, address) = (reqwest::Client::new(), stage.address()?);
        let request = CreateToken {
            name: "bench".to_owned(),
            role: Role::Enrol,
            org: None,
            uses: None,
            expires: None,
        };
        let answer = http
            .post(format!("http://{address}/v1/tokens"))
            .bearer_auth(stage.admin_token())
            .json(&request)
            .send()
            .await?;
        let created: CreatedToken = answer.error_for_status()?.json().await?;
        Ok(Self {
            http,
            address,
            token: created.token,
        })
    }

    /// A new host and its connection, welcomed.
    async fn enter(&self, hostname: &str) -> Outcome<(HostId, Socket)> {
        let key = Uuid::new_v4().simple().to_string();
        let request = Enrol {
            install_id: InstallId(Uuid::new_v4()),
            key_sha256: Sha256::from_digest(&Hasher::digest(&key).into()),
            hostname: hostname.to_owned(),
            addresses: Vec::new(),
            platform: "linux".to_owned(),
            arch: "x86_64".to_owned(),
        };
        let answer = self
            .http
            .post(format!("http://{}/v1/agent/enrol", self.address))
            .bearer_auth(&self.token)
            .json(&request)
            .send()
            .await?;
        let enrolled: Enrolled = answer.error_for_status()?.json().await?;
        let socket = attach(self.address, &key, hostname).await?;
        Ok((enrolled.host_id, socket))
    }
}

async fn attach(address: SocketAddr, key: &str, hostname: &str) -> Outcome<Socket> {
    let mut request = format!("ws://{address}/v1/agent").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert(
        header::AUTHORIZATION,
        HeaderValue::try_from(format!("Bearer {key}"))?,
    );
    headers.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    let (mut socket, _) = connect_async_tls_with_config(request, None, true, None).await?;
    let hello = AgentFrame::Hello(Box::new(Hello {
        agent_version: "bench".to_owned(),
        hostname: hostname.to_owned(),
        platform: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        os_version: String::new(),
        addresses: Vec::new(),
        labels: Vec::new(),
        verbs: vec![Verb::ListDirectory],
        journal_id: Uuid::new_v4(),
        running: Vec::new(),
        finished: Vec::new(),
    }));
    socket
        .send(Message::Text(serde_json::to_string(&hello)?.into()))
        .await?;
    match socket.next().await {
        Some(Ok(Message::Text(text))) if text.contains(r#""type":"welcome""#) => Ok(socket),
        other => Err(format!("no welcome: {other:?}").into()),
    }
}

/// As much of a server's frame as is needed to answer it.
#[derive(Deserialize)]
struct Frame<'a> {
    r#type: &'a str,
    command_id: Option<&'a str>,
}

/// The answer to a frame, if it wants one.
fn answer(text: &str) -> Option<String> {
    let frame: Frame<'_> = serde_json::from_str(text).ok()?;
    match (frame.r#type, frame.command_id) {
        ("command", Some(id)) => Some(format!(
            r#"{{"type":"result","command_id":"{id}","output":{OUTPUT}}}"#
        )),
        ("ping", _) => Some(r#"{"type":"pong"}"#.to_owned()),
        _ => None,
    }
}

/// Answers until the connection ends.
async fn serve(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        if let Some(answer) = answer(&text)
            && socket.send(Message::Text(answer.into())).await.is_err()
        {
            return;
        }
    }
}

/// A connection that only measures round trips.
pub(crate) struct Prober(Socket);

impl Prober {
    pub(crate) async fn start(stage: &Stage) -> Outcome<Self> {
        let (_, socket) = Door::open(stage).await?.enter("prober").await?;
        Ok(Self(socket))
    }

    /// A frame to the server and its answer, through the agent channel.
    pub(crate) async fn round_trip(&mut self) -> Outcome {
        self.0.send(Message::Text(r#"{"type":"ping"}"#.into())).await?;
        loop {
            match self.0.next().await.ok_or("the connection ended")?? {
                Message::Text(text) if text.contains("pong") => return Ok(()),
                _ => {}
            }
        }
    }
}

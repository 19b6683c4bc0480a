//! One connection to the server: hello, welcome, then frames both ways until it is lost.
//!
//! Reading and writing go on side by side in one task: neither waits for a command. Deliberately not here:
//! when to connect again.

use crate::enrol::{chain, refusal, unreachable};
use crate::executor::Executor;
use crate::keys::Keys;
use crate::link::{Link, LinkEnd, Outgoing};
use crate::server_url::ServerUrl;
use crate::watching::ChannelLine;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use serde::Deserialize;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};
use tripline_protocol::frame::{AgentFrame, Chunk, Hello, SUBPROTOCOL, ServerFrame};
use tripline_protocol::limit::{CHANNEL_DEAD_SECONDS, FRAME_BYTES_MAX, PING_INTERVAL_SECONDS};
use tripline_protocol::{CommandId, Fault, Label};
use uuid::Uuid;

const CONNECT: Duration = Duration::from_secs(15);
/// How long a name server may take while the host is isolated and addresses of the server are known.
pub(crate) const LOOK_UP: Duration = Duration::from_secs(5);
const DEAD: Duration = Duration::from_secs(CHANNEL_DEAD_SECONDS);
const PING: Duration = Duration::from_secs(PING_INTERVAL_SECONDS);
/// How often it is looked whether commands still run.
const IDLE_LOOK: Duration = Duration::from_millis(500);
/// Most frames written before a flush.
const BURST: usize = 64;

/// A connection to the server.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server does not take this agent's key.
    #[error("the server refused this agent's key: {0}")]
    Refused(String),
    /// Anything that may be over soon.
    #[error("{0}")]
    Failed(String),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Before the server welcomed the agent.
    NotWelcomed(String),
    /// The server said why, after its welcome: `replaced`, `revoked`, `forgotten`, `shutdown`,
    /// `protocol_error`.
    Bye(String),
    /// Lost after the welcome.
    Lost(String),
    /// Ended by the agent, which goes on with its next key.
    NewKey,
}

/// What an agent says of itself over one connection.
pub struct Own<'a> {
    /// Labels of its configuration.
    pub labels: &'a [Label],
    /// Its keys.
    pub keys: &'a Keys,
    /// The one that opened the connection.
    pub key: &'a str,
    /// Of its process.
    pub run_id: Uuid,
}

/// Opens a connection with the agent's key. `known` are addresses of the server for when its name says nothing.
pub async fn connect(
    server: &ServerUrl,
    trust: Option<&Arc<ClientConfig>>,
    key: &str,
    known: &[SocketAddr],
) -> Result<Socket, ConnectError> {
    let failed = |error: tungstenite::Error| ConnectError::Failed(unreachable(&error));
    let mut request = server
        .web_socket("v1/agent")
        .into_client_request()
        .map_err(failed)?;
    let mut bearer = HeaderValue::try_from(format!("Bearer {key}"))
        .map_err(|_| ConnectError::Failed("the key is no header value".into()))?;
    bearer.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    request.headers_mut().insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    let config = WebSocketConfig::default()
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    let connector = trust.cloned().map(Connector::Rustls);
    let connecting = async {
        let stream = dial(server, known).await.map_err(tungstenite::Error::Io)?;
        client_async_tls_with_config(request, stream, Some(config), connector).await
    };
    match timeout(CONNECT, connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(response))) => {
            let status = response.status().as_u16();
            let why = refusal(status, response.body().as_deref().unwrap_or_default());
            Err(if matches!(status, 401 | 403) {
                ConnectError::Refused(why)
            } else {
                ConnectError::Failed(why)
            })
        }
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(ConnectError::Failed(format!(
            "no answer within {} s",
            CONNECT.as_secs()
        ))),
    }
}

/// Tries one address after the other: what the server's name stands for now, and only if it stands for nothing those
/// that are known of it.
async fn dial(server: &ServerUrl, known: &[SocketAddr]) -> io::Result<TcpStream> {
    // Where other addresses are known, name servers that do not answer are not waited for as long as usual.
    let patience = if known.is_empty() { CONNECT } else { LOOK_UP };
    let addresses = match timeout(patience, look_up(server)).await {
        Ok(Ok(found)) => found,
        _ if !known.is_empty() => known.to_vec(),
        Ok(Err(error)) => return Err(error),
        Err(elapsed) => return Err(elapsed.into()),
    };
    let stream = TcpStream::connect(addresses.as_slice()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn look_up(server: &ServerUrl) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((server.host(), server.port())).await?;
    Ok(found.collect())
}

/// Where a connection leads.
pub fn peer_of(socket: &Socket) -> Option<SocketAddr> {
    let stream = match socket.get_ref() {
        MaybeTlsStream::Plain(stream) => stream,
        MaybeTlsStream::Rustls(stream) => stream.get_ref().0,
        _ => return None,
    };
    stream.peer_addr().ok()
}

/// What a server said in its welcome.
struct Welcome {
    epoch: u64,
    littlebrother: bool,
}

/// Who takes what comes over a connection.
struct Takers<'a> {
    link: Arc<Link>,
    executor: &'a Executor,
    keys: &'a Keys,
    /// The watcher, if it reports over the channel.
    watching: Option<&'a ChannelLine>,
}

/// Introduces the agent and serves the connection until it ends.
pub async fn serve(
    socket: Socket,
    executor: &Executor,
    own: &Own<'_>,
    watching: Option<&ChannelLine>,
) -> End {
    let (mut writer, mut reader) = socket.split();
    let hello = hello(executor, own).await;
    let welcome = match timeout(DEAD, introduce(&mut writer, &mut reader, hello)).await {
        Ok(Ok(welcome)) => welcome,
        Ok(Err(why)) => return End::NotWelcomed(why),
        Err(_) => return End::NotWelcomed("the server did not answer hello".into()),
    };
    tracing::info!(epoch = welcome.epoch, "attached");
    if let Err(error) = own.keys.welcomed_with(own.key) {
        // The server ended the old key, and the next one is in the state directory still: it is tried as well.
        tracing::error!(error = %chain(&error), "that the key is replaced cannot be written");
    }
    let (link, mut end) = Link::new();
    let takers = Takers {
        link: Arc::new(link),
        executor,
        keys: own.keys,
        watching,
    };
    takers.attach(&welcome);
    let ended = tokio::select! {
        ended = read(&mut reader, &takers) => ended,
        () = key_is_due(&takers) => End::NewKey,
        why = write(&mut writer, &mut end) => End::Lost(why),
    };
    takers.detach();
    ended
}

/// Completes when the server has taken the next key and no command runs that would lose its connection.
async fn key_is_due(takers: &Takers<'_>) {
    takers.keys.taken().await;
    while !takers.executor.snapshot().0.is_empty() {
        // Commands end by themselves and are not waited for elsewhere; the old key works as long.
        tokio::time::sleep(IDLE_LOOK).await;
    }
}

impl Takers<'_> {
    fn attach(&self, welcome: &Welcome) {
        self.executor.isolation().attach(&self.link);
        self.executor.attach(&self.link, welcome.epoch);
        if let Some(key_sha256) = self.keys.pending() {
            self.link.frame(AgentFrame::NewKey { key_sha256 });
        }
        if let Some(watching) = self.watching {
            watching.attach(&self.link, welcome.littlebrother);
        }
    }

    fn detach(&self) {
        self.executor.detach(&self.link);
        self.executor.isolation().detach(&self.link);
        if let Some(watching) = self.watching {
            watching.detach(&self.link);
        }
    }
}

async fn introduce(
    writer: &mut SplitSink<Socket, Message>,
    reader: &mut SplitStream<Socket>,
    hello: Hello,
) -> Result<Welcome, String> {
    writer
        .send(text(&AgentFrame::Hello(Box::new(hello)))?)
        .await
        .map_err(|error| chain(&error))?;
    loop {
        match next(reader).await? {
            Incoming::Frame(ServerFrame::Welcome {
                host_id,
                epoch,
                server_version,
                littlebrother,
            }) => {
                tracing::info!(%host_id, server_version, littlebrother, "welcomed");
                return Ok(Welcome { epoch, littlebrother });
            }
            Incoming::Frame(ServerFrame::Bye { reason }) => return Err(reason),
            _ => {}
        }
    }
}

async fn hello(executor: &Executor, own: &Own<'_>) -> Hello {
    let platform = executor.platform().clone();
    let facts = tokio::task::spawn_blocking(move || platform.facts()).await;
    let facts = facts.unwrap_or_else(|error| {
        tracing::error!(%error, "failed to ask the host about itself");
        crate::platform::Facts::unknown()
    });
    let (running, finished) = executor.snapshot();
    Hello {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: facts.hostname,
        platform: facts.platform.to_owned(),
        arch: facts.arch.to_owned(),
        os_version: facts.os_version,
        addresses: facts.addresses,
        labels: own.labels.iter().map(Label::to_string).collect(),
        verbs: executor.verbs(),
        resumes: true,
        journal_id: executor.journal_id(),
        run_id: Some(own.run_id),
        running,
        finished,
        isolation: executor.isolation().report(),
    }
}

/// What came in.
enum Incoming {
    Frame(ServerFrame),
    /// A command that this version cannot read.
    Unreadable(CommandId, String),
    Chunk(Vec<u8>),
    /// Of the WebSocket itself, or not understood.
    Nothing,
}

async fn next(reader: &mut SplitStream<Socket>) -> Result<Incoming, String> {
    match reader.next().await {
        Some(Ok(Message::Text(text))) => Ok(understand(text.as_str())),
        Some(Ok(Message::Binary(bytes))) => Ok(Incoming::Chunk(bytes.into())),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Incoming::Nothing),
        Some(Ok(Message::Close(_))) | None => Err("the server closed the connection".into()),
        Some(Err(error)) => Err(chain(&error)),
    }
}

fn understand(text: &str) -> Incoming {
    #[derive(Deserialize)]
    struct Any {
        #[serde(rename = "type")]
        kind: String,
        command_id: Option<CommandId>,
    }
    let error = match serde_json::from_str(text) {
        Ok(frame) => return Incoming::Frame(frame),
        Err(error) => error,
    };
    match serde_json::from_str::<Any>(text) {
        Ok(Any {
            kind,
            command_id: Some(id),
        }) if kind == "command" => Incoming::Unreadable(id, error.to_string()),
        _ => {
            tracing::warn!(%error, "ignored a frame");
            Incoming::Nothing
        }
    }
}

async fn read(reader: &mut SplitStream<Socket>, takers: &Takers<'_>) -> End {
    let Takers { link, executor, .. } = takers;
    loop {
        link.room().await;
        let incoming = match timeout(DEAD, next(reader)).await {
            Ok(Ok(incoming)) => incoming,
            Ok(Err(why)) => return End::Lost(why),
            Err(_) => return End::Lost(format!("nothing came for {CHANNEL_DEAD_SECONDS} s")),
        };
        match incoming {
            Incoming::Frame(ServerFrame::Bye { reason }) => return End::Bye(reason),
            Incoming::Frame(frame) => take(frame, takers),
            Incoming::Unreadable(id, why) => {
                executor.refuse(link, id, Fault::unsupported("unsupported_verb", why));
            }
            Incoming::Chunk(bytes) => match Chunk::decode(&bytes) {
                Ok(chunk) => executor.chunk(link, &chunk),
                Err(error) => tracing::warn!(%error, "ignored a binary frame"),
            },
            Incoming::Nothing => {}
        }
    }
}

fn take(frame: ServerFrame, takers: &Takers<'_>) {
    let Takers { link, executor, .. } = takers;
    match frame {
        ServerFrame::Command(command) => executor.command(link, *command),
        ServerFrame::Cancel { command_id } => executor.cancel(link, command_id),
        ServerFrame::Ack { command_ids } => executor.ack(&command_ids),
        ServerFrame::Credit { command_id, bytes } => executor.credit(command_id, bytes),
        ServerFrame::Ping => link.frame(AgentFrame::Pong),
        ServerFrame::RotateKey => match takers.keys.rotate() {
            Ok(key_sha256) => link.frame(AgentFrame::NewKey { key_sha256 }),
            Err(error) => tracing::error!(error = %chain(&error), "a new key cannot be made or kept"),
        },
        ServerFrame::KeyTaken { key_sha256 } => takers.keys.take(&key_sha256),
        ServerFrame::Littlebrother { seq, events } => {
            if let Some(watching) = takers.watching {
                watching.answered(seq, events);
            }
        }
        ServerFrame::Welcome { .. }
        | ServerFrame::EventAck { .. }
        | ServerFrame::Pong
        | ServerFrame::Bye { .. }
        | ServerFrame::Unknown => {}
    }
}

/// Writes what is queued, and a ping now and then; returns why it could not go on.
async fn write(writer: &mut SplitSink<Socket, Message>, end: &mut LinkEnd) -> String {
    let mut pings = tokio::time::interval_at(tokio::time::Instant::now() + PING, PING);
    pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let first = tokio::select! {
            outgoing = end.next() => outgoing,
            _ = pings.tick() => Some(Outgoing::Frame(AgentFrame::Ping)),
        };
        let Some(first) = first else {
            return "nobody has anything to say any more".into();
        };
        match timeout(DEAD, write_burst(writer, end, first)).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return why,
            Err(_) => return format!("the server took nothing for {CHANNEL_DEAD_SECONDS} s"),
        }
    }
}

async fn write_burst(
    writer: &mut SplitSink<Socket, Message>,
    end: &mut LinkEnd,
    first: Outgoing,
) -> Result<(), String> {
    feed(writer, first).await?;
    for _ in 1..BURST {
        let Some(outgoing) = end.try_next() else { break };
        feed(writer, outgoing).await?;
    }
    writer.flush().await.map_err(|error| chain(&error))
}

async fn feed(writer: &mut SplitSink<Socket, Message>, outgoing: Outgoing) -> Result<(), String> {
    // A chunk's place in the queue is given back when it is written, or cannot be.
    let (message, _written) = match outgoing {
        Outgoing::Frame(frame) => (text(&frame)?, None),
        Outgoing::Result(result) => (Message::text(&*result), None),
        Outgoing::Chunk(bytes, written) => (Message::binary(bytes), Some(written)),
    };
    writer.feed(message).await.map_err(|error| chain(&error))
}

fn text(frame: &AgentFrame) -> Result<Message, String> {
    serde_json::to_string(frame)
        .map(Message::text)
        .map_err(|error| error.to_string())
}

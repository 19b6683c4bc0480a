//! A connection against a real WebSocket client and a real artifact store; the actors are stood in for by
//! whoever holds the link and hears what comes up.

mod bounds;
mod offline;
mod protocol;
mod resume;
mod transfers;

use super::connection::Hears;
use super::*;
use actix_web::{App, HttpServer};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::clock::SystemClock;
use tripline_protocol::frame::{Chunk, Command, CommandResult, Transfer};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::verb::{GetFile, VerbCall};
use tripline_protocol::{CommandId, Fault};
use uuid::Uuid;

const HOST: HostId = HostId(Uuid::from_u128(1));
const ID: CommandId = CommandId(Uuid::from_u128(7));

/// What went up to the actors.
#[derive(Debug)]
enum Said {
    Result(CommandResult, Option<ArtifactRef>),
    Frame(AgentFrame),
    Failed(CommandId, Fault),
    Detached,
}

struct Ear(mpsc::UnboundedSender<Said>);

fn conduct() -> Conduct {
    Misdeeds::new(Arc::new(SystemClock::default())).of(HOST)
}

impl Ear {
    fn said(&self, said: Said) {
        self.0.send(said).expect("the test listens");
    }
}

impl Hears for Ear {
    fn result(&self, result: CommandResult, artifact: Option<ArtifactRef>) {
        self.said(Said::Result(result, artifact));
    }

    fn frame(&self, frame: AgentFrame, _bytes: usize) {
        self.said(Said::Frame(frame));
    }

    async fn room(&self) {}

    fn transfer_failed(&self, command_id: CommandId, fault: Fault) {
        self.said(Said::Failed(command_id, fault));
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // A test may have stopped listening.
        let _ = self.0.send(Said::Detached);
    }
}

type Parts = (mpsc::Receiver<LinkMessage>, Ear, Arc<ArtifactStore>);

struct World {
    dir: tempfile::TempDir,
    store: Arc<ArtifactStore>,
    agent: WebSocketStream<MaybeTlsStream<TcpStream>>,
    link: Option<mpsc::Sender<LinkMessage>>,
    said: mpsc::UnboundedReceiver<Said>,
    server: actix_web::dev::ServerHandle,
}

async fn accept(
    request: HttpRequest,
    body: web::Payload,
    parts: web::Data<Mutex<Option<Parts>>>,
) -> actix_web::Result<HttpResponse> {
    let (response, session, stream) = actix_ws::handle_with_protocols(&request, body, &[SUBPROTOCOL])?;
    let (link, ear, store) = parts
        .lock()
        .expect("not poisoned")
        .take()
        .expect("one connection");
    let connection = Connection::new(
        (session, bounded(stream)),
        link,
        (ear, conduct()),
        store,
        &welcome(HOST, 3, false),
    );
    actix_web::rt::spawn(connection.run(std::future::pending()));
    Ok(response)
}

/// A connection whose welcome is still on its way; `waiting` is in the link before it begins.
async fn connected(waiting: Vec<LinkMessage>) -> World {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Arc::new(artifact_store(&dir));
    let (link, receiver) = mpsc::channel(LINK_CAPACITY);
    for message in waiting {
        link.try_send(message).expect("room");
    }
    let (sender, said) = mpsc::unbounded_channel();
    let parts = web::Data::new(Mutex::new(Some((receiver, Ear(sender), Arc::clone(&store)))));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(parts.clone())
            .route("/", web::get().to(accept))
    })
    .workers(1)
    .disable_signals()
    .bind("127.0.0.1:0")
    .expect("a port");
    let addr = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    let mut request = format!("ws://{addr}/").into_client_request().expect("a request");
    request
        .headers_mut()
        .insert("sec-websocket-protocol", SUBPROTOCOL.parse().expect("a header"));
    let (agent, answer) = tokio_tungstenite::connect_async(request)
        .await
        .expect("connected");
    assert_eq!(answer.headers()["sec-websocket-protocol"], SUBPROTOCOL);
    World {
        dir,
        store,
        agent,
        link: Some(link),
        said,
        server: handle,
    }
}

fn artifact_store(dir: &tempfile::TempDir) -> ArtifactStore {
    ArtifactStore::open(dir.path(), u64::MAX).expect("a store")
}

impl World {
    async fn hears_message(&mut self) -> Message {
        self.agent.next().await.expect("open").expect("a message")
    }

    /// The next text frame.
    async fn hears(&mut self) -> Value {
        match self.hears_message().await {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("expected text, got {other:?}"),
        }
    }

    async fn hears_welcome(&mut self) {
        assert_eq!(self.hears().await["type"], "welcome");
    }

    async fn says(&mut self, frame: Value) {
        self.agent
            .send(Message::Text(frame.to_string().into()))
            .await
            .expect("sent");
    }

    async fn sends_chunk(&mut self, offset: u64, bytes: &[u8]) {
        let frame = Chunk {
            command_id: ID,
            offset,
            bytes,
        }
        .encode();
        self.agent
            .send(Message::Binary(frame.into()))
            .await
            .expect("sent");
    }

    async fn gives(&mut self, frame: ServerFrame) {
        let link = self.link.as_ref().expect("linked");
        link.send(LinkMessage::Frame(frame))
            .await
            .expect("the connection lives");
    }

    async fn said(&mut self) -> Said {
        self.said.recv().await.expect("something is said")
    }

    /// The word of bye, and the close code after it.
    async fn ends(&mut self) -> (String, CloseCode) {
        let bye = self.hears().await;
        assert_eq!(bye["type"], "bye", "{bye}");
        match self.hears_message().await {
            Message::Close(Some(close)) => (bye["reason"].as_str().expect("a reason").to_owned(), close.code),
            other => panic!("expected a close, got {other:?}"),
        }
    }

    async fn is_detached(&mut self) {
        while !matches!(self.said().await, Said::Detached) {}
    }

    async fn over(self) {
        drop((self.agent, self.link));
        self.server.stop(false).await;
    }
}

fn fetch(path: &str) -> ServerFrame {
    command(
        VerbCall::GetFile(GetFile {
            path: path.into(),
            offset: None,
            bytes_max: None,
        }),
        None,
    )
}

fn command(call: VerbCall, transfer: Option<Transfer>) -> ServerFrame {
    ServerFrame::Command(Box::new(Command {
        command_id: ID,
        epoch: 3,
        call,
        remaining_ms: 1000,
        transfer,
        resume: None,
    }))
}

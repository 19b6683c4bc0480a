//! A connection against a real WebSocket client and a real artifact store; the actors are stood in for by
//! whoever holds the link and hears what comes up.

use super::connection::Hears;
use super::*;
use actix_web::dev::Payload;
use actix_web::test::TestRequest;
use actix_web::{App, FromRequest, HttpServer};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tripline_actors::artifact::ArtifactStore;
use tripline_protocol::frame::{Chunk, Command, CommandResult, Transfer};
use tripline_protocol::limit::{CHUNK_BYTES_MAX, TRANSFER_CREDIT_BYTES};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::verb::{GetFile, PutFile, VerbCall};
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

impl Ear {
    fn said(&self, said: Said) {
        self.0.send(said).expect("the test listens");
    }
}

impl Hears for Ear {
    fn result(&self, result: CommandResult, artifact: Option<ArtifactRef>) {
        self.said(Said::Result(result, artifact));
    }

    fn frame(&self, frame: AgentFrame) {
        self.said(Said::Frame(frame));
    }

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
    let connection = Connection::new(session, bounded(stream), link, ear, store, &welcome(HOST, 3));
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
    }))
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

fn hash(content: &[u8]) -> Sha256 {
    Sha256::from_digest(&sha2::Sha256::digest(content).into())
}

fn fetched(content: &[u8]) -> Value {
    json!({"type": "result", "command_id": ID, "output": {"sha256": hash(content), "bytes": content.len()}})
}

#[actix_web::test]
async fn welcome_comes_before_anything_the_link_holds() {
    let cancel = LinkMessage::Frame(ServerFrame::Cancel { command_id: ID });
    let mut world = connected(vec![cancel]).await;
    let first = world.hears().await;
    assert_eq!(
        first,
        json!({"type": "welcome", "host_id": HOST, "epoch": 3, "server_version": env!("CARGO_PKG_VERSION")})
    );
    assert_eq!(world.hears().await["type"], "cancel");
    world.over().await;
}

#[actix_web::test]
async fn many_messages_of_the_link_arrive_in_their_order() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    let link = world.link.clone().expect("linked");
    let sender = actix_web::rt::spawn(async move {
        for bytes in 0..2000 {
            let frame = ServerFrame::Credit {
                command_id: ID,
                bytes,
            };
            link.send(LinkMessage::Frame(frame))
                .await
                .expect("the connection lives");
        }
    });
    for bytes in 0..2000 {
        assert_eq!(world.hears().await["bytes"], bytes);
    }
    sender.await.expect("all sent");
    world.over().await;
}

#[actix_web::test]
async fn frames_go_where_they_belong_and_unknown_ones_nowhere() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    world.says(json!({"type": "dance"})).await;
    world.says(json!({"type": "accepted", "command_id": ID})).await;
    world
        .says(json!({"type": "result", "command_id": ID, "output": {"x": 1}}))
        .await;
    world.says(json!({"type": "ping"})).await;
    assert!(matches!(
        world.said().await,
        Said::Frame(AgentFrame::Accepted { command_id: ID })
    ));
    let Said::Result(result, None) = world.said().await else {
        panic!("expected a result")
    };
    assert_eq!(result.output, Some(json!({"x": 1})));
    assert_eq!(world.hears().await["type"], "pong");
    world.over().await;
}

#[actix_web::test]
async fn what_breaks_the_protocol_ends_the_connection_with_a_word() {
    let long_chunk = Chunk {
        command_id: ID,
        offset: 0,
        bytes: &vec![0; CHUNK_BYTES_MAX + 1],
    }
    .encode();
    let cases: [(Message, CloseCode); 6] = [
        (Message::Text("hello".into()), CloseCode::Protocol),
        (
            Message::Text(r#"{"type":"accepted"}"#.into()),
            CloseCode::Protocol,
        ),
        (Message::Text(hello().to_string().into()), CloseCode::Protocol),
        (
            Message::Text("x".repeat(FRAME_BYTES_MAX + 1).into()),
            CloseCode::Size,
        ),
        (Message::Binary(long_chunk.into()), CloseCode::Size),
        (Message::Binary(vec![0; 5].into()), CloseCode::Protocol),
    ];
    for (message, code) in cases {
        let mut world = connected(Vec::new()).await;
        world.hears_welcome().await;
        world.agent.send(message).await.expect("sent");
        assert_eq!(world.ends().await, ("protocol_error".to_owned(), code));
        world.is_detached().await;
        world.over().await;
    }
}

fn hello() -> Value {
    json!({"type": "hello", "agent_version": "1", "hostname": "pc", "platform": "linux", "arch": "x86_64",
        "verbs": [], "journal_id": Uuid::nil()})
}

#[actix_web::test]
async fn the_actors_close_a_connection_after_what_they_sent_before() {
    for (reason, code) in [
        ("replaced", CloseCode::Policy),
        ("revoked", CloseCode::Policy),
        ("shutdown", CloseCode::Away),
        ("protocol_error", CloseCode::Protocol),
    ] {
        let ack = LinkMessage::Frame(ServerFrame::Ack {
            command_ids: vec![ID],
        });
        let mut world = connected(vec![ack, LinkMessage::Close(reason)]).await;
        world.hears_welcome().await;
        assert_eq!(world.hears().await["type"], "ack");
        assert_eq!(world.ends().await, (reason.to_owned(), code));
        world.over().await;
    }
}

#[actix_web::test]
async fn actors_that_let_go_end_the_connection() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    world.link = None;
    assert_eq!(world.ends().await, ("shutdown".to_owned(), CloseCode::Away));
    world.over().await;
}

#[actix_web::test]
async fn an_agent_that_goes_away_is_detached() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    world.agent.close(None).await.expect("closed");
    world.is_detached().await;
    world.over().await;
}

#[actix_web::test]
async fn a_command_too_long_for_a_frame_fails_and_the_connection_lives() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    world.gives(fetch(&"x".repeat(FRAME_BYTES_MAX))).await;
    let Said::Failed(ID, fault) = world.said().await else {
        panic!("expected a failure")
    };
    assert_eq!(fault.code, "frame_too_large");
    world.gives(ServerFrame::Cancel { command_id: ID }).await;
    assert_eq!(world.hears().await["type"], "cancel");
    world.over().await;
}

#[actix_web::test]
async fn a_file_larger_than_the_credit_arrives_whole() {
    let content = content(3 * TRANSFER_CREDIT_BYTES as usize + 11);
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    world.gives(fetch("/var/log/big.log")).await;
    assert_eq!(world.hears().await["type"], "command");
    let (mut sent, mut credit) = (0, TRANSFER_CREDIT_BYTES as usize);
    while sent < content.len() {
        let bytes = credit.min(CHUNK_BYTES_MAX).min(content.len() - sent);
        if bytes == 0 {
            let frame = world.hears().await;
            assert_eq!(frame["type"], "credit", "{frame}");
            credit += frame["bytes"].as_u64().expect("bytes") as usize;
            continue;
        }
        world.sends_chunk(sent as u64, &content[sent..sent + bytes]).await;
        (sent, credit) = (sent + bytes, credit - bytes);
    }
    world.says(fetched(&content)).await;
    let Said::Result(result, Some(artifact)) = world.said().await else {
        panic!("expected a file")
    };
    assert_eq!(result.error, None);
    assert_eq!(artifact.name, "big.log");
    assert_eq!(
        (artifact.sha256.clone(), artifact.bytes),
        (hash(&content), content.len() as u64)
    );
    assert!(kept(&world.store, &artifact.sha256) == content);
    world.over().await;
}

fn kept(store: &ArtifactStore, sha256: &Sha256) -> Vec<u8> {
    let mut content = Vec::new();
    let (mut file, _) = store.open_read(sha256).expect("kept");
    std::io::Read::read_to_end(&mut file, &mut content).expect("read");
    content
}

#[actix_web::test]
async fn an_empty_file_is_a_file() {
    let mut world = connected(vec![LinkMessage::Frame(fetch("/etc/empty"))]).await;
    world.hears_welcome().await;
    assert_eq!(world.hears().await["type"], "command");
    world.says(fetched(b"")).await;
    let Said::Result(_, Some(artifact)) = world.said().await else {
        panic!("expected a file")
    };
    assert_eq!((artifact.bytes, artifact.sha256), (0, hash(b"")));
    world.over().await;
}

#[actix_web::test]
async fn a_file_that_is_not_what_the_host_says_fails_the_command_and_is_not_kept() {
    for (said, code) in [
        (fetched(b"abd"), "wrong_hash"),
        (fetched(b"abcd"), "wrong_length"),
        (
            json!({"type": "result", "command_id": ID, "output": {"x": 1}}),
            "bad_output",
        ),
    ] {
        let mut world = connected(vec![LinkMessage::Frame(fetch("/etc/hosts"))]).await;
        world.hears_welcome().await;
        assert_eq!(world.hears().await["type"], "command");
        world.sends_chunk(0, b"abc").await;
        world.says(said).await;
        let result = loop {
            match world.said().await {
                Said::Result(result, None) => break result,
                other => panic!("expected a result without a file, got {other:?}"),
            }
        };
        assert_eq!(result.error.map(|fault| fault.code), Some(code.to_owned()));
        assert_eq!(result.output, None);
        no_file_is_left(&world.dir).await;
        world.over().await;
    }
}

#[actix_web::test]
async fn a_chunk_out_of_place_fails_the_command_and_cancels_it() {
    let mut world = connected(vec![LinkMessage::Frame(fetch("/etc/hosts"))]).await;
    world.hears_welcome().await;
    assert_eq!(world.hears().await["type"], "command");
    world.sends_chunk(5, b"abc").await;
    let Said::Failed(ID, fault) = world.said().await else {
        panic!("expected a failure")
    };
    assert_eq!(fault.code, "wrong_offset");
    assert_eq!(world.hears().await, json!({"type": "cancel", "command_id": ID}));
    // What is still on its way is dropped, and the confirmation goes up as any result.
    world.sends_chunk(0, b"abc").await;
    let fault = json!({"class": "server", "code": "cancelled", "text": "cancelled"});
    world
        .says(json!({"type": "result", "command_id": ID, "error": fault}))
        .await;
    let Said::Result(result, None) = world.said().await else {
        panic!("expected a result")
    };
    assert!(result.error.is_some());
    no_file_is_left(&world.dir).await;
    world.over().await;
}

#[actix_web::test]
async fn a_chunk_that_nobody_asked_for_fails_its_command_once() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    for _ in 0..3 {
        world.sends_chunk(0, b"abc").await;
    }
    world.says(json!({"type": "accepted", "command_id": ID})).await;
    let Said::Failed(ID, fault) = world.said().await else {
        panic!("expected a failure")
    };
    assert_eq!(fault.code, "unexpected_chunk");
    assert!(matches!(
        world.said().await,
        Said::Frame(AgentFrame::Accepted { .. })
    ));
    world.over().await;
}

#[actix_web::test]
async fn what_a_lost_connection_had_written_is_removed() {
    let mut world = connected(vec![LinkMessage::Frame(fetch("/etc/hosts"))]).await;
    world.hears_welcome().await;
    assert_eq!(world.hears().await["type"], "command");
    world.sends_chunk(0, b"abc").await;
    assert_eq!(world.hears().await["type"], "credit");
    assert!(!files_below(world.dir.path()).is_empty());
    world.agent.close(None).await.expect("closed");
    world.is_detached().await;
    no_file_is_left(&world.dir).await;
    world.over().await;
}

fn files_below(dir: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Removal happens on a blocking thread: waits until it did.
async fn no_file_is_left(dir: &tempfile::TempDir) {
    while !files_below(dir.path()).is_empty() {
        tokio::task::yield_now().await;
    }
}

fn keep(store: &ArtifactStore, content: &[u8]) -> Transfer {
    let (sha256, bytes) = store.put_bytes(content).expect("kept");
    Transfer { bytes, sha256 }
}

fn put(transfer: Transfer) -> ServerFrame {
    let call = VerbCall::PutFile(PutFile {
        path: "/tmp/x".into(),
        content: None,
        content_b64: None,
        artifact: Some(transfer.sha256.clone()),
        mode: None,
        overwrite: None,
    });
    command(call, Some(transfer))
}

#[actix_web::test]
async fn a_kept_file_is_sent_within_the_credit_and_control_goes_on_meanwhile() {
    let content = content(2 * TRANSFER_CREDIT_BYTES as usize + 11);
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    let transfer = keep(&world.store, &content);
    world.gives(put(transfer)).await;
    assert_eq!(world.hears().await["type"], "command");
    let mut received = Vec::new();
    while received.len() < TRANSFER_CREDIT_BYTES as usize {
        world.takes_chunk(&mut received).await;
    }
    // Without credit nothing but control comes.
    world.gives(ServerFrame::Ping).await;
    assert_eq!(world.hears().await["type"], "ping");
    world
        .says(json!({"type": "credit", "command_id": ID, "bytes": content.len()}))
        .await;
    while received.len() < content.len() {
        world.takes_chunk(&mut received).await;
    }
    assert!(received == content);
    world.over().await;
}

impl World {
    async fn takes_chunk(&mut self, received: &mut Vec<u8>) {
        let Message::Binary(frame) = self.hears_message().await else {
            panic!("expected a chunk")
        };
        let chunk = Chunk::decode(&frame).expect("a chunk");
        assert_eq!((chunk.command_id, chunk.offset), (ID, received.len() as u64));
        received.extend_from_slice(chunk.bytes);
    }
}

#[actix_web::test]
async fn a_file_that_is_not_kept_fails_the_command_that_brings_it() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    world
        .gives(put(Transfer {
            bytes: 3,
            sha256: hash(b"gone"),
        }))
        .await;
    assert_eq!(world.hears().await["type"], "command");
    let Said::Failed(ID, fault) = world.said().await else {
        panic!("expected a failure")
    };
    assert_eq!(fault.code, "artifact_not_read");
    assert_eq!(world.hears().await["type"], "cancel");
    world.over().await;
}

/// A handshake without a network, for paused time: the session, what comes, and the body with what goes.
async fn offline() -> (Session, AggregatedMessageStream, actix_web::body::BoxBody) {
    let request = TestRequest::default()
        .insert_header(("upgrade", "websocket"))
        .insert_header(("connection", "upgrade"))
        .insert_header(("sec-websocket-version", "13"))
        .insert_header(("sec-websocket-key", "x3JJHMbDL1EzLkh9GBhXDw=="))
        .to_http_request();
    let silence = futures_util::stream::pending::<Result<web::Bytes, actix_web::error::PayloadError>>();
    let mut payload = Payload::Stream {
        payload: silence.boxed_local() as std::pin::Pin<Box<dyn futures_util::Stream<Item = _>>>,
    };
    let payload = web::Payload::from_request(&request, &mut payload)
        .await
        .expect("a payload");
    let (response, session, stream) = actix_ws::handle(&request, payload).expect("a handshake");
    (session, bounded(stream), response.into_body())
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_says_hello_is_turned_away() {
    let (session, mut stream, _body) = offline().await;
    let end = hear_hello(session, &mut stream).await.expect_err("late");
    assert!(matches!(end, End::Violation(Violation::HelloLate(10))), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_is_pinged_and_given_up() {
    let (session, stream, body) = offline().await;
    let dir = tempfile::tempdir().expect("a folder");
    let (link, receiver) = mpsc::channel(1);
    let (sender, _said) = mpsc::unbounded_channel();
    let store = Arc::new(artifact_store(&dir));
    let connection = Connection::new(session, stream, receiver, Ear(sender), store, &welcome(HOST, 1));
    let (end, sent) = tokio::join!(
        connection.run(std::future::pending()),
        actix_web::body::to_bytes(body)
    );
    assert!(matches!(end, End::Dead), "{end:?}");
    let sent = String::from_utf8_lossy(&sent.map_err(|_| ()).expect("bytes")).into_owned();
    assert_eq!(sent.matches(r#"{"type":"ping"}"#).count(), 2, "{sent}");
    drop(link);
}

#[test]
fn the_subprotocol_is_required_wherever_it_stands_in_the_list() {
    let with = |text: &'static str| {
        let mut headers = HeaderMap::new();
        headers.append(
            SEC_WEBSOCKET_PROTOCOL,
            actix_web::http::header::HeaderValue::from_static(text),
        );
        require_subprotocol(&headers)
    };
    assert!(with("tripline.agent.v1").is_ok());
    assert!(with("other, tripline.agent.v1").is_ok());
    assert!(with("tripline.agent.v2").is_err());
    assert!(require_subprotocol(&HeaderMap::new()).is_err());
}

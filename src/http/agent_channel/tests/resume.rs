//! Transfers that go on: what the agent is told, and what is kept in between.

use super::*;
use tripline_protocol::TransferId;
use tripline_protocol::frame::{CODE_TRANSFER_PAUSED, Resume};
use tripline_protocol::verb::PutFile;

const TRANSFER: TransferId = TransferId(Uuid::from_u128(9));

fn resumable(mut frame: ServerFrame) -> ServerFrame {
    if let ServerFrame::Command(command) = &mut frame {
        command.resume = Some(Resume {
            transfer_id: TRANSFER,
            bytes: 0,
            sha256: None,
        });
    }
    frame
}

fn hash(content: &[u8]) -> Sha256 {
    Sha256::from_digest(&sha2::Sha256::digest(content).into())
}

fn ended(code: &str) -> Value {
    let fault = Fault::server(code, "so it ended");
    json!({"type": "result", "command_id": ID, "error": fault})
}

fn put(content: &[u8]) -> ServerFrame {
    let call = VerbCall::PutFile(PutFile {
        path: "/tmp/x".into(),
        content: None,
        content_b64: None,
        artifact: Some(hash(content)),
        mode: None,
        overwrite: None,
    });
    let transfer = Transfer {
        bytes: content.len() as u64,
        sha256: hash(content),
    };
    resumable(command(call, Some(transfer)))
}

#[actix_web::test]
async fn a_file_that_was_cut_is_asked_for_behind_what_is_here() {
    let mut world = connected(vec![LinkMessage::Frame(resumable(fetch("/etc/hosts")))]).await;
    world.hears_welcome().await;
    let first = world.hears().await;
    assert_eq!(first["resume"], json!({"transfer_id": TRANSFER}));
    world.sends_chunk(0, b"abc").await;
    world.says(ended(CODE_TRANSFER_PAUSED)).await;
    assert!(matches!(world.said().await, Said::Result(_, None)));
    world.gives(resumable(fetch("/etc/hosts"))).await;
    let mut second = world.hears().await;
    while second["type"] == "credit" {
        second = world.hears().await;
    }
    let there = json!({"transfer_id": TRANSFER, "bytes": 3, "sha256": hash(b"abc")});
    assert_eq!(second["resume"], there);
    assert!(second["remaining_ms"].as_u64().expect("a number") <= 1000);
    world.sends_chunk(3, b"def").await;
    let output = json!({"sha256": hash(b"abcdef"), "bytes": 6});
    world
        .says(json!({"type": "result", "command_id": ID, "output": output}))
        .await;
    let Said::Result(_, Some(artifact)) = world.said().await else {
        panic!("expected a file")
    };
    assert_eq!((artifact.sha256, artifact.bytes), (hash(b"abcdef"), 6));
    world.over().await;
}

#[actix_web::test]
async fn what_came_of_a_transfer_that_failed_is_not_gone_on_with() {
    let mut world = connected(vec![LinkMessage::Frame(resumable(fetch("/etc/hosts")))]).await;
    world.hears_welcome().await;
    assert_eq!(world.hears().await["type"], "command");
    world.sends_chunk(0, b"abc").await;
    world.says(ended("EIO")).await;
    assert!(matches!(world.said().await, Said::Result(_, None)));
    world.gives(resumable(fetch("/etc/hosts"))).await;
    let mut second = world.hears().await;
    while second["type"] == "credit" {
        second = world.hears().await;
    }
    assert_eq!(second["resume"], json!({"transfer_id": TRANSFER}));
    world.over().await;
}

#[actix_web::test]
async fn a_connection_that_ends_leaves_what_came_to_the_next_one() {
    let mut world = connected(vec![LinkMessage::Frame(resumable(fetch("/etc/hosts")))]).await;
    world.hears_welcome().await;
    assert_eq!(world.hears().await["type"], "command");
    world.sends_chunk(0, b"abc").await;
    assert_eq!(world.hears().await["type"], "credit");
    world.link = None;
    world.is_detached().await;
    let store = Arc::clone(&world.store);
    let incoming = tokio::task::spawn_blocking(move || store.begin_transfer(TRANSFER.0)).await;
    assert_eq!(incoming.expect("done").expect("begun").bytes(), 3);
    world.over().await;
}

#[actix_web::test]
async fn a_command_that_waits_for_the_connection_before_is_followed_by_its_cancellation() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    let mut before = world.store.begin_transfer(TRANSFER.0).expect("begun");
    before.write(0, b"abc").expect("written");
    world.gives(resumable(fetch("/etc/hosts"))).await;
    world.gives(ServerFrame::Cancel { command_id: ID }).await;
    world.says(json!({"type": "ping"})).await;
    assert_eq!(world.hears().await["type"], "pong");
    drop(before);
    let command = world.hears().await;
    assert_eq!(
        (&command["type"], &command["resume"]["bytes"]),
        (&json!("command"), &json!(3))
    );
    assert_eq!(world.hears().await, json!({"type": "cancel", "command_id": ID}));
    world.over().await;
}

#[actix_web::test]
async fn a_file_that_is_put_is_sent_from_where_the_agent_says() {
    let mut world = connected(Vec::new()).await;
    world.store.put_bytes(b"abcdef").expect("kept");
    world.hears_welcome().await;
    world.gives(put(b"abcdef")).await;
    assert_eq!(world.hears().await["type"], "command");
    // Nothing is sent before the agent has said where.
    world.says(json!({"type": "ping"})).await;
    assert_eq!(world.hears().await["type"], "pong");
    world
        .says(json!({"type": "resume", "command_id": ID, "offset": 4}))
        .await;
    let Message::Binary(frame) = world.hears_message().await else {
        panic!("expected a chunk")
    };
    let chunk = Chunk::decode(&frame).expect("a chunk");
    assert_eq!((chunk.offset, chunk.bytes), (4, &b"ef"[..]));
    world.over().await;
}

#[actix_web::test]
async fn an_agent_that_wants_to_go_on_behind_the_end_is_refused() {
    let mut world = connected(Vec::new()).await;
    world.store.put_bytes(b"abcdef").expect("kept");
    world.hears_welcome().await;
    world.gives(put(b"abcdef")).await;
    assert_eq!(world.hears().await["type"], "command");
    world
        .says(json!({"type": "resume", "command_id": ID, "offset": 7}))
        .await;
    let Said::Failed(ID, fault) = world.said().await else {
        panic!("expected a failure")
    };
    assert_eq!(fault.code, "wrong_offset");
    world.over().await;
}

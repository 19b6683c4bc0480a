//! Files in both directions.

use super::super::transfers::{DROPPED_MAX, Told, Transfers};
use super::*;
use metrics_exporter_prometheus::PrometheusBuilder;
use std::path::PathBuf;
use tripline_protocol::limit::{CHUNK_BYTES_MAX, TRANSFER_CREDIT_BYTES};
use tripline_protocol::verb::PutFile;

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
        let Said::Result(result, None) = world.said().await else {
            panic!("expected a result without a file")
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

/// Removal happens on a blocking thread: waits until it did, and gives up when it never does.
async fn no_file_is_left(dir: &tempfile::TempDir) {
    let gone = async {
        while !files_below(&dir.path().join("artifacts")).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), gone).await;
    waited.expect("everything incomplete is removed");
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

/// A chunk for the command of this number: what comes of it.
fn stray_chunk(transfers: &mut Transfers, number: usize) -> Vec<Told> {
    let command_id = CommandId(Uuid::from_u128(number as u128));
    let chunk = Chunk {
        command_id,
        offset: 0,
        bytes: b"x",
    };
    let mut told = Vec::new();
    transfers.chunk(&chunk, &mut told);
    told
}

fn fails_its_command(told: &[Told]) -> bool {
    match told {
        [
            Told::Failed(failed, fault),
            Told::Frame(ServerFrame::Cancel { command_id }),
        ] => failed == command_id && fault.code == "unexpected_chunk",
        _ => false,
    }
}

#[test]
fn so_many_commands_are_remembered_whose_chunks_are_dropped_and_then_the_memory_begins_anew() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counted = recorder.handle();
    let dir = tempfile::tempdir().expect("a folder");
    let (mut transfers, _disk) = Transfers::new(Arc::new(artifact_store(&dir)));
    metrics::with_local_recorder(&recorder, || {
        let mut hear = |number| stray_chunk(&mut transfers, number);
        assert!((0..DROPPED_MAX).all(|number| fails_its_command(&hear(number))));
        assert!((0..DROPPED_MAX).all(|number| hear(number).is_empty()));
        // One more begins the memory anew: those before fail once more, and are dropped then.
        for number in [DROPPED_MAX, 0] {
            assert!(fails_its_command(&hear(number)));
            assert!(hear(number).is_empty());
        }
    });
    let dropped = format!("tripline_agent_channel_dropped_chunks_total {}", DROPPED_MAX + 2);
    assert!(counted.render().contains(&dropped), "{}", counted.render());
}

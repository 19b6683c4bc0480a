//! The agent on its channel: who it says it is, what it sends again, what it moves in chunks.

use crate::server::{InProcess, Peer, Received, Server, command, put_in_chunks};
use crate::support::{at, sha256};
use serde_json::json;
use std::fs;
use tripline_agent::executor::{COMMANDS_MAX, UNACKED_MAX};
use tripline_protocol::frame::{AgentFrame, CommandResult, ServerFrame, Transfer};
use tripline_protocol::limit::{CHUNK_BYTES_MAX, TRANSFER_CREDIT_BYTES};
use tripline_protocol::verb::Verb;
use tripline_protocol::{CommandId, FaultClass};

#[tokio::test]
async fn an_agent_enrols_once_and_introduces_itself_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, dir.path());
    let peer = server.attach(1).await;
    let hello = peer.hello();
    assert_eq!(
        (&*hello.platform, &*hello.arch),
        ("linux", std::env::consts::ARCH)
    );
    assert!(hello.verbs.contains(&Verb::GetFile) && !hello.verbs.contains(&Verb::ListRegistryKeys));
    assert!(hello.running.is_empty() && hello.finished.is_empty());
    let journal_id = hello.journal_id;
    let key = peer.key.strip_prefix("Bearer ").unwrap().to_owned();
    assert_eq!(
        server.enrolments.lock().unwrap()[0].key_sha256,
        sha256(key.as_bytes())
    );
    agent.stop().await;

    let agent = InProcess::start_with(&server, dir.path(), |config| config.enrol_token = None);
    let peer = server.attach(2).await;
    assert_eq!(peer.hello().journal_id, journal_id);
    assert_eq!(server.enrolments.lock().unwrap().len(), 1);
    agent.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_ready_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    *server.unavailable.lock().unwrap() = 2;
    let agent = InProcess::start(&server, dir.path());
    server.attach(1).await;
    assert_eq!(server.enrolments.lock().unwrap().len(), 1);
    agent.stop().await;
}

#[tokio::test]
async fn only_allowed_verbs_are_announced_and_run() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = InProcess::start_with(&server, dir.path(), |config| {
        config.policy.verbs_allowed = Some(vec![Verb::ListDirectory, Verb::DeleteFile]);
        config.policy.read_only = true;
    });
    let mut peer = server.attach(1).await;
    assert_eq!(peer.hello().verbs, [Verb::ListDirectory]);
    let refused = peer.run(command(Verb::DeleteFile, at("/x"))).await.error.unwrap();
    assert_eq!(
        (refused.class, &*refused.code),
        (FaultClass::Unsupported, "read_only")
    );
    let refused = peer
        .run(command(Verb::ListProcesses, json!({})))
        .await
        .error
        .unwrap();
    assert_eq!(refused.code, "unsupported_verb");
    agent.stop().await;
}

/// Makes sure that the agent's journal has taken every ack before it.
async fn settle(peer: &mut Peer, dir: &std::path::Path) -> CommandId {
    let marker = command(
        Verb::CreateDirectory,
        json!({ "path": dir.join("marker"), "parents": true }),
    );
    let id = marker.command_id;
    assert!(peer.run(marker).await.error.is_none());
    id
}

#[tokio::test]
async fn a_result_is_sent_again_after_each_reconnect_until_it_is_acked() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(1).await;
    let create = command(Verb::CreateDirectory, at(dir.path().join("made")));
    let list = command(Verb::ListDirectory, at(dir.path().join("made")));
    let ids = [create.command_id, list.command_id];
    let results = [peer.run(create).await, peer.run(list).await];
    assert!(results.iter().all(|result| result.error.is_none()));
    for epoch in 2..4 {
        drop(peer);
        peer = server.attach(epoch).await;
        let mut finished = peer.hello().finished.clone();
        finished.sort();
        let mut expected = ids.to_vec();
        expected.sort();
        assert_eq!(finished, expected);
        let again: [CommandResult; 2] = [peer.result().await, peer.result().await];
        assert!(again.iter().all(|result| results.contains(result)));
    }
    for id in ids {
        peer.ack(id).await;
    }
    let mut fresh = command(Verb::CreateDirectory, at(dir.path().join("marker")));
    fresh.epoch = 3;
    let marker = fresh.command_id;
    peer.run(fresh).await;
    drop(peer);
    let peer = server.attach(4).await;
    assert_eq!(peer.hello().finished, [marker]);
    agent.stop().await;
}

#[tokio::test]
async fn a_command_of_an_older_epoch_is_refused_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(5).await;
    let old = command(Verb::CreateDirectory, at(dir.path().join("made")));
    assert_eq!(peer.run(old.clone()).await.error.unwrap().code, "stale_epoch");
    agent.stop().await;
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(4).await;
    assert_eq!(peer.run(old.clone()).await.error.unwrap().code, "stale_epoch");
    assert!(!dir.path().join("made").exists());
    // Nothing began, so the same command with the right epoch runs.
    let mut new = old;
    new.epoch = 5;
    assert!(peer.run(new).await.error.is_none());
    agent.stop().await;
}

#[tokio::test]
async fn a_repeated_command_is_never_executed_twice() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let counter = dir.path().join("counter");
    let count = || fs::read_to_string(&counter).unwrap().lines().count();
    let server = Server::new().await;
    let agent = InProcess::start(&server, &state);
    let mut peer = server.attach(1).await;
    let script = format!("echo run >>{}", counter.display());
    let mut once = command(Verb::CreateProcess, json!({ "argv": ["sh", "-c", script] }));
    for _ in 0..3 {
        peer.command(once.clone()).await;
    }
    let first = peer.result().await;
    assert_eq!(peer.run(once.clone()).await, first);
    drop(peer);
    let mut peer = server.attach(2).await;
    once.epoch = 2;
    assert_eq!(peer.run(once.clone()).await, first);
    agent.stop().await;

    let agent = InProcess::start(&server, &state);
    let mut peer = server.attach(3).await;
    once.epoch = 3;
    assert_eq!(peer.run(once.clone()).await, first);
    peer.ack(once.command_id).await;
    let mut marker = command(Verb::CreateDirectory, at(dir.path().join("marker")));
    marker.epoch = 3;
    peer.run(marker).await;
    assert_eq!(peer.run(once.clone()).await.error.unwrap().code, "already_acked");
    assert_eq!(count(), 1);
    agent.stop().await;
}

/// The next chunk.
async fn chunk(peer: &mut Peer) -> (u64, Vec<u8>) {
    loop {
        match peer.receive().await {
            Received::Chunk { offset, bytes, .. } => return (offset, bytes),
            Received::Frame(AgentFrame::Accepted { .. }) => {}
            Received::Frame(frame) => panic!("unexpected {frame:?}"),
        }
    }
}

#[tokio::test]
async fn a_file_comes_in_chunks_within_the_credit() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3 * TRANSFER_CREDIT_BYTES).map(|n| (n / 7) as u8).collect();
    fs::write(dir.path().join("f"), &content).unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(1).await;
    let get = command(Verb::GetFile, at(dir.path().join("f")));
    let command_id = get.command_id;
    peer.command(get).await;
    let mut received = Vec::new();
    for granted in [0, 100, content.len() as u64] {
        if granted > 0 {
            peer.send(ServerFrame::Credit {
                command_id,
                bytes: granted,
            })
            .await;
        }
        let allowed = (received.len() as u64).max(TRANSFER_CREDIT_BYTES) + granted;
        while (received.len() as u64) < allowed.min(content.len() as u64) {
            let (offset, bytes) = chunk(&mut peer).await;
            assert_eq!(offset, received.len() as u64);
            assert!(bytes.len() <= CHUNK_BYTES_MAX);
            received.extend_from_slice(&bytes);
            assert!(received.len() as u64 <= allowed);
        }
        if (received.len()) < content.len() {
            // The agent answers, and what it answers with is no chunk.
            peer.send(ServerFrame::Ping).await;
            assert_eq!(peer.frame().await, AgentFrame::Pong);
        }
    }
    let result = peer.result().await;
    assert_eq!(
        result.output.unwrap(),
        json!({ "bytes": content.len(), "sha256": sha256(&content) })
    );
    assert_eq!(received, content);
    agent.stop().await;
}

#[tokio::test]
async fn a_file_is_written_from_chunks_under_the_agents_credit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let content: Vec<u8> = (0..2 * TRANSFER_CREDIT_BYTES + 12_345)
        .map(|n| (n / 3) as u8)
        .collect();
    let server = Server::new().await;
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(1).await;
    let transfer = Transfer {
        bytes: content.len() as u64,
        sha256: sha256(&content),
    };
    let put = put_in_chunks(&path, transfer);
    let id = put.command_id;
    peer.command(put).await;
    let (mut credit, mut sent) = (0, 0);
    let result = loop {
        while sent < content.len() && credit > 0 {
            let length = CHUNK_BYTES_MAX.min(content.len() - sent).min(credit);
            peer.send_chunk(id, sent as u64, &content[sent..sent + length])
                .await;
            (sent, credit) = (sent + length, credit - length);
        }
        match peer.frame().await {
            AgentFrame::Credit { bytes, .. } => credit += bytes as usize,
            AgentFrame::Result(result) => break result,
            _ => {}
        }
    };
    assert_eq!(
        result.output.unwrap(),
        json!({ "bytes": content.len(), "sha256": sha256(&content) })
    );
    assert_eq!(fs::read(&path).unwrap(), content);
    agent.stop().await;
}

#[tokio::test]
async fn a_lost_connection_ends_transfers_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("big"), vec![1; 4 << 20]).unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(1).await;
    let get = command(Verb::GetFile, at(dir.path().join("big")));
    let put = put_in_chunks(
        &dir.path().join("new"),
        Transfer {
            bytes: 10,
            sha256: sha256(b"0123456789"),
        },
    );
    let mut ids = vec![get.command_id, put.command_id];
    peer.command(get).await;
    chunk(&mut peer).await;
    let put_id = put.command_id;
    peer.command(put).await;
    loop {
        if let Received::Frame(AgentFrame::Credit { command_id, .. }) = peer.receive().await {
            assert_eq!(command_id, put_id);
            break;
        }
    }
    peer.send_chunk(put_id, 0, b"01234").await;
    drop(peer);
    let mut peer = server.attach(2).await;
    for _ in 0..2 {
        let result = peer.result().await;
        assert_eq!(result.error.unwrap().code, "transfer_cut");
        ids.retain(|id| *id != result.command_id);
    }
    assert!(ids.is_empty());
    assert_eq!(crate::support::names(dir.path()), ["big", "state"]);
    agent.stop().await;
}

#[tokio::test]
async fn a_running_command_is_cancelled_and_an_unknown_one_never_runs() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(1).await;
    let sleep = command(Verb::CreateProcess, json!({ "argv": ["sleep", "1000"] }));
    let id = sleep.command_id;
    peer.command(sleep).await;
    assert_eq!(peer.frame().await, AgentFrame::Accepted { command_id: id });
    peer.send(ServerFrame::Cancel { command_id: id }).await;
    assert_eq!(peer.fault_code(id).await, "cancelled");

    let late = command(Verb::CreateDirectory, at(dir.path().join("late")));
    let id = late.command_id;
    peer.send(ServerFrame::Cancel { command_id: id }).await;
    assert_eq!(peer.fault_code(id).await, "cancelled");
    peer.command(late).await;
    assert_eq!(peer.fault_code(id).await, "cancelled");
    assert!(!dir.path().join("late").exists());
    agent.stop().await;
}

#[tokio::test]
async fn more_commands_than_the_agent_takes_are_busy() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("big"), vec![1; 2 << 20]).unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(1).await;
    // Without credit beyond the first MiB they all stay.
    for _ in 0..COMMANDS_MAX {
        peer.command(command(Verb::GetFile, at(dir.path().join("big"))))
            .await;
    }
    let one_more = command(Verb::CreateDirectory, at(dir.path().join("made")));
    let refused = peer.run(one_more).await.error.unwrap();
    assert_eq!((refused.class, &*refused.code), (FaultClass::Server, "busy"));
    drop(peer);
    let mut peer = server.attach(2).await;
    let mut list = command(Verb::ListProcesses, json!({}));
    list.epoch = 2;
    assert!(peer.run(list).await.error.is_none());
    agent.stop().await;
}

#[tokio::test]
async fn so_many_results_wait_for_their_ack_and_new_commands_are_busy_until_one_comes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(1).await;
    let list = || command(Verb::ListDirectory, at(dir.path().join("state")));
    let mut first = None;
    for _ in 0..UNACKED_MAX {
        let done = peer.run(list()).await;
        assert!(done.error.is_none(), "{:?}", done.error);
        first.get_or_insert(done.command_id);
    }
    let refused = peer.run(list()).await.error.unwrap();
    assert_eq!((refused.class, &*refused.code), (FaultClass::Server, "busy"));
    peer.ack(first.unwrap()).await;
    assert!(peer.run(list()).await.error.is_none());
    agent.stop().await;
}

#[tokio::test]
async fn frames_of_a_newer_server_are_ignored_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(1).await;
    peer.send_text("{\"type\":\"teleport\",\"to\":\"mars\"}".into())
        .await;
    peer.send_text("no json".into()).await;
    let mut newer =
        serde_json::to_value(ServerFrame::Command(Box::new(command(Verb::Walk, at("/"))))).unwrap();
    newer["call"] = json!({ "read_minds": {} });
    let id = serde_json::from_value(newer["command_id"].clone()).unwrap();
    peer.send_text(newer.to_string()).await;
    assert_eq!(peer.fault_code(id).await, "unsupported_verb");
    settle(&mut peer, dir.path()).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_revoked_or_refused_key_ends_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, dir.path());
    let mut peer = server.attach(1).await;
    peer.send(ServerFrame::Bye {
        reason: "revoked".into(),
    })
    .await;
    let error = agent.ended.await.unwrap().unwrap_err();
    assert_eq!(error.exit_code(), 3);

    let mut server = server;
    server.refuse_keys = true;
    let agent = InProcess::start(&server, dir.path());
    let ended = tokio::select! {
        ended = agent.ended => ended.unwrap(),
        () = server.refuse() => panic!("a key was taken"),
    };
    assert_eq!(ended.unwrap_err().exit_code(), 3);
}

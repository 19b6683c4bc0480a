//! What an agent makes of the journal that an earlier one left.

use crate::server::{InProcess, Server, command};
use crate::support::{at, names, sha256};
use serde_json::json;
use std::fs;
use std::time::Duration;
use tripline_agent::journal::{Journal, Options};
use tripline_agent::partials::Partials;
use tripline_agent::{platform, verbs};
use tripline_protocol::TransferId;
use tripline_protocol::frame::{AgentFrame, CODE_INTERRUPTED, CODE_TRANSFER_PAUSED, Resume, Transfer};
use tripline_protocol::verb::Verb;

#[tokio::test]
async fn what_an_earlier_agent_began_is_interrupted_and_never_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    let put = command(
        Verb::PutFile,
        json!({ "path": dir.path().join("f"), "content": "x" }),
    );
    let id = put.command_id;
    let leftover = verbs::leftover(&put);
    fs::write(dir.path().join(format!(".tripline-{id}")), "half of").unwrap();
    let journal = Journal::open(&state, Options::default()).unwrap();
    journal.begin(id, leftover).await.unwrap();
    drop(journal);

    let server = Server::new().await;
    let agent = InProcess::start(&server, &state);
    let mut peer = server.attach(1).await;
    assert_eq!(peer.hello().finished, [id]);
    assert_eq!(peer.fault_code(id).await, CODE_INTERRUPTED);
    peer.command(put).await;
    assert_eq!(peer.fault_code(id).await, CODE_INTERRUPTED);
    assert_eq!(names(dir.path()), ["state"]);
    agent.stop().await;
}

#[tokio::test]
async fn a_file_that_an_earlier_agent_was_receiving_waits_for_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    let sha256 = sha256(b"half of it");
    let mut put = command(
        Verb::PutFile,
        json!({ "path": dir.path().join("f"), "artifact": sha256 }),
    );
    let transfer_id = TransferId(uuid::Uuid::from_u128(3));
    put.transfer = Some(Transfer { bytes: 10, sha256 });
    put.resume = Some(Resume {
        transfer_id,
        bytes: 0,
        sha256: None,
    });
    let (id, leftover) = (put.command_id, verbs::leftover(&put));
    let partials = Partials::open(&state, &*platform::native()).unwrap();
    partials.claim(transfer_id.0).unwrap().begin(&leftover).unwrap();
    let temporary = format!(".tripline-{transfer_id}");
    fs::write(dir.path().join(&temporary), "half of").unwrap();
    let journal = Journal::open(&state, Options::default()).unwrap();
    journal.begin(id, leftover).await.unwrap();
    drop(journal);

    let server = Server::new().await;
    let agent = InProcess::start(&server, &state);
    let mut peer = server.attach(1).await;
    assert!(peer.hello().resumes);
    assert_eq!(peer.fault_code(id).await, CODE_TRANSFER_PAUSED);
    assert_eq!(names(dir.path()), [temporary.as_str(), "state"]);
    agent.stop().await;
}

#[tokio::test]
async fn a_stopped_agent_ends_its_commands_and_reports_them_after_its_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, dir.path());
    let mut peer = server.attach(1).await;
    let sleep = command(Verb::CreateProcess, json!({ "argv": ["sleep", "1000"] }));
    let id = sleep.command_id;
    peer.command(sleep).await;
    assert_eq!(peer.frame().await, AgentFrame::Accepted { command_id: id });
    agent.stop().await;
    let agent = InProcess::start(&server, dir.path());
    let mut peer = server.attach(2).await;
    assert_eq!(peer.fault_code(id).await, CODE_INTERRUPTED);
    agent.stop().await;
}

#[tokio::test]
async fn a_command_that_runs_while_the_connection_is_lost_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let server = Server::new().await;
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(1).await;
    let read = command(Verb::CreateProcess, json!({ "argv": ["cat", fifo] }));
    let id = read.command_id;
    peer.command(read).await;
    assert_eq!(peer.frame().await, AgentFrame::Accepted { command_id: id });
    drop(peer);
    let mut peer = server.attach(2).await;
    assert_eq!(peer.hello().running, [id]);
    tokio::task::spawn_blocking(move || fs::write(fifo, "after all"))
        .await
        .unwrap()
        .unwrap();
    let result = peer.result().await;
    assert_eq!(result.output.unwrap()["stdout"]["text"], "after all");
    agent.stop().await;
}

#[tokio::test]
async fn a_deadline_counts_from_the_receipt_of_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, dir.path());
    let mut peer = server.attach(1).await;
    let mut sleep = command(Verb::CreateProcess, json!({ "argv": ["sleep", "1000"] }));
    sleep.remaining_ms = u64::try_from(Duration::from_millis(300).as_millis()).unwrap();
    assert_eq!(peer.run(sleep).await.error.unwrap().code, "command_timeout");
    let mut list = command(Verb::ListDirectory, at("/"));
    list.remaining_ms = 0;
    assert_eq!(peer.run(list).await.error.unwrap().code, "command_timeout");
    let mut list = command(Verb::ListDirectory, at("/"));
    list.remaining_ms = u64::MAX;
    assert!(peer.run(list).await.error.is_none());
    agent.stop().await;
}

//! `tripline top`, at a terminal and without one.

use crate::harness::{AgentProcess, Server, Site, job_of, tripline, until, wait_at};
use crate::terminal::Terminal;
use serde_json::Value;
use std::process::Command;

fn top(server: &Server) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    for name in ["TRIPLINE_SERVER", "TRIPLINE_TOKEN"] {
        command.env_remove(name);
    }
    command
        .args(["top", "--interval", "200ms", "--data-dir"])
        .arg(server.data_dir());
    command.env("TERM", "xterm");
    command
}

/// Whether the terminal was given back: the alternate screen was left after it was entered for the last time.
fn is_given_back(terminal: &Terminal) -> bool {
    let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
    raw.rfind("\x1b[?1049l") > raw.rfind("\x1b[?1049h") && raw.contains("\x1b[?1049h")
}

#[tokio::test]
async fn top_shows_who_holds_a_slot_and_a_pause_and_gives_the_terminal_back() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let (begun, gate) = (site.path("begun"), site.write("gate", ""));
    let job = server
        .api()
        .submit(host, job_of("create_process", wait_at(&begun, &gate)))
        .await;
    until("the command runs", || begun.exists()).await;

    let mut terminal = Terminal::start(&top(&server));
    // Blanks are not written but passed over: only words can be looked for.
    terminal.sees("attached").await;
    terminal.sees(&job.to_string()).await;
    terminal.sees("leave").await;
    assert_eq!(
        tripline(server.data_dir(), &["pause", "--reason", "INC-42"])
            .await
            .code,
        0
    );
    terminal.sees("PAUSED by admin").await;
    terminal.types("f");
    terminal.sees("in use").await;
    terminal.types("q");
    assert!(terminal.end().await.success());
    until("the terminal is given back", || is_given_back(&terminal)).await;

    let mut terminal = Terminal::start(&top(&server));
    terminal.sees("leave").await;
    terminal.ctrl_c();
    assert!(terminal.end().await.success());
    until("the terminal is given back", || is_given_back(&terminal)).await;
    std::fs::remove_file(gate).expect("to open the gate");
    server.api().ended(job).await;
}

#[tokio::test]
async fn without_a_terminal_top_prints_one_snapshot() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let data = server.data_dir().to_owned();
    for arguments in [&["top"][..], &["top", "--once"][..]] {
        let ran = tripline(&data, arguments).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(
            ran.stdout.contains("0 of 10 in use") && !ran.stdout.contains('\x1b'),
            "{ran:?}"
        );
    }
    let ran = tripline(&data, &["top", "--once", "--output", "json"]).await;
    let status: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        (&status["ready"], &status["slots"]["total"]),
        (&true.into(), &10.into())
    );
    assert_eq!(tripline(&data, &["top", "--interval", "1ms"]).await.code, 2);
    let bound = server
        .api()
        .create_token(serde_json::json!({"name": "v", "role": "viewer", "org": "acme"}))
        .await;
    assert_eq!(
        server.api().with_token(&bound).get("/v1/status").await.status,
        403
    );
}

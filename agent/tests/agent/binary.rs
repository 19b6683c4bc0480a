//! The real binary: exit codes, signals, and `kill -9` in the middle of a command.

use crate::server::{Server, TOKEN, command};
use crate::support::{alive, wait_until};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tripline_agent::state_dir::StateDir;
use tripline_protocol::frame::{AgentFrame, CODE_INTERRUPTED};
use tripline_protocol::verb::Verb;

pub(crate) fn agent(args: &[&str]) -> Command {
    subcommand(&["run"], args)
}

fn subcommand(words: &[&str], args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline-agent"));
    command
        .args(words)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs an agent that has to end by itself: exit code and stderr.
fn ended(args: &[&str]) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = agent(args).output().unwrap();
    assert!(stdout.is_empty());
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

/// `isolation reinstate` with this state directory and a program nft that is not there: exit code and stderr.
fn reinstated(state: &Path) -> (i32, String) {
    let args = [
        "--server",
        "https://192.0.2.1:7443",
        "--isolation-nft",
        "/nonexistent/nft",
        "--state-dir",
        state.to_str().unwrap(),
    ];
    let output = subcommand(&["isolation", "reinstate"], &args).output().unwrap();
    assert!(output.stdout.is_empty());
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// The record of an isolation that a boot before this one left, to go on.
const RECORD: &str = r#"{"command_id":"00000000-0000-0000-0000-000000000009","since":"2020-01-01T00:00:00Z",
    "until":"9999-01-01T00:00:00Z","persist":true,"allow":[],"boot":"00000000-0000-0000-0000-000000000001","ends_ms":1,
    "server":["192.0.2.1:7443"],"name_servers":[],"ending":false}"#;

#[test]
fn reinstating_an_isolation_does_nothing_where_none_is_and_says_why_it_failed() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (code, said) = reinstated(&state);
    assert!(code == 0 && said.contains("no state directory"), "{code} {said}");
    assert!(!state.exists(), "nothing is made");
    let held = StateDir::open(&state).unwrap();
    let (code, said) = reinstated(&state);
    assert!(code == 0 && said.contains("an agent runs here"), "{code} {said}");
    drop(held);
    let (code, said) = reinstated(&state);
    assert!(code == 0 && said.contains("not to be isolated"), "{code} {said}");

    let record = state.join("isolation.json");
    fs::write(&record, "{").unwrap();
    let (code, said) = reinstated(&state);
    assert!(code == 1 && said.contains("damaged"), "{code} {said}");
    fs::write(&record, RECORD).unwrap();
    let (code, said) = reinstated(&state);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("failed to isolate this host again") && said.contains("/nonexistent/nft"),
        "{said}"
    );
    assert!(record.is_file(), "the agent tries again");
    fs::write(&record, RECORD.replace("9999-01", "2020-01")).unwrap();
    let (code, said) = reinstated(&state);
    assert!(code == 0 && said.contains("is over"), "{code} {said}");
    assert!(record.is_file(), "the agent tells of its end");
}

/// A running agent that is killed when the test ends.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    fn start(server: &Server, state: &Path) -> Self {
        let args = ["--server", &server.url(), "--state-dir", state.to_str().unwrap()];
        Self(
            agent(&args)
                .env("TRIPLINE_AGENT_ENROL_TOKEN", TOKEN)
                .spawn()
                .unwrap(),
        )
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn bad_configuration_is_exit_code_2_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let state = state.to_str().unwrap();
    let file = dir.path().join("agent.toml");
    fs::write(&file, "read_only = true\nread_onyl = true\n").unwrap();
    for (args, said) in [
        (vec!["--state-dir", state], "server is missing"),
        (
            vec!["--server", "http://example.org:7400", "--state-dir", state],
            "only for loopback",
        ),
        (
            vec!["--server", "https://example.org", "--state-dir", "/proc/nowhere"],
            "state directory",
        ),
        (
            vec![
                "--server",
                "https://example.org",
                "--state-dir",
                state,
                "--ca",
                "/no/such",
            ],
            "CA file",
        ),
        (
            vec!["--server", "https://example.org", "--state-dir", state],
            "--enrol-token",
        ),
        (vec!["--config", file.to_str().unwrap()], "agent.toml:2"),
        (vec!["--no-such-option"], "--no-such-option"),
    ] {
        let (code, stderr) = ended(&args);
        assert_eq!(code, 2, "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
}

#[tokio::test]
async fn two_agents_do_not_share_a_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let _first = Running::start(&server, dir.path());
    let _peer = server.attach(1).await;
    let state = dir.path().to_str().unwrap().to_owned();
    let url = server.url();
    let (code, stderr) =
        tokio::task::spawn_blocking(move || ended(&["--server", &url, "--state-dir", &state]))
            .await
            .unwrap();
    assert_eq!(code, 2);
    assert!(stderr.contains("another agent uses"), "{stderr}");
}

#[tokio::test]
async fn a_refused_token_is_exit_code_3_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let (url, state) = (server.url(), dir.path().to_str().unwrap().to_owned());
    let agent = tokio::task::spawn_blocking(move || {
        ended(&[
            "--server",
            &url,
            "--state-dir",
            &state,
            "--enrol-token",
            "hunter2",
            "--log-level",
            "trace",
        ])
    });
    let (code, stderr) = tokio::select! {
        ended = agent => ended.unwrap(),
        () = server.refuse() => panic!("the token was taken"),
    };
    assert_eq!(code, 3, "{stderr}");
    assert!(
        stderr.contains("no such token") && !stderr.contains("hunter2"),
        "{stderr}"
    );
}

#[tokio::test]
async fn sigterm_is_exit_code_0() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let mut agent = Running::start(&server, dir.path());
    let _peer = server.attach(1).await;
    agent.signal(rustix::process::Signal::TERM);
    let status = tokio::task::spawn_blocking(move || agent.0.wait().unwrap())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_killed_agent_leaves_no_process_and_runs_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (pids, counter) = (dir.path().join("pids"), dir.path().join("counter"));
    let script = "echo run >>$COUNTER; env >$PIDS.env; sleep 1000 & echo $! >>$PIDS; echo $$ >>$PIDS; wait";
    let server = Server::new().await;
    let agent = Running::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(1).await;
    let mut once = command(
        Verb::CreateProcess,
        json!({ "argv": ["sh", "-c", script], "environment": { "PIDS": pids, "COUNTER": counter } }),
    );
    peer.command(once.clone()).await;
    assert_eq!(
        peer.frame().await,
        AgentFrame::Accepted {
            command_id: once.command_id
        }
    );
    let read = || -> Vec<u32> {
        let text = fs::read_to_string(&pids).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    wait_until("the program runs", || read().len() == 2);
    let environment = fs::read_to_string(dir.path().join("pids.env")).unwrap();
    assert!(!environment.contains(TOKEN));
    drop(agent);
    let (grandchild, program) = (read()[0], read()[1]);
    wait_until("the kernel ended the program with the agent", || !alive(program));

    let _agent = Running::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(2).await;
    assert_eq!(peer.fault_code(once.command_id).await, CODE_INTERRUPTED);
    wait_until("the agent ended what was left", || !alive(grandchild));
    once.epoch = 2;
    peer.command(once.clone()).await;
    assert_eq!(peer.fault_code(once.command_id).await, CODE_INTERRUPTED);
    assert_eq!(fs::read_to_string(counter).unwrap(), "run\n");
}

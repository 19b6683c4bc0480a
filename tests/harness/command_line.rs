//! The command line, as people and scripts call it.

use super::process::clean;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a call left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `tripline` for the server of a data directory, and waits for its end.
pub(crate) async fn tripline(data_dir: &Path, arguments: &[&str]) -> Ran {
    let mut command = clean(Command::new(env!("CARGO_BIN_EXE_tripline")));
    command.arg("--data-dir").arg(data_dir).args(arguments);
    run(command).await
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command) -> Ran {
    let ended = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output())
        .await
        .expect("no panic")
        .expect("to start");
    Ran {
        code: ended.status.code().expect("an exit code"),
        stdout: String::from_utf8(ended.stdout).expect("UTF-8"),
        stderr: String::from_utf8(ended.stderr).expect("UTF-8"),
    }
}

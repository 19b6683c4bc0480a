//! The broker's process: started through the guard, restarted when it ends, stopped last.
//!
//! Everything happens on one thread, which lives until the broker is stopped: the broker's life hangs on it
//! (`guard.rs`).

use super::guard;
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

/// How long the broker may take to end by itself.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// Shortest and longest pause before it is started again.
const RESTART_PAUSE_MIN: Duration = Duration::from_millis(100);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(5);
/// A life after which the pause starts from its shortest again.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Debug)]
pub(super) struct Recipe {
    /// This program, which can be a guard.
    pub(super) guard: PathBuf,
    /// nats-server.
    pub(super) binary: PathBuf,
    /// Its configuration.
    pub(super) config: PathBuf,
    /// Where its first words go.
    pub(super) output: PathBuf,
    /// The locked file; the broker holds it open too, so that the lock lasts as long as it or the server.
    pub(super) lock: File,
}

/// The broker's process now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It runs; its process id and when it was started.
    Running(u32),
    /// It ended and will be started again.
    Ended(Option<i32>),
}

impl Recipe {
    fn spawn(&self) -> std::io::Result<Child> {
        let output = File::create(&self.output)?;
        Command::new(&self.guard)
            .arg(guard::SUBCOMMAND)
            .arg(std::process::id().to_string())
            .arg(&self.binary)
            .arg("-c")
            .arg(&self.config)
            .stdin(Stdio::from(self.lock.try_clone()?))
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output))
            .process_group(0)
            .spawn()
    }
}

/// Starts the thread. The first process is started before this returns through `started`.
pub(super) fn start(
    recipe: Recipe,
    state: watch::Sender<State>,
    stop: mpsc::Receiver<oneshot::Sender<()>>,
    started: oneshot::Sender<std::io::Result<()>>,
) -> std::io::Result<()> {
    let run = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        runtime.block_on(supervise(&recipe, &state, stop, started));
    };
    std::thread::Builder::new()
        .name("broker".into())
        .spawn(run)
        .map(drop)
}

async fn supervise(
    recipe: &Recipe,
    state: &watch::Sender<State>,
    mut stop: mpsc::Receiver<oneshot::Sender<()>>,
    started: oneshot::Sender<std::io::Result<()>>,
) {
    let mut child = match recipe.spawn() {
        Ok(child) => child,
        Err(error) => return drop(started.send(Err(error))),
    };
    let mut running = Instant::now();
    let mut pause = RESTART_PAUSE_MIN;
    state.send_replace(State::Running(child.id()));
    drop(started.send(Ok(())));
    loop {
        tokio::select! {
            status = ended(&mut child) => report(&status, state),
            done = stop.recv() => {
                end(&mut child).await;
                // Nobody waits when the handle was dropped.
                if let Some(done) = done {
                    let _ = done.send(());
                }
                return;
            }
        }
        if running.elapsed() > LONG_LIFE {
            pause = RESTART_PAUSE_MIN;
        }
        child = loop {
            if let Ok(done) = timeout(pause, stop.recv()).await {
                if let Some(done) = done {
                    let _ = done.send(());
                }
                return;
            }
            pause = (pause * 2).min(RESTART_PAUSE_MAX);
            match recipe.spawn() {
                Ok(child) => break child,
                Err(error) => tracing::error!(%error, "the embedded broker does not start"),
            }
        };
        running = Instant::now();
        state.send_replace(State::Running(child.id()));
        tracing::info!(pid = child.id(), "embedded broker started again");
    }
}

fn report(status: &std::io::Result<ExitStatus>, state: &watch::Sender<State>) {
    match status {
        Ok(status) => {
            tracing::error!(%status, "embedded broker ended; starting it again");
            state.send_replace(State::Ended(status.code()));
        }
        Err(error) => {
            tracing::error!(%error, "embedded broker lost; starting it again");
            state.send_replace(State::Ended(None));
        }
    }
}

/// Waits for the end of a child that was started by the standard library.
async fn ended(child: &mut Child) -> std::io::Result<ExitStatus> {
    let mut signals = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child())?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        signals.recv().await;
    }
}

/// Asks it to end, and makes it when it does not.
async fn end(child: &mut Child) {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return;
    };
    if let Err(error) = rustix::process::kill_process(pid, Signal::TERM) {
        tracing::warn!(%error, "ask the embedded broker to end");
    }
    if timeout(STOP_WAIT, ended(child)).await.is_ok() {
        return;
    }
    tracing::warn!("the embedded broker did not end in time and is killed");
    if let Err(error) = child.kill().and_then(|()| child.wait().map(drop)) {
        tracing::error!(%error, "kill the embedded broker");
    }
}

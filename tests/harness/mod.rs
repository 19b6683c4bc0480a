//! What the tests of whole programs stand on: folders, processes, clients. Everything a test starts ends when it
//! is dropped, also when the test panics. `tests/system` uses all of it; other binaries include it by its path.
//!
//! Deliberately not here: expectations about the product, apart from the one that holds for every test: nothing
//! panics.

pub(crate) mod agent;
mod api;
mod broker;
mod command_line;
mod journal;
mod outside;
mod process;
mod random;
mod ruled;
pub(crate) mod scripted;
mod server;
mod simulated_agent;

pub(crate) use agent::AgentProcess;
pub(crate) use api::{Answer, Api};
pub(crate) use broker::Broker;
pub(crate) use command_line::{Ran, run, tripline};
pub(crate) use journal::commands_begun;
pub(crate) use outside::Outside;
pub(crate) use process::{Process, clean};
pub(crate) use random::Random;
pub(crate) use ruled::Ruled;
pub(crate) use server::Server;
pub(crate) use simulated_agent::{Gauge, SimulatedAgent};

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use tripline_protocol::{EventKey, HostId, JobId, Org};

/// Longest wait for anything; only failing tests wait that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(15);

/// Two sites at a time under plain `cargo test`; nextest has a test group for it.
static TURNS: Semaphore = Semaphore::const_new(2);

/// A temporary folder, and the right to start servers.
pub(crate) struct Site {
    folder: TempDir,
    _turn: SemaphorePermit<'static>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        // The client library wants to be told which cryptography to use; a second time is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            _turn: TURNS.acquire().await.expect("never closed"),
            folder: tempfile::Builder::new()
                .prefix("tripline-system-")
                .tempdir()
                .expect("a temporary folder"),
        }
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, with the folders above it; returns its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, content).expect("to write");
        path
    }
}

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        // Between two looks at another process, which cannot wake this one.
        tokio::time::sleep(LOOK).await;
    }
}

/// The same for what is seen without waiting.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, async || holds().then_some(())).await;
}

/// A port outside the range from which the system takes ports for connections, so that it is still free when a
/// server comes back to it.
pub(crate) fn free_port() -> u16 {
    let mut random = Random::from_entropy();
    (0..200)
        .map(|_| 20_000 + u16::try_from(random.below(12_000)).expect("small"))
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// A job of one verb.
pub(crate) fn job_of(verb: &str, arguments: Value) -> Value {
    json!({"name": "test", "steps": [{"id": "only", verb: arguments}]})
}

/// A command that appends a line to a file: what it did can be counted.
pub(crate) fn append_line(file: &Path, line: &str) -> Value {
    json!({"argv": ["/bin/sh", "-c", r#"printf '%s\n' "$1" >> "$0""#, file, line]})
}

/// A command that writes `begun` and goes on while `gate` exists.
pub(crate) fn wait_at(begun: &Path, gate: &Path) -> Value {
    let script = r#"echo $$ >> "$0"; while [ -e "$1" ]; do sleep 0.05; done"#;
    json!({"argv": ["/bin/sh", "-c", script, begun, gate]})
}

/// The job that an event causes through a pipeline.
pub(crate) fn job_of_event(source: &str, id: &str, pipeline: &str, host: HostId) -> JobId {
    let key = EventKey::derive(&Org::default_org(), source, id);
    JobId::derive(key, &pipeline.parse().expect("a name"), host, 0)
}

/// A structured CloudEvent about a host.
pub(crate) fn cloud_event(id: &str, etype: &str, host: HostId, data: Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "system-test", "type": etype, "hostid": host, "data": data})
}

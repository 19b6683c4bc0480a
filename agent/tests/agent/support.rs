//! What the tests share: verbs run here and now, conditions waited for, a server to talk to.

use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tripline_agent::isolation::{self, HostIsolation};
use tripline_agent::platform::{self, isolation::Missing};
use tripline_agent::policy::Policy;
use tripline_agent::state_dir::StateDir;
use tripline_agent::stop::Stop;
use tripline_agent::transfer::{ChunkSink, ChunkSource};
use tripline_agent::verbs::{self, Context, Done};
use tripline_protocol::frame::Transfer;
use tripline_protocol::verb::{Verb, VerbCall};
use tripline_protocol::{CommandId, Fault, Sha256};
use uuid::Uuid;

/// How long a condition may take before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a condition, not for a time.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        // Looks again soon; nothing depends on how soon.
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Keeps what is sent.
#[derive(Default)]
pub(crate) struct KeepingSink(pub(crate) Mutex<Vec<u8>>);

impl ChunkSink for KeepingSink {
    fn send(&self, bytes: &[u8], _: &Stop) -> Result<(), Fault> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }
}

/// Gives prepared chunks, then says that the connection is gone.
pub(crate) struct PreparedSource(pub(crate) Mutex<Vec<Vec<u8>>>);

impl ChunkSource for PreparedSource {
    fn next(&self, _: &Stop) -> Result<Vec<u8>, Fault> {
        let mut chunks = self.0.lock().unwrap();
        if chunks.is_empty() {
            return Err(Fault::server("transfer_cut", "no more"));
        }
        Ok(chunks.remove(0))
    }
}

/// A verb about to be run.
pub(crate) struct Run {
    pub(crate) policy: Policy,
    pub(crate) stop: Stop,
    pub(crate) sink: KeepingSink,
    pub(crate) transfer: Option<(Transfer, PreparedSource)>,
    pub(crate) id: CommandId,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            stop: Stop::after(Duration::MAX),
            sink: KeepingSink::default(),
            transfer: None,
            id: CommandId(Uuid::new_v4()),
        }
    }
}

impl Run {
    pub(crate) fn denying(path: &Path) -> Self {
        let policy = Policy {
            paths_denied: vec![path.to_path_buf()],
            ..Policy::default()
        };
        Self {
            policy,
            ..Self::default()
        }
    }

    pub(crate) fn within(remaining: Duration) -> Self {
        Self {
            stop: Stop::after(remaining),
            ..Self::default()
        }
    }

    pub(crate) fn receiving(bytes: u64, sha256: Sha256, chunks: &[&[u8]]) -> Self {
        let chunks = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        let source = PreparedSource(Mutex::new(chunks));
        Self {
            transfer: Some((Transfer { bytes, sha256 }, source)),
            ..Self::default()
        }
    }

    pub(crate) fn done(&self, verb: Verb, args: Value) -> Result<Done, Fault> {
        self.done_telling(verb, args, &|_| ())
    }

    pub(crate) fn done_telling(&self, verb: Verb, args: Value, started: &dyn Fn(u32)) -> Result<Done, Fault> {
        let call = VerbCall::parse(verb, args).expect("legal arguments");
        let platform = platform::native();
        let folder = tempfile::tempdir().expect("a folder");
        let isolation = no_isolation(folder.path());
        let context = Context {
            id: self.id,
            platform: &*platform,
            policy: &self.policy,
            isolation: &isolation,
            stop: &self.stop,
            transfer: self.transfer.as_ref().map(|(transfer, _)| transfer),
            sink: Some(&self.sink),
            source: self
                .transfer
                .as_ref()
                .map(|(_, source)| source as &dyn ChunkSource),
            started,
        };
        verbs::run(&context, &call)
    }

    pub(crate) fn output(&self, verb: Verb, args: Value) -> Value {
        self.done(verb, args).expect("the verb succeeds").output
    }

    pub(crate) fn fault(&self, verb: Verb, args: Value) -> Fault {
        self.done(verb, args).expect_err("the verb fails")
    }
}

/// Of a host that is never isolated: a test does not touch its machine's network.
fn no_isolation(state: &Path) -> HostIsolation {
    HostIsolation::new(
        Arc::new(Missing),
        Arc::new(StateDir::open(state).expect("a state directory")),
        isolation::host_clock(platform::native()),
        isolation::Server::new("https://192.0.2.1:7443".parse().expect("a URL")),
        Vec::new(),
    )
}

/// Runs a verb without any limits.
pub(crate) fn output(verb: Verb, args: Value) -> Value {
    Run::default().output(verb, args)
}

/// Runs a verb that has to fail.
pub(crate) fn fault(verb: Verb, args: Value) -> Fault {
    Run::default().fault(verb, args)
}

/// `{"path": …}`.
pub(crate) fn at(path: impl AsRef<Path>) -> Value {
    json!({ "path": path.as_ref().to_str().expect("UTF-8") })
}

/// The hash of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    use sha2::Digest;
    Sha256::from_digest(&sha2::Sha256::digest(bytes).into())
}

/// The names in a directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Whether a process is there and no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Whether tests run as root, to whom permissions mean nothing.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

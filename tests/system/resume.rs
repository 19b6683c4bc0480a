//! Transfers that go on: over a network that breaks, agents and servers that are killed, both ways.
//!
//! 40 MiB and 8 cuts each way; `TRIPLINE_SOAK_TRANSFER_BYTES` asks for more bytes, and then there are 20 cuts
//! (`make soak-transfer`: 1 GiB).

use crate::harness::{AgentProcess, Server, Site};
use crate::relay::Relay;
use serde_json::{Value, json};
use sha2::Digest;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use tripline_protocol::api::JobView;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::limit::{CHUNK_BYTES_MAX, TRANSFER_CREDIT_BYTES};
use tripline_protocol::{HostId, Sha256};

const BYTES: u64 = 40 << 20;
const CUTS: u64 = 8;
const SOAK_CUTS: u64 = 20;
/// What may have to be sent again after a cut or a kill. A receiver gives credit for what it has taken, so no more than
/// the credit is under way, wherever it is. The server has it in its file before that; an agent gives credit for a
/// chunk before it writes it.
const LOST_BYTES_MAX: u64 = TRANSFER_CREDIT_BYTES + CHUNK_BYTES_MAX as u64;
/// Agent and server.
const KILLS: u64 = 2;

/// How much is moved, and how often it is cut.
#[derive(Clone, Copy)]
struct Size {
    bytes: u64,
    cuts: u64,
}

impl Size {
    fn of_this_run() -> Self {
        match std::env::var("TRIPLINE_SOAK_TRANSFER_BYTES") {
            Ok(bytes) => Self {
                bytes: bytes.parse().expect("a number of bytes"),
                cuts: SOAK_CUTS,
            },
            Err(_) => Self {
                bytes: BYTES,
                cuts: CUTS,
            },
        }
    }

    /// What goes over the network between two cuts.
    fn stretch(self) -> u64 {
        self.bytes / (self.cuts + 1)
    }

    fn cuts_before_the_agent_is_killed(self) -> u64 {
        self.cuts * 3 / 8
    }

    fn cuts_before_the_server_is_killed(self) -> u64 {
        self.cuts * 5 / 8
    }

    /// Most bytes over the network of a transfer that always goes on: its content, frames around it and beside it, and
    /// what is sent again.
    fn moved_max(self) -> u64 {
        self.bytes + self.bytes / 128 + (self.cuts + KILLS) * LOST_BYTES_MAX
    }

    /// Fewest of one that begins anew only once, when the agent has been killed; later, or at every cut, it is more.
    fn moved_anew_min(self) -> u64 {
        self.bytes + self.cuts_before_the_agent_is_killed() * self.stretch()
    }
}

/// Writes content in which no part is like another; its hash.
fn write_content(path: &Path, bytes: u64) -> Sha256 {
    let mut file = std::io::BufWriter::new(File::create(path).expect("a file"));
    let mut hash = sha2::Sha256::new();
    let mut block = Vec::with_capacity(1 << 20);
    for number in 0..bytes / 8 {
        block.extend_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        if block.len() == 1 << 20 || number + 1 == bytes / 8 {
            hash.update(&block);
            file.write_all(&block).expect("written");
            block.clear();
        }
    }
    file.flush().expect("written");
    Sha256::from_digest(&hash.finalize().into())
}

fn hash_of(path: &Path) -> Sha256 {
    let mut file = File::open(path).expect("the file");
    let (mut hash, mut buffer) = (sha2::Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).expect("it is read") {
            0 => return Sha256::from_digest(&hash.finalize().into()),
            length => hash.update(&buffer[..length]),
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a folder");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect()
}

/// A server, an agent, and the network between them.
struct Scene {
    server: Server,
    agent: AgentProcess,
    relay: Relay,
    host: HostId,
    /// Last, because its folder goes with it.
    site: Site,
}

impl Scene {
    async fn start() -> Self {
        let site = Site::new().await;
        let server = Server::start(&site, &[]).await;
        let relay = Relay::before(&server.url()).await;
        let token = server.api().enrol_token().await;
        let mut agent = AgentProcess::prepare(&site, &relay.url(), &token, "a");
        agent.spawn();
        let host = agent.host_id().await;
        server.api().attached(host, true).await;
        Self {
            server,
            agent,
            relay,
            host,
            site,
        }
    }

    /// Runs a step over a network that breaks so often, and kills the agent after some of the cuts and the server after
    /// more of them. Returns the ended job, and how many bytes went over the network.
    async fn run(&mut self, verb: &str, arguments: Value, size: Size) -> (JobView, u64) {
        let before = self.relay.bytes();
        self.relay.cut_every(size.stretch(), size.cuts);
        let step = json!({"id": "only", verb: arguments, "timeout": "1h"});
        let job = json!({"name": "test", "timeout": "2h", "steps": [step]});
        let job_id = self.server.api().submit(self.host, job).await;
        let mut kill_agent = true;
        let mut kill_server = true;
        loop {
            if kill_agent && self.relay.cuts() >= size.cuts_before_the_agent_is_killed() {
                kill_agent = false;
                self.agent.kill();
                self.agent.spawn();
            }
            if kill_server && self.relay.cuts() >= size.cuts_before_the_server_is_killed() {
                kill_server = false;
                self.server.crash().await;
            }
            let job = self.server.api().job(job_id).await;
            if matches!(job.state, JobState::Ended(_)) {
                assert!(!kill_agent && !kill_server, "all of it happened: {job:?}");
                assert_eq!(self.relay.cuts(), size.cuts, "{job:?}");
                return (job, self.relay.bytes() - before);
            }
            // Looks again soon; nothing depends on how soon.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// It never began anew.
fn assert_went_on(what: &str, moved: u64, size: Size) {
    let Size { bytes, cuts } = size;
    println!(
        "{what}: {bytes} bytes, {cuts} cuts, one agent and one server killed, {moved} bytes over the network"
    );
    let (most, anew) = (size.moved_max(), size.moved_anew_min());
    assert!(most < anew, "beginning anew is to be seen: {most} and {anew}");
    assert!(
        moved <= most,
        "{what}: {moved} bytes were moved for {bytes}, at most {most} are needed"
    );
}

/// The server that was started last counted transfers that went on in this direction.
async fn assert_counted(server: &Server, direction: &str) {
    let metrics = server.api().get("/metrics").await.body;
    let name = format!("tripline_agent_channel_resumed_transfers_total{{direction=\"{direction}\"}} ");
    let lines = metrics.as_str().expect("text").lines();
    let counted: Vec<u64> = lines
        .filter_map(|line| line.strip_prefix(&name)?.parse().ok())
        .collect();
    assert!(matches!(counted[..], [times] if times > 0), "{name}{counted:?}");
}

#[tokio::test]
async fn transfers_go_on_after_every_cut_and_after_agent_and_server_were_killed() {
    let size = Size::of_this_run();
    let mut scene = Scene::start().await;
    let source = scene.site.path("source");
    let digest = write_content(&source, size.bytes);

    let (job, moved) = scene.run("get_file", json!({"path": source}), size).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
    let artifact = job.steps[0].artifact.as_ref().expect("an artifact");
    assert_eq!((&artifact.sha256, artifact.bytes), (&digest, size.bytes));
    let kept = scene.server.data_dir().join("artifacts");
    let (folder, file) = digest.as_str().split_at(2);
    assert_eq!(hash_of(&kept.join(folder).join(file)), digest);
    assert_went_on("get_file", moved, size);
    assert_counted(&scene.server, "in").await;

    let place = scene.site.path("place");
    std::fs::create_dir(&place).expect("a folder");
    let copy = place.join("copy");
    let arguments = json!({"path": copy, "artifact": digest});
    let (job, moved) = scene.run("put_file", arguments, size).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
    assert_eq!(
        job.steps[0].output,
        Some(json!({"bytes": size.bytes, "sha256": digest}))
    );
    assert_eq!(hash_of(&copy), digest);
    assert_went_on("put_file", moved, size);
    assert_counted(&scene.server, "out").await;

    // Nothing of what was kept in between is left.
    assert_eq!(names(&place), ["copy"]);
    assert_eq!(names(&kept.join("incoming")), [""; 0]);
    assert_eq!(names(&scene.agent.state_dir().join("partials")), [""; 0]);
}

#[tokio::test]
async fn a_file_that_changed_while_its_transfer_was_cut_is_an_error_and_never_mixed() {
    let mut scene = Scene::start().await;
    let source = scene.site.path("source");
    write_content(&source, BYTES);
    scene.relay.cut_every(BYTES / 2, 1);
    let job = json!({"name": "test", "steps": [{"id": "only", "get_file": {"path": source}}]});
    let job_id = scene.server.api().submit(scene.host, job).await;
    crate::harness::until("the transfer is cut", || scene.relay.cuts() == 1).await;
    scene.agent.kill();
    let other = write_content(&scene.site.path("other"), BYTES / 4);
    std::fs::rename(scene.site.path("other"), &source).expect("replaced");
    scene.agent.spawn();
    let job = scene.server.api().ended(job_id).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Failed), "{job:?}");
    let error = job.steps[0].error.as_ref().expect("an error");
    assert_eq!(error.code, "file_changed", "{job:?}");
    // What came before is not kept, and a new transfer brings the file as it is now.
    let job = json!({"name": "test", "steps": [{"id": "only", "get_file": {"path": source}}]});
    let job = scene.server.api().run(scene.host, job).await;
    let artifact = job.steps[0].artifact.as_ref().expect("an artifact");
    assert_eq!(artifact.sha256, other);
    assert_eq!(
        names(&scene.server.data_dir().join("artifacts/incoming")),
        [""; 0]
    );
}

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
use tripline_protocol::{HostId, Sha256};

const BYTES: u64 = 40 << 20;
const CUTS: u64 = 8;
const SOAK_CUTS: u64 = 20;
/// What may be under way at a cut: credit both sides count, and what sockets and the relay hold.
const LOST_BYTES_MAX: u64 = 12 << 20;

/// How much, and how often it is cut.
fn size() -> (u64, u64) {
    match std::env::var("TRIPLINE_SOAK_TRANSFER_BYTES") {
        Ok(bytes) => (bytes.parse().expect("a number of bytes"), SOAK_CUTS),
        Err(_) => (BYTES, CUTS),
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

    /// Runs a step over a network that breaks so often, and kills the agent after a quarter of the cuts and the server
    /// after half of them. Returns the ended job, and how many bytes went over the network.
    async fn run(&mut self, verb: &str, arguments: Value, (bytes, cuts): (u64, u64)) -> (JobView, u64) {
        let before = self.relay.bytes();
        self.relay.cut_every(bytes / (cuts + 1), cuts);
        let step = json!({"id": "only", verb: arguments, "timeout": "1h"});
        let job = json!({"name": "test", "timeout": "2h", "steps": [step]});
        let job_id = self.server.api().submit(self.host, job).await;
        let mut kill_agent = true;
        let mut kill_server = true;
        loop {
            if kill_agent && self.relay.cuts() >= cuts / 4 {
                kill_agent = false;
                self.agent.kill();
                self.agent.spawn();
            }
            if kill_server && self.relay.cuts() >= cuts / 2 {
                kill_server = false;
                self.server.crash().await;
            }
            let job = self.server.api().job(job_id).await;
            if matches!(job.state, JobState::Ended(_)) {
                assert!(!kill_agent && !kill_server, "all of it happened: {job:?}");
                assert_eq!(self.relay.cuts(), cuts, "{job:?}");
                return (job, self.relay.bytes() - before);
            }
            // Looks again soon; nothing depends on how soon.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Neither began anew after each cut.
fn assert_went_on(what: &str, moved: u64, (bytes, cuts): (u64, u64)) {
    println!(
        "{what}: {bytes} bytes, {cuts} cuts, one agent and one server killed, {moved} bytes over the network"
    );
    assert!(
        moved < bytes + (cuts + 2) * LOST_BYTES_MAX && moved < 3 * bytes,
        "{what}: {moved} bytes were moved for {bytes}"
    );
}

#[tokio::test]
async fn transfers_go_on_after_every_cut_and_after_agent_and_server_were_killed() {
    let size = size();
    let mut scene = Scene::start().await;
    let source = scene.site.path("source");
    let digest = write_content(&source, size.0);

    let (job, moved) = scene.run("get_file", json!({"path": source}), size).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
    let artifact = job.steps[0].artifact.as_ref().expect("an artifact");
    assert_eq!((&artifact.sha256, artifact.bytes), (&digest, size.0));
    let kept = scene.server.data_dir().join("artifacts");
    let (folder, file) = digest.as_str().split_at(2);
    assert_eq!(hash_of(&kept.join(folder).join(file)), digest);
    assert_went_on("get_file", moved, size);

    let place = scene.site.path("place");
    std::fs::create_dir(&place).expect("a folder");
    let copy = place.join("copy");
    let arguments = json!({"path": copy, "artifact": digest});
    let (job, moved) = scene.run("put_file", arguments, size).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
    assert_eq!(
        job.steps[0].output,
        Some(json!({"bytes": size.0, "sha256": digest}))
    );
    assert_eq!(hash_of(&copy), digest);
    assert_went_on("put_file", moved, size);

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

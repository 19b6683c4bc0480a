//! The real agent program.

use super::process::clean;
use super::{Process, Server, Site, eventually};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tripline_protocol::HostId;
use tripline_protocol::api::Enrolled;

/// An agent with its state directory.
pub(crate) struct AgentProcess {
    process: Process,
    server_url: String,
    enrol_token: String,
    state_dir: PathBuf,
    options: Vec<String>,
    network_of: Option<u32>,
}

/// `tripline-agent`, built beside the server.
pub(crate) fn program() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_tripline")).with_file_name("tripline-agent");
    assert!(
        path.is_file(),
        "{} is missing; build it first: cargo build -p tripline-agent (or test the whole --workspace)",
        path.display()
    );
    path
}

/// A command in the network namespace of a process.
pub(crate) fn in_network_of(pid: u32, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{pid}/ns/net")).arg(program);
    command
}

impl AgentProcess {
    /// Starts one and waits until it is attached.
    pub(crate) async fn start(site: &Site, server: &Server, name: &str) -> Self {
        let token = server.api().enrol_token().await;
        let mut agent = Self::prepare(site, &server.url(), &token, name);
        agent.spawn();
        server.api().attached(agent.host_id().await, true).await;
        agent
    }

    /// One that does not run yet.
    pub(crate) fn prepare(site: &Site, server_url: &str, enrol_token: &str, name: &str) -> Self {
        Self {
            process: Process::new("an agent", site.path(format!("agent-{name}.log"))),
            server_url: server_url.to_owned(),
            enrol_token: enrol_token.to_owned(),
            state_dir: site.path(format!("agent-{name}")),
            options: Vec::new(),
            network_of: None,
        }
    }

    /// An option for the next start.
    pub(crate) fn option(&mut self, name: &str, value: &str) {
        self.options.extend([name.to_owned(), value.to_owned()]);
    }

    /// From the next start on it lives in the network namespace of this process.
    pub(crate) fn move_to_network_of(&mut self, pid: u32) {
        self.network_of = Some(pid);
    }

    pub(crate) fn spawn(&mut self) {
        let mut command = match self.network_of {
            None => Command::new(program()),
            // It becomes the agent, with the same pid.
            Some(pid) => in_network_of(pid, program()),
        };
        command = clean(command);
        command
            .arg("run")
            .args(&self.options)
            .env("TRIPLINE_AGENT_SERVER", &self.server_url)
            .env("TRIPLINE_AGENT_ENROL_TOKEN", &self.enrol_token)
            .env("TRIPLINE_AGENT_STATE_DIR", &self.state_dir)
            .env("TRIPLINE_AGENT_LOG_LEVEL", "debug");
        self.process.spawn(command);
    }

    /// Its host, once it is enrolled.
    pub(crate) async fn host_id(&mut self) -> HostId {
        let path = self.state_dir.join("enrolment.json");
        let enrolled: Enrolled = eventually("the agent is enrolled", async || {
            if let Some(status) = self.process.has_ended() {
                panic!("the agent ended: {status}\n{}", self.process.log());
            }
            serde_json::from_slice(&std::fs::read(&path).ok()?).ok()
        })
        .await;
        enrolled.host_id
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }
}

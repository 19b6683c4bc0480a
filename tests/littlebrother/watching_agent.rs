//! Our agent as a LittleBrother client: straight to a server that speaks the protocol, or over its own channel.

use crate::harness::{Process, Server, Site, agent, eventually};
use crate::peers::SECRET;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use tripline_protocol::HostId;
use tripline_protocol::api::Enrolled;

/// `tripline-agent`, looking and reporting every second.
pub(crate) struct WatchingAgent {
    process: Process,
    state_dir: PathBuf,
    environment: Vec<(&'static str, OsString)>,
}

impl WatchingAgent {
    /// One that reports to a LittleBrother server and nobody else.
    pub(crate) fn direct(site: &Site, hostname: &str, url: &str) -> Self {
        let mut agent = Self::prepare_direct(site, hostname, url);
        agent.spawn();
        agent
    }

    /// The same, not running yet.
    pub(crate) fn prepare_direct(site: &Site, hostname: &str, url: &str) -> Self {
        Self::prepare_direct_with(site, hostname, url, SECRET)
    }

    /// The same with a secret.
    pub(crate) fn prepare_direct_with(site: &Site, hostname: &str, url: &str, secret: &str) -> Self {
        let file = site.write(&format!("agent-{hostname}.secret"), secret);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("to set a mode");
        let mut agent = Self::prepare(site, hostname);
        agent.set("TRIPLINE_AGENT_LITTLEBROTHER", url);
        agent.set("TRIPLINE_AGENT_SECRET_FILE", file);
        agent.set("TRIPLINE_AGENT_LITTLEBROTHER_HOSTNAME", hostname);
        agent
    }

    /// One that reports to Tripline over its own channel, at `url`.
    pub(crate) async fn over_channel(site: &Site, server: &Server, url: &str) -> Self {
        let token = server.api().enrol_token().await;
        let mut agent = Self::prepare(site, "channel");
        agent.set("TRIPLINE_AGENT_SERVER", url);
        agent.set("TRIPLINE_AGENT_ENROL_TOKEN", token);
        agent.spawn();
        agent
    }

    fn prepare(site: &Site, name: &str) -> Self {
        let state_dir = site.path(format!("agent-{name}"));
        let mut agent = Self {
            process: Process::new("an agent", site.path(format!("agent-{name}.log"))),
            state_dir: state_dir.clone(),
            environment: Vec::new(),
        };
        agent.set("TRIPLINE_AGENT_STATE_DIR", state_dir);
        agent.set("TRIPLINE_AGENT_LOG_LEVEL", "debug");
        for variable in [
            "TRIPLINE_AGENT_CHECK_INTERVAL",
            "TRIPLINE_AGENT_SCAN_INTERVAL",
            "TRIPLINE_AGENT_KILL_DELAY",
        ] {
            agent.set(variable, "1s");
        }
        agent
    }

    /// For the next start.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.into()));
    }

    pub(crate) fn spawn(&mut self) {
        let mut command = Command::new(agent::program());
        // Whoever runs the tests may have an agent, too.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TRIPLINE_") {
                command.env_remove(&name);
            }
        }
        command.arg("run").envs(self.environment.iter().cloned());
        self.process.spawn(command);
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Fails the test if it has ended.
    pub(crate) fn must_run(&mut self) {
        if let Some(status) = self.process.has_ended() {
            panic!("the agent ended: {status}\n{}", self.process.log());
        }
    }

    /// Its host, once it is enrolled.
    pub(crate) async fn host_id(&mut self) -> HostId {
        let path = self.state_dir.join("enrolment.json");
        let enrolled: Enrolled = eventually("the agent is enrolled", async || {
            self.must_run();
            serde_json::from_slice(&std::fs::read(&path).ok()?).ok()
        })
        .await;
        enrolled.host_id
    }
}

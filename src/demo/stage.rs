//! The folder and the processes of the demo: server, agent, and calls of the command line.

use super::Error;
use super::outside::Broker;
use super::scene::PIPELINE;
use crate::endpoints::Endpoints;
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tripline_protocol::HostId;
use tripline_protocol::api::HostView;

const START_WAIT: Duration = Duration::from_secs(60);
const END_WAIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// A folder with a server and an agent in it.
pub(super) struct Stage {
    folder: TempDir,
    verbose: bool,
    server: Option<Child>,
    agent: Option<Child>,
    agent_pid: u32,
}

impl Stage {
    /// Makes the folder with configuration and pipeline.
    pub(super) fn set(verbose: bool) -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("tripline-demo-")
            .tempdir()
            .map_err(|source| Error::File {
                action: "make a folder in",
                path: std::env::temp_dir().display().to_string(),
                source,
            })?;
        let stage = Self {
            folder,
            verbose,
            server: None,
            agent: None,
            agent_pid: 0,
        };
        for name in ["logs", "pipelines"] {
            let path = stage.path(name);
            std::fs::create_dir(&path).map_err(|source| file("make", &path, source))?;
        }
        stage.write("pipelines/contain.yaml", PIPELINE)?;
        stage.write("tripline.toml", &stage.configuration())?;
        Ok(stage)
    }

    fn configuration(&self) -> String {
        let text = |name: &str| toml::Value::from(self.path(name).to_string_lossy().into_owned());
        format!(
            "data_dir = {}\n\n[http]\nlisten = \"127.0.0.1:0\"\ntls_listen = \"127.0.0.1:0\"\n\n\
             [nats]\nembedded_listen = \"127.0.0.1:-1\"\n\n[pipelines]\ndir = {}\n",
            text("data"),
            text("pipelines"),
        )
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.path(name);
        std::fs::write(&path, text).map_err(|source| file("write", &path, source))
    }

    /// Starts the server, waits until it is ready, and says where it listens.
    pub(super) async fn start_server(&mut self) -> Result<String, Error> {
        let mut command = self.tripline()?;
        command
            .arg("serve")
            .arg("--config")
            .arg(self.path("tripline.toml"));
        self.server = Some(self.spawn(command, "server")?);
        let data = self.path("data");
        let since = Instant::now();
        loop {
            still_running(&mut self.server, "the server")?;
            if let Some(endpoints) = Endpoints::read(&data)
                && is_ready(&endpoints).await
            {
                return Ok(format!("{} and {}", endpoints.tls_url(), endpoints.url()));
            }
            pause(since, "readiness of the server").await?;
        }
    }

    /// What the server's broker tells outsiders.
    pub(super) async fn broker(&self) -> Result<Broker, Error> {
        self.ask(&["nats", "info"]).await
    }

    /// Enrols an agent, waits until it is attached, and gives its host.
    pub(super) async fn start_agent(&mut self) -> Result<HostId, Error> {
        let token = self
            .call(&[
                "token", "create", "--name", "demo", "--role", "enrol", "--uses", "1",
            ])
            .await?;
        let endpoints = Endpoints::read(&self.path("data")).ok_or(Error::Ended {
            program: "the server",
            status: "its server.json is gone".into(),
        })?;
        let mut command = clean(Command::new(sibling("tripline-agent")?));
        command
            .arg("run")
            .env("TRIPLINE_AGENT_SERVER", endpoints.tls_url())
            .env("TRIPLINE_AGENT_CA", self.path("data/tls/ca.pem"))
            .env("TRIPLINE_AGENT_ENROL_TOKEN", token.trim())
            .env("TRIPLINE_AGENT_STATE_DIR", self.path("agent"));
        let child = self.spawn(command, "agent")?;
        self.agent_pid = child.id().unwrap_or_default();
        self.agent = Some(child);
        let since = Instant::now();
        loop {
            still_running(&mut self.agent, "the agent")?;
            still_running(&mut self.server, "the server")?;
            let hosts: Vec<HostView> = self.ask(&["host", "list"]).await?;
            if let Some(host) = hosts.iter().find(|host| !host.attachments.is_empty()) {
                return Ok(host.host_id);
            }
            pause(since, "attachment of the agent").await?;
        }
    }

    pub(super) fn agent_pid(&self) -> u32 {
        self.agent_pid
    }

    /// Ends everything in order.
    pub(super) async fn clear(&mut self) {
        for child in [self.agent.take(), self.server.take()].into_iter().flatten() {
            end(child).await;
        }
    }

    /// Removes the folder, or keeps it and says where it is.
    pub(super) fn leave(self, keep: bool) -> Option<PathBuf> {
        // Dropping the folder removes it.
        keep.then(|| self.folder.keep())
    }

    /// This program, without what the caller's environment would change.
    fn tripline(&self) -> Result<Command, Error> {
        std::env::current_exe()
            .map(|path| clean(Command::new(path)))
            .map_err(|source| Error::Start {
                program: "tripline".into(),
                source,
            })
    }

    fn spawn(&self, mut command: Command, name: &str) -> Result<Child, Error> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let log = self.path("logs").join(format!("{name}.log"));
        let stderr = match self.verbose {
            true => Stdio::inherit(),
            false => std::fs::File::create(&log)
                .map_err(|source| file("write", &log, source))?
                .into(),
        };
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            // Ctrl-C at the terminal is for the demo, which then ends them in order.
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Start { program, source })
    }

    async fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T, Error> {
        let text = self.call(&[arguments, &["--output", "json"]].concat()).await?;
        serde_json::from_str(&text).map_err(|error| Error::Command {
            command: arguments.join(" "),
            text: error.to_string(),
        })
    }

    /// What a command prints.
    async fn call(&self, arguments: &[&str]) -> Result<String, Error> {
        let mut command = self.tripline()?;
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.path("data"))
            .stdin(Stdio::null());
        let output = command.output().await.map_err(|source| Error::Start {
            program: "tripline".into(),
            source,
        })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(Error::Command {
                command: arguments.join(" "),
                text: text(&output.stderr).trim().to_owned(),
            }),
        }
    }
}

fn file(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File {
        action,
        path: path.display().to_string(),
        source,
    }
}

/// A program that lies beside this one.
fn sibling(name: &str) -> Result<PathBuf, Error> {
    let start = |source| Error::Start {
        program: name.to_owned(),
        source,
    };
    let path = std::env::current_exe().map_err(start)?.with_file_name(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(start(std::io::Error::other(format!(
            "{} is not there; build it first",
            path.display()
        )))),
    }
}

/// Without Tripline's variables; where the broker's program lies is the exception.
fn clean(mut command: Command) -> Command {
    let ours = |name: &OsStr| name.to_string_lossy().starts_with("TRIPLINE_");
    for (name, _) in std::env::vars_os() {
        if ours(&name) && name != OsStr::new("TRIPLINE_NATS_SERVER") {
            command.env_remove(name);
        }
    }
    command
}

async fn is_ready(endpoints: &Endpoints) -> bool {
    match reqwest::get(format!("{}/readyz", endpoints.url())).await {
        Ok(response) => response.status().is_success(),
        Err(_) => false,
    }
}

fn still_running(child: &mut Option<Child>, program: &'static str) -> Result<(), Error> {
    match child.as_mut().map(Child::try_wait) {
        Some(Ok(Some(status))) => Err(Error::Ended {
            program,
            status: status.to_string(),
        }),
        _ => Ok(()),
    }
}

async fn pause(since: Instant, what: &'static str) -> Result<(), Error> {
    if since.elapsed() > START_WAIT {
        return Err(Error::Late {
            what,
            within: START_WAIT,
        });
    }
    // Between two looks at another process, which cannot wake this one.
    tokio::time::sleep(LOOK).await;
    Ok(())
}

/// Asks a process to end and waits; one that does not is killed when it is dropped.
async fn end(mut child: Child) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid
        && kill_process(pid, Signal::TERM).is_ok()
    {
        // Late or not, there is nothing else to do but to drop it.
        let _ = tokio::time::timeout(END_WAIT, child.wait()).await;
    }
}

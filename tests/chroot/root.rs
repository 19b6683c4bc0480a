//! A folder that is the whole world of an agent.

use crate::harness::{Process, Server, Site, eventually};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use tripline::endpoints::Endpoints;
use tripline_protocol::HostId;
use tripline_protocol::api::Enrolled;

/// The agent in the folder.
const AGENT: &str = "/tripline-agent";
const VARIABLE: &str = "TRIPLINE_STATIC_AGENT";

/// An agent in a root of its own.
pub(crate) struct Root {
    process: Process,
    folder: PathBuf,
    server_url: String,
    options: Vec<String>,
}

/// The static agent that is tested.
fn program() -> PathBuf {
    let built = || {
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let beside = Path::new(env!("CARGO_BIN_EXE_tripline")).ancestors().nth(2);
        beside
            .expect("a target directory")
            .join(target)
            .join("debug/tripline-agent")
    };
    let path = std::env::var_os(VARIABLE).map_or_else(built, PathBuf::from);
    assert!(
        path.is_file(),
        "{} is missing: run `make static-agent`, or name a static agent in {VARIABLE}",
        path.display()
    );
    path
}

impl Root {
    /// With the agent, and the certificate that it is to trust.
    pub(crate) fn new(site: &Site, server: &Server) -> Self {
        Self::named(site, server, "root")
    }

    /// The same in another folder.
    pub(crate) fn named(site: &Site, server: &Server, name: &str) -> Self {
        let folder = site.path(name);
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::copy(program(), folder.join(&AGENT[1..])).expect("a copy of the agent");
        let ca = server.data_dir().join("tls/ca.pem");
        std::fs::copy(ca, folder.join("ca.pem")).expect("a copy of the certificate");
        let endpoints = Endpoints::read(server.data_dir()).expect("a server");
        Self {
            process: Process::new("the static agent", site.path(format!("{name}.log"))),
            folder,
            server_url: endpoints.tls_url(),
            options: vec!["--ca".to_owned(), "/ca.pem".to_owned()],
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn keep_private(&self, name: &str) {
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), mode).expect("its mode");
    }

    /// An option for the start.
    pub(crate) fn option(&mut self, name: &str, value: &str) {
        self.options.extend([name.to_owned(), value.to_owned()]);
    }

    /// Takes the certificate away.
    pub(crate) fn trust_nobody(&mut self) {
        std::fs::remove_file(self.path("ca.pem")).expect("it was there");
        self.options.clear();
    }

    pub(crate) fn spawn(&mut self, enrol_token: &str) {
        let mut command = enter(&self.folder);
        command
            .args([
                AGENT,
                "run",
                "--server",
                &self.server_url,
                "--state-dir",
                "/state",
            ])
            .args(&self.options)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TRIPLINE_AGENT_ENROL_TOKEN", enrol_token);
        self.process.spawn(command);
    }

    /// Its host, once it is enrolled.
    pub(crate) async fn host_id(&mut self) -> HostId {
        let path = self.path("state/enrolment.json");
        let enrolled: Enrolled = eventually("the static agent is enrolled", async || {
            if let Some(status) = self.process.has_ended() {
                panic!("the static agent ended: {status}\n{}", self.process.log());
            }
            serde_json::from_slice(&std::fs::read(&path).ok()?).ok()
        })
        .await;
        enrolled.host_id
    }

    pub(crate) fn log_says(&self, text: &str) {
        let log = self.process.log();
        assert!(log.contains(text), "{log}");
    }

    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.process.terminate().await
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        self.process.end().await
    }
}

/// A command that runs in `folder` as its root and becomes the program named next: as root by itself, and for everybody
/// else in a user namespace.
fn enter(folder: &Path) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("chroot");
        command.arg(folder);
        return command;
    }
    let mut command = Command::new("unshare");
    command.arg("--map-root-user").arg("--root").arg(folder);
    command
}

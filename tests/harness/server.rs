//! `tripline serve` as its users run it.

use super::process::{children, clean, signal_to};
use super::{Api, Outside, Process, Site, eventually, free_port};
use rustix::process::Signal;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use tripline::endpoints::Endpoints;

/// A server with its data directory; it keeps its ports when it is started again.
pub(crate) struct Server {
    process: Process,
    /// What is started; another one takes the same words.
    pub(crate) program: PathBuf,
    data_dir: PathBuf,
    config: Option<PathBuf>,
    environment: Vec<(String, OsString)>,
}

impl Server {
    /// Starts one on free ports and waits until it is ready. Settings are configuration keys with values.
    pub(crate) async fn start(site: &Site, settings: &[(&str, &str)]) -> Self {
        Self::start_in(site, "data", settings).await
    }

    /// The same with a name for the data directory.
    pub(crate) async fn start_in(site: &Site, name: &str, settings: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare_in(site, name, settings);
        server.spawn();
        server.ready().await;
        server
    }

    /// One that does not run yet.
    pub(crate) fn prepare(site: &Site, settings: &[(&str, &str)]) -> Self {
        Self::prepare_in(site, "data", settings)
    }

    fn prepare_in(site: &Site, name: &str, settings: &[(&str, &str)]) -> Self {
        let data_dir = site.path(name);
        let mut server = Self {
            process: Process::new("the server", site.path("server.log")),
            program: env!("CARGO_BIN_EXE_tripline").into(),
            environment: Vec::new(),
            config: None,
            data_dir: data_dir.clone(),
        };
        server.set("data_dir", data_dir);
        server.set("http.listen", format!("127.0.0.1:{}", free_port()));
        server.set("http.tls_listen", "127.0.0.1:0");
        server.set("nats.embedded_listen", "127.0.0.1:-1");
        server.set(
            "log.level",
            "info,tripline=debug,tripline::http=warn,tripline_actors=debug",
        );
        for (key, value) in settings {
            server.set(key, value);
        }
        server
    }

    /// For the next start.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<OsString>) {
        let variable = format!("TRIPLINE__{}", key.to_uppercase().replace('.', "__"));
        self.set_variable(&variable, value);
    }

    /// A configuration file, for the next start. What is set by key comes before what is in it.
    pub(crate) fn set_config(&mut self, file: &Path) {
        self.config = Some(file.to_owned());
    }

    /// Another environment variable, for the next start.
    pub(crate) fn set_variable(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.into()));
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = clean(Command::new(&self.program));
        command.arg("serve").envs(self.environment.iter().cloned());
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command
    }

    pub(crate) fn spawn(&mut self) {
        self.process.spawn(self.command());
    }

    /// Waits until it listens.
    pub(crate) async fn listening(&mut self) {
        eventually("the server listens", async || {
            if let Some(status) = self.process.has_ended() {
                panic!("the server ended: {status}\n{}", self.process.log());
            }
            Endpoints::read(&self.data_dir).filter(|endpoints| endpoints.pid == self.process.pid())
        })
        .await;
    }

    /// Waits until it listens and says that it is ready.
    pub(crate) async fn ready(&mut self) {
        self.listening().await;
        self.readiness(200).await;
    }

    /// Waits for this status of `/readyz`; its body.
    pub(crate) async fn readiness(&self, status: u16) -> serde_json::Value {
        let api = self.api();
        eventually(&format!("/readyz is {status}"), async || {
            let answer = api.try_get("/readyz").await?;
            (answer.status == status).then_some(answer.body)
        })
        .await
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// `kill -9`, and starts it again.
    pub(crate) async fn crash(&mut self) {
        self.kill();
        self.spawn();
        self.ready().await;
    }

    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.process.terminate().await
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The embedded broker's process, once it runs.
    pub(crate) async fn broker_pid(&self) -> u32 {
        eventually("the embedded broker runs", async || {
            let is_broker = |line: &str| line.contains("server.conf") && !line.contains("broker-guard");
            children(self.pid())
                .into_iter()
                .find(|(_, line)| is_broker(line))
                .map(|(pid, _)| pid)
        })
        .await
    }

    /// `kill -9` of the embedded broker.
    pub(crate) async fn kill_broker(&self) {
        signal_to(self.broker_pid().await, Signal::KILL);
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Plain HTTP, on loopback.
    pub(crate) fn url(&self) -> String {
        let listen = self
            .environment
            .iter()
            .find(|(name, _)| name == "TRIPLINE__HTTP__LISTEN")
            .and_then(|(_, value)| value.to_str())
            .expect("it is set");
        format!("http://{listen}")
    }

    /// Its API with the administrator's token.
    pub(crate) fn api(&self) -> Api {
        let token = std::fs::read_to_string(self.data_dir.join("admin.token")).unwrap_or_default();
        Api::new(self.url(), token.trim())
    }

    /// Clients of its embedded broker.
    pub(crate) async fn outside(&self) -> Outside {
        Outside::of_embedded(&self.data_dir).await
    }
}

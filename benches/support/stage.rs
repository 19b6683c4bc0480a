//! The folder and the processes of a run: the broker, which outlives the server, and the server.

use super::usage::{Cpu, cpu_seconds, resident_mib};
use super::{Outcome, outside};
use async_nats::jetstream;
use rustix::process::{Pid, Signal, kill_process};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tripline::endpoints::Endpoints;
use tripline::nats::embedded::EmbeddedOptions;
use tripline::nats::{ConnectionInfo, EmbeddedBroker};
use tripline_protocol::Subjects;
use tripline_protocol::api::{CreateToken, CreatedToken, Role};

/// The program that is measured, built with the same settings as this one.
const TRIPLINE: &str = env!("CARGO_BIN_EXE_tripline");
/// Session slots, unless it is told.
const SLOTS: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
/// Known beforehand, so that nothing has to be read from the server's files.
const ADMIN_TOKEN: &str = "bench-0000000000000000000000000000000000";

/// Trips on each event of the type, whose host is in its data.
const PIPELINE: &str = "name: bench\n\
    on: [bench.job]\n\
    job:\n  \
      steps:\n    \
        - id: look\n      \
          list_directory: { path: \"/tmp\" }\n";

/// Everything that runs beside this program.
pub(crate) struct Stage {
    folder: TempDir,
    broker: EmbeddedBroker,
    server: Option<Child>,
    further: String,
    slots: u32,
}

impl Stage {
    /// Makes the folder on the disk that holds the build, starts the broker, and lets a server make the streams.
    /// `further` is added to its configuration.
    pub(crate) async fn set(further: &str) -> Outcome<Self> {
        Self::set_with(further, SLOTS).await
    }

    /// The same, with another number of slots.
    pub(crate) async fn set_with(further: &str, slots: u32) -> Outcome<Self> {
        let folder = tempfile::Builder::new()
            .prefix("load-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        std::fs::create_dir(folder.path().join("pipelines"))?;
        std::fs::create_dir(folder.path().join("broker"))?;
        std::fs::write(folder.path().join("pipelines/bench.yaml"), PIPELINE)?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut options = EmbeddedOptions::new(folder.path().join("broker"), any, Subjects::default());
        options.guard = PathBuf::from(TRIPLINE);
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).join(".nats/bin");
        options.search.folders.push(above);
        let broker = EmbeddedBroker::start(options).await?;
        let mut stage = Self {
            folder,
            broker,
            server: None,
            further: further.to_owned(),
            slots,
        };
        stage.start_server().await?;
        Ok(stage)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        self.broker.info()
    }

    pub(crate) fn admin_token(&self) -> &'static str {
        ADMIN_TOKEN
    }

    pub(crate) async fn jetstream(&self) -> Outcome<jetstream::Context> {
        outside::jetstream(self.info()).await
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where the server's certificate is (`server.pem`, `server.key`), and who signed it (`ca.pem`).
    pub(crate) fn tls(&self) -> PathBuf {
        self.data().join("tls")
    }

    fn endpoints(&self) -> Outcome<Endpoints> {
        Ok(Endpoints::read(&self.data()).ok_or("the server has no server.json")?)
    }

    /// The server's plain listener.
    pub(crate) fn address(&self) -> Outcome<SocketAddr> {
        Ok(self.endpoints()?.http)
    }

    /// The server's listener with TLS.
    pub(crate) fn tls_address(&self) -> Outcome<SocketAddr> {
        Ok(self.endpoints()?.https)
    }

    /// A token with which programs come in.
    pub(crate) async fn token(&self, role: Role) -> Outcome<String> {
        let request = CreateToken {
            name: "bench".to_owned(),
            role,
            org: None,
            uses: None,
            expires: None,
        };
        let answer = reqwest::Client::new()
            .post(format!("http://{}/v1/tokens", self.address()?))
            .bearer_auth(ADMIN_TOKEN)
            .json(&request)
            .send()
            .await?;
        let created: CreatedToken = answer.error_for_status()?.json().await?;
        Ok(created.token)
    }

    fn configuration(&self) -> String {
        let text = |path: &Path| toml::Value::from(path.to_string_lossy().into_owned());
        let login = &self.info().server;
        format!(
            "data_dir = {}\n\n[http]\nlisten = \"127.0.0.1:0\"\ntls_listen = \"127.0.0.1:0\"\n\n\
             [nats]\nurl = \"{}\"\nuser = \"{}\"\npassword = \"{}\"\n\n\
             [auth]\nadmin_token = \"{ADMIN_TOKEN}\"\n\n\
             [slots]\ntotal = {}\ninteractive_reserved = 0\njobs_reserved = 0\n\n\
             [pipelines]\ndir = {}\n\n{}",
            text(&self.data()),
            self.info().url,
            login.user,
            login.password,
            self.slots,
            text(&self.folder.path().join("pipelines")),
            self.further,
        )
    }

    /// Starts the server unless it runs, and waits until it is ready.
    pub(crate) async fn start_server(&mut self) -> Outcome {
        self.spawn_server()?;
        let since = Instant::now();
        while !self.is_ready().await {
            self.check_server(since)?;
            // Between two looks at another process, which cannot wake this one.
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Starts the server unless it runs.
    pub(crate) fn spawn_server(&mut self) -> Outcome {
        if self.server.is_some() {
            return Ok(());
        }
        let configuration = self.folder.path().join("tripline.toml");
        std::fs::write(&configuration, self.configuration())?;
        let log = std::fs::File::create(self.folder.path().join("server.log"))?;
        let child = Command::new(TRIPLINE)
            .arg("serve")
            .arg("--config")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .process_group(0)
            .spawn()?;
        self.server = Some(child);
        Ok(())
    }

    async fn is_ready(&self) -> bool {
        let Some(endpoints) = Endpoints::read(&self.data()) else {
            return false;
        };
        let answer = reqwest::get(format!("{}/readyz", endpoints.url())).await;
        answer.is_ok_and(|response| response.status().is_success())
    }

    /// Fails when the server ended or takes too long.
    fn check_server(&mut self, since: Instant) -> Outcome {
        let ended = match &mut self.server {
            Some(child) => child.try_wait()?.is_some(),
            None => true,
        };
        if ended || since.elapsed() > PATIENCE {
            let log = std::fs::read_to_string(self.folder.path().join("server.log"))?;
            return Err(format!("the server is not ready; its log:\n{log}").into());
        }
        Ok(())
    }

    /// Ends the server in order.
    pub(crate) async fn stop_server(&mut self) -> Outcome {
        let Some(mut child) = self.server.take() else {
            return Ok(());
        };
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM)?;
        }
        tokio::time::timeout(PATIENCE, child.wait()).await??;
        Ok(())
    }

    /// The server's process.
    pub(crate) fn server_pid(&self) -> Outcome<u32> {
        let pid = self.server.as_ref().and_then(Child::id);
        pid.ok_or_else(|| "the server does not run".into())
    }

    fn broker_pid(&self) -> Outcome<u32> {
        self.broker.pid().ok_or_else(|| "the broker does not run".into())
    }

    /// Processor time used so far; that of a server that does not run is 0.
    pub(crate) fn cpu(&self) -> Outcome<Cpu> {
        Ok(Cpu {
            server: match self.server_pid() {
                Ok(pid) => cpu_seconds(pid)?,
                Err(_) => 0.0,
            },
            broker: cpu_seconds(self.broker_pid()?)?,
            load: cpu_seconds(std::process::id())?,
        })
    }

    /// The server's and the broker's resident memory in MiB.
    pub(crate) fn resident(&self) -> Outcome<(f64, f64)> {
        let server = resident_mib(self.server_pid()?)?;
        Ok((server, resident_mib(self.broker_pid()?)?))
    }

    /// Ends everything.
    pub(crate) async fn clear(mut self) -> Outcome {
        self.stop_server().await?;
        self.broker.stop().await;
        Ok(())
    }
}

//! The real agent, as a child: `tripline-agent`, built beside the server.

use super::Outcome;
use super::stage::Stage;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tripline_protocol::api::{Enrolled, Role};

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// One that is enrolled. It is killed when it is dropped.
pub(crate) struct RealAgent {
    pub(crate) sensor_id: u32,
    child: Child,
}

impl RealAgent {
    /// Starts one, which reaches the server over TLS.
    pub(crate) async fn start(stage: &Stage) -> Outcome<Self> {
        let folder = stage.folder().join("agent");
        std::fs::create_dir(&folder)?;
        let log = std::fs::File::create(folder.join("log"))?;
        let mut child = Command::new(program()?)
            .arg("run")
            .arg("--server")
            .arg(format!("https://{}", stage.tls_address()?))
            .arg("--ca")
            .arg(stage.tls().join("ca.pem"))
            .arg("--state-dir")
            .arg(folder.join("state"))
            .env("TRIPLINE_AGENT_ENROL_TOKEN", stage.token(Role::Enrol).await?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .process_group(0)
            .spawn()?;
        let since = Instant::now();
        loop {
            if let Some(enrolled) = enrolled(&folder) {
                return Ok(Self {
                    sensor_id: enrolled.sensor_id,
                    child,
                });
            }
            if child.try_wait()?.is_some() || since.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(folder.join("log"))?;
                return Err(format!("the agent is not enrolled; its log:\n{log}").into());
            }
            // Between two looks at another process, which cannot wake this one.
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Outcome<u32> {
        self.child.id().ok_or_else(|| "the agent ended".into())
    }
}

fn enrolled(folder: &Path) -> Option<Enrolled> {
    let text = std::fs::read(folder.join("state/enrolment.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

fn program() -> Outcome<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_tripline")).with_file_name("tripline-agent");
    match path.is_file() {
        true => Ok(path),
        false => Err(format!(
            "{} is missing; build it first: cargo build --release -p tripline-agent",
            path.display()
        )
        .into()),
    }
}

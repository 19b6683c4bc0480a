//! The real agent, as a child: `tripline-agent`, built beside the server, or another build of it.

use super::Outcome;
use super::door::Way;
use super::stage::Stage;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tripline_protocol::api::{Enrolled, Role};

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// How one is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    /// Of its folder.
    pub(crate) name: &'a str,
    pub(crate) way: Way,
    /// Instead of the one that was built beside the server.
    pub(crate) program: Option<&'a Path>,
    pub(crate) options: &'a [&'a str],
}

impl<'a> Start<'a> {
    /// The one that was built beside the server, over TLS.
    pub(crate) fn new(name: &'a str) -> Self {
        Self {
            name,
            way: Way::Tls,
            program: None,
            options: &[],
        }
    }

    fn command(self, stage: &Stage, folder: &Path) -> Outcome<Command> {
        let mut command = Command::new(match self.program {
            Some(program) => program.to_owned(),
            None => program()?,
        });
        let address = self.way.address(stage)?;
        let url = match self.way {
            Way::Plain => format!("http://{address}"),
            Way::Tls => format!("https://{address}"),
        };
        command.arg("run").arg("--server").arg(url);
        command.arg("--ca").arg(stage.tls().join("ca.pem"));
        command.arg("--state-dir").arg(folder.join("state"));
        command.args(self.options);
        Ok(command)
    }
}

/// One that is enrolled. It is killed when it is dropped.
pub(crate) struct RealAgent {
    pub(crate) enrolled: Enrolled,
    child: Child,
}

impl RealAgent {
    pub(crate) async fn start(stage: &Stage, start: &Start<'_>) -> Outcome<Self> {
        let folder = stage.folder().join(start.name);
        std::fs::create_dir(&folder)?;
        let log = std::fs::File::create(folder.join("log"))?;
        let mut child = start
            .command(stage, &folder)?
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
                return Ok(Self { enrolled, child });
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

//! The real LittleBrother server (little-brother 0.5.8, Python) as a child.
//!
//! The program is run and nothing of it is copied. Each server has a folder and a database of its own, so that what
//! an earlier run left does not slow it down; the empty database is made once and copied.

use super::Outcome;
use super::client::{GAME, LOGIN, SECRET, UID};
use super::usage::cpu_seconds;
use rustix::process::{Pid, Signal, kill_process};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);
/// Names the folder of the virtual environment; without it, the one in the checkout.
const VARIABLE: &str = "TRIPLINE_LITTLEBROTHER";
const DATABASE: &str = "server.sqlite";
/// Users made from a rule set are not active at first.
const ACTIVATE: &str = "import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute('update user set active = 1')
connection.commit()";
/// Rows of processes, and how many of them have ended: one event made each.
const COUNT: &str = "import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=20)
print(sum(connection.execute('select count(*), count(end_time) from process_info').fetchone()))";

/// Where servers are made.
pub(crate) struct Workshop {
    folder: PathBuf,
    environment: PathBuf,
}

/// A server that answers.
pub(crate) struct RealServer {
    child: Child,
    folder: PathBuf,
    python: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Workshop {
    /// Makes the empty database in `folder`.
    pub(crate) async fn open(folder: &Path) -> Outcome<Self> {
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/littlebrother");
        let workshop = Self {
            folder: folder.join("real"),
            environment: std::env::var_os(VARIABLE).map_or(above, PathBuf::from),
        };
        if !workshop.program().is_file() {
            return Err(format!(
                "no real LittleBrother programs in {}: `make littlebrother` puts them there, and {VARIABLE} names \
                 another folder",
                workshop.environment.display()
            )
            .into());
        }
        let folder = workshop.folder.join("empty");
        let config = write_config(&folder, 1)?;
        let mut child = workshop.spawn(
            &folder,
            &config,
            &["--create-databases", "--upgrade-databases=head", "--single-run"],
        )?;
        if !tokio::time::timeout(PATIENCE, child.wait()).await??.success() {
            return Err(log_of(&folder, "the real server made no database").into());
        }
        ask(&workshop.python(), &folder, ACTIVATE).await?;
        Ok(workshop)
    }

    fn python(&self) -> PathBuf {
        self.environment.join("bin/python")
    }

    fn program(&self) -> PathBuf {
        self.environment.join("bin/run_little_brother.py")
    }

    fn spawn(&self, folder: &Path, config: &Path, options: &[&str]) -> Outcome<Child> {
        let log = std::fs::File::create(folder.join("log"))?;
        let mut command = Command::new(self.python());
        command
            .arg(self.program())
            .arg("--config")
            .arg(config)
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .args(options)
            .env("TZ", "UTC")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .process_group(0);
        Ok(command.spawn()?)
    }

    /// Starts one with an empty database, and waits until it answers.
    pub(crate) async fn start(&self, name: &str) -> Outcome<RealServer> {
        let folder = self.folder.join(name);
        let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = any.local_addr()?;
        drop(any);
        let config = write_config(&folder, address.port())?;
        std::fs::copy(self.folder.join("empty").join(DATABASE), folder.join(DATABASE))?;
        let mut server = RealServer {
            child: self.spawn(&folder, &config, &[])?,
            folder,
            python: self.python(),
            address,
        };
        server.wait().await?;
        Ok(server)
    }
}

impl RealServer {
    async fn wait(&mut self) -> Outcome {
        let since = Instant::now();
        let url = format!("http://{}/health", self.address);
        while !reqwest::get(&url)
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            if self.child.try_wait()?.is_some() || since.elapsed() > PATIENCE {
                return Err(log_of(&self.folder, "the real server does not answer").into());
            }
            // Between two looks at another process, which cannot wake this one.
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Events of processes that it has handled: they are in its database.
    pub(crate) async fn handled(&self) -> Outcome<u64> {
        Ok(ask(&self.python, &self.folder, COUNT).await?.trim().parse()?)
    }

    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        cpu_seconds(self.child.id().ok_or("the real server ended")?)
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> Outcome {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(pid) = pid {
            // In the middle of a backlog it takes long to end in order, and nothing of it is needed.
            kill_process(pid, Signal::KILL)?;
        }
        tokio::time::timeout(PATIENCE, self.child.wait()).await??;
        Ok(())
    }
}

async fn ask(python: &Path, folder: &Path, program: &str) -> Outcome<String> {
    let output = Command::new(python)
        .args(["-c", program])
        .arg(folder.join(DATABASE))
        .output()
        .await?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn log_of(folder: &Path, what: &str) -> String {
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    format!("{what}; its log:\n{log}")
}

/// As it is installed: it looks every 5 s and writes a log of level INFO. Nobody is ever stopped, so that no
/// kills are in its way.
fn write_config(folder: &Path, port: u16) -> Outcome<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join("server.config");
    let text = format!(
        "[MasterConnector]\naccess_token = {SECRET}\n\
         [StatusServer]\nhost = 127.0.0.1\nport = {port}\napp_secret = of-the-bench\n\
         [UnixUserHandler]\nadmin_username = admin\nadmin_password = of-the-bench\nuser_list = {LOGIN}:{UID}\n\
         [Persistence]\ndatabase_driver = sqlite\nsqlite_dir = {}\nsqlite_filename = {DATABASE}\n\
         [AppControl]\nhostname = the-real-server\nscan_active = False\n\
         [VersionChecker]\ncheck_interval_in_days = 0\n\
         [RuleSet1]\nusername = {LOGIN}\nprocess_name_pattern = {GAME}\n\
         [LoginMapping]\nserver_group = default-group\nmapping_entries[0] = {LOGIN}:{UID}\n",
        folder.display()
    );
    std::fs::write(&file, text)?;
    Ok(file)
}

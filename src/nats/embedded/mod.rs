//! The embedded broker: nats-server as a child of the server, with its store, its generated configuration and
//! its generated passwords under `data_dir/nats`.
//!
//! Deliberately not here: anything that would make the broker live on by itself. It ends with the server.

pub mod config;
pub mod find;
pub mod guard;
mod process;

use super::connection::{self, ConnectionInfo, Login};
use super::link::inbox_prefix;
use super::streams::STREAM_BYTES;
use find::Search;
use process::{Recipe, State};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};
use tripline_protocol::Subjects;

/// How long the broker may take to become healthy; a large store takes a while to open.
const HEALTHY_WAIT: Duration = Duration::from_secs(60);
/// How long a broker that lost its server may take to end.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How long one question about its health may take.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// How often to look for what is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// The streams' share of the disk that is free when they are first made, in percent.
const DISK_SHARE_PERCENT: u64 = 60;
/// What the streams get on the smallest disk.
const STREAM_BYTES_LEAST: u64 = 256 << 20;

/// How to run it.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The server's data directory, which must exist.
    pub data_dir: PathBuf,
    /// `nats.embedded_listen`; port 0 lets the broker choose one.
    pub listen: SocketAddr,
    /// Subjects that the users' permissions are about.
    pub subjects: Subjects,
    /// Where nats-server is looked for.
    pub search: Search,
    /// The `tripline` executable, which starts as the broker's guard.
    pub guard: PathBuf,
}

impl EmbeddedOptions {
    /// As `tripline serve` runs it: this executable is the guard, the environment tells where to look.
    pub fn new(data_dir: PathBuf, listen: SocketAddr, subjects: Subjects) -> Self {
        Self {
            data_dir,
            listen,
            subjects,
            search: Search::from_environment(),
            guard: own_executable(),
        }
    }
}

/// On Linux by a name that stays right when the file is replaced by an upgrade.
fn own_executable() -> PathBuf {
    if cfg!(target_os = "linux") {
        return PathBuf::from("/proc/self/exe");
    }
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tripline"))
}

/// Why there is no embedded broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable nats-server.
    #[error(transparent)]
    Find(#[from] find::Error),
    /// The folder or a file in it.
    #[error("prepare {path}")]
    Prepare {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The connection file.
    #[error(transparent)]
    Connection(#[from] connection::Error),
    /// Another broker uses the store.
    #[error("use the broker's store {path}: another broker runs on it; stop the server it belongs to")]
    InUse {
        /// The store's folder.
        path: PathBuf,
    },
    /// The address is not free.
    #[error("listen on {listen} (nats.embedded_listen); port -1 takes any that is free")]
    Listen {
        /// Which.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The process does not start.
    #[error("start the embedded broker")]
    Spawn(#[source] std::io::Error),
    /// It ended at once.
    #[error("start the embedded broker: it ended at once and said: {output}")]
    Ended {
        /// Its last words.
        output: String,
    },
    /// It runs and does not answer.
    #[error("reach the embedded broker within {} s; see {log}", HEALTHY_WAIT.as_secs())]
    Unhealthy {
        /// Its log.
        log: PathBuf,
    },
}

/// The running broker. Stop it last; dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct EmbeddedBroker {
    info: ConnectionInfo,
    state: watch::Receiver<State>,
    stop: mpsc::Sender<oneshot::Sender<()>>,
}

impl EmbeddedBroker {
    /// Starts it and waits until it answers. From then on it is started again whenever it ends.
    pub async fn start(options: EmbeddedOptions) -> Result<Self, Error> {
        let search = options.search.clone();
        let found = tokio::task::spawn_blocking(move || search.find()).await;
        let binary = found.map_err(|error| Error::Spawn(std::io::Error::other(error)))??;
        let folder = Folder::prepare(&options.data_dir)?;
        let lock = folder.lock().await?;
        check_free(options.listen)?;
        let info = folder.connection(&options)?;
        folder.write_config(options.listen, &info, &options.subjects)?;
        let recipe = Recipe {
            guard: options.guard.clone(),
            binary,
            config: folder.config(),
            output: folder.output(),
            lock,
        };
        let (state_sender, state) = watch::channel(State::Ended(None));
        let (stop, stop_receiver) = mpsc::channel(1);
        let (started, result) = oneshot::channel();
        process::start(recipe, state_sender, stop_receiver, started).map_err(Error::Spawn)?;
        result
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(Error::Spawn)?;
        // From here on dropping `broker` ends the process.
        let mut broker = Self { info, state, stop };
        broker.settle(&folder, &options).await?;
        Ok(broker)
    }

    /// Waits for its health and writes down how to reach it.
    async fn settle(&mut self, folder: &Folder, options: &EmbeddedOptions) -> Result<(), Error> {
        let deadline = Instant::now() + HEALTHY_WAIT;
        let mut listen = options.listen;
        while Instant::now() < deadline {
            if matches!(*self.state.borrow(), State::Ended(_)) {
                return Err(Error::Ended {
                    output: folder.last_words(),
                });
            }
            if listen.port() == 0
                && let Some(port) = folder.port_taken()
            {
                listen.set_port(port);
                // Started again, it is to take the same port.
                folder.write_config(listen, &self.info, &options.subjects)?;
            }
            if listen.port() != 0 {
                self.info.url = url(listen);
                if is_healthy(&self.info, &options.subjects).await {
                    self.info.write(&options.data_dir)?;
                    tracing::info!(url = self.info.url, "embedded broker runs");
                    return Ok(());
                }
            }
            sleep(LOOK).await;
        }
        Err(Error::Unhealthy { log: folder.log() })
    }

    /// How to reach it, and as whom.
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Its process id; `None` between two lives.
    pub fn pid(&self) -> Option<u32> {
        match *self.state.borrow() {
            State::Running(pid) => Some(pid),
            State::Ended(_) => None,
        }
    }

    /// Asks it to end, waits, and ends it when it does not.
    pub async fn stop(self) {
        let (done, wait) = oneshot::channel();
        if self.stop.send(done).await.is_ok() {
            // An answer that does not come means that the thread has ended, and the broker with it.
            drop(wait.await);
        }
    }
}

/// Whether it lets the server in and JetStream is there.
async fn is_healthy(info: &ConnectionInfo, subjects: &Subjects) -> bool {
    let options = async_nats::ConnectOptions::with_user_and_password(
        info.server.user.clone(),
        info.server.password.clone(),
    )
    .custom_inbox_prefix(inbox_prefix(subjects.prefix()))
    .request_timeout(Some(ANSWER_WAIT))
    .connection_timeout(ANSWER_WAIT);
    let Ok(client) = options.connect(&info.url).await else {
        return false;
    };
    async_nats::jetstream::new(client).query_account().await.is_ok()
}

fn url(listen: SocketAddr) -> String {
    let host = if listen.ip().is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        listen.ip()
    };
    format!("nats://{}", SocketAddr::new(host, listen.port()))
}

/// A port that is taken is told here, before the broker logs it and is started again and again.
fn check_free(listen: SocketAddr) -> Result<(), Error> {
    if listen.port() == 0 {
        return Ok(());
    }
    TcpListener::bind(listen)
        .map(drop)
        .map_err(|source| Error::Listen { listen, source })
}

/// `data_dir/nats`.
struct Folder {
    path: PathBuf,
    data_dir: PathBuf,
}

impl Folder {
    fn prepare(data_dir: &Path) -> Result<Self, Error> {
        // Absolute, because the broker takes paths in its configuration relative to that file.
        let data_dir = std::path::absolute(data_dir).map_err(prepare(data_dir))?;
        let folder = Self {
            path: data_dir.join("nats"),
            data_dir,
        };
        if folder.ports().exists() {
            std::fs::remove_dir_all(folder.ports()).map_err(prepare(&folder.ports()))?;
        }
        for path in [&folder.path, &folder.store(), &folder.ports()] {
            std::fs::create_dir_all(path).map_err(prepare(path))?;
            rustix::fs::chmod(path, Mode::RWXU).map_err(|error| prepare(path)(error.into()))?;
        }
        Ok(folder)
    }

    fn store(&self) -> PathBuf {
        self.path.join("jetstream")
    }

    fn ports(&self) -> PathBuf {
        self.path.join("ports")
    }

    fn config(&self) -> PathBuf {
        self.path.join("server.conf")
    }

    fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    fn output(&self) -> PathBuf {
        self.path.join("startup.log")
    }

    /// Takes the lock; a broker whose server was just killed may hold it for a moment.
    async fn lock(&self) -> Result<File, Error> {
        let path = self.path.join("lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| prepare(&path)(error.into()))?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(File::from(fd)),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => sleep(LOOK).await,
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::InUse { path: self.store() }),
                Err(error) => return Err(prepare(&path)(error.into())),
            }
        }
    }

    /// The users there were, so that programs keep their passwords; made the first time.
    fn connection(&self, options: &EmbeddedOptions) -> Result<ConnectionInfo, Error> {
        if ConnectionInfo::path(&self.data_dir).exists() {
            return Ok(ConnectionInfo::read(&self.data_dir)?);
        }
        let disk = rustix::fs::statvfs(&self.path).map_err(|error| prepare(&self.path)(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(ConnectionInfo {
            url: url(options.listen),
            server: Login::generate("server"),
            publisher: Login::generate("publisher"),
            subscriber: Login::generate("subscriber"),
            stream_bytes_max: stream_bytes(free),
        })
    }

    fn write_config(
        &self,
        listen: SocketAddr,
        info: &ConnectionInfo,
        subjects: &Subjects,
    ) -> Result<(), Error> {
        let (log, ports) = (self.log(), self.ports());
        let places = config::Places {
            parent_of_store: &self.path,
            log: &log,
            ports: &ports,
        };
        let text = config::render(listen, &places, info, subjects);
        let path = self.config();
        connection::write_private(&path, text.as_bytes()).map_err(prepare(&path))
    }

    /// The port the broker chose, once it has written it down.
    fn port_taken(&self) -> Option<u16> {
        let file = std::fs::read_dir(self.ports()).ok()?.flatten().next()?;
        let text = std::fs::read(file.path()).ok()?;
        let ports: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let url = ports.get("nats")?.get(0)?.as_str()?;
        url.rsplit_once(':')?.1.parse().ok()
    }

    /// The last lines it printed or logged.
    fn last_words(&self) -> String {
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        let text = read(self.output()) + &read(self.log());
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

/// What the streams get of a disk with so much free.
fn stream_bytes(free: u64) -> u64 {
    let share = (free / 100).saturating_mul(DISK_SHARE_PERCENT);
    share.clamp(STREAM_BYTES_LEAST, STREAM_BYTES)
}

fn prepare(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Prepare { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_get_the_least_of_any_disk_and_a_share_of_a_larger_one() {
        let with_share = |share: u64| share * 100 / DISK_SHARE_PERCENT;
        assert_eq!(stream_bytes(0), STREAM_BYTES_LEAST);
        assert_eq!(stream_bytes(with_share(STREAM_BYTES_LEAST)), STREAM_BYTES_LEAST);
        let more = stream_bytes(with_share(2 * STREAM_BYTES_LEAST));
        assert!(
            (STREAM_BYTES_LEAST + 1..=2 * STREAM_BYTES_LEAST).contains(&more),
            "{more}"
        );
        assert_eq!(stream_bytes(u64::MAX), STREAM_BYTES);
    }
}

//! The file by which others on this machine reach the embedded broker.

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Its name under `data_dir/nats`.
const FILE: &str = "connection.json";

/// URL and users of the embedded broker; `data_dir/nats/connection.json`, readable by its owner only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionInfo {
    /// `nats://127.0.0.1:4222`
    pub url: String,
    /// The server's own user; may do everything Tripline does.
    pub server: Login,
    /// May publish events and ask the micro service.
    pub publisher: Login,
    /// May read results, jobs' states, dead letters and approvals, and ask the micro service.
    pub subscriber: Login,
    /// Most bytes that the streams take together.
    pub stream_bytes_max: u64,
}

/// A user of the broker.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl Login {
    /// With a new random password of 244 bits.
    pub(crate) fn generate(user: &str) -> Self {
        let half = || uuid::Uuid::new_v4().simple().to_string();
        Self {
            user: user.to_owned(),
            password: half() + &half(),
        }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("read {path} (it is made when the server starts with its embedded broker)")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is damaged.
    #[error("understand {path}")]
    Parse {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It cannot be written.
    #[error("write {path}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ConnectionInfo {
    /// Reads the one below `data_dir`.
    pub fn read(data_dir: &Path) -> Result<Self, Error> {
        let path = Self::path(data_dir);
        let text = std::fs::read(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        serde_json::from_slice(&text).map_err(|source| Error::Parse { path, source })
    }

    /// Where it is below `data_dir`.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("nats").join(FILE)
    }

    /// Writes it below `data_dir`, whole or not at all.
    pub(crate) fn write(&self, data_dir: &Path) -> Result<(), Error> {
        let path = Self::path(data_dir);
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::other);
        text.and_then(|text| write_private(&path, &text))
            .map_err(|source| Error::Write { path, source })
    }
}

/// Writes a file of mode 0600 under a temporary name, syncs it, and renames it into place.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let fd = rustix::fs::open(&partial, flags, mode)?;
    // A file that was there keeps its mode when it is opened.
    rustix::fs::fchmod(&fd, mode)?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)
}

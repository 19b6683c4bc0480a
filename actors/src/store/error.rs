//! Why the store could not do something.

use crate::refusal::Refusal;
use std::path::PathBuf;

/// A cause that came from sled or the operating system.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A read or a write that failed; completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading from sled.
    #[error("read the store")]
    Read(#[source] Cause),
    /// Writing a batch into sled.
    #[error("write to the store")]
    Write(#[source] Cause),
    /// Bringing what was written to the disk.
    #[error("sync the store to disk")]
    Sync(#[source] Cause),
    /// A stored value that is not what the store writes.
    #[error("understand a stored value of table {table:#04x}: {detail}")]
    Damaged {
        /// First byte of its key.
        table: u8,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// sled put an entry into a file of its own, which it does not sync.
    #[error("keep every entry in the store's one synced file: sled wrote into {path}")]
    Spilled {
        /// The folder.
        path: PathBuf,
    },
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "store refused a request"
        );
        Self::Unavailable {
            detail: "the store cannot be read",
        }
    }
}

/// Why the store did not open. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the data directory; nothing was touched.
    #[error(
        "the data directory {} is in use by another process{}; stop it, or choose another data_dir",
        path.display(),
        pid.map_or(String::new(), |pid| format!(" (pid {pid})"))
    )]
    Held {
        /// The data directory.
        path: PathBuf,
        /// The process that holds it, as far as it said.
        pid: Option<u32>,
    },
    /// The data directory cannot be made or written.
    #[error(
        "the data directory {} cannot be written; check that it exists and belongs to the user that runs \
         tripline, that its disk is not full or read-only, or choose another data_dir",
        path.display()
    )]
    Unwritable {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The store is there and is damaged.
    #[error(
        "the store in {} does not open: {detail}; nothing was changed. `tripline store recover` saves what can be \
         read of it; `tripline store import` into an empty data_dir takes an export",
        path.display()
    )]
    Broken {
        /// The store's directory.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// There is no store.
    #[error("there is no store in {}; name the server's data directory with --data-dir", path.display())]
    Missing {
        /// The data directory.
        path: PathBuf,
    },
    /// An import needs a data directory without a store.
    #[error(
        "the data directory {} is not empty: {found} is in it; name a new one with --data-dir (only tls, nats, \
         artifacts and admin.token of the server that is moved may be there)",
        path.display()
    )]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// An import or a recovery was begun and did not come to its end.
    #[error(
        "{what} in the data directory {} did not come to its end, so its store is not complete; run \
         `tripline store {verb}` again, or remove {left} to do without it",
        path.display()
    )]
    Unfinished {
        /// The data directory.
        path: PathBuf,
        /// What was begun.
        what: &'static str,
        /// The command that begins it.
        verb: &'static str,
        /// The folder it left.
        left: &'static str,
    },
    /// A copy of the store is needed and there is no room for it.
    #[error(
        "there is no room in {} for a copy of the store: {needed} bytes are needed, {free} are free; name a folder \
         that has room with --scratch",
        path.display()
    )]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// Bytes of the store.
        needed: u64,
        /// Free bytes.
        free: u64,
    },
    /// A newer version of Tripline wrote it.
    #[error(
        "the store in {} has format {found}, this version of tripline knows formats up to {known}; run the \
         version that wrote it, or a newer one",
        path.display()
    )]
    NewerFormat {
        /// The store's directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this program knows.
        known: u32,
    },
}

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
        "the store in {} does not open: {detail}; copy the directory away before anything else, then put \
         back a copy of data_dir that was made while the server was stopped",
        path.display()
    )]
    Broken {
        /// The store's directory.
        path: PathBuf,
        /// What was found.
        detail: String,
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

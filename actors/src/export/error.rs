//! Why an export could not be made, read or taken in.

use crate::artifact;
use crate::store::{OpenError, SnapshotError};
use std::path::PathBuf;

/// Completes "failed to …", or says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is no export, or is not as it was written.
    #[error("read the export: at byte {at}: {what}")]
    Damaged {
        /// Where the block begins that is wrong.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The file ends too soon.
    #[error("read the export: it ends at byte {at}, before its last block: it was cut; use another one")]
    Cut {
        /// How long it is.
        at: u64,
    },
    /// A newer program wrote it.
    #[error(
        "read the export: it has {what} {found}, this version of tripline knows up to {known}; use a newer one"
    )]
    Newer {
        /// Which number.
        what: &'static str,
        /// What it says.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// The file was another one when it was read again.
    #[error("import the export: it changed while it was read; try again with a file that nobody writes")]
    Changed,
    /// Reading or writing a file.
    #[error("{verb} {}", path.display())]
    Io {
        /// What was to be done.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Reading or writing a stream.
    #[error("{verb} the export")]
    Stream {
        /// What was to be done.
        verb: &'static str,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// There is too little room.
    #[error(
        "{verb} in {}: {free} bytes are free, {needed} are needed beside the {kept} that stay free",
        path.display()
    )]
    Room {
        /// What was to be done.
        verb: &'static str,
        /// Where.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// Needed bytes.
        needed: u64,
        /// `disk.free_min`
        kept: u64,
    },
    /// A row is too long for the layout.
    #[error("export a row of table {table:#04x}: it has {bytes} bytes")]
    TooLong {
        /// Its table.
        table: u8,
        /// Its bytes.
        bytes: usize,
    },
    /// The store, as it is read at one point in time.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The store that is read or made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A store that cannot be read or written.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// An artifact.
    #[error(transparent)]
    Artifact(#[from] artifact::Error),
}

/// Says what was being done when the operating system refused.
pub(super) trait Doing<T> {
    fn doing(self, verb: &'static str, path: &std::path::Path) -> Result<T, Error>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, verb: &'static str, path: &std::path::Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            verb,
            path: path.to_owned(),
            source,
        })
    }
}

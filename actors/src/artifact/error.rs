//! Why an artifact could not be kept or read.

use crate::refusal::Refusal;
use std::path::{Path, PathBuf};
use tripline_protocol::{Sha256, Span};

/// Completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// All artifacts together would take more than they may.
    #[error(
        "keep the artifact: {bytes_used} of at most {bytes_max} bytes are used; raise artifacts.bytes_max or \
         lower jobs.retain"
    )]
    Full {
        /// Bytes of all artifacts and of those coming in.
        bytes_used: u64,
        /// `artifacts.bytes_max`
        bytes_max: u64,
    },
    /// A piece does not continue where the last one ended.
    #[error("continue the artifact at offset {found}: {expected} comes next")]
    Offset {
        /// Where the next piece must begin.
        expected: u64,
        /// Where it began.
        found: u64,
    },
    /// The content is not what was announced.
    #[error("verify the artifact: its SHA-256 is {found}, announced was {expected}")]
    Hash {
        /// As announced.
        expected: Sha256,
        /// Of what came.
        found: Sha256,
    },
    /// No such content.
    #[error("find the artifact {sha256}")]
    Missing {
        /// Its hash.
        sha256: Sha256,
    },
    /// The file system.
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
    /// The store, which knows the artifacts' uses.
    #[error("look the artifact's uses up")]
    Store(#[from] crate::store::Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Missing { sha256 } => Self::NotFound {
                what: "artifact",
                id: sha256.to_string(),
            },
            Error::Full { .. } => Self::Busy {
                what: "artifact space",
                retry_after: Span::from_secs(60),
            },
            Error::Offset { .. } => Self::Invalid {
                code: "wrong_offset",
                detail: format!("failed to {error}"),
            },
            Error::Hash { .. } => Self::Invalid {
                code: "wrong_hash",
                detail: format!("failed to {error}"),
            },
            Error::Store(error) => error.into(),
            Error::Io { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "artifact refused");
                Self::Unavailable {
                    detail: "the artifact's file cannot be read or written",
                }
            }
        }
    }
}

/// Says what was being done when the operating system refused.
pub(super) trait Doing<T> {
    fn doing(self, verb: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, verb: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            verb,
            path: path.to_owned(),
            source,
        })
    }
}

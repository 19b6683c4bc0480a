//! Files, from a host and to it. A content goes in two steps: between host and server it is a command of the session,
//! between server and this program it is streamed by `download` and `upload`. Neither side ever holds a whole file in
//! memory.

mod archive;
mod download;
mod get;
mod local_file;
mod put;
#[cfg(test)]
mod tests;
mod upload;

use sha2::{Digest, Sha256 as Hash};
use std::fmt;
use tripline_protocol::Sha256;
use tripline_protocol::step::ArtifactRef;

pub use archive::Archive;
pub use download::Download;
pub use get::GetFile;
pub use put::PutFile;

/// How far a transfer between this program and the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that have been moved.
    pub bytes_done: u64,
    /// Bytes there are, where that is known.
    pub bytes_total: Option<u64>,
}

/// A content that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// The file's name on the host, without folders.
    pub name: String,
    /// Of its content; it was verified.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
}

impl From<ArtifactRef> for Fetched {
    fn from(artifact: ArtifactRef) -> Self {
        Self {
            name: artifact.name,
            sha256: artifact.sha256,
            bytes: artifact.bytes,
        }
    }
}

/// Whom to tell how far a transfer is.
pub(crate) struct Observer<'s> {
    tell: Option<Box<dyn FnMut(Progress) + Send + 's>>,
}

impl fmt::Debug for Observer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl<'s> Observer<'s> {
    fn none() -> Self {
        Self { tell: None }
    }

    fn new(tell: impl FnMut(Progress) + Send + 's) -> Self {
        Self {
            tell: Some(Box::new(tell)),
        }
    }

    fn tell(&mut self, bytes_done: u64, bytes_total: Option<u64>) {
        if let Some(tell) = &mut self.tell {
            tell(Progress {
                bytes_done,
                bytes_total,
            });
        }
    }
}

/// The hash of what was moved.
fn sha256(hash: Hash) -> Sha256 {
    Sha256::from_digest(&hash.finalize().into())
}

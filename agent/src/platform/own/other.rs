//! Not Unix: what the standard library does everywhere. Who may look into a folder is what it inherits.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

pub(super) const LACKS: Option<&str> = Some(
    "the state directory has the access list of the folder above it: see to it that only the agent and administrators \
     can read it, the agent's key is in it",
);

pub(super) fn make_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// A file inherits the access list of its folder.
pub(super) fn make_private(_: &mut OpenOptions) {}

/// A folder cannot be opened to be synced; renames are in the file system's own journal.
pub(super) fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Access lists are not read.
pub(super) fn is_open_to_everybody(_: &File) -> io::Result<bool> {
    Ok(false)
}

/// Hears when the agent is to stop: Ctrl-C.
#[derive(Debug)]
pub struct EndRequests(());

impl EndRequests {
    /// Listens.
    pub fn listen() -> io::Result<Self> {
        Ok(Self(()))
    }

    /// Returns when the agent is to stop.
    pub async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl-C cannot be heard: the agent goes on until it is ended");
            std::future::pending::<()>().await;
        }
    }
}

//! Unix: permission bits and signals.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Bits of a file's mode by which everybody may read or write it.
const EVERYBODY: u32 = 0o006;

pub(super) const LACKS: Option<&str> = None;

pub(super) fn make_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(super) fn make_private(options: &mut OpenOptions) {
    options.mode(0o600);
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn is_open_to_everybody(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.permissions().mode() & EVERYBODY != 0)
}

/// Hears when the agent is to stop: SIGTERM and SIGINT.
#[derive(Debug)]
pub struct EndRequests {
    terminate: Signal,
    interrupt: Signal,
}

impl EndRequests {
    /// Listens from now on; has to be called in a runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns when the agent is to stop.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

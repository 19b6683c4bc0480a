//! What the agent needs for itself on every operating system: a folder and files that are its own, and to be told when
//! to stop. Each function is there once for Unix and once for everything else.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use other as system;
#[cfg(unix)]
use unix as system;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

pub use system::EndRequests;

/// Makes a directory and those above it, private where it makes it: nobody else may look into it.
pub(crate) fn make_private_directory(path: &Path) -> io::Result<()> {
    system::make_private_directory(path)
}

/// To write a file that is private when it is new.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    system::make_private(&mut options);
    options
}

/// Makes what was renamed in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    system::sync_directory(path)
}

/// Whether everybody may read or write a file.
pub(crate) fn is_open_to_everybody(file: &File) -> io::Result<bool> {
    system::is_open_to_everybody(file)
}

/// What [`make_private_directory`] cannot do on this system, a sentence for the log.
pub(crate) fn lacks() -> Option<&'static str> {
    system::LACKS
}

//! The agent's state directory: made private, held by one agent at a time, its small files written whole.

use crate::platform::own;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not there and not to be made, or not ours.
    #[error("failed to open the state directory {}", path.display())]
    Open {
        /// The directory, or the file in it.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// Another agent runs in it.
    #[error("another agent uses the state directory {}", .0.display())]
    InUse(PathBuf),
    /// A file in it could not be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
}

/// A state directory, held until dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the directory (0700) if it is missing and takes its lock.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |at: &Path| {
            let path = at.to_path_buf();
            move |source| Error::Open { path, source }
        };
        own::make_private_directory(path).map_err(failed(path))?;
        let path = path.canonicalize().map_err(failed(path))?;
        let lock_path = path.join("lock");
        let lock = own::private_file()
            .truncate(false)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(path)),
            Err(TryLockError::Error(source)) => Err(Error::Open {
                path: lock_path,
                source,
            }),
        }
    }

    /// Where it is; absolute, without symlinks.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a small file, `None` if it is not there. What is damaged need not be text any more.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path.join(name);
        match std::fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Open { path, source }),
        }
    }

    /// Writes a small file (0600) so that after a crash it is there whole or not at all.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        let path = self.path.join(name);
        write_whole(&self.path, name, content).map_err(|source| Error::Write { path, source })
    }

    /// Removes a small file for good; one that is not there is fine.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        let removed = match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(&self.path).and_then(|directory| directory.sync_all()),
        };
        removed.map_err(|source| Error::Write { path, source })
    }
}

/// Writes `dir/name` (0600) under a temporary name, syncs, renames, and syncs the directory.
fn write_whole(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    stage(dir, name, content)?;
    publish(dir, name)
}

/// Writes and syncs what [`publish`] will make `dir/name` (0600). A failure leaves `dir/name` as it was.
pub(crate) fn stage(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.new"));
    let mut file = own::private_file().truncate(true).open(temporary)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Renames what was staged into place and syncs the directory. After a failure either file may be found.
pub(crate) fn publish(dir: &Path, name: &str) -> io::Result<()> {
    std::fs::rename(dir.join(format!("{name}.new")), dir.join(name))?;
    own::sync_directory(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_one_agent_holds_a_state_directory() {
        let dir = tempfile::tempdir().unwrap();
        let held = StateDir::open(&dir.path().join("state")).unwrap();
        assert!(matches!(
            StateDir::open(&dir.path().join("state")),
            Err(Error::InUse(_))
        ));
        drop(held);
        StateDir::open(&dir.path().join("state")).unwrap();
    }

    #[test]
    fn its_files_are_private_and_missing_ones_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        assert_eq!(state.read("identity.json").unwrap(), None);
        state.write("identity.json", b"{}").unwrap();
        assert_eq!(state.read("identity.json").unwrap().as_deref(), Some(&b"{}"[..]));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.path().join("identity.json")), 0o600);
        assert_eq!(mode(state.path()), 0o700);
    }
}

//! The lock on a data directory: one process at a time.

use super::error::OpenError;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Held while it lives. The operating system lets go of it when the process ends, however it ends.
pub(super) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Makes the directory when it is missing, for its owner only, and locks it without waiting.
    pub(super) fn take(dir: &Path) -> Result<Self, OpenError> {
        let unwritable = |source| OpenError::Unwritable {
            path: dir.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(unwritable)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(dir.join("lock")).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Held {
                    path: dir.to_owned(),
                    pid: read_pid(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
        }
        write_pid(&mut file).map_err(unwritable)?;
        Ok(Self { _file: file })
    }
}

/// Whether a process has the data directory. Whoever asks while nobody has it, has it for that moment.
///
/// # Errors
/// Those of the file system; a directory that nobody ever had is none.
pub fn is_in_use(data_dir: &Path) -> io::Result<bool> {
    let file = match File::open(data_dir.join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_in_use_while_somebody_holds_its_lock_and_asking_leaves_it_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_in_use(dir.path()).unwrap());
        assert!(!dir.path().join("lock").exists());
        let lock = DirLock::take(dir.path()).unwrap();
        assert!(is_in_use(dir.path()).unwrap());
        drop(lock);
        assert!(!is_in_use(dir.path()).unwrap());
        DirLock::take(dir.path()).unwrap();
    }
}

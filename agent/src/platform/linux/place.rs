//! From a path as it was asked for to a directory held open and a name in it.
//!
//! Everything after is relative to the open directory, so swapping a parent for a symlink between check and
//! use leads nowhere. What is compared with `paths_denied` is where the kernel says the open file is.

use super::errno::fault;
use super::proc;
use crate::policy::Policy;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use tripline_protocol::{Fault, RemotePath};

/// A name in an open directory.
pub(super) struct Place {
    /// Opened with `O_PATH`.
    pub(super) dir: OwnedFd,
    /// One component.
    pub(super) name: OsString,
    /// The path as it was asked for, for messages.
    pub(super) shown: String,
}

impl Place {
    /// Opens the directory of `path`, following symlinks up to it but not the last name.
    pub(super) fn of(path: &RemotePath, policy: &Policy) -> Result<Self, Fault> {
        let shown = path.to_lossy();
        let whole = absolute(path)?;
        let invalid = || fault(Errno::INVAL, &shown);
        let name = whole.file_name().ok_or_else(invalid)?.to_os_string();
        let parent = whole.parent().ok_or_else(invalid)?;
        let dir = open_path(CWD, parent, OFlags::DIRECTORY).map_err(|errno| fault(errno, &shown))?;
        let place = Self { dir, name, shown };
        place.admit(policy)?;
        Ok(place)
    }

    /// Refuses a denied place.
    fn admit(&self, policy: &Policy) -> Result<(), Fault> {
        if policy.paths_denied.is_empty() {
            return Ok(());
        }
        let dir = real_path(&self.dir, &self.shown)?;
        policy.admit_path(&dir.join(&self.name))
    }

    /// The fault for an error here.
    pub(super) fn fault(&self, errno: Errno) -> Fault {
        fault(errno, &self.shown)
    }
}

/// The path, if it is absolute.
pub(super) fn absolute(path: &RemotePath) -> Result<&Path, Fault> {
    let path = Path::new(OsStr::from_bytes(path.as_bytes()));
    if path.is_absolute() {
        return Ok(path);
    }
    Err(Fault::live_response(
        "EINVAL",
        format!("the path is not absolute: {}", path.display()),
    ))
}

/// Opens what `path` names, following symlinks, without any effect on it (`O_PATH`), unless it is denied.
pub(super) fn open_admitted(path: &RemotePath, policy: &Policy) -> Result<OwnedFd, Fault> {
    let shown = path.to_lossy();
    let fd = open_path(CWD, absolute(path)?, OFlags::empty()).map_err(|errno| fault(errno, &shown))?;
    if !policy.paths_denied.is_empty() {
        policy.admit_path(&real_path(&fd, &shown)?)?;
    }
    Ok(fd)
}

/// `openat` with `O_PATH`.
pub(super) fn open_path(dir: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(dir, path, flags | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Opens an `O_PATH` descriptor again, for use.
pub(super) fn reopen(fd: impl AsFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(CWD, fd_link(fd), flags | OFlags::CLOEXEC, Mode::empty())
}

/// The same for a directory, which needs no /proc.
pub(super) fn reopen_directory(fd: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    match reopen(&fd, flags) {
        Err(Errno::NOENT) if !proc::is_there() => openat(fd, ".", flags | OFlags::CLOEXEC, Mode::empty()),
        other => other,
    }
}

/// Where an open file is, as the kernel says; `shown` is how it was asked for.
pub(super) fn real_path(fd: impl AsFd, shown: &str) -> Result<PathBuf, Fault> {
    let read = rustix::fs::readlinkat(CWD, fd_link(fd), Vec::new());
    let link = read.map_err(|errno| match proc::is_there() {
        true => fault(errno, shown),
        false => Fault::unsupported(
            "no_proc",
            "paths are denied here, and without /proc no path can be checked",
        ),
    })?;
    Ok(PathBuf::from(OsString::from_vec(link.into_bytes())))
}

fn fd_link(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

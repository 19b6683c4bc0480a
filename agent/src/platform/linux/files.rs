//! Opening, writing, removing files and making directories.

use super::errno::{fault, io_fault};
use super::place::{Place, absolute, open_admitted, open_path, real_path, reopen};
use crate::platform::StagedFile;
use crate::policy::Policy;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path};
use tripline_protocol::{Fault, RemotePath};

/// Permission bits of a new file.
const MODE_DEFAULT: u32 = 0o600;
const MODE_BITS: u32 = 0o7777;

pub(super) fn open_regular(path: &RemotePath, policy: &Policy) -> Result<File, Fault> {
    let shown = path.to_lossy();
    let failed = |errno| fault(errno, &shown);
    // Looking first with O_PATH neither waits for a fifo's writer nor wakes one, nor rewinds a tape.
    let found = open_admitted(path, policy)?;
    let stat = rustix::fs::fstat(&found).map_err(failed)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        other => return Err(not_readable(other, &shown)),
    }
    Ok(File::from(
        reopen(&found, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map_err(failed)?,
    ))
}

/// The fault for what is no file to read.
pub(super) fn not_readable(kind: FileType, shown: &str) -> Fault {
    match kind {
        FileType::Directory => fault(Errno::ISDIR, shown),
        _ => Fault::unsupported("not_a_regular_file", format!("{shown} is no regular file")),
    }
}

/// A file under its temporary name.
pub(super) struct Staged {
    place: Place,
    temporary: String,
    file: File,
    /// It has its place, or stays under its temporary name.
    moved: bool,
}

impl Staged {
    pub(super) fn create(path: &RemotePath, temporary: &str, policy: &Policy) -> Result<Self, Fault> {
        let place = Place::of(path, policy)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&place.dir, temporary, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| place.fault(errno))?;
        Ok(Self {
            place,
            temporary: temporary.to_owned(),
            file: File::from(file),
            moved: false,
        })
    }

    /// Opens one that an earlier command left, at its end. One that others could have written, or that has its place
    /// already, is not taken.
    pub(super) fn resume(
        path: &RemotePath,
        temporary: &str,
        policy: &Policy,
    ) -> Result<Option<(Self, u64)>, Fault> {
        let place = Place::of(path, policy)?;
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(&place.dir, temporary, flags, Mode::empty()) else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| place.fault(errno))?;
        let private = stat.st_mode & 0o077 == 0 && stat.st_uid == rustix::process::geteuid().as_raw();
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 || !private {
            return Ok(None);
        }
        let mut file = File::from(file);
        let bytes = file
            .seek(SeekFrom::End(0))
            .map_err(|error| io_fault(&error, &place.shown))?;
        let staged = Self {
            place,
            temporary: temporary.to_owned(),
            file,
            moved: false,
        };
        Ok(Some((staged, bytes)))
    }

    /// Those of the regular file that will be replaced, else the default.
    fn mode_of_replaced(&self) -> u32 {
        rustix::fs::statat(&self.place.dir, &self.place.name, AtFlags::SYMLINK_NOFOLLOW)
            .ok()
            .filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
            .map_or(MODE_DEFAULT, |stat| stat.st_mode & MODE_BITS)
    }

    fn move_into_place(&self, overwrite: bool) -> Result<(), Errno> {
        let (dir, from, to) = (&self.place.dir, &*self.temporary, &*self.place.name);
        if overwrite {
            return rustix::fs::renameat(dir, from, dir, to);
        }
        match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
            // A file system without that flag: a hard link never replaces anything either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())?;
                rustix::fs::unlinkat(dir, from, AtFlags::empty())
            }
            other => other,
        }
    }

    /// Makes the rename durable, also in a directory that may be written but not read.
    fn sync_directory(&self) -> Result<(), Errno> {
        match rustix::fs::openat(
            &self.place.dir,
            ".",
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            Ok(dir) => rustix::fs::fsync(dir),
            Err(Errno::ACCESS) => rustix::fs::syncfs(&self.file),
            Err(errno) => Err(errno),
        }
    }
}

/// A regular file that takes a program's output. One that was made for it is removed again unless it is kept.
pub(super) struct OutputFile {
    place: Place,
    file: File,
    made: bool,
}

impl OutputFile {
    /// Makes it, or empties the one that is there. A symlink is not followed: others may write to the directory.
    pub(super) fn create(path: &RemotePath, policy: &Policy) -> Result<Self, Fault> {
        let place = Place::of(path, policy)?;
        let flags = OFlags::WRONLY
            | OFlags::APPEND
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let open = |flags| rustix::fs::openat(&place.dir, &place.name, flags, mode);
        let (file, made) = match open(flags | OFlags::CREATE | OFlags::EXCL) {
            Ok(file) => (file, true),
            Err(Errno::EXIST) => (open(flags).map_err(|errno| place.fault(errno))?, false),
            Err(errno) => return Err(place.fault(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| place.fault(errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let text = format!("{} is no regular file", place.shown);
            return Err(Fault::unsupported("not_a_regular_file", text));
        }
        rustix::fs::ftruncate(&file, 0).map_err(|errno| place.fault(errno))?;
        let file = File::from(file);
        Ok(Self { place, file, made })
    }

    /// One more way to write to it.
    pub(super) fn writer(&self) -> Result<File, Fault> {
        self.file
            .try_clone()
            .map_err(|error| io_fault(&error, &self.place.shown))
    }

    /// The program runs: what it writes stays.
    pub(super) fn keep(mut self) {
        self.made = false;
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if !self.made {
            return;
        }
        if let Err(error) = rustix::fs::unlinkat(&self.place.dir, &self.place.name, AtFlags::empty()) {
            tracing::warn!(%error, path = self.place.shown, "failed to remove an output file");
        }
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl StagedFile for Staged {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let end = self.file.stream_position()?.saturating_add(bytes);
        // The end is a hole too: without a length it would not be there.
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end)).map(drop)
    }

    fn room(&self) -> io::Result<u64> {
        let found = rustix::fs::fstatvfs(&self.file)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn keep(mut self: Box<Self>) {
        self.moved = true;
    }

    fn commit(mut self: Box<Self>, mode: Option<u32>, overwrite: bool) -> Result<(), Fault> {
        let mode = mode.unwrap_or_else(|| self.mode_of_replaced()) & MODE_BITS;
        let prepared = self
            .file
            .set_permissions(Permissions::from_mode(mode))
            .and_then(|()| self.file.sync_all());
        prepared.map_err(|error| io_fault(&error, &self.place.shown))?;
        self.move_into_place(overwrite)
            .map_err(|errno| self.place.fault(errno))?;
        self.moved = true;
        self.sync_directory().map_err(|errno| self.place.fault(errno))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.moved {
            return;
        }
        if let Err(error) = rustix::fs::unlinkat(&self.place.dir, &*self.temporary, AtFlags::empty()) {
            tracing::warn!(path = self.place.shown, name = self.temporary, %error, "a temporary file stays behind");
        }
    }
}

pub(super) fn is_partial(path: &[u8]) -> bool {
    let found = std::fs::symlink_metadata(Path::new(OsStr::from_bytes(path)));
    found.is_ok_and(|found| found.is_file() && found.nlink() == 1)
}

pub(super) fn remove_leftover(path: &[u8]) -> Result<(), Fault> {
    let path = Path::new(OsStr::from_bytes(path));
    match rustix::fs::unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(errno) => Err(fault(errno, path.display())),
    }
}

pub(super) fn delete(path: &RemotePath, policy: &Policy) -> Result<(), Fault> {
    let place = Place::of(path, policy)?;
    let removed = match rustix::fs::unlinkat(&place.dir, &place.name, AtFlags::empty()) {
        Err(Errno::ISDIR) => rustix::fs::unlinkat(&place.dir, &place.name, AtFlags::REMOVEDIR),
        other => other,
    };
    removed.map_err(|errno| place.fault(errno))
}

pub(super) fn create_directory(path: &RemotePath, parents: bool, policy: &Policy) -> Result<(), Fault> {
    if parents {
        return create_with_parents(path, policy);
    }
    let place = Place::of(path, policy)?;
    make_directory(&place.dir, &place.name).map_err(|errno| place.fault(errno))
}

fn make_directory(dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o777))
}

fn create_with_parents(path: &RemotePath, policy: &Policy) -> Result<(), Fault> {
    let shown = path.to_lossy();
    let failed = |errno| fault(errno, &shown);
    let mut dir = open_path(CWD, Path::new("/"), OFlags::DIRECTORY).map_err(failed)?;
    for component in absolute(path)?.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::ParentDir => OsStr::new(".."),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
        };
        let next = match open_path(&dir, Path::new(name), OFlags::DIRECTORY) {
            Err(Errno::NOENT) => make_and_open(&dir, name, policy, &shown)?,
            other => other.map_err(failed)?,
        };
        dir = next;
    }
    if policy.paths_denied.is_empty() {
        return Ok(());
    }
    policy.admit_path(&real_path(&dir, &shown)?)
}

fn make_and_open(dir: &OwnedFd, name: &OsStr, policy: &Policy, shown: &str) -> Result<OwnedFd, Fault> {
    let failed = |errno| fault(errno, shown);
    if !policy.paths_denied.is_empty() {
        policy.admit_path(&real_path(dir, shown)?.join(name))?;
    }
    match make_directory(dir, name) {
        // Somebody else made it meanwhile; a dangling symlink fails below.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    open_path(dir, Path::new(name), OFlags::DIRECTORY).map_err(failed)
}

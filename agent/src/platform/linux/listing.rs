//! Directories: one, or a tree. Symlinks below the top are never followed.

use super::errno::fault;
use super::place::{open_admitted, real_path, reopen_directory};
use super::proc::UserNames;
use crate::platform::Listed;
use crate::policy::Policy;
use crate::stop::Stop;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, StatxFlags, openat};
use rustix::io::Errno;
use std::collections::BinaryHeap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tripline_protocol::limit::LIST_ENTRIES_MAX;
use tripline_protocol::verb::DirectoryEntry;
use tripline_protocol::{Fault, RemotePath};

/// Deepest level a walk enters; each level holds a file descriptor.
const DEPTH_MAX: u32 = 64;

pub(super) fn list_directory(
    path: &RemotePath,
    policy: &Policy,
    stop: &Stop,
) -> Result<Listed<DirectoryEntry>, Fault> {
    Scan::of(path, 0, policy, stop)
}

pub(super) fn walk(
    path: &RemotePath,
    depth_max: u32,
    policy: &Policy,
    stop: &Stop,
) -> Result<Listed<DirectoryEntry>, Fault> {
    let mut listed = Scan::of(path, depth_max, policy, stop)?;
    listed
        .entries
        .sort_by(|one, other| one.filename.cmp(&other.filename));
    Ok(listed)
}

struct Scan<'a> {
    shown: String,
    depth_max: u32,
    policy: &'a Policy,
    stop: &'a Stop,
    users: UserNames,
    listed: Listed<DirectoryEntry>,
}

impl<'a> Scan<'a> {
    fn of(
        path: &RemotePath,
        depth_max: u32,
        policy: &'a Policy,
        stop: &'a Stop,
    ) -> Result<Listed<DirectoryEntry>, Fault> {
        let shown = path.to_lossy();
        let top = open_admitted(path, policy)?;
        let dir = reopen_directory(&top).map_err(|errno| fault(errno, &shown))?;
        let mut scan = Self {
            shown,
            depth_max,
            policy,
            stop,
            users: UserNames::read(),
            listed: Listed::empty(),
        };
        scan.directory(&dir, &[], 0)?;
        Ok(scan.listed)
    }

    /// Lists `dir`, whose path below the top is `prefix` (empty, or ending in a slash).
    fn directory(&mut self, dir: &OwnedFd, prefix: &[u8], depth: u32) -> Result<(), Fault> {
        let (names, omitted) = self.names(dir)?;
        self.listed.omitted += omitted;
        let real = self.real(dir)?;
        for name in names {
            self.stop.check()?;
            let denied = real
                .as_ref()
                .is_some_and(|dir| self.policy.denies(&dir.join(OsStr::from_bytes(&name))));
            if denied || self.listed.entries.len() >= LIST_ENTRIES_MAX {
                self.listed.omitted += 1;
                continue;
            }
            let Some(entry) = self.entry(dir, &name, prefix) else {
                continue;
            };
            let is_directory = entry.attributes.first().is_some_and(|word| word == "DIRECTORY");
            self.listed.entries.push(entry);
            if is_directory && depth < self.depth_max {
                self.enter(dir, &name, prefix, depth)?;
            }
        }
        Ok(())
    }

    /// Enters a directory; one that cannot be read, or is deeper than any walk goes, counts as one omitted entry, one
    /// that vanished as none.
    fn enter(&mut self, dir: &OwnedFd, name: &[u8], prefix: &[u8], depth: u32) -> Result<(), Fault> {
        if depth >= DEPTH_MAX {
            self.listed.omitted += 1;
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(dir, name, flags, Mode::empty()) {
            Ok(inner) => self.directory(&inner, &[prefix, name, b"/"].concat(), depth + 1),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(_) => {
                self.listed.omitted += 1;
                Ok(())
            }
        }
    }

    fn real(&self, dir: &OwnedFd) -> Result<Option<PathBuf>, Fault> {
        if self.policy.paths_denied.is_empty() {
            return Ok(None);
        }
        real_path(dir, &self.shown).map(Some)
    }

    /// The first names in order, as many as a listing may have, and how many more there are.
    fn names(&self, dir: &OwnedFd) -> Result<(Vec<Vec<u8>>, u64), Fault> {
        let failed = |errno| fault(errno, &self.shown);
        let mut first = BinaryHeap::new();
        let mut omitted = 0;
        for (count, entry) in Dir::read_from(dir).map_err(failed)?.enumerate() {
            if count % 256 == 0 {
                self.stop.check()?;
            }
            let entry = match entry {
                // The directory itself was removed while it was listed.
                Err(Errno::NOENT) => break,
                other => other.map_err(failed)?,
            };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            first.push(name.to_vec());
            if first.len() > LIST_ENTRIES_MAX {
                first.pop();
                omitted += 1;
            }
        }
        Ok((first.into_sorted_vec(), omitted))
    }

    /// The entry; `None` if it vanished meanwhile.
    fn entry(&self, dir: &OwnedFd, name: &[u8], prefix: &[u8]) -> Option<DirectoryEntry> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let stat = rustix::fs::statx(dir, name, flags, wanted).ok()?;
        let mode = u32::from(stat.stx_mode);
        let kind = FileType::from_raw_mode(mode);
        let has_birth = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
        let created = if has_birth { stat.stx_btime } else { stat.stx_ctime };
        Some(DirectoryEntry {
            filename: RemotePath::from([prefix, name].concat()),
            attributes: attributes(kind, mode, name),
            size: stat.stx_size,
            create_time: created.tv_sec,
            last_access_time: stat.stx_atime.tv_sec,
            last_write_time: stat.stx_mtime.tv_sec,
            mode: Some(mode & 0o7777),
            owner: Some(self.users.name(stat.stx_uid)),
            link_target: if kind == FileType::Symlink {
                link_target(dir, name)
            } else {
                None
            },
        })
    }
}

fn link_target(dir: impl AsFd, name: &[u8]) -> Option<RemotePath> {
    let target = rustix::fs::readlinkat(dir, Path::new(OsStr::from_bytes(name)), Vec::new()).ok()?;
    Some(RemotePath::from(target.into_bytes()))
}

/// cbapi's words; the kind comes first.
fn attributes(kind: FileType, mode: u32, name: &[u8]) -> Vec<String> {
    let word = match kind {
        FileType::Directory => "DIRECTORY",
        FileType::RegularFile => "ARCHIVE",
        FileType::Symlink => "REPARSE_POINT",
        _ => "DEVICE",
    };
    let readonly = kind != FileType::Symlink && mode & 0o222 == 0;
    let mut words = vec![word.to_owned()];
    words.extend(readonly.then(|| "READONLY".to_owned()));
    words.extend(name.starts_with(b".").then(|| "HIDDEN".to_owned()));
    words
}

//! Opening files to be read as they are: without a change of their access time, and block devices.
//!
//! Linux has no locks that keep a reader out, so there is nothing to read past. What reading changes is the
//! access time: it is left alone where the kernel allows that, which is for the file's owner and root.

use super::errno::{fault, io_fault};
use super::files::not_readable;
use super::place::{open_admitted, reopen};
use crate::policy::Policy;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use tripline_protocol::{Fault, RemotePath};

/// Opens it; with its size.
pub(super) fn open(path: &RemotePath, policy: &Policy) -> Result<(File, u64), Fault> {
    let shown = path.to_lossy();
    let found = open_admitted(path, policy)?;
    let stat = rustix::fs::fstat(&found).map_err(|errno| fault(errno, &shown))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    match kind {
        FileType::RegularFile => {}
        FileType::BlockDevice if policy.raw_devices => {}
        FileType::BlockDevice => {
            let text =
                format!("this agent's configuration does not let devices be read: {shown}; see raw_devices");
            return Err(Fault::unsupported("device_denied", text));
        }
        other => return Err(not_readable(other, &shown)),
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = match reopen(&found, flags | OFlags::NOATIME) {
        // Somebody else's file.
        Err(Errno::PERM) => reopen(&found, flags),
        other => other,
    };
    let mut file = File::from(opened.map_err(|errno| fault(errno, &shown))?);
    let size = match kind {
        FileType::BlockDevice => device_bytes(&mut file),
        _ => file.metadata().map(|found| found.len()),
    };
    Ok((file, size.map_err(|error| io_fault(&error, &shown))?))
}

fn device_bytes(file: &mut File) -> std::io::Result<u64> {
    let bytes = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    Ok(bytes)
}

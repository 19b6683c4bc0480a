//! A cheap look at the processes of a few users, for whoever looks every few seconds.
//!
//! Whose a process is tells one `stat` of its folder in /proc, whose owner is always its effective user (unlike that
//! of the files in it); nothing else is read of the others' processes. A process that vanishes meanwhile is left out.

use super::proc::Stat;
use crate::platform::{Look, SeenProcess};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, statat};
use rustix::io::{Errno, retry_on_intr};

/// Length at which the kernel cuts a name.
const NAME_CHARS: usize = 15;
/// First size of the buffer; it grows where it has to.
const BUFFER_BYTES: usize = 4096;

pub(super) fn scan(look: &dyn Fn(u32) -> Look) -> Result<Vec<SeenProcess>, Errno> {
    let mut scan = Scan::open()?;
    let mut found = Vec::new();
    for entry in Dir::read_from(&scan.proc)? {
        let entry = entry?;
        let pid = entry.file_name().to_str().ok().and_then(|name| name.parse().ok());
        found.extend(pid.and_then(|pid| scan.process(pid, look)));
    }
    Ok(found)
}

/// The effective user of a process; `None` when it is gone.
pub(super) fn effective_user(pid: u32) -> Option<u32> {
    Scan::open().ok()?.user(pid)
}

struct Scan {
    proc: OwnedFd,
    buffer: Vec<u8>,
}

impl Scan {
    fn open() -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
        Ok(Self {
            proc,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    fn process(&mut self, pid: u32, look: &dyn Fn(u32) -> Look) -> Option<SeenProcess> {
        let uid = self.user(pid)?;
        let look = look(uid);
        if look == Look::Away {
            return None;
        }
        let stat = Stat::parse(self.read(&format!("{pid}/stat"))?)?;
        if stat.is_over() {
            return None;
        }
        let (started_s, started_exact) = (stat.started_s(), stat.start_ticks);
        let is_cut = stat.name.chars().count() >= NAME_CHARS;
        let arguments = if is_cut || look == Look::CommandLine {
            self.read(&format!("{pid}/cmdline"))?
        } else {
            &[]
        };
        Some(SeenProcess {
            pid,
            uid,
            started_s,
            started_exact,
            name: is_cut
                .then(|| completed(&stat.name, arguments))
                .flatten()
                .unwrap_or(stat.name),
            command_line: (look == Look::CommandLine).then(|| joined(arguments)),
        })
    }

    fn user(&self, pid: u32) -> Option<u32> {
        let stat = statat(&self.proc, pid.to_string(), AtFlags::empty()).ok()?;
        Some(stat.st_uid)
    }

    /// The whole of a small file below /proc; `None` if the process is gone.
    fn read(&mut self, path: &str) -> Option<&[u8]> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(&self.proc, path, flags, Mode::empty()).ok()?;
        let mut length = 0;
        loop {
            if length == self.buffer.len() {
                self.buffer.resize(length * 2, 0);
            }
            let room = self.buffer.get_mut(length..)?;
            match retry_on_intr(|| rustix::io::read(file.as_fd(), &mut *room)) {
                Ok(0) => return self.buffer.get(..length),
                Ok(more) => length += more,
                Err(_) => return None,
            }
        }
    }
}

/// A cut name, completed by the first argument where that begins with it.
pub(super) fn completed(name: &str, arguments: &[u8]) -> Option<String> {
    let first = joined(arguments.split(|byte| *byte == 0).next()?);
    // A process that wrote its own title may have no NULs between its arguments.
    let program = match arguments.ends_with(b"\0") {
        true => &*first,
        false => first.split(' ').next()?,
    };
    let base = program.rsplit('/').next()?;
    base.starts_with(name).then(|| base.to_owned())
}

/// The arguments, each ended by a NUL, joined by spaces.
fn joined(arguments: &[u8]) -> String {
    let arguments = arguments.strip_suffix(b"\0").unwrap_or(arguments);
    String::from_utf8_lossy(arguments).replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_joined_by_spaces() {
        assert_eq!(joined(b"ls\0-l\0a b\0"), "ls -l a b");
        assert_eq!(joined(b"title of its own"), "title of its own");
        assert_eq!(joined(b""), "");
        assert_eq!(joined(b"\0"), "");
    }

    #[test]
    fn a_cut_name_is_completed_from_the_first_argument() {
        let name = "gnome-keyring-d";
        let full = Some("gnome-keyring-daemon".to_owned());
        assert_eq!(completed(name, b"/usr/bin/gnome-keyring-daemon\0--start\0"), full);
        assert_eq!(completed(name, b"gnome-keyring-daemon --start"), full);
        assert_eq!(completed(name, b"/bin/sh\0/usr/bin/gnome-keyring-daemon\0"), None);
        assert_eq!(completed(name, b""), None);
    }

    #[test]
    fn only_processes_of_wanted_users_are_read_and_only_as_far_as_wanted() {
        let own = rustix::process::geteuid().as_raw();
        let scan = |look: Look| super::scan(&|uid| if uid == own { look } else { Look::Away }).unwrap();
        let named = scan(Look::Name);
        assert!(
            named
                .iter()
                .all(|process| process.uid == own && process.command_line.is_none())
        );
        let me = |found: &[SeenProcess]| {
            let me = found.iter().find(|process| process.pid == std::process::id());
            me.cloned().expect("this process is there")
        };
        let stat = Stat::read(std::process::id()).unwrap();
        assert_eq!(me(&named).started_exact, stat.start_ticks);
        let lines = scan(Look::CommandLine);
        let program = std::env::args().next().unwrap();
        assert!(me(&lines).command_line.unwrap().starts_with(&program));
        assert!(scan(Look::Away).is_empty());
    }
}

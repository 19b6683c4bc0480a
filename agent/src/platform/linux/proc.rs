//! Reading /proc: what the kernel says about one process, and the names of users.

use crate::platform::{Booted, OwnUse};
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use uuid::Uuid;

/// The parts of `/proc/<pid>/stat` that are needed here (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: u32,
    /// At most 15 bytes; any character may be in it.
    pub(super) name: String,
    /// `Z` for a zombie.
    pub(super) state: char,
    pub(super) parent: u32,
    pub(super) group: u32,
    /// With the first one, even after that has ended.
    pub(super) threads: u32,
    /// Clock ticks after the boot.
    pub(super) start_ticks: u64,
}

impl Stat {
    /// Whole seconds between the boot and its start.
    pub(super) fn started_s(&self) -> u64 {
        self.start_ticks / ticks_per_second()
    }

    /// Whether it ended and only waits for its parent to notice. One whose first thread ended looks the same, and
    /// goes on.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }

    /// Reads it; `None` if the process is gone.
    pub(super) fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (pid, rest) = text.split_once(" (")?;
        // The name itself may contain parentheses and spaces.
        let (name, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split_whitespace();
        Some(Self {
            pid: pid.parse().ok()?,
            name: name.to_owned(),
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            // Fields 20 and 22; the three above are 3, 4 and 5.
            threads: fields.nth(14)?.parse().ok()?,
            start_ticks: fields.nth(1)?.parse().ok()?,
        })
    }
}

/// Whether /proc is mounted.
pub(super) fn is_there() -> bool {
    std::path::Path::new("/proc/self/stat").exists()
}

/// The ids of all processes, in no order.
pub(super) fn pids() -> std::io::Result<Vec<u32>> {
    let names = fs::read_dir("/proc")?.filter_map(|entry| Some(entry.ok()?.file_name()));
    Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
}

/// The arguments, NUL after each; empty for a kernel thread, a zombie, or a process that is gone.
pub(super) fn command_line(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// The program's file; `None` for a kernel thread, a process that is gone or that may not be looked at.
pub(super) fn program(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The real user id.
pub(super) fn user(pid: u32) -> Option<u32> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Whether the process' first environment has `NAME=value`; false if it may not be looked at.
pub(super) fn has_environment(pid: u32, variable: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == variable.as_bytes()))
}

/// Turns start times from clock ticks into Unix seconds, and processes into UUIDs.
pub(super) struct Boot {
    seconds: i64,
    ticks_per_second: u64,
    id: Uuid,
}

impl Boot {
    /// Reads when and as what the host booted.
    pub(super) fn read() -> std::io::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let seconds = stat
            .lines()
            .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        Ok(Self {
            seconds: seconds.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidData))?,
            ticks_per_second: ticks_per_second(),
            id: id
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(Uuid::nil()),
        })
    }

    /// Unix seconds at which the process started.
    pub(super) fn start_time(&self, stat: &Stat) -> i64 {
        let after_boot = stat.start_ticks / self.ticks_per_second;
        self.seconds
            .saturating_add(i64::try_from(after_boot).unwrap_or(i64::MAX))
    }

    /// The same for those who keep the boot and its time apart.
    pub(super) fn booted(&self) -> Booted {
        Booted {
            id: self.id,
            at_s: self.seconds,
        }
    }

    /// The same over the process's life, another one for any other process of any boot.
    pub(super) fn guid(&self, stat: &Stat) -> Uuid {
        Uuid::new_v5(&self.id, format!("{}:{}", stat.pid, stat.start_ticks).as_bytes())
    }
}

/// Clock ticks in a second.
pub(super) fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

/// What this process uses, from `/proc/self/stat` (proc(5)).
pub(super) fn own_use() -> std::io::Result<OwnUse> {
    let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let text = fs::read("/proc/self/stat")?;
    let boot = Boot::read()?;
    let text = String::from_utf8_lossy(&text);
    let (_, rest) = text.rsplit_once(") ").ok_or_else(invalid)?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The first of them is field 3.
    let field = |number: usize| -> std::io::Result<u64> {
        let text = fields.get(number - 3).ok_or_else(invalid)?;
        text.parse().map_err(|_| invalid())
    };
    let seconds = |ticks: u64| ticks as f64 / ticks_per_second() as f64;
    Ok(OwnUse {
        resident_bytes: field(24)?.saturating_mul(rustix::param::page_size() as u64),
        processor_s: seconds(field(14)?.saturating_add(field(15)?)),
        started_at_s: boot.seconds as f64 + seconds(field(22)?),
    })
}

/// `/etc/passwd`, read once per listing. No name service is asked: that could take for ever.
pub(super) struct UserNames(HashMap<u32, String>);

impl UserNames {
    pub(super) fn read() -> Self {
        let bytes = fs::read("/etc/passwd").unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    pub(super) fn parse(passwd: &str) -> Self {
        let mut names = HashMap::new();
        for line in passwd.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(Ok(uid))) = (fields.next(), fields.nth(1).map(str::parse)) {
                names.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
        Self(names)
    }

    /// The name, or the number where it has none.
    pub(super) fn name(&self, uid: u32) -> String {
        self.0.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse_the_fields() {
        let line = b"42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 10 20";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(stat.name, "a) b (c");
        assert_eq!((stat.pid, stat.state, stat.parent, stat.group), (42, 'S', 7, 42));
        assert_eq!((stat.threads, stat.start_ticks), (1, 987_654));
    }

    #[test]
    fn users_have_names_or_numbers() {
        let names =
            UserNames::parse("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\nbroken\nweb:x:33:33::/:\n");
        assert_eq!(
            (names.name(0), names.name(33), names.name(7)),
            ("root".into(), "web".into(), "7".into())
        );
    }

    #[test]
    fn this_process_started_before_now() {
        let stat = Stat::read(std::process::id()).unwrap();
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let start = Boot::read().unwrap().start_time(&stat);
        assert!(start > 1_000_000_000 && start <= now.as_secs() as i64 + 1);
    }
}

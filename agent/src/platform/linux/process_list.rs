//! `list_processes` from /proc. A process that vanishes while it is read is left out.

use super::errno::io_fault;
use super::proc::{self, Boot, Stat, UserNames};
use crate::platform::Listed;
use crate::stop::Stop;
use std::collections::HashMap;
use tripline_protocol::Fault;
use tripline_protocol::limit::LIST_ENTRIES_MAX;
use tripline_protocol::verb::ProcessEntry;
use uuid::Uuid;

pub(super) fn list(stop: &Stop) -> Result<Listed<ProcessEntry>, Fault> {
    let failed = |error: std::io::Error| io_fault(&error, "/proc");
    let boot = Boot::read().map_err(failed)?;
    let users = UserNames::read();
    let mut stats = Vec::new();
    for pid in proc::pids().map_err(failed)? {
        stop.check()?;
        stats.extend(Stat::read(pid));
    }
    stats.sort_by_key(|stat| stat.pid);
    let guids: HashMap<u32, Uuid> = stats.iter().map(|stat| (stat.pid, boot.guid(stat))).collect();
    let mut listed = Listed::empty();
    for stat in &stats {
        stop.check()?;
        if listed.entries.len() >= LIST_ENTRIES_MAX {
            listed.omitted += 1;
            continue;
        }
        listed.entries.extend(entry(stat, &boot, &users, &guids));
    }
    Ok(listed)
}

fn entry(stat: &Stat, boot: &Boot, users: &UserNames, guids: &HashMap<u32, Uuid>) -> Option<ProcessEntry> {
    let user = proc::user(stat.pid)?;
    let bracketed = || format!("[{}]", stat.name);
    let command_line = joined(&proc::command_line(stat.pid));
    let guid = |pid| guids.get(&pid).copied().unwrap_or(Uuid::nil()).to_string();
    Some(ProcessEntry {
        pid: stat.pid,
        parent: stat.parent,
        path: proc::program(stat.pid).map_or_else(bracketed, |path| path.to_string_lossy().into_owned()),
        command_line: if command_line.is_empty() {
            bracketed()
        } else {
            command_line
        },
        username: users.name(user),
        sid: user.to_string(),
        create_time: boot.start_time(stat),
        proc_guid: guid(stat.pid),
        parent_guid: guid(stat.parent),
    })
}

/// The arguments joined by spaces.
fn joined(command_line: &[u8]) -> String {
    let end = command_line
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let arguments = command_line.get(..end).unwrap_or_default();
    String::from_utf8_lossy(arguments).replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_joined_without_the_last_nul() {
        assert_eq!(joined(b"ls\0-l\0a b\0"), "ls -l a b");
        assert_eq!(joined(b"\0\0"), "");
        assert_eq!(joined(b"title\0\0\0"), "title");
    }
}

//! What this system says in files, read as the agent reads it, so that others than the kernel may be made to say it.
//!
//! Names of processes and files are whoever's who may run a program. Deliberately not here: where the files are.

use super::proc::{Stat, UserNames};
use super::{facts, isolation, memory, scan};
use std::net::IpAddr;

/// What `/proc/<pid>/stat` says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// At most 15 bytes; any character may be in it.
    pub name: String,
    /// The id of its parent.
    pub parent: u32,
    /// The id of its group.
    pub group: u32,
    /// Its threads.
    pub threads: u32,
    /// Clock ticks after the boot.
    pub start_ticks: u64,
}

/// `/proc/<pid>/stat`.
pub fn stat(bytes: &[u8]) -> Option<Process> {
    let stat = Stat::parse(bytes)?;
    Some(Process {
        pid: stat.pid,
        name: stat.name,
        parent: stat.parent,
        group: stat.group,
        threads: stat.threads,
        start_ticks: stat.start_ticks,
    })
}

/// The name of a process that is cut to `name`, completed by what `/proc/<pid>/cmdline` says, if that can be.
pub fn completed_name(name: &str, command_line: &[u8]) -> Option<String> {
    scan::completed(name, command_line)
}

/// `/proc/<pid>/maps`: begin and end of what can be read.
pub fn mappings(maps: &str) -> Vec<(u64, u64)> {
    memory::mappings(maps)
}

/// The head of an image of the process `name` with these mappings: what is in it of others than the kernel.
pub fn image_head(name: &str, maps: &str) -> Vec<u8> {
    memory::image_head(name, maps)
}

/// The head of `/proc/kcore`: physical address, length and place of what is memory.
pub fn physical_memory(kcore: &[u8]) -> Vec<(u64, u64, u64)> {
    memory::physical_memory(kcore)
}

/// `/etc/passwd`: who has this number.
pub fn user(passwd: &str, uid: u32) -> String {
    UserNames::parse(passwd).name(uid)
}

/// `/etc/resolv.conf`.
pub fn name_servers(resolv_conf: &str) -> Vec<IpAddr> {
    isolation::named(resolv_conf)
}

/// `/etc/os-release`.
pub fn os_version(os_release: &str) -> Option<String> {
    facts::pretty_name(os_release)
}

/// `/etc/hosts`: the whole name of the host `name`.
pub fn full_name<'a>(name: &str, hosts: &'a str) -> Option<&'a str> {
    facts::full_name(name, hosts)
}

/// `/proc/net/fib_trie` and `/proc/net/if_inet6`, whichever it is.
pub fn addresses(table: &str) -> Vec<IpAddr> {
    let v4 = facts::local_v4(table).into_iter().map(IpAddr::from);
    v4.chain(facts::local_v6(table).into_iter().map(IpAddr::from))
        .collect()
}

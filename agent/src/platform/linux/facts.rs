//! What the host says about itself.

use crate::platform::Facts;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name of the system that is told, in bytes.
const OS_VERSION_BYTES_MAX: usize = 256;

pub(super) fn read() -> Facts {
    let name = rustix::system::uname();
    Facts {
        hostname: name.nodename().to_string_lossy().into_owned(),
        platform: "linux",
        arch: std::env::consts::ARCH,
        os_version: read_text("/etc/os-release")
            .as_deref()
            .and_then(pretty_name)
            .map(|name| plain(&name))
            .unwrap_or_default(),
        addresses: addresses().iter().map(IpAddr::to_string).collect(),
    }
}

/// The first name with a dot that `/etc/hosts` has for this host's name, else that name itself.
pub(super) fn full_hostname() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let hosts = read_text("/etc/hosts").unwrap_or_default();
    full_name(&name, &hosts).unwrap_or(&name).to_owned()
}

pub(super) fn full_name<'a>(name: &str, hosts: &'a str) -> Option<&'a str> {
    if name.contains('.') {
        return None;
    }
    let line = hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .find(|line| line.split_whitespace().skip(1).any(|other| other == name))?;
    line.split_whitespace().skip(1).find(|other| other.contains('.'))
}

/// A file that may be missing: a host without IPv6 has no `if_inet6`.
fn read_text(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

pub(super) fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    shell_words::split(value).ok()?.into_iter().next()
}

/// As a server takes it: without control characters, and not longer than it may be.
fn plain(text: &str) -> String {
    let end = text.floor_char_boundary(OS_VERSION_BYTES_MAX.min(text.len()));
    let short = text.get(..end).unwrap_or_default();
    short.chars().filter(|c| !c.is_control()).collect()
}

fn addresses() -> BTreeSet<IpAddr> {
    let v4 = read_text("/proc/net/fib_trie")
        .map(|text| local_v4(&text))
        .unwrap_or_default();
    let v6 = read_text("/proc/net/if_inet6")
        .map(|text| local_v6(&text))
        .unwrap_or_default();
    v4.into_iter()
        .map(IpAddr::from)
        .chain(v6.into_iter().map(IpAddr::from))
        .collect()
}

/// The local addresses of a `/proc/net/fib_trie`: a leaf `|-- A.B.C.D`, below it `/32 host LOCAL`.
pub(super) fn local_v4(trie: &str) -> Vec<Ipv4Addr> {
    let mut leaf = None;
    let mut found = Vec::new();
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line.ends_with("host LOCAL") {
            found.extend(leaf.filter(|address| !address.is_loopback()));
        }
    }
    found
}

/// The addresses of a `/proc/net/if_inet6`: 32 hexadecimal digits first on each line.
pub(super) fn local_v6(table: &str) -> Vec<Ipv6Addr> {
    table
        .lines()
        .filter_map(|line| u128::from_str_radix(line.split_whitespace().next()?, 16).ok())
        .map(Ipv6Addr::from)
        .filter(|address| !address.is_loopback())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_without_loopback() {
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 10.1.2.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(local_v4(trie), [Ipv4Addr::new(10, 1, 2, 3)]);
        let table = "00000000000000000000000000000001 01 80 10 80       lo\nfe800000000000000000000000000005 02 40 20 80     eth0\n";
        assert_eq!(local_v6(table), ["fe80::5".parse::<Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn an_odd_os_version_is_made_one_that_servers_take() {
        assert_eq!(plain("Debian\t12\u{1b}[2J"), "Debian12[2J");
        assert_eq!(plain(&"é".repeat(200)).len(), OS_VERSION_BYTES_MAX);
    }

    #[test]
    fn the_os_version_is_unquoted() {
        let text = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(
            pretty_name(text).as_deref(),
            Some("Debian GNU/Linux 12 (bookworm)")
        );
    }

    #[test]
    fn a_name_is_completed_from_the_hosts_file() {
        let hosts = "127.0.0.1 localhost\n# 127.0.1.1 beethoven.old beethoven\n127.0.1.1 beethoven.bonn.example beethoven # b\n";
        assert_eq!(full_name("beethoven", hosts), Some("beethoven.bonn.example"));
        assert_eq!(full_name("beethoven.example", hosts), None);
        assert_eq!(full_name("localhost", hosts), None);
        assert_eq!(full_name("haydn", hosts), None);
    }

    #[test]
    fn this_host_has_a_name() {
        assert!(!read().hostname.is_empty());
    }
}

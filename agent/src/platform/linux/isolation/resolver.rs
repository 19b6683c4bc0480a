//! The name servers that this machine asks, as resolv.conf names them.

use std::net::IpAddr;

/// Where they are named. A stub on this machine stands in the first; whom that asks, in the second.
const FILES: &[&str] = &["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// Most that are taken; the C library asks three.
const NAME_SERVERS_MAX: usize = 8;
/// Longest file that is read.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Those off this machine, in order.
pub(super) fn name_servers() -> Vec<IpAddr> {
    let texts: Vec<String> = FILES
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .filter(|text| text.len() <= FILE_BYTES_MAX)
        .collect();
    named(texts.iter().map(String::as_str))
}

pub(super) fn named<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in texts.flat_map(str::lines) {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        // fe80::1%eth0: which way it is does not matter to a rule.
        let address = words.next().and_then(|word| word.split('%').next());
        let Some(address) = address.and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        let address = address.to_canonical();
        if !address.is_loopback() && !address.is_unspecified() && !found.contains(&address) {
            found.push(address);
        }
    }
    found.truncate(NAME_SERVERS_MAX);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_off_this_machine_are_found_once_each() {
        let stub = "# made by hand\nnameserver 127.0.0.53\noptions edns0\nsearch example.org\n";
        let real = "nameserver 192.0.2.53\nnameserver fe80::1%eth0\n nameserver 192.0.2.53\nnameserver x; drop\nnameserver ::1\n";
        let found: Vec<String> = named([stub, real].into_iter())
            .iter()
            .map(IpAddr::to_string)
            .collect();
        assert_eq!(found, ["192.0.2.53", "fe80::1"]);
    }

    #[test]
    fn no_more_than_a_few_are_taken() {
        let many: String = (0..100).map(|n| format!("nameserver 192.0.2.{n}\n")).collect();
        assert_eq!(named([many.as_str()].into_iter()).len(), NAME_SERVERS_MAX);
    }
}

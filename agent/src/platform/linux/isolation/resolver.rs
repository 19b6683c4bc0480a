//! The name servers that this machine asks, as resolv.conf names them.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

/// Where they are named. A stub on this machine stands in the first; whom that asks, in the second.
const FILES: &[&str] = &["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// Most that are taken; the C library asks three.
const NAME_SERVERS_MAX: usize = 8;
/// Longest file that is read; a longer one is passed over.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Those off this machine, in order.
pub(super) fn name_servers() -> Vec<IpAddr> {
    let texts: Vec<String> = FILES.iter().filter_map(|path| read(Path::new(path))).collect();
    named(texts.iter().map(String::as_str))
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= FILE_BYTES_MAX).then_some(text)
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
    fn a_file_is_read_up_to_its_bound_and_a_longer_one_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let mut text = "nameserver 192.0.2.53\n#".to_owned();
        text.push_str(&"x".repeat(FILE_BYTES_MAX as usize - text.len()));
        std::fs::write(&path, &text).unwrap();
        assert_eq!(read(&path).as_ref(), Some(&text));
        text.push('x');
        std::fs::write(&path, &text).unwrap();
        assert_eq!(read(&path), None);
        assert_eq!(read(&folder.path().join("missing")), None);
    }

    #[test]
    fn no_more_than_a_few_are_taken() {
        let many: String = (0..100).map(|n| format!("nameserver 192.0.2.{n}\n")).collect();
        assert_eq!(named([many.as_str()].into_iter()).len(), NAME_SERVERS_MAX);
    }
}

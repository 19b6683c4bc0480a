//! What a host's system tells its agent in files; names in it are whoever's who may run a program there.
//!
//! Input: what it is in a line, then its content. Behind `process` it is the name of a process, which the kernel puts into
//! a line of its own.

use crate::input::order_and_rest;
use tripline_agent::platform::said;

/// Bytes to which a kernel cuts names.
const NAME_BYTES: usize = 15;

/// No name is taken for anything else, and what is read keeps to its bounds.
pub fn run(data: &[u8]) {
    let (what, content) = order_and_rest(data);
    let what = String::from_utf8_lossy(what);
    let text = String::from_utf8_lossy(content);
    match what.split_once(' ').unwrap_or((&what, "")) {
        ("process", _) => process(content),
        ("stat", _) => drop(said::stat(content)),
        ("cmdline", name) => command_line(name, content),
        ("maps", name) => mappings(name, &text),
        ("kcore", _) => memory(content),
        ("passwd", uid) => user(uid, &text),
        ("resolv.conf", _) => name_servers(&text),
        ("os-release", _) => drop(said::os_version(&text)),
        ("hosts", name) => full_name(name, &text),
        ("addresses", _) => addresses(&text),
        _ => {}
    }
}

/// As the kernel writes it, whatever the process calls itself.
fn process(name: &[u8]) {
    let name: Vec<u8> = name
        .iter()
        .copied()
        .filter(|byte| *byte != 0)
        .take(NAME_BYTES)
        .collect();
    let behind = b") S 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 987654 10 20\n";
    let line = [b"43 (", name.as_slice(), behind].concat();
    let process = said::stat(&line).expect("a process");
    let found = (
        process.pid,
        process.parent,
        process.group,
        process.threads,
        process.start_ticks,
    );
    assert_eq!(found, (43, 7, 42, 3, 987_654), "{:?}", process.name);
    assert_eq!(process.name, String::from_utf8_lossy(&name));
}

fn command_line(name: &str, content: &[u8]) {
    if let Some(whole) = said::completed_name(name, content) {
        assert!(whole.starts_with(name), "{whole:?} for {name:?}");
    }
}

fn mappings(name: &str, maps: &str) {
    let mappings = said::mappings(maps);
    assert!(mappings.iter().all(|(start, end)| start < end));
    // A kernel's never overlap, so that all of them fit into the addresses there are.
    if mappings.is_sorted_by(|one, next| one.1 <= next.0) {
        let head = said::image_head(name, maps);
        assert!(
            head.len().is_multiple_of(4096),
            "the memory would not be at a page"
        );
    }
}

fn memory(kcore: &[u8]) {
    for (physical, bytes, _) in said::physical_memory(kcore) {
        assert!(bytes > 0 && physical.checked_add(bytes).is_some());
    }
}

fn user(uid: &str, passwd: &str) {
    let Ok(uid) = uid.parse() else { return };
    let name = said::user(passwd, uid);
    let is_there = passwd.lines().any(|line| line.starts_with(&format!("{name}:")));
    assert!(is_there || name == uid.to_string(), "{name:?} is nobody");
}

fn name_servers(text: &str) {
    let found = said::name_servers(text);
    assert!(found.len() <= 8);
    assert!(
        !found
            .iter()
            .any(|address| address.is_loopback() || address.is_unspecified())
    );
}

fn full_name(name: &str, hosts: &str) {
    if let Some(full) = said::full_name(name, hosts) {
        assert!(
            full.contains('.') && !full.contains(char::is_whitespace),
            "{full:?}"
        );
    }
}

fn addresses(table: &str) {
    assert!(!said::addresses(table).iter().any(std::net::IpAddr::is_loopback));
}

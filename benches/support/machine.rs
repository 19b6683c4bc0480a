//! What the numbers were measured on.

use super::Outcome;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::fs::read_to_string;

/// A line with processor, kernel and how busy the machine is.
pub(crate) fn describe() -> String {
    let cpus = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |rest| {
        rest.trim_start_matches(['\t', ' ', ':'])
    });
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} × {model}, Linux {}, data on {}, {}",
        cpus.matches("processor\t").count(),
        kernel.trim(),
        file_system(),
        load(),
    )
}

/// The load average of the last minute, in words.
pub(crate) fn load() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    format!("load average {}", text.split(' ').next().unwrap_or("unknown"))
}

/// The type of the file system that holds the data of the bench.
fn file_system() -> String {
    let mounts = read_to_string("/proc/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let holding = fields.filter_map(|fields| match fields.as_slice() {
        [_, point, kind, ..] if env!("CARGO_TARGET_TMPDIR").starts_with(point) => Some((point.len(), *kind)),
        _ => None,
    });
    let (_, kind) = holding.max().unwrap_or((0, "an unknown file system"));
    kind.to_owned()
}

/// Open files beside the agents' connections.
const OTHER_FILES: u64 = 500;

/// For this program and the server, which takes as much as it may.
pub(crate) fn raise_file_limit(agents: u32) -> Outcome {
    let mut limit = getrlimit(Resource::Nofile);
    let needed = u64::from(agents) + OTHER_FILES;
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(format!("{needed} open files are needed: raise the hard limit (ulimit -Hn)").into());
    }
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

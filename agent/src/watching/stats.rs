//! What the agent says of itself with every message.

use crate::platform::Platform;
use tripline_protocol::littlebrother::{ClientStats, VERSION};

/// What a server shows in place of a Python version.
const NO_PYTHON: &str = "none";

/// All nine statistics. The version is the one whose behaviour is followed: a real server marks any lower one as
/// outdated; the agent's own is the revision.
pub(super) fn read(platform: &dyn Platform, distribution: &str) -> ClientStats {
    let used = platform.own_use();
    if let Err(fault) = &used {
        tracing::debug!(%fault, "what this agent uses is not known");
    }
    let used = used.ok();
    ClientStats {
        version: Some(VERSION.to_owned()),
        revision: Some(format!("tripline-agent {}", env!("CARGO_PKG_VERSION"))),
        python_version: Some(NO_PYTHON.to_owned()),
        running_in_docker: is_set("RUNNING_IN_DOCKER") || std::path::Path::new("/.dockerenv").exists(),
        running_in_snap: is_set("RUNNING_IN_SNAP") || is_set("SNAP"),
        linux_distribution: Some(distribution.to_owned()),
        resident_memory_bytes: used.map(|used| used.resident_bytes as f64),
        start_time_seconds: used.map(|used| used.started_at_s),
        cpu_seconds_total: used.map(|used| used.processor_s),
    }
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some()
}

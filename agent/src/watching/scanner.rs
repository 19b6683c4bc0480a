//! One scan, on a blocking thread: the processes of watched users, and what the agent says of itself.

use super::clock::{Clock, settled};
use super::stats;
use crate::platform::{Booted, Look, Platform, SeenProcess};
use crate::watcher::Seen;
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::Fault;
use tripline_protocol::littlebrother::ClientStats;

/// Looks at processes.
#[derive(Clone)]
pub(super) struct Scanner {
    platform: Arc<dyn Platform>,
    clock: Clock,
    distribution: String,
}

/// What a scan brought.
pub(super) struct Scanned {
    pub(super) seen: Vec<Seen>,
    /// The boot that starts were counted from.
    pub(super) boot: Booted,
    pub(super) stats: ClientStats,
}

impl Scanner {
    pub(super) fn new(platform: Arc<dyn Platform>, clock: Clock) -> Self {
        let distribution = platform.facts().os_version;
        Self {
            platform,
            clock,
            distribution,
        }
    }

    /// Scans the processes of the users in `looks`. Blocks.
    pub(super) fn scan(&self, looks: &HashMap<u32, Look>, boot: Option<Booted>) -> Result<Scanned, Fault> {
        let boot = settled(boot, self.platform.booted()?);
        let look = |uid| looks.get(&uid).copied().unwrap_or(Look::Away);
        let found = match looks.is_empty() {
            true => Vec::new(),
            false => self.platform.scan_processes(&look)?,
        };
        Ok(Scanned {
            seen: found
                .into_iter()
                .map(|process| self.seen(process, boot))
                .collect(),
            boot,
            stats: stats::read(&*self.platform, &self.distribution),
        })
    }

    fn seen(&self, process: SeenProcess, boot: Booted) -> Seen {
        Seen {
            pid: process.pid,
            start: self.clock.start(boot, process.started_s),
            start_exact: process.started_exact,
            uid: process.uid,
            name: process.name,
            command_line: process.command_line.unwrap_or_default(),
        }
    }
}

//! What to measure, and how much of it.

use super::agents::Plan;
use super::support::program::Chosen;
use clap::{Parser, ValueEnum};
use std::time::Duration;

/// A part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Jobs of the real cbapi, beside a plainly polled server.
    Cbapi,
    /// Jobs of the Rust client, beside what bounds them.
    Client,
    /// A large file from a host and to it, beside its floors.
    Download,
}

/// The arguments.
#[derive(Debug, Parser)]
#[command(about = "Measures the Carbon Black dialect and the Rust client")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) chosen: Chosen<Part>,
    /// Jobs of a round; the Rust client has a longer one with ten times as many.
    #[arg(long, default_value_t = 200)]
    pub(crate) jobs: u32,
    /// Simulated agents.
    #[arg(long, default_value_t = 20)]
    pub(crate) hosts: u32,
    /// Milliseconds that a command takes on a host.
    #[arg(long, default_value_t = 20)]
    delay: u64,
    /// MiB of the file of `download`.
    #[arg(long, default_value_t = 1024)]
    mebibytes: u64,
    /// Rounds of each part; the medians are printed.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
}

impl Options {
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay)
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.mebibytes << 20
    }

    /// Agents that take their time.
    pub(crate) fn agents(&self, name: &'static str) -> Plan {
        Plan {
            name,
            count: self.hosts,
            delay: self.delay(),
        }
    }
}

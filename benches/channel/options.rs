//! What to measure, and how much of it.

use super::support::program::Chosen;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use tripline_protocol::limit::PING_INTERVAL_SECONDS;

/// A part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The server with many attached agents that do nothing.
    Idle,
    /// A large file from a host and to it, beside a bare WebSocket copy.
    Transfer,
    /// The agent that does nothing.
    Rest,
}

/// The arguments.
#[derive(Debug, Parser)]
#[command(about = "Measures the agent channel")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) chosen: Chosen<Part>,
    /// Simulated agents of `idle`.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) agents: u32,
    /// Seconds between two pings of an agent of `idle`; fewer than a real one's age the server's buffers sooner.
    #[arg(long, default_value_t = PING_INTERVAL_SECONDS)]
    ping: u64,
    /// Seconds before something at rest is measured: three heartbeats.
    #[arg(long, default_value_t = 45)]
    settle: u64,
    /// Seconds for which processor time at rest is counted.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// MiB of the file of `transfer`.
    #[arg(long, default_value_t = 1024)]
    mebibytes: u64,
    /// Rounds of `transfer`; the medians are printed.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
    /// The agent's program, instead of the one that was built beside the server.
    #[arg(long)]
    pub(crate) agent: Option<PathBuf>,
}

impl Options {
    pub(crate) fn ping(&self) -> Duration {
        Duration::from_secs(self.ping)
    }

    pub(crate) fn settle(&self) -> Duration {
        Duration::from_secs(self.settle)
    }

    /// For how long what is at rest is looked at.
    pub(crate) fn look(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.mebibytes << 20
    }
}

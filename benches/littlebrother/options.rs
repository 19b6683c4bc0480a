//! What to measure, and how much of it.

use super::support::program::Chosen;
use clap::{Parser, ValueEnum};
use std::time::Duration;

/// A part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The real LittleBrother server.
    Real,
    /// Tripline, beside its floor.
    Tripline,
    /// Start-up and memory with many known hosts.
    Hosts,
}

/// The arguments.
#[derive(Debug, Parser)]
#[command(about = "Measures Tripline as a LittleBrother server, beside the real one")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) chosen: Chosen<Part>,
    /// Seconds of each run.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Seconds for which the real server is watched as it handles what it accepted.
    #[arg(long, default_value_t = 10)]
    watch: u64,
    /// Clients of the runs with many.
    #[arg(long, default_value_t = 64)]
    pub(crate) clients: u32,
    /// Known hosts of `hosts`.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) hosts: u32,
    /// Open processes of each of them.
    #[arg(long, default_value_t = 10)]
    pub(crate) processes: u32,
}

impl Options {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    pub(crate) fn watch(&self) -> Duration {
        Duration::from_secs(self.watch)
    }
}

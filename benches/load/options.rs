//! What to measure, and how much of it.

use super::agents::Plan;
use super::support::program::Chosen;
use clap::{Parser, ValueEnum};
use std::time::Duration;

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Events that match nothing, from JetStream through the router.
    Events,
    /// Events to durable, run and published jobs.
    Jobs,
    /// One event at a time, publish to result.
    Latency,
    /// One job on many hosts.
    Fanout,
}

/// The arguments.
#[derive(Debug, Parser)]
#[command(about = "Measures Tripline from end to end")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) chosen: Chosen<Scenario>,
    /// Events per round of `events`.
    #[arg(long, default_value_t = 200_000)]
    pub(crate) events: u64,
    /// Jobs per round of `jobs`; a tenth as many warm up.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) jobs: u64,
    /// Events published and not answered yet, in `jobs`.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) window: u64,
    /// Events per round of `latency`; a tenth as many warm up.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) samples: u64,
    /// Simulated agents.
    #[arg(long, default_value_t = 50)]
    pub(crate) hosts: u32,
    /// Simulated agents of `fanout`.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) fanout_hosts: u32,
    /// Session slots of `fanout`.
    #[arg(long, default_value_t = 256)]
    pub(crate) fanout_slots: u32,
    /// Jobs that are open at once in `fanout`.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) in_flight: u32,
    /// Rounds of each scenario; the medians are printed.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
}

impl Options {
    /// They answer at once.
    pub(crate) fn agents(&self) -> Plan {
        Plan {
            name: "bench",
            count: self.hosts,
            delay: Duration::ZERO,
        }
    }
}

//! What to measure, and how much of it.

use super::caller::Kind;
use super::run::Plan;
use super::support::program::Chosen;
use clap::{Parser, ValueEnum};
use std::time::Duration;

/// A part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// A service on the real lcservice.
    Real,
    /// A service written with `tripline-service`.
    Library,
    /// `POST /lc` of the server, beside its floor.
    Tripline,
    /// Deliveries to services that are registered, with and without one that hangs.
    Services,
}

/// The arguments.
#[derive(Debug, Parser)]
#[command(about = "Measures LimaCharlie services: the real lcservice, one in Rust, and Tripline's own role")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) chosen: Chosen<Part>,
    /// Seconds of each run.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Calls in flight of each run.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    callers: Vec<u32>,
    /// Detections of `services`.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) detections: u64,
    /// Milliseconds that a call takes at the slower services.
    #[arg(long, default_value_t = 10)]
    takes: u64,
}

impl Options {
    /// What a call takes at the slower services.
    pub(crate) fn takes(&self) -> Duration {
        Duration::from_millis(self.takes)
    }

    /// Health and detections, each with every number of callers.
    pub(crate) fn plans(&self) -> Vec<Plan> {
        let plan = |kind, callers| Plan {
            kind,
            callers,
            time: Duration::from_secs(self.seconds),
        };
        [Kind::Health, Kind::Detection]
            .into_iter()
            .flat_map(|kind| self.callers.iter().map(move |callers| plan(kind, *callers)))
            .collect()
    }
}

//! What a durable answer cannot cost less than: a request that does nothing, and a durable commit.

use super::stage::Stage;
use super::stats::Samples;
use super::{Outcome, commit};
use std::time::Duration;

/// Bare requests and commits of a floor.
const SAMPLES: u64 = 2_000;

/// The means of both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    pub(crate) request_ms: f64,
    pub(crate) commit_ms: f64,
}

impl Floor {
    /// Measures it beside the server with one client; `look` makes a bare request and says how long it took.
    pub(crate) async fn measure(
        stage: &Stage,
        mut look: impl AsyncFnMut() -> Outcome<Duration>,
    ) -> Outcome<Self> {
        let mut samples = Samples::default();
        for _ in 0..SAMPLES {
            samples.add(look().await?);
        }
        let commits = commit::durable(&stage.folder().join("floor"), SAMPLES)?;
        Ok(Self {
            request_ms: samples.mean_ms(),
            commit_ms: commits.mean_ms(),
        })
    }

    /// Answers per second with so many requests in flight.
    pub(crate) fn rate(self, in_flight: u32) -> f64 {
        f64::from(in_flight) * 1e3 / (self.request_ms + self.commit_ms)
    }
}

//! Callers at work side by side, and what was measured of them.

use super::Outcome;
use super::caller::{Caller, Kind};
use super::stats::Samples;
use futures_util::future::try_join_all;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) callers: u32,
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Calls that were answered with success, those of the warm-up left out.
    pub(crate) answered: u64,
    /// Those of the warm-up.
    pub(crate) before: u64,
    /// Those of them that came in the plan's time. The real service lets some callers wait for seconds, and these do not count as a
    /// time in which it did little.
    pub(crate) in_time: u64,
    pub(crate) time: Duration,
    pub(crate) latency: Samples,
    /// Connections that ended before an answer came.
    pub(crate) resets: u64,
}

impl Run {
    pub(crate) fn rate(&self) -> f64 {
        self.in_time as f64 / self.time.as_secs_f64()
    }
}

/// Connections are opened one after the other, each with a call of its own, so that the run begins with all of them.
pub(crate) async fn run(address: SocketAddr, path: &'static str, plan: Plan) -> Outcome<Run> {
    let mut callers: Vec<Caller> = (0..plan.callers).map(|_| Caller::new(address, path)).collect();
    for caller in &mut callers {
        caller.call(plan.kind).await?;
        caller.resets = 0;
    }
    let until = Instant::now() + plan.time;
    let work = callers.iter_mut().map(|caller| caller.work(plan.kind, until));
    let mut run = Run {
        before: u64::from(plan.callers),
        time: plan.time,
        ..Run::default()
    };
    for samples in try_join_all(work).await? {
        run.latency.join(samples);
    }
    run.answered = run.latency.len();
    run.in_time = callers.iter().map(|caller| caller.in_time).sum();
    run.resets = callers.iter().map(|caller| caller.resets).sum();
    Ok(run)
}

//! Clients at work side by side, and what was measured of them.

use super::Outcome;
use super::client::{Client, Kind};
use super::stats::Samples;
use futures_util::future::try_join_all;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Messages of each client before a run: the first contact, and what its answer brings about.
const WARM_UP: u32 = 2;

/// What is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) clients: u32,
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Answered messages, all with 200.
    pub(crate) answered: u64,
    /// From the first message to the last answer.
    pub(crate) took: Duration,
    /// Of each message.
    pub(crate) latency: Samples,
}

impl Run {
    pub(crate) fn rate(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }
}

/// Lets new clients work. Their names begin with `name`, so that each run has hosts of its own.
pub(crate) async fn run(address: SocketAddr, name: &str, plan: Plan) -> Outcome<Run> {
    let mut clients: Vec<Client> = (0..plan.clients)
        .map(|number| Client::new(address, format!("{name}-{number}")))
        .collect();
    for _ in 0..WARM_UP {
        try_join_all(clients.iter_mut().map(|client| client.send(Kind::Empty))).await?;
    }
    let began = Instant::now();
    let until = began + plan.time;
    let work = clients.iter_mut().map(|client| client.work(plan.kind, until));
    let mut run = Run::default();
    for samples in try_join_all(work).await? {
        run.latency.join(samples);
    }
    run.took = began.elapsed();
    run.answered = run.latency.len();
    Ok(run)
}

//! The real server under load: what it accepts, and what it has handled of that.

use super::client::Kind;
use super::options::Options;
use super::real::{RealServer, Workshop};
use super::run::{Plan, Run, run};
use super::{Outcome, machine};
use std::path::Path;
use std::time::Instant;

/// A run of the real server.
pub(crate) struct PeerRun {
    pub(crate) plan: Plan,
    pub(crate) run: Run,
    /// Events it handled per second, at its best: while it accepted, or afterwards when nothing else came.
    pub(crate) handled: Option<f64>,
    /// Processor time of each message.
    pub(crate) cpu_ms: f64,
}

/// A fresh server for each plan.
pub(crate) async fn measure(folder: &Path, plans: &[Plan], options: &Options) -> Outcome<Vec<PeerRun>> {
    let workshop = Workshop::open(folder).await?;
    let mut runs = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let server = workshop.start(&format!("run-{number}")).await?;
        let run = one(&server, *plan, options).await?;
        eprintln!(
            "real server, {:?}, {} clients: {:.0}/s accepted, handled/s {:.0?}, {}",
            plan.kind,
            plan.clients,
            run.run.rate(),
            run.handled,
            machine::load()
        );
        runs.push(run);
        server.stop().await?;
    }
    Ok(runs)
}

async fn one(server: &RealServer, plan: Plan, options: &Options) -> Outcome<PeerRun> {
    let before = server.cpu_seconds()?;
    let began = Instant::now();
    let run = run(server.address, "bench", plan).await?;
    let cpu_ms = (server.cpu_seconds()? - before) * 1e3 / run.answered as f64;
    let handled = match plan.kind {
        Kind::Empty => None,
        _ => Some(handled(server, began, options).await?),
    };
    Ok(PeerRun {
        plan,
        run,
        handled,
        cpu_ms,
    })
}

/// The better of two rates: since `began`, and from now on for a while.
async fn handled(server: &RealServer, began: Instant, options: &Options) -> Outcome<f64> {
    let first = server.handled().await?;
    let during = first as f64 / began.elapsed().as_secs_f64();
    let since = Instant::now();
    // What is measured: how much it handles in this time.
    tokio::time::sleep(options.watch()).await;
    let second = server.handled().await?;
    let after = (second - first) as f64 / since.elapsed().as_secs_f64();
    Ok(during.max(after))
}

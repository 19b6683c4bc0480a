//! Tripline under the same load. An answer means that the message is handled and durable; a run counts only when
//! nothing of it waits anywhere soon after its end.

use super::backlog::{Backlog, SETTLED_WITHIN};
use super::client::{Client, GAME, Kind, LOGIN, SECRET, UID};
use super::run::{Plan, Run, run};
use super::stage::Stage;
use super::stats::Samples;
use super::usage::Cpu;
use super::{Outcome, commit, machine};
use std::time::{Duration, Instant};

/// The events that the clients send.
pub(crate) const SUBJECTS: [&str; 2] = [
    "tripline.events.default.PROCESS_START",
    "tripline.events.default.PROCESS_END",
];
/// Bare requests and commits of the floor.
const FLOOR_SAMPLES: u64 = 2_000;

/// What is added to the server's configuration. No host of a bench counts as silent.
pub(crate) fn configuration() -> String {
    format!(
        "[littlebrother]\nsecret = \"{SECRET}\"\ntime_zone = \"UTC\"\n\
         maximum_time_without_send = \"1h\"\n\n\
         [[littlebrother.users]]\nlogin = \"{LOGIN}\"\nactive = true\nprocess_name_pattern = \"{GAME}\"\nuid = {UID}\n"
    )
}

/// What a message with one event cannot cost less than: a request that does nothing, and a durable commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    pub(crate) request_ms: f64,
    pub(crate) commit_ms: f64,
}

impl Floor {
    /// Messages per second of one client.
    pub(crate) fn rate(self) -> f64 {
        1e3 / (self.request_ms + self.commit_ms)
    }
}

/// A run of Tripline.
pub(crate) struct OurRun {
    pub(crate) plan: Plan,
    pub(crate) run: Run,
    /// When nothing waited any more after its end.
    pub(crate) settled: Duration,
    /// Processor seconds while it ran and settled.
    pub(crate) cpu: Cpu,
}

impl OurRun {
    pub(crate) fn counts(&self) -> bool {
        self.settled <= SETTLED_WITHIN
    }
}

/// The floor, measured beside the server with one client.
pub(crate) async fn floor(stage: &Stage) -> Outcome<Floor> {
    let mut client = Client::new(stage.address()?, "nobody".to_owned());
    let mut samples = Samples::default();
    for _ in 0..FLOOR_SAMPLES {
        let began = Instant::now();
        client.look("/healthz").await?;
        samples.add(began.elapsed());
    }
    let commits = commit::durable(&stage.folder().join("floor"), FLOOR_SAMPLES)?;
    Ok(Floor {
        request_ms: samples.mean_ms(),
        commit_ms: commits.mean_ms(),
    })
}

/// All plans, each with hosts of its own.
pub(crate) async fn measure(stage: &Stage, plans: &[Plan]) -> Outcome<Vec<OurRun>> {
    let backlog = Backlog::open(stage, &SUBJECTS).await?;
    let mut runs = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let stored = backlog.stored().await?;
        let before = stage.cpu()?;
        let run = run(stage.address()?, &format!("run-{number}"), *plan).await?;
        let events = if plan.kind == Kind::Empty { 0 } else { run.answered };
        let settled = backlog.settle(stored + events, 10 * SETTLED_WITHIN).await?;
        let run = OurRun {
            plan: *plan,
            run,
            settled,
            cpu: stage.cpu()? - before,
        };
        eprintln!(
            "tripline, {:?}, {} clients: {:.0}/s, settled after {:.2} s, cpu {}, {}",
            plan.kind,
            plan.clients,
            run.run.rate(),
            settled.as_secs_f64(),
            run.cpu,
            machine::load()
        );
        runs.push(run);
    }
    Ok(runs)
}

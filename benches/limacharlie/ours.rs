//! `POST /lc` of the server. An answer to a detection means that it is durable; a run counts only when nothing of it waits
//! anywhere soon after its end.

use super::backlog::{Backlog, SETTLED_WITHIN};
use super::caller::{CAT, Caller, Kind, SECRET};
use super::run::{Plan, Run, run};
use super::stage::Stage;
use super::stats::Samples;
use super::usage::Cpu;
use super::{Outcome, commit, machine};
use std::time::Duration;

const PATH: &str = "/lc";
/// The events that the calls cause; the org is that of the callers.
const SUBJECTS: [&str; 1] = ["tripline.events.8cbe27f4-bfa1-4afb-ba19-138cd51389cd.detection"];
/// Bare requests and commits of the floor.
const FLOOR_SAMPLES: u64 = 2_000;

/// What is added to the server's configuration.
pub(crate) fn configuration() -> String {
    format!("[limacharlie]\nsecret = \"{SECRET}\"\ndetections = [\"{CAT}\"]\n")
}

/// What a durable call cannot cost less than: a request that does nothing, and a durable commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    pub(crate) request_ms: f64,
    pub(crate) commit_ms: f64,
}

impl Floor {
    /// Calls per second with so many in flight.
    pub(crate) fn rate(self, callers: u32) -> f64 {
        f64::from(callers) * 1e3 / (self.request_ms + self.commit_ms)
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

/// The floor, measured beside the server with one caller.
pub(crate) async fn floor(stage: &Stage) -> Outcome<Floor> {
    let mut caller = Caller::new(stage.address()?, "/healthz");
    let mut samples = Samples::default();
    for _ in 0..FLOOR_SAMPLES {
        samples.add(caller.call(Kind::Bare).await?);
    }
    let commits = commit::durable(&stage.folder().join("floor"), FLOOR_SAMPLES)?;
    Ok(Floor {
        request_ms: samples.mean_ms(),
        commit_ms: commits.mean_ms(),
    })
}

/// All plans.
pub(crate) async fn measure(stage: &Stage, plans: &[Plan]) -> Outcome<Vec<OurRun>> {
    let backlog = Backlog::open(stage, &SUBJECTS).await?;
    let mut runs = Vec::new();
    for plan in plans {
        let stored = backlog.stored().await?;
        let before = stage.cpu()?;
        let run = run(stage.address()?, PATH, *plan).await?;
        let events = match plan.kind {
            Kind::Detection => run.answered + run.before,
            Kind::Health | Kind::Bare => 0,
        };
        let settled = backlog.settle(stored + events, 10 * SETTLED_WITHIN).await?;
        let run = OurRun {
            plan: *plan,
            run,
            settled,
            cpu: stage.cpu()? - before,
        };
        eprintln!(
            "tripline, {:?}, {} callers: {:.0}/s, settled after {:.2} s, cpu {}, {}",
            plan.kind,
            plan.callers,
            run.run.rate(),
            settled.as_secs_f64(),
            run.cpu,
            machine::load()
        );
        runs.push(run);
    }
    Ok(runs)
}

//! `POST /lc` of the server. An answer to a detection means that it is durable; a run counts only when nothing of it waits
//! anywhere soon after its end.

use super::backlog::{Backlog, Watched};
use super::caller::{CAT, Caller, Kind, SECRET};
use super::floor::Floor;
use super::run::{Plan, Run, run};
use super::stage::Stage;
use super::{Outcome, machine};

const PATH: &str = "/lc";
/// The events that the calls cause; the org is that of the callers.
const SUBJECTS: [&str; 1] = ["tripline.events.8cbe27f4-bfa1-4afb-ba19-138cd51389cd.detection"];

/// What is added to the server's configuration.
pub(crate) fn configuration() -> String {
    format!("[limacharlie]\nsecret = \"{SECRET}\"\ndetections = [\"{CAT}\"]\n")
}

/// A run of Tripline.
pub(crate) struct OurRun {
    pub(crate) plan: Plan,
    pub(crate) watched: Watched<Run>,
}

/// The floor, measured beside the server with one caller.
pub(crate) async fn floor(stage: &Stage) -> Outcome<Floor> {
    let mut caller = Caller::new(stage.address()?, "/healthz");
    Floor::measure(stage, async || caller.call(Kind::Bare).await).await
}

/// All plans.
pub(crate) async fn measure(stage: &Stage, plans: &[Plan]) -> Outcome<Vec<OurRun>> {
    let backlog = Backlog::open(stage, &SUBJECTS).await?;
    let mut runs = Vec::new();
    for plan in plans {
        let events = |run: &Run| match plan.kind {
            Kind::Detection => run.answered + run.before,
            Kind::Health | Kind::Bare => 0,
        };
        let run = run(stage.address()?, PATH, *plan);
        let watched = backlog.watch(stage, run, events).await?;
        eprintln!(
            "tripline, {:?}, {} callers: {:.0}/s, settled after {:.2} s, cpu {}, {}",
            plan.kind,
            plan.callers,
            watched.run.rate(),
            watched.settled.as_secs_f64(),
            watched.cpu,
            machine::load()
        );
        runs.push(OurRun { plan: *plan, watched });
    }
    Ok(runs)
}

//! Tripline under the same load. An answer means that the message is handled and durable; a run counts only when
//! nothing of it waits anywhere soon after its end.

use super::backlog::{Backlog, Watched};
use super::client::{Client, GAME, Kind, LOGIN, SECRET, UID};
use super::floor::Floor;
use super::run::{Plan, Run, run};
use super::stage::Stage;
use super::{Outcome, machine};
use std::time::Instant;

/// The events that the clients send.
pub(crate) const SUBJECTS: [&str; 2] = [
    "tripline.events.default.PROCESS_START",
    "tripline.events.default.PROCESS_END",
];

/// What is added to the server's configuration. No host of a bench counts as silent.
pub(crate) fn configuration() -> String {
    format!(
        "[littlebrother]\nsecret = \"{SECRET}\"\ntime_zone = \"UTC\"\n\
         maximum_time_without_send = \"1h\"\n\n\
         [[littlebrother.users]]\nlogin = \"{LOGIN}\"\nactive = true\nprocess_name_pattern = \"{GAME}\"\nuid = {UID}\n"
    )
}

/// A run of Tripline.
pub(crate) struct OurRun {
    pub(crate) plan: Plan,
    pub(crate) watched: Watched<Run>,
}

/// The floor, measured beside the server with one client.
pub(crate) async fn floor(stage: &Stage) -> Outcome<Floor> {
    let mut client = Client::new(stage.address()?, "nobody".to_owned());
    let look = async || {
        let began = Instant::now();
        client.look("/healthz").await?;
        Ok(began.elapsed())
    };
    Floor::measure(stage, look).await
}

/// All plans, each with hosts of its own.
pub(crate) async fn measure(stage: &Stage, plans: &[Plan]) -> Outcome<Vec<OurRun>> {
    let backlog = Backlog::open(stage, &SUBJECTS).await?;
    let mut runs = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let events = |run: &Run| match plan.kind {
            Kind::Empty => 0,
            _ => run.answered,
        };
        let name = format!("run-{number}");
        let run = run(stage.address()?, &name, *plan);
        let watched = backlog.watch(stage, run, events).await?;
        eprintln!(
            "tripline, {:?}, {} clients: {:.0}/s, settled after {:.2} s, cpu {}, {}",
            plan.kind,
            plan.clients,
            watched.run.rate(),
            watched.settled.as_secs_f64(),
            watched.cpu,
            machine::load()
        );
        runs.push(OurRun { plan: *plan, watched });
    }
    Ok(runs)
}

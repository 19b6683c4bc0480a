//! The load program of LimaCharlie's service protocol: `cargo bench --bench limacharlie [-- real|library|tripline|services …]`.
//!
//! It puts the same signed calls to a service on the real lcservice, to one written with `tripline-service`, and to `POST /lc` of
//! `tripline serve`, over connections that are kept; then it lets the server deliver detections to services of its own. It prints the
//! figures as tables in markdown. Method and numbers: `benches/README.md`. Deliberately not here: pass or fail; a number is not a
//! test. But an answer that is no success ends the program, and a run of Tripline after which something still waits does not count.

mod caller;
mod listener;
mod options;
mod others;
mod ours;
mod run;
mod services;
#[expect(dead_code, reason = "the other load programs use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod table;

use clap::Parser;
use options::{Options, Part};
use stage::Stage;
use support::{Outcome, backlog, floor, machine, program, stage, stats, usage};

fn main() -> Outcome {
    program::run(run_all(&Options::parse()))
}

async fn run_all(options: &Options) -> Outcome {
    let (plans, parts) = (options.plans(), options.chosen.parts());
    let folder = tempfile::Builder::new()
        .prefix("limacharlie-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut peers = Vec::new();
    if parts.contains(&Part::Real) {
        peers = others::real(folder.path(), &plans).await?;
        table::others("The real lcservice", &mut peers, &[]);
    }
    if parts.contains(&Part::Library) {
        let mut runs = others::library(folder.path(), &plans).await?;
        table::others("A service with tripline-service", &mut runs, &peers);
    }
    if parts.contains(&Part::Tripline) {
        let stage = Stage::set(&ours::configuration()).await?;
        let floor = ours::floor(&stage).await?;
        let mut runs = ours::measure(&stage, &plans).await?;
        table::ours(&mut runs, &peers, floor);
        stage.clear().await?;
    }
    if parts.contains(&Part::Services) {
        table::services(&services::measure(options).await?);
    }
    Ok(())
}

//! The load program of LittleBrother: `cargo bench --bench littlebrother [-- real|tripline|hosts …]`.
//!
//! It starts the real LittleBrother server, then a broker and `tripline serve`, puts the same load on both, one new
//! TCP connection for every message, and prints the figures as tables in markdown. Method and numbers:
//! `benches/README.md`. Deliberately not here: pass or fail; a number is not a test. But a run after which
//! something still waits does not count, and one that loses an event or makes one twice ends the program.

mod client;
mod hosts;
mod options;
mod ours;
mod peer;
mod real;
mod run;
#[expect(dead_code, reason = "the other load program uses the rest")]
#[path = "../support/mod.rs"]
mod support;
mod table;

use clap::Parser;
use client::Kind;
use options::{Options, Part};
use run::Plan;
use stage::Stage;
use support::{Outcome, backlog, floor, machine, program, stage, stats, usage};

fn main() -> Outcome {
    program::run(run_all(&Options::parse()))
}

/// Empty messages and messages with one event, of one client and of many.
fn plans(options: &Options) -> Vec<Plan> {
    let plan = |kind, clients| Plan {
        kind,
        clients,
        time: options.time(),
    };
    [Kind::Empty, Kind::Event]
        .into_iter()
        .flat_map(|kind| [plan(kind, 1), plan(kind, options.clients)])
        .collect()
}

async fn run_all(options: &Options) -> Outcome {
    let (plans, parts) = (plans(options), options.chosen.parts());
    let mut peers = Vec::new();
    if parts.contains(&Part::Real) {
        let folder = tempfile::Builder::new()
            .prefix("littlebrother-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        peers = peer::measure(folder.path(), &plans, options).await?;
        table::peer(&mut peers);
    }
    if !parts.contains(&Part::Tripline) && !parts.contains(&Part::Hosts) {
        return Ok(());
    }
    let mut stage = Stage::set(&ours::configuration()).await?;
    if parts.contains(&Part::Tripline) {
        let floor = ours::floor(&stage).await?;
        let mut runs = ours::measure(&stage, &plans).await?;
        table::ours(&mut runs, &peers);
        table::floor(floor, &runs);
    }
    if parts.contains(&Part::Hosts) {
        table::known(&hosts::measure(&mut stage, options).await?);
    }
    stage.clear().await
}

//! The load program: `cargo bench --bench load [-- events|jobs|latency|fanout …]`.
//!
//! It starts a broker, the real server (`tripline serve` as a child) and simulated agents, each with a real
//! WebSocket, measures four scenarios, and prints them as tables in markdown beside floors that are measured in
//! the same run. Method and numbers: `benches/README.md`. Deliberately not here: pass or fail; a number is not a
//! test.

mod events;
mod fanout;
mod floor;
mod jobs;
mod latency;
mod options;
#[expect(dead_code, reason = "the other load program uses the rest")]
#[path = "../support/mod.rs"]
mod support;

use clap::Parser;
use options::{Options, Scenario};
use stage::Stage;
use support::{Outcome, agents, commit, machine, outside, program, stage, stats, usage};

fn main() -> Outcome {
    program::run(run(&Options::parse()))
}

async fn run(options: &Options) -> Outcome {
    let (alone, together): (Vec<_>, Vec<_>) = options
        .chosen
        .parts()
        .into_iter()
        .partition(|scenario| *scenario == Scenario::Fanout);
    if !alone.is_empty() {
        fanout::run(options).await?;
    }
    if together.is_empty() {
        return Ok(());
    }
    let mut stage = Stage::set("").await?;
    for scenario in together {
        match scenario {
            Scenario::Events => events::run(&mut stage, options).await?,
            Scenario::Jobs => jobs::run(&mut stage, options).await?,
            Scenario::Latency => latency::run(&mut stage, options).await?,
            // It has a server of its own.
            Scenario::Fanout => {}
        }
    }
    stage.clear().await
}

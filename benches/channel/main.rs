//! The load program of the agent channel: `cargo bench --bench channel [-- idle|transfer|rest …]`.
//!
//! It starts a broker, `tripline serve` and agents, and measures what the server needs for agents that do nothing, how
//! fast large files go to a host and from it, and what an agent needs that does nothing. The figures are printed as
//! tables in markdown. Method and numbers: `benches/README.md`. Deliberately not here: pass or fail; a number is not a
//! test. But a connection that is lost and a file that is not what it was end the program.

mod copy;
mod fleet;
mod idle;
mod options;
mod rest;
#[expect(dead_code, reason = "the other load programs use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod transfer;

use clap::Parser;
use options::{Options, Part};
use support::{Outcome, door, machine, program, real_agent, source, stage, stats, tls, usage};

fn main() -> Outcome {
    program::run(run(&Options::parse()))
}

async fn run(options: &Options) -> Outcome {
    for part in options.chosen.parts() {
        match part {
            Part::Idle => idle::run(options).await?,
            Part::Transfer => transfer::run(options).await?,
            Part::Rest => rest::run(options).await?,
        }
    }
    Ok(())
}

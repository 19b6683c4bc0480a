//! The load program of the Carbon Black dialect and of the Rust client: `cargo bench --bench carbonblack
//! [-- cbapi|client|download …]`.
//!
//! It starts a broker, `tripline serve` and agents, lets the real cbapi and the Rust client run jobs and large files go
//! both ways, and prints the figures as tables in markdown beside peers and floors that are measured in the same run.
//! Method and numbers: `benches/README.md`. Deliberately not here: pass or fail; a number is not a test. But a job
//! that fails and a file that is not what it was end the program.

mod cbapi;
mod client;
mod download;
mod floor;
mod options;
mod plain_http;
mod python;
mod stand_in;
#[expect(dead_code, reason = "the other load programs use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod table;

use clap::Parser;
use options::{Options, Part};
use stage::Stage;
use support::{Outcome, agents, commit, machine, program, real_agent, source, stage, stats, tls, usage};

/// So much room that every round can keep its files.
const CONFIGURATION: &str = "[artifacts]\nbytes_max = \"64GiB\"\n";

fn main() -> Outcome {
    program::run(run(&Options::parse()))
}

async fn run(options: &Options) -> Outcome {
    let stage = Stage::set(CONFIGURATION).await?;
    for part in options.chosen.parts() {
        match part {
            Part::Cbapi => cbapi::run(&stage, options).await?,
            Part::Client => client::run(&stage, options).await?,
            Part::Download => download::run(&stage, options).await?,
        }
    }
    stage.clear().await
}

//! One event at a time, from its publish to its result, beside the sum of its parts.

use super::agents::{self, Prober};
use super::floor::{self, Parts};
use super::jobs::Outside;
use super::options::Options;
use super::stage::Stage;
use super::stats::{Samples, median};
use super::{Outcome, machine};
use std::time::Instant;

struct Round {
    p50: f64,
    p99: f64,
    parts: Parts,
}

pub(crate) async fn run(stage: &mut Stage, options: &Options) -> Outcome {
    let agents = agents::start(stage, options.agents()).await?;
    let mut outside = Outside::connect(stage, &agents, "latency").await?;
    let mut prober = Prober::start(stage).await?;
    one_at_a_time(&mut outside, options.samples / 10).await?;
    floor::parts(stage, &mut prober, options.samples / 10).await?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let mut samples = one_at_a_time(&mut outside, options.samples).await?;
        let round = Round {
            p50: samples.percentile_ms(50),
            p99: samples.percentile_ms(99),
            parts: floor::parts(stage, &mut prober, options.samples).await?,
        };
        eprintln!(
            "latency: p50 {:.2} ms, p99 {:.2} ms, floors {:.2} ms, {}",
            round.p50,
            round.p99,
            round.parts.sum_ms(),
            machine::load()
        );
        rounds.push(round);
    }
    print(&rounds, options);
    Ok(())
}

async fn one_at_a_time(outside: &mut Outside, count: u64) -> Outcome<Samples> {
    let mut samples = Samples::default();
    for _ in 0..count {
        let began = Instant::now();
        outside.publish().await?;
        outside.hear().await?;
        samples.add(began.elapsed());
    }
    Ok(samples)
}

fn print(rounds: &[Round], options: &Options) {
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    println!(
        "\nOne event at a time, publish to result ({} events, {} rounds, {})\n",
        options.samples,
        rounds.len(),
        machine::load()
    );
    println!(
        "| p50 | p99 | floors together | p50 / floors | JetStream publish (× 2) | commit (× 2) | WebSocket round trip |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    println!(
        "| {:.2} ms | {:.2} ms | {:.2} ms | {:.1} | {:.2} ms | {:.2} ms | {:.2} ms |",
        of(|round| round.p50),
        of(|round| round.p99),
        of(|round| round.parts.sum_ms()),
        of(|round| round.p50 / round.parts.sum_ms()),
        of(|round| round.parts.publish_ms),
        of(|round| round.parts.commit_ms),
        of(|round| round.parts.round_trip_ms),
    );
}

//! The figures, as tables in markdown.

use super::backlog::Watched;
use super::caller::Kind;
use super::floor::Floor;
use super::others::OtherRun;
use super::ours::OurRun;
use super::run::{Plan, Run};
use super::services::{ANSWERING, Delivered};

fn name(plan: &Plan) -> String {
    let what = match plan.kind {
        Kind::Health => "health",
        Kind::Detection => "detection",
        Kind::Bare => "bare",
    };
    format!("{what}, {}", plan.callers)
}

fn rate_and_latency(run: &mut Run) -> String {
    format!("{:.0} | {}", run.rate(), run.latency.cells())
}

/// How many times the rate of the real service under the same plan.
fn times(run: &Run, plan: &Plan, peers: &[OtherRun]) -> String {
    let peer = peers
        .iter()
        .find(|peer| (peer.plan.kind, peer.plan.callers) == (plan.kind, plan.callers));
    peer.map_or("–".to_owned(), |peer| {
        format!("{:.1}", run.rate() / peer.run.rate())
    })
}

pub(crate) fn others(title: &str, runs: &mut [OtherRun], peers: &[OtherRun]) {
    println!("\n{title}\n");
    println!(
        "| calls, in flight | answered/s | p50 ms | p90 ms | p99 ms | × real | cut connections | CPU of a call |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for other in runs {
        println!(
            "| {} | {} | {} | {} | {:.3} ms |",
            name(&other.plan),
            rate_and_latency(&mut other.run),
            times(&other.run, &other.plan, peers),
            other.run.resets,
            other.cpu_ms
        );
    }
}

pub(crate) fn ours(runs: &mut [OurRun], peers: &[OtherRun], floor: Floor) {
    println!(
        "\nTripline: bare request {:.3} ms, durable commit {:.3} ms\n",
        floor.request_ms, floor.commit_ms
    );
    println!(
        "| calls, in flight | durable and answered/s | p50 ms | p90 ms | p99 ms | × real | of the floor | nothing waits after | \
         CPU of a call: server | broker | load program |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for ours in runs {
        let counts = ours.watched.counts();
        let Watched { run, settled, cpu } = &mut ours.watched;
        let (times, share) = match counts {
            true => (
                times(run, &ours.plan, peers),
                format!("{:.0} %", 100.0 * run.rate() / floor.rate(ours.plan.callers)),
            ),
            false => ("does not count".to_owned(), "does not count".to_owned()),
        };
        let share = match ours.plan.kind {
            Kind::Detection => share,
            // It is not durable.
            Kind::Health | Kind::Bare => "–".to_owned(),
        };
        println!(
            "| {} | {} | {times} | {share} | {:.2} s | {} |",
            name(&ours.plan),
            rate_and_latency(run),
            settled.as_secs_f64(),
            cpu.cells(run.answered as f64),
        );
    }
}

pub(crate) fn services(rounds: &[Delivered]) {
    let detections = rounds.first().map_or(0, |round| round.detections);
    println!("\n{detections} detections to {ANSWERING} services that answer\n");
    println!(
        "| a call takes there | one more hangs | all have all after | the first after | calls/s | beside the rate without | of what they can \
         take | hanging calls | server: memory before, most | CPU of a call: server | broker | load program |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for round in rounds {
        let without = rounds
            .iter()
            .find(|other| other.takes == round.takes && !other.beside_hanging);
        let beside = without.map_or(0.0, |without| round.rate() / without.rate());
        let share = match round.takes.is_zero() {
            true => "–".to_owned(),
            false => format!("{:.0} %", 100.0 * round.share_taken()),
        };
        let (before, most) = round.resident;
        println!(
            "| {:?} | {} | {:.1} s | {:.1} s | {:.0} | {beside:.2} | {share} | {} | {before:.0}, {most:.0} MiB | {} |",
            round.takes,
            if round.beside_hanging { "yes" } else { "no" },
            round.took.as_secs_f64(),
            round.first.as_secs_f64(),
            round.rate(),
            round.hanging,
            round.cpu.cells(round.calls()),
        );
    }
}

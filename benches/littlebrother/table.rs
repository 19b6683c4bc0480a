//! The figures, as tables in markdown.

use super::backlog::Watched;
use super::client::Kind;
use super::floor::Floor;
use super::hosts::Known;
use super::ours::OurRun;
use super::peer::PeerRun;
use super::run::{Plan, Run};

fn name(plan: &Plan) -> String {
    let what = match plan.kind {
        Kind::Empty => "empty",
        _ => "one event",
    };
    format!("{what}, {}", plan.clients)
}

fn rate_and_latency(run: &mut Run) -> String {
    format!("{:.0} | {}", run.rate(), run.latency.cells())
}

pub(crate) fn peer(runs: &mut [PeerRun]) {
    println!("\nThe real server\n");
    println!("| messages, clients | accepted/s | p50 ms | p90 ms | p99 ms | handled/s | CPU of a message |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for peer in runs {
        let handled = peer.handled.map_or("–".to_owned(), |rate| format!("{rate:.0}"));
        println!(
            "| {} | {} | {handled} | {:.2} ms |",
            name(&peer.plan),
            rate_and_latency(&mut peer.run),
            peer.cpu_ms
        );
    }
}

pub(crate) fn ours(runs: &mut [OurRun], peers: &[PeerRun]) {
    println!("\nTripline\n");
    println!(
        "| messages, clients | handled and durable/s | p50 ms | p90 ms | p99 ms | × accepted | × handled | nothing waits after | \
         CPU of a message: server | broker | load program |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for ours in runs {
        let counts = ours.watched.counts();
        let Watched { run, settled, cpu } = &mut ours.watched;
        let peer = peers
            .iter()
            .find(|peer| (peer.plan.kind, peer.plan.clients) == (ours.plan.kind, ours.plan.clients));
        let times = |theirs: Option<f64>| match theirs {
            Some(theirs) if counts => format!("{:.1}", run.rate() / theirs),
            Some(_) => "does not count".to_owned(),
            None => "–".to_owned(),
        };
        let accepted = times(peer.map(|peer| peer.run.rate()));
        let handled = times(peer.and_then(|peer| peer.handled));
        println!(
            "| {} | {} | {accepted} | {handled} | {:.2} s | {} |",
            name(&ours.plan),
            rate_and_latency(run),
            settled.as_secs_f64(),
            cpu.cells(run.answered as f64),
        );
    }
}

pub(crate) fn floor(floor: Floor, runs: &[OurRun]) {
    println!("\nOne client beside the floor\n");
    println!("| bare request | durable commit | floor | one event | of the floor | empty | of the floor |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let share = |kind: Kind| {
        let run = runs
            .iter()
            .find(|run| run.plan.kind == kind && run.plan.clients == 1);
        run.map_or("– | –".to_owned(), |run| {
            let rate = run.watched.run.rate();
            format!("{rate:.0}/s | {:.0} %", 100.0 * rate / floor.rate(1))
        })
    };
    println!(
        "| {:.3} ms | {:.3} ms | {:.0}/s | {} | {} |",
        floor.request_ms,
        floor.commit_ms,
        floor.rate(1),
        share(Kind::Event),
        share(Kind::Empty)
    );
}

pub(crate) fn known(known: &Known) {
    println!(
        "\n{} known hosts with {} open processes each\n",
        known.hosts, known.processes
    );
    println!("| first messages/s | start until ready | server RSS ready | after 1,000 hosts reported |");
    println!("| --- | --- | --- | --- |");
    println!(
        "| {:.0} | {:.2} s | {:.0} MiB | {:.0} MiB |",
        known.joined,
        known.start.as_secs_f64(),
        known.resident_mib.0,
        known.resident_mib.1
    );
}

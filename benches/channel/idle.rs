//! Many agents that are attached and do nothing: what the server needs for each.

use super::door::{Door, Identity, Way};
use super::fleet::{self, Fleet};
use super::options::Options;
use super::stage::Stage;
use super::usage::{cpu_seconds, forget_peak, peak_mib};
use super::{Outcome, machine};
use std::time::Instant;
use tokio::time::sleep;

/// The agents come as fast as they can, with one token.
const CONFIGURATION: &str = "[limits]\nrequests_per_second = 0\n";

/// The server before and with its agents. Memory in MiB, processor time as a share of one core.
struct Idle {
    way: Way,
    before: f64,
    before_cpu: f64,
    attached_per_second: f64,
    with: f64,
    peak: f64,
    cpu: f64,
    frames_per_second: f64,
}

pub(crate) async fn run(options: &Options) -> Outcome {
    machine::raise_file_limit(options.agents)?;
    let mut stage = Stage::set(CONFIGURATION).await?;
    // What is measured is a server at rest, which no event announces.
    sleep(options.settle()).await;
    let empty = stage.resident()?.0;
    let begun = Instant::now();
    let identities = fleet::enrol(&Door::open(&stage).await?, options.agents).await?;
    let enrolled_per_second = f64::from(options.agents) / begun.elapsed().as_secs_f64();
    eprintln!("idle: {enrolled_per_second:.0} enrolled/s, {}", machine::load());
    let mut measured = Vec::new();
    for way in Way::BOTH {
        // What came before leaves nothing behind that could be used again.
        stage.stop_server().await?;
        stage.start_server().await?;
        let idle = measure(&stage, way, &identities, options).await?;
        eprintln!(
            "idle, {way}: {:.0} → {:.0} MiB, {:.1} % of a core, {}",
            idle.before,
            idle.with,
            100.0 * idle.cpu,
            machine::load()
        );
        measured.push(idle);
    }
    print(&measured, empty, options);
    stage.clear().await
}

async fn measure(stage: &Stage, way: Way, identities: &[Identity], options: &Options) -> Outcome<Idle> {
    let server = stage.server_pid()?;
    // At rest again, as above.
    sleep(options.settle()).await;
    let before_cpu = share_of_core(server, options).await?;
    let before = stage.resident()?.0;
    forget_peak(server)?;
    let door = Door::open_at(stage, way).await?.with_small_buffers();
    let begun = Instant::now();
    let mut fleet = Fleet::attach(&door, identities, options.ping()).await?;
    let attached_per_second = identities.len() as f64 / begun.elapsed().as_secs_f64();
    // At rest again, as above.
    sleep(options.settle()).await;
    let heard = fleet.heard();
    let cpu = share_of_core(server, options).await?;
    fleet.check()?;
    Ok(Idle {
        way,
        before,
        before_cpu,
        attached_per_second,
        with: stage.resident()?.0,
        peak: peak_mib(server)?,
        cpu,
        frames_per_second: (fleet.heard() - heard) as f64 / options.look().as_secs_f64(),
    })
}

/// Of the processor time, while it is looked at.
async fn share_of_core(pid: u32, options: &Options) -> Outcome<f64> {
    let (cpu, begun) = (cpu_seconds(pid)?, Instant::now());
    // What is measured: the processor time of this while.
    sleep(options.look()).await;
    Ok((cpu_seconds(pid)? - cpu) / begun.elapsed().as_secs_f64())
}

fn print(measured: &[Idle], empty: f64, options: &Options) {
    println!(
        "\nIdle agents: {}, a server that knows nobody has {empty:.0} MiB ({})\n",
        options.agents,
        machine::load()
    );
    println!(
        "| way | server RSS: knows them | with them | at most | each | all of it ÷ agents | attached/s | CPU: without | with them | frames/s each way |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let each = |mib: f64| mib * 1024.0 * 1.024 / f64::from(options.agents);
    for idle in measured {
        println!(
            "| {} | {:.0} MiB | {:.0} MiB | {:.0} MiB | {:.1} KB | {:.1} KB | {:.0} | {:.1} % | {:.1} % | {:.0} |",
            idle.way,
            idle.before,
            idle.with,
            idle.peak,
            each(idle.with - idle.before),
            each(idle.with),
            idle.attached_per_second,
            100.0 * idle.before_cpu,
            100.0 * idle.cpu,
            idle.frames_per_second,
        );
    }
}

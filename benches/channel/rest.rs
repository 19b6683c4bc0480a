//! The agent at rest: attached over TLS, with nothing to do. One never watches processes, the other one is told by the
//! server to watch those of a user who has none.

use super::options::Options;
use super::real_agent::{RealAgent, Start};
use super::stage::Stage;
use super::usage::{cpu_seconds, peak_mib, resident_mib};
use super::{Outcome, machine};
use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;
use tokio::time::sleep;

/// Whom an agent watches.
const CONFIGURATION: &str = "[littlebrother]\ntime_zone = \"UTC\"\n\n\
    [[littlebrother.users]]\nlogin = \"nobody-here\"\nactive = true\nprocess_name_pattern = \"game\"\nuid = 4242\n";

/// The kinds of agents: the name of its folder, its options, what it is called.
const KINDS: [(&str, &[&str], &str); 2] = [
    ("unwatching", &["--no-watch"], "does not watch"),
    ("watching", &[], "watches, looks every 10 s"),
];

/// Memory in MiB, processor time as a share of one core.
struct Rest {
    resident: f64,
    peak: f64,
    threads: usize,
    cpu: f64,
}

pub(crate) async fn run(options: &Options) -> Outcome {
    let stage = Stage::set(CONFIGURATION).await?;
    let mut agents = Vec::new();
    for (name, further, _) in KINDS {
        let start = Start {
            program: options.agent.as_deref(),
            options: further,
            ..Start::new(name)
        };
        agents.push(RealAgent::start(&stage, &start).await?);
    }
    // What is measured is an agent at rest, which no event announces.
    sleep(options.settle()).await;
    let pids: Vec<u32> = agents.iter().map(RealAgent::pid).collect::<Result<_, _>>()?;
    let cpu = cpus(&pids)?;
    let begun = Instant::now();
    // What is measured: the processor time of this while.
    sleep(options.look()).await;
    let seconds = begun.elapsed().as_secs_f64();
    let used = cpus(&pids)?
        .into_iter()
        .zip(cpu)
        .map(|(now, before)| now - before);
    let mut rests = Vec::new();
    for (pid, used) in pids.iter().zip(used) {
        rests.push(Rest {
            resident: resident_mib(*pid)?,
            peak: peak_mib(*pid)?,
            threads: entries(Path::new(&format!("/proc/{pid}/task")))?,
            cpu: used / seconds,
        });
    }
    print(&rests, options)?;
    drop(agents);
    stage.clear().await
}

fn cpus(pids: &[u32]) -> Outcome<Vec<f64>> {
    pids.iter().map(|pid| cpu_seconds(*pid)).collect()
}

/// How many entries of a folder are numbers: threads, processes.
fn entries(folder: &Path) -> Outcome<usize> {
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
    let names: Vec<_> = names.collect::<std::io::Result<_>>()?;
    let is_number = |name: &&OsString| name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
    Ok(names.iter().filter(is_number).count())
}

fn print(rests: &[Rest], options: &Options) -> Outcome {
    println!(
        "\nThe agent at rest, {} s beside {} processes ({})\n",
        options.look().as_secs(),
        entries(Path::new("/proc"))?,
        machine::load()
    );
    println!("| agent | RSS | at most since its start | threads | CPU |");
    println!("| --- | --- | --- | --- | --- |");
    for ((_, _, kind), rest) in KINDS.iter().zip(rests) {
        println!(
            "| {kind} | {:.1} MiB | {:.1} MiB | {} | {:.3} % |",
            rest.resident,
            rest.peak,
            rest.threads,
            100.0 * rest.cpu
        );
    }
    Ok(())
}

//! The figures as tables in markdown.

use super::cbapi::{Runs, WORKERS};
use super::client::{self, SLOTS};
use super::download::{Fetched, Measured, STEPS};
use super::floor::Floor;
use super::machine;
use super::options::Options;
use super::stats::{Samples, median};

/// The first runs are those that the others are measured against.
pub(crate) fn cbapi(runs: &[Runs], options: &Options) {
    println!(
        "\nThe real cbapi: {} jobs over {} hosts, {:?} each, {WORKERS} workers, {} rounds, {}\n",
        options.jobs,
        options.hosts,
        options.delay(),
        options.rounds,
        machine::load()
    );
    println!(
        "| server | jobs/s | × plainly polled | a job's body p50, p95 ms | requests per job | workers: asleep | waiting for \
         answers | in the client | client's cores | CPU of a job, ms: client | server |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let plain = runs.first().map_or(0.0, |runs| runs.medians().jobs_per_second);
    for runs in runs {
        let round = runs.medians();
        println!(
            "| {} | {:.1} | {:.1} | {:.0}, {:.0} | {:.1} | {:.0} % | {:.0} % | {:.0} % | {:.2} | {:.1} | {:.1} |",
            runs.name,
            round.jobs_per_second,
            round.jobs_per_second / plain,
            round.body_ms.0,
            round.body_ms.1,
            round.requests_per_job,
            100.0 * round.asleep,
            100.0 * round.answering,
            100.0 * (1.0 - round.asleep - round.answering),
            round.client_cores,
            round.cpu_ms.0,
            round.cpu_ms.1,
        );
    }
}

/// How well the agents kept to the time.
pub(crate) fn delays(mut took: Samples, options: &Options) {
    println!(
        "\nA command that should take {:?} took the agents {:.2} ms at p50 and {:.2} ms at p99.",
        options.delay(),
        took.percentile_ms(50),
        took.percentile_ms(99)
    );
}

/// The runs that the hosts' time bounds, the one that it does not, and its floors.
pub(crate) fn client(
    bound: &[client::Runs],
    free: &client::Runs,
    floors: &[client::Floor],
    options: &Options,
) {
    println!(
        "\nThe Rust client: {} hosts, {SLOTS} slots, {} rounds, {}\n",
        options.hosts,
        options.rounds,
        machine::load()
    );
    println!(
        "| jobs | jobs/s | of slots ÷ {:?} | on a host, ms | of slots ÷ that | CPU of a job, ms: server | broker | load \
         program |",
        options.delay()
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let most = f64::from(SLOTS) / options.delay().as_secs_f64();
    for runs in bound.iter().chain([free]) {
        let rate = runs.median(|round| round.jobs_per_second);
        let on_host = runs.median(|round| round.on_host.mean_ms());
        let share = |most: f64| match on_host > 1.0 {
            true => format!("{:.0} %", 100.0 * rate / most),
            false => "–".to_owned(),
        };
        println!(
            "| {} | {rate:.0} | {} | {on_host:.2} | {} | {:.2} | {:.2} | {:.2} |",
            runs.name,
            share(most),
            share(f64::from(SLOTS) * 1e3 / on_host),
            runs.median(|round| round.cpu.server),
            runs.median(|round| round.cpu.broker),
            runs.median(|round| round.cpu.load),
        );
    }
    let rate = free.median(|round| round.jobs_per_second);
    let floor = |part: fn(&client::Floor) -> f64| median(floors.iter().map(part));
    let (trips, requests) = (floor(|floor| floor.round_trips), floor(|floor| floor.requests));
    println!(
        "\n| no time at the host: jobs/s | bare WebSocket round trips/s | ratio | bare HTTPS requests/s | ratio | a durable commit |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    println!(
        "| {rate:.0} | {trips:.0} | {:.2} | {requests:.0} | {:.2} | {:.2} ms |",
        rate / trips,
        rate / requests,
        floor(|floor| floor.commit_ms)
    );
}

pub(crate) fn download(measured: &Measured) {
    let floor = |part: fn(&Floor) -> f64| median(measured.floors.iter().map(part));
    let (tls, hash, disk) = (
        floor(|floor| floor.tls),
        floor(|floor| floor.hash),
        floor(|floor| floor.disk),
    );
    println!(
        "\nA file of {} MiB, {} rounds, {}\n",
        measured.bytes >> 20,
        measured.floors.len(),
        machine::load()
    );
    println!(
        "| step | MB/s | of the bare TLS copy | CPU seconds: server | agent | server RSS MiB: before | at most |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (at, name) in STEPS.into_iter().enumerate() {
        let rate = measured.megabytes() / measured.median(at, |step| step.seconds);
        println!(
            "| {name} | {rate:.0} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} |",
            rate / tls,
            measured.median(at, |step| step.cpu.0),
            measured.median(at, |step| step.cpu.1),
            measured.median(at, |step| step.memory.0),
            measured.median(at, |step| step.memory.1),
        );
    }
    let real = |part: fn(&Fetched) -> f64| median(measured.real.iter().map(part));
    let rate = |seconds: f64| measured.megabytes() / seconds;
    println!(
        "\nThe real cbapi, `get_raw_file` to its last byte: {:.0} MB/s to the server, {:.0} MB/s of content, {:.0} MB/s \
         together; {:.2} s of its own processor time.",
        rate(real(|real| real.to_server)),
        rate(real(|real| real.content)),
        rate(real(|real| real.to_server + real.content)),
        real(|real| real.cpu),
    );
    println!("\n| floors, each alone: bare TLS copy | SHA-256 on one core | written and synced |");
    println!("| --- | --- | --- |");
    println!("| {tls:.0} MB/s | {hash:.0} MB/s | {disk:.0} MB/s |");
}

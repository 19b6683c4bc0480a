//! A fan-out of one command that only reads over many attached hosts, from its submission to its end.

use super::agents::{self, Plan};
use super::options::Options;
use super::stage::Stage;
use super::stats::median;
use super::usage::Cpu;
use super::{Outcome, machine};
use serde_json::json;
use std::time::{Duration, Instant};
use tripline_protocol::fanout::FanoutView;

/// The agents come as fast as they can, with one token.
const CONFIGURATION: &str = "[limits]\nrequests_per_second = 0\n";
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(120);

struct Round {
    took: f64,
    cpu_us: Cpu,
    resident: (f64, f64),
}

pub(crate) async fn run(options: &Options) -> Outcome {
    machine::raise_file_limit(options.fanout_hosts)?;
    let stage = Stage::set_with(CONFIGURATION, options.fanout_slots).await?;
    let plan = Plan {
        name: "fanout",
        count: options.fanout_hosts,
        delay: Duration::ZERO,
    };
    let _agents = agents::start(&stage, plan).await?;
    let mut rounds = Vec::new();
    for _ in 0..=options.rounds {
        let round = round(&stage, options).await?;
        eprintln!(
            "fanout: {:.2} s, µs of CPU per host: {}, {}",
            round.took,
            round.cpu_us,
            machine::load()
        );
        rounds.push(round);
    }
    // The first one warms up.
    rounds.remove(0);
    print(&rounds, options);
    stage.clear().await
}

async fn round(stage: &Stage, options: &Options) -> Outcome<Round> {
    let (cpu, before, began) = (stage.cpu()?, stage.resident()?.0, Instant::now());
    let step = json!({"list_directory": {"path": "/tmp"}});
    let fanout = json!({
        "target": "all",
        "job": {"name": "sweep", "steps": [step]},
        "pace": {"in_flight": options.in_flight},
    });
    let url = format!("http://{}/v1/fanouts", stage.address()?);
    let client = reqwest::Client::new();
    let ask = client.post(&url).bearer_auth(stage.admin_token());
    let begun: FanoutView = ask.json(&fanout).send().await?.error_for_status()?.json().await?;
    let id = begun.fanout_id;
    let view = loop {
        // Between two looks at another process, which cannot wake this one.
        tokio::time::sleep(LOOK).await;
        let ask = client.get(format!("{url}/{id}")).bearer_auth(stage.admin_token());
        let view: FanoutView = ask.send().await?.error_for_status()?.json().await?;
        if view.finished_at.is_some() {
            break view;
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("the fan-out does not end: {view:?}").into());
        }
    };
    let took = began.elapsed().as_secs_f64();
    if view.counts.succeeded != u64::from(options.fanout_hosts) {
        return Err(format!("the fan-out did not succeed: {view:?}").into());
    }
    let used = stage.cpu()? - cpu;
    let per_host = |seconds: f64| seconds * 1e6 / f64::from(options.fanout_hosts);
    Ok(Round {
        took,
        cpu_us: Cpu {
            server: per_host(used.server),
            broker: per_host(used.broker),
            load: per_host(used.load),
        },
        resident: (before, stage.resident()?.0),
    })
}

fn print(rounds: &[Round], options: &Options) {
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    println!(
        "\nA fan-out ({} hosts, {} slots, {} in flight, {} rounds, {})\n",
        options.fanout_hosts,
        options.fanout_slots,
        options.in_flight,
        rounds.len(),
        machine::load()
    );
    println!("| took | CPU per host: server | broker | load program | server RSS before, after |");
    println!("| --- | --- | --- | --- | --- |");
    println!(
        "| {:.2} s | {:.0} µs | {:.0} µs | {:.0} µs | {:.0} → {:.0} MiB |",
        of(|round| round.took),
        of(|round| round.cpu_us.server),
        of(|round| round.cpu_us.broker),
        of(|round| round.cpu_us.load),
        of(|round| round.resident.0),
        of(|round| round.resident.1),
    );
}

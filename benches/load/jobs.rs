//! Events to durable, run and published jobs: one small command each that only reads, ten slots, no reserves.

use super::agents::{self, Agents};
use super::options::Options;
use super::stage::Stage;
use super::stats::median;
use super::usage::Cpu;
use super::{Outcome, machine, outside};
use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt, StreamExt};
use std::time::{Duration, Instant};
use tripline_protocol::HostId;

const PATIENCE: Duration = Duration::from_secs(60);
const SUBJECT: &str = "tripline.events.default.bench.job";

struct Round {
    rate: f64,
    cpu_us: Cpu,
    busy: f64,
    resident: ((f64, f64), (f64, f64)),
}

/// Publishes events and hears their results.
pub(crate) struct Outside {
    /// Of whose events these are: an id that came before would cause nothing.
    name: &'static str,
    publisher: Client,
    results: Subscriber,
    _subscriber: Client,
    hosts: Vec<HostId>,
    published: u64,
}

impl Outside {
    pub(crate) async fn connect(stage: &Stage, agents: &Agents, name: &'static str) -> Outcome<Self> {
        let (subscriber, results) = outside::results(stage.info()).await?;
        Ok(Self {
            name,
            publisher: outside::publisher(stage.info()).await?,
            results,
            _subscriber: subscriber,
            hosts: agents.hosts.iter().map(|host| host.host_id).collect(),
            published: 0,
        })
    }

    /// Publishes the next event; the hosts take turns.
    pub(crate) async fn publish(&mut self) -> Outcome {
        let number = self.published;
        let turn = usize::try_from(number)? % self.hosts.len().max(1);
        let host = self.hosts.get(turn).ok_or("no hosts")?;
        let id = format!("{}-{}", self.name, std::process::id());
        let payload = format!(
            r#"{{"specversion":"1.0","id":"{id}-{number}","source":"bench","type":"bench.job","hostid":"{host}","data":{{"number":{number},"username":"amelie","processname":"/usr/lib/firefox/firefox-bin","pid":4242,"severity":7}}}}"#
        );
        self.publisher.publish(SUBJECT, payload.into()).await?;
        self.published += 1;
        Ok(())
    }

    /// The next result.
    pub(crate) async fn hear(&mut self) -> Outcome {
        let message = tokio::time::timeout(PATIENCE, self.results.next()).await;
        check(&message?.ok_or("the subscription ended")?)
    }

    /// Results that have come meanwhile.
    fn hear_more(&mut self) -> Outcome<u64> {
        let mut more = 0;
        while let Some(Some(message)) = self.results.next().now_or_never() {
            check(&message)?;
            more += 1;
        }
        Ok(more)
    }

    /// Publishes `count` events, at most `window` ahead of their results, and waits for all results.
    async fn round(&mut self, count: u64, window: u64) -> Outcome {
        let (mut sent, mut heard) = (0, 0);
        while heard < count {
            while sent < count && sent - heard < window {
                self.publish().await?;
                sent += 1;
            }
            self.hear().await?;
            heard += 1 + self.hear_more()?;
        }
        Ok(())
    }
}

/// Only success counts.
fn check(message: &Message) -> Outcome {
    if message.subject.contains(".bench.succeeded.") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&message.payload);
    Err(format!("a job did not succeed: {} {text}", message.subject).into())
}

pub(crate) async fn run(stage: &mut Stage, options: &Options) -> Outcome {
    let agents = agents::start(stage, options.agents()).await?;
    let mut outside = Outside::connect(stage, &agents, "jobs").await?;
    outside.round(options.jobs / 10, options.window).await?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let round = round(stage, &mut outside, options).await?;
        eprintln!(
            "jobs: {:.0}/s, µs of CPU per job: {}, {}",
            round.rate,
            round.cpu_us,
            machine::load()
        );
        rounds.push(round);
    }
    print(&rounds, options);
    Ok(())
}

async fn round(stage: &Stage, outside: &mut Outside, options: &Options) -> Outcome<Round> {
    let (resident, cpu, began) = (stage.resident()?, stage.cpu()?, Instant::now());
    outside.round(options.jobs, options.window).await?;
    let took = began.elapsed().as_secs_f64();
    let used = stage.cpu()? - cpu;
    let per_job = |seconds: f64| seconds * 1e6 / options.jobs as f64;
    Ok(Round {
        rate: options.jobs as f64 / took,
        cpu_us: Cpu {
            server: per_job(used.server),
            broker: per_job(used.broker),
            load: per_job(used.load),
        },
        busy: used.total() / took,
        resident: (resident, stage.resident()?),
    })
}

fn print(rounds: &[Round], options: &Options) {
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    println!(
        "\nEvents to published jobs ({} jobs, {} hosts, at most {} ahead, {} rounds, {})\n",
        options.jobs,
        options.hosts,
        options.window,
        rounds.len(),
        machine::load()
    );
    println!(
        "| jobs/s | CPU per job: server | broker | load program | cores busy with it | server RSS before, after | broker RSS |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    println!(
        "| {:.0} | {:.0} µs | {:.0} µs | {:.0} µs | {:.2} | {:.0} → {:.0} MiB | {:.0} → {:.0} MiB |",
        of(|round| round.rate),
        of(|round| round.cpu_us.server),
        of(|round| round.cpu_us.broker),
        of(|round| round.cpu_us.load),
        of(|round| round.busy),
        of(|round| round.resident.0.0),
        of(|round| round.resident.1.0),
        of(|round| round.resident.0.1),
        of(|round| round.resident.1.1),
    );
}

//! Jobs of the Rust client: beside the bound that slots and hosts set, and without the hosts' time beside bare round
//! trips.

use super::agents::{self, Agents, Plan, Prober};
use super::options::Options;
use super::stage::Stage;
use super::stats::{Samples, median};
use super::usage::Cpu;
use super::{Outcome, commit, machine, table};
use futures_util::future::try_join_all;
use std::time::{Duration, Instant};
use tripline_client::{Client, Error, JobHandle, Session};
use tripline_protocol::api::Role;

/// The server's slots, and what the client has at a time unless it is told otherwise.
pub(crate) const SLOTS: u32 = 10;
/// What a longer run has more of.
const LONGER: u32 = 10;
/// Round trips of each connection, and durable commits.
const FLOOR_SAMPLES: u32 = 2_000;
/// Entries of the listing that the agents answer.
const ENTRIES: usize = 2;

/// A round of jobs.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) jobs_per_second: f64,
    /// How long the commands took on the hosts.
    pub(crate) on_host: Samples,
    /// Processor time of a job, in milliseconds.
    pub(crate) cpu: Cpu,
}

/// Rounds of the same kind.
pub(crate) struct Runs {
    pub(crate) name: String,
    pub(crate) rounds: Vec<Round>,
}

impl Runs {
    pub(crate) fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(figure))
    }
}

/// What a job without the host's time cannot be faster than: its parts alone, by as many callers as there are slots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    /// Frames of the agent channel and their answers, per second.
    pub(crate) round_trips: f64,
    /// HTTPS requests that do nothing, per second.
    pub(crate) requests: f64,
    /// A durable commit, one after the other.
    pub(crate) commit_ms: f64,
}

pub(crate) async fn run(stage: &Stage, options: &Options) -> Outcome {
    let slow = agents::start(stage, options.agents("client")).await?;
    let prompt = Plan {
        delay: Duration::ZERO,
        ..options.agents("prompt")
    };
    let prompt = agents::start(stage, prompt).await?;
    let program = Program::open(stage).await?;
    let runs = |what: &str, jobs: u32| Runs {
        name: format!("{jobs} jobs, {what}"),
        rounds: Vec::new(),
    };
    let (few, many) = (options.jobs, options.jobs * LONGER);
    let delay = format!("{:?} each", options.delay());
    let mut bound = [runs(&delay, few), runs(&delay, many)];
    let mut free = runs("no time at the host", many);
    let mut floors = Vec::new();
    program.round(&prompt, few).await?;
    for _ in 0..options.rounds {
        for (runs, jobs) in bound.iter_mut().zip([few, many]) {
            runs.add(program.round(&slow, jobs).await?);
        }
        free.add(program.round(&prompt, many).await?);
        floors.push(floor(&program).await?);
    }
    table::client(&bound, &free, &floors, options);
    Ok(())
}

impl Runs {
    fn add(&mut self, round: Round) {
        eprintln!(
            "client, {}: {:.0} jobs/s, {}",
            self.name,
            round.jobs_per_second,
            machine::load()
        );
        self.rounds.push(round);
    }
}

/// A user's program.
struct Program<'a> {
    stage: &'a Stage,
    token: String,
}

impl<'a> Program<'a> {
    async fn open(stage: &'a Stage) -> Outcome<Self> {
        let token = stage.token(Role::Operator).await?;
        Ok(Self { stage, token })
    }

    /// Submits all jobs at once, dealt round the hosts, and waits for what they bring.
    async fn round(&self, agents: &Agents, jobs: u32) -> Outcome<Round> {
        let client = Client::builder(format!("https://{}", self.stage.tls_address()?))
            .token(&self.token)
            .ca_file(self.stage.tls().join("ca.pem"))
            .connect()
            .await?;
        agents.took();
        let before = self.stage.cpu()?;
        let begun = Instant::now();
        let hosts = agents.hosts.iter().cycle().take(jobs as usize);
        let handles: Vec<_> = hosts.map(|host| submit(&client, host.host_id)).collect();
        for entries in try_join_all(handles).await? {
            if entries != ENTRIES {
                return Err(format!("a job found {entries} entries").into());
            }
        }
        let took = begun.elapsed().as_secs_f64();
        let cpu = self.stage.cpu()? - before;
        client.jobs().drain().await;
        let per_job = |seconds: f64| seconds * 1e3 / f64::from(jobs);
        Ok(Round {
            jobs_per_second: f64::from(jobs) / took,
            on_host: agents.took(),
            cpu: Cpu {
                server: per_job(cpu.server),
                broker: per_job(cpu.broker),
                load: per_job(cpu.load),
            },
        })
    }

    /// Requests of as many callers as there are slots, each with a connection that it keeps.
    async fn requests(&self) -> Outcome<f64> {
        let authority = std::fs::read(self.stage.tls().join("ca.pem"))?;
        let authority = reqwest::Certificate::from_pem(&authority)?;
        let http = reqwest::Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .build()?;
        let url = format!("https://{}/healthz", self.stage.tls_address()?);
        let caller = async || {
            for _ in 0..FLOOR_SAMPLES {
                http.get(&url).send().await?.error_for_status()?.bytes().await?;
            }
            Outcome::Ok(())
        };
        let begun = Instant::now();
        try_join_all((0..SLOTS).map(|_| caller())).await?;
        Ok(per_second(begun))
    }

    /// Frames and their answers on as many agent channels as there are slots.
    async fn round_trips(&self) -> Outcome<f64> {
        let probers = try_join_all((0..SLOTS).map(|_| Prober::start(self.stage))).await?;
        let caller = async |mut prober: Prober| {
            for _ in 0..FLOOR_SAMPLES {
                prober.round_trip().await?;
            }
            Outcome::Ok(())
        };
        let begun = Instant::now();
        try_join_all(probers.into_iter().map(caller)).await?;
        Ok(per_second(begun))
    }
}

fn per_second(begun: Instant) -> f64 {
    f64::from(SLOTS * FLOOR_SAMPLES) / begun.elapsed().as_secs_f64()
}

fn submit(client: &Client, host: tripline_client::HostId) -> JobHandle<usize> {
    let job = async |session: &Session| {
        let listing = session.list_directory("/srv/work").await?;
        Ok::<_, Error>(listing.files.len())
    };
    client.submit_job(job, host)
}

async fn floor(program: &Program<'_>) -> Outcome<Floor> {
    let folder = program.stage.folder().join("floor-commits");
    let commit_ms = commit::durable(&folder, u64::from(FLOOR_SAMPLES))?.mean_ms();
    std::fs::remove_dir_all(folder)?;
    Ok(Floor {
        round_trips: program.round_trips().await?,
        requests: program.requests().await?,
        commit_ms,
    })
}

//! Tripline under the same load. An answer means that the message is handled and durable; a run counts only when
//! nothing of it waits anywhere soon after its end.

use super::client::{Client, GAME, Kind, LOGIN, SECRET, UID};
use super::run::{Plan, Run, run};
use super::stage::Stage;
use super::stats::Samples;
use super::usage::Cpu;
use super::{Outcome, commit, machine};
use async_nats::jetstream::stream::Stream;
use futures_util::TryStreamExt;
use std::time::{Duration, Instant};
use tripline::nats::consumer::CONSUMER;
use tripline_protocol::Subjects;

/// How soon after a run nothing may wait any more.
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);
/// The types of events that the clients send.
const ETYPES: [&str; 2] = ["PROCESS_START", "PROCESS_END"];
/// Bare requests and commits of the floor.
const FLOOR_SAMPLES: u64 = 2_000;

/// What is added to the server's configuration. No host of a bench counts as silent.
pub(crate) fn configuration() -> String {
    format!(
        "[littlebrother]\nsecret = \"{SECRET}\"\ntime_zone = \"UTC\"\n\
         maximum_time_without_send = \"1h\"\n\n\
         [[littlebrother.users]]\nlogin = \"{LOGIN}\"\nactive = true\nprocess_name_pattern = \"{GAME}\"\nuid = {UID}\n"
    )
}

/// What a message with one event cannot cost less than: a request that does nothing, and a durable commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    pub(crate) request_ms: f64,
    pub(crate) commit_ms: f64,
}

impl Floor {
    /// Messages per second of one client.
    pub(crate) fn rate(self) -> f64 {
        1e3 / (self.request_ms + self.commit_ms)
    }
}

/// A run of Tripline.
pub(crate) struct OurRun {
    pub(crate) plan: Plan,
    pub(crate) run: Run,
    /// When nothing waited any more after its end.
    pub(crate) settled: Duration,
    /// Processor seconds while it ran and settled.
    pub(crate) cpu: Cpu,
}

impl OurRun {
    pub(crate) fn counts(&self) -> bool {
        self.settled <= SETTLED_WITHIN
    }
}

/// The floor, measured beside the server with one client.
pub(crate) async fn floor(stage: &Stage) -> Outcome<Floor> {
    let mut client = Client::new(stage.address()?, "nobody".to_owned());
    let mut samples = Samples::default();
    for _ in 0..FLOOR_SAMPLES {
        let began = Instant::now();
        client.look("/healthz").await?;
        samples.add(began.elapsed());
    }
    let commits = commit::durable(&stage.folder().join("floor"), FLOOR_SAMPLES)?;
    Ok(Floor {
        request_ms: samples.mean_ms(),
        commit_ms: commits.mean_ms(),
    })
}

/// All plans, each with hosts of its own.
pub(crate) async fn measure(stage: &Stage, plans: &[Plan]) -> Outcome<Vec<OurRun>> {
    let backlog = Backlog::open(stage).await?;
    let mut runs = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let stored = backlog.stored().await?;
        let before = stage.cpu()?;
        let run = run(stage.address()?, &format!("run-{number}"), *plan).await?;
        let events = if plan.kind == Kind::Empty { 0 } else { run.answered };
        let settled = backlog.settle(stored + events, 10 * SETTLED_WITHIN).await?;
        let run = OurRun {
            plan: *plan,
            run,
            settled,
            cpu: stage.cpu()? - before,
        };
        eprintln!(
            "tripline, {:?}, {} clients: {:.0}/s, settled after {:.2} s, cpu {}, {}",
            plan.kind,
            plan.clients,
            run.run.rate(),
            settled.as_secs_f64(),
            run.cpu,
            machine::load()
        );
        runs.push(run);
    }
    Ok(runs)
}

/// What the server has not got rid of yet.
pub(crate) struct Backlog {
    stream: Stream,
    metrics: String,
}

impl Backlog {
    pub(crate) async fn open(stage: &Stage) -> Outcome<Self> {
        let context = stage.jetstream().await?;
        Ok(Self {
            stream: context.get_stream(Subjects::default().events_stream()).await?,
            metrics: format!("http://{}/metrics", stage.address()?),
        })
    }

    /// Events of processes that the broker has.
    pub(crate) async fn stored(&self) -> Outcome<u64> {
        let mut stored = 0;
        for etype in ETYPES {
            let subject = format!("tripline.events.default.{etype}");
            let subjects = self.stream.info_with_subjects(subject).await?;
            let counts: Vec<(String, usize)> = subjects.try_collect().await?;
            stored += counts.iter().map(|(_, count)| *count as u64).sum::<u64>();
        }
        Ok(stored)
    }

    /// How long it takes until the broker has `expected` events, the outbox is empty, and the server has taken back
    /// all that the broker has.
    pub(crate) async fn settle(&self, expected: u64, patience: Duration) -> Outcome<Duration> {
        let since = Instant::now();
        loop {
            let stored = self.stored().await?;
            if stored > expected {
                return Err(format!("the broker has {stored} events, and only {expected} were sent").into());
            }
            let waiting = self.waiting().await?;
            if stored == expected && waiting == 0 {
                return Ok(since.elapsed());
            }
            if since.elapsed() > patience {
                let text = format!("the broker has {stored} of {expected} events, and {waiting} wait");
                return Err(text.into());
            }
            // Between two looks at the broker's and the server's figures, which nobody announces.
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Entries of the outbox, and messages of the broker that the server has not acked.
    async fn waiting(&self) -> Outcome<u64> {
        let metrics = reqwest::get(&self.metrics).await?.text().await?;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("tripline_outbox_waiting "));
        let outbox: f64 = line.ok_or("no metric of the outbox")?.parse()?;
        let consumer = self.stream.consumer_info(CONSUMER).await?;
        Ok(outbox as u64 + consumer.num_pending + consumer.num_ack_pending as u64)
    }
}

//! What waits somewhere after a run. A run counts only when that is nothing soon after its end.

use super::Outcome;
use super::stage::Stage;
use super::usage::Cpu;
use async_nats::jetstream::stream::Stream;
use futures_util::TryStreamExt;
use std::time::{Duration, Instant};
use tripline::nats::consumer::CONSUMER;
use tripline_protocol::Subjects;

/// How soon after a run nothing may wait any more.
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);

/// A run, and what came after it.
pub(crate) struct Watched<R> {
    pub(crate) run: R,
    /// When nothing waited any more after its end.
    pub(crate) settled: Duration,
    /// Processor seconds while it ran and settled.
    pub(crate) cpu: Cpu,
}

impl<R> Watched<R> {
    pub(crate) fn counts(&self) -> bool {
        self.settled <= SETTLED_WITHIN
    }
}

/// What the server has not got rid of yet.
pub(crate) struct Backlog {
    stream: Stream,
    metrics: String,
    subjects: &'static [&'static str],
}

impl Backlog {
    /// Of events with these subjects.
    pub(crate) async fn open(stage: &Stage, subjects: &'static [&'static str]) -> Outcome<Self> {
        let context = stage.jetstream().await?;
        Ok(Self {
            stream: context.get_stream(Subjects::default().events_stream()).await?,
            metrics: format!("http://{}/metrics", stage.address()?),
            subjects,
        })
    }

    /// Events of these subjects that the broker has.
    pub(crate) async fn stored(&self) -> Outcome<u64> {
        let mut stored = 0;
        for subject in self.subjects {
            let subjects = self.stream.info_with_subjects(*subject).await?;
            let counts: Vec<(String, usize)> = subjects.try_collect().await?;
            stored += counts.iter().map(|(_, count)| *count as u64).sum::<u64>();
        }
        Ok(stored)
    }

    /// Lets a run go on to its end, and waits until nothing of it waits; `events` says how many it caused.
    pub(crate) async fn watch<R>(
        &self,
        stage: &Stage,
        run: impl Future<Output = Outcome<R>>,
        events: impl FnOnce(&R) -> u64,
    ) -> Outcome<Watched<R>> {
        let (stored, before) = (self.stored().await?, stage.cpu()?);
        let run = run.await?;
        let settled = self.settle(stored + events(&run), 10 * SETTLED_WITHIN).await?;
        let cpu = stage.cpu()? - before;
        Ok(Watched { run, settled, cpu })
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

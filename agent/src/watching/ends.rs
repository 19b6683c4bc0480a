//! Ending processes beside everything else, some at a time.

use crate::platform::{Doomed, Ending, Platform};
use crate::stop::{Cause, Stop};
use crate::watcher::{Kill, KillOutcome, ProcessKey};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Blocking threads that end processes.
pub(super) const THREADS: usize = 4;
/// Most processes one of them ends at a time; each holds a descriptor.
const BATCH: usize = 100;

type Outcomes = Vec<(ProcessKey, KillOutcome)>;

/// What is being ended.
pub(super) struct Ends {
    platform: Arc<dyn Platform>,
    threads: Arc<Semaphore>,
    stop: Arc<Stop>,
    under_way: JoinSet<Outcomes>,
}

impl Ends {
    pub(super) fn new(platform: Arc<dyn Platform>) -> Self {
        Self {
            platform,
            threads: Arc::new(Semaphore::new(THREADS)),
            stop: Arc::new(Stop::after(Duration::MAX)),
            under_way: JoinSet::new(),
        }
    }

    /// Begins to end processes.
    pub(super) fn begin(&mut self, kills: &[Kill]) {
        for batch in kills.chunks(BATCH) {
            let (platform, stop) = (self.platform.clone(), self.stop.clone());
            let (threads, batch) = (self.threads.clone(), batch.to_vec());
            self.under_way.spawn(async move {
                // Closed by nobody; held until the batch is done.
                let _permit = threads.acquire_owned().await;
                let keys: Vec<ProcessKey> = batch.iter().map(|kill| kill.process).collect();
                let ended = tokio::task::spawn_blocking(move || end(&*platform, &batch, &stop)).await;
                ended.unwrap_or_else(|error| {
                    let failed = |key| (key, KillOutcome::Failed(error.to_string()));
                    keys.into_iter().map(failed).collect()
                })
            });
        }
    }

    /// The next outcomes; waits for ever while nothing is being ended.
    pub(super) async fn next(&mut self) -> Outcomes {
        match self.under_way.join_next().await {
            Some(Ok(outcomes)) => outcomes,
            Some(Err(error)) => {
                tracing::error!(%error, "ending processes ended badly");
                Outcomes::new()
            }
            None => std::future::pending().await,
        }
    }

    /// Nothing is ended any more: who was asked to end has been asked.
    pub(super) fn give_up(&self) {
        self.stop.set(Cause::AgentStops);
    }
}

fn end(platform: &dyn Platform, batch: &[Kill], stop: &Stop) -> Outcomes {
    let doomed: Vec<Doomed> = batch.iter().map(doomed).collect();
    let patience = batch.iter().map(|kill| kill.kill_delay).max().unwrap_or_default();
    let endings = platform.end_processes(&doomed, patience, stop);
    let outcome = |(kill, ending): (&Kill, Ending)| (kill.process, outcome(ending));
    batch.iter().zip(endings).map(outcome).collect()
}

fn doomed(kill: &Kill) -> Doomed {
    Doomed {
        pid: kill.process.pid,
        started_exact: kill.start_exact,
        uid: kill.uid,
    }
}

fn outcome(ending: Ending) -> KillOutcome {
    match ending {
        Ending::Gone => KillOutcome::Gone,
        Ending::Ended => KillOutcome::Ended,
        Ending::Spared(why) => KillOutcome::Failed(why),
    }
}

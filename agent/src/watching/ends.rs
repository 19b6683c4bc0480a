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
            let platform = self.platform.clone();
            self.run(batch.to_vec(), move |batch, stop| end(&*platform, batch, stop));
        }
    }

    /// Does it once one of the threads is free.
    fn run(&mut self, batch: Vec<Kill>, end: impl FnOnce(&[Kill], &Stop) -> Outcomes + Send + 'static) {
        let (threads, stop) = (self.threads.clone(), self.stop.clone());
        self.under_way.spawn(async move {
            // Closed by nobody; held until the batch is done.
            let _permit = threads.acquire_owned().await;
            let keys: Vec<ProcessKey> = batch.iter().map(|kill| kill.process).collect();
            let ended = tokio::task::spawn_blocking(move || end(&batch, &stop)).await;
            ended.unwrap_or_else(|error| {
                let failed = |key| (key, KillOutcome::Failed(error.to_string()));
                keys.into_iter().map(failed).collect()
            })
        });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Unported;
    use std::sync::mpsc;

    /// How long something that must not happen is given.
    const SILENCE: Duration = Duration::from_millis(100);

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn so_many_batches_are_ended_at_once_and_the_next_waits_for_one_of_them() {
        let mut ends = Ends::new(Arc::new(Unported));
        let (tell, begun) = mpsc::channel();
        let mut releases: Vec<mpsc::Sender<()>> = Vec::new();
        for _ in 0..=THREADS {
            let (release, released) = mpsc::channel();
            releases.push(release);
            let tell = tell.clone();
            ends.run(Vec::new(), move |_, _| {
                tell.send(()).unwrap();
                // The end of the test is a release, too.
                let _ = released.recv();
                Outcomes::new()
            });
        }
        for _ in 0..THREADS {
            begun.recv().unwrap();
        }
        assert!(
            begun.recv_timeout(SILENCE).is_err(),
            "one more than {THREADS} began"
        );
        drop(releases);
        begun.recv().unwrap();
        for _ in 0..=THREADS {
            assert_eq!(ends.next().await, []);
        }
    }
}

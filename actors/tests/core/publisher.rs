//! A broker's double: it takes everything at once, unless it is told otherwise.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ThreadId;
use tripline_actors::ports::{BoxFuture, OutMessage, PublishError, Publisher};

/// Takes everything at once and remembers it; can be told that the broker is away, or refuses for good.
#[derive(Default)]
pub(crate) struct RecordingPublisher {
    pub(crate) published: Mutex<Vec<OutMessage>>,
    pub(crate) notices: Mutex<Vec<String>>,
    /// Filters of what was purged, in order.
    pub(crate) purged: Mutex<Vec<String>>,
    pub(crate) away: AtomicBool,
    /// How often somebody wanted to purge, in vain or not.
    pub(crate) purges: AtomicUsize,
    /// How often somebody wanted to know whether the broker is there.
    pub(crate) looks: AtomicUsize,
    /// Whoever has it stops the actors' thread where it publishes next, which is `stopped` then.
    pub(crate) stop: Mutex<()>,
    pub(crate) stopped: AtomicBool,
    /// Messages whose subject contains this are refused for good.
    pub(crate) refuses: Mutex<Option<&'static str>>,
    /// The thread of the actors.
    pub(crate) thread: Mutex<Option<ThreadId>>,
}

impl Publisher for RecordingPublisher {
    fn publish_run(&self, run: Vec<OutMessage>) -> BoxFuture<Vec<Result<u64, PublishError>>> {
        *self.thread.lock().unwrap() = Some(std::thread::current().id());
        self.pass_stop();
        if self.away.load(Ordering::Relaxed) {
            return Box::pin(async move { vec![Err(PublishError::Transient("away".into())); run.len()] });
        }
        let refuses = *self.refuses.lock().unwrap();
        let mut published = self.published.lock().unwrap();
        let mut results = Vec::new();
        for message in run {
            // What follows one that is not stored is not stored either, as with a real broker.
            let result = match results.last() {
                Some(Err(_)) => Err(PublishError::OutOfTurn),
                _ if refuses.is_some_and(|part| message.subject.contains(part)) => {
                    Err(PublishError::Permanent("no".into()))
                }
                _ => {
                    published.push(message);
                    Ok(published.len() as u64)
                }
            };
            results.push(result);
        }
        Box::pin(async move { results })
    }

    fn notify(&self, subject: String, _: Vec<u8>) {
        self.notices.lock().unwrap().push(subject);
    }

    fn purge(&self, filters: Vec<(String, String)>) -> BoxFuture<Result<(), PublishError>> {
        self.purges.fetch_add(1, Ordering::Relaxed);
        if self.away.load(Ordering::Relaxed) {
            return Box::pin(async { Err(PublishError::Transient("away".into())) });
        }
        let filters = filters.into_iter().map(|(_, filter)| filter);
        self.purged.lock().unwrap().extend(filters);
        Box::pin(async { Ok(()) })
    }

    fn is_reachable(&self) -> bool {
        self.looks.fetch_add(1, Ordering::Relaxed);
        !self.away.load(Ordering::Relaxed)
    }
}

impl RecordingPublisher {
    /// Messages whose subject contains `part`.
    pub(crate) fn with(&self, part: &str) -> Vec<OutMessage> {
        let published = self.published.lock().unwrap();
        let found = published.iter().filter(|message| message.subject.contains(part));
        found.cloned().collect()
    }

    pub(crate) fn results(&self) -> Vec<OutMessage> {
        self.with(".results.")
    }

    fn pass_stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _passes = self.stop.lock().unwrap();
        self.stopped.store(false, Ordering::Relaxed);
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }
}

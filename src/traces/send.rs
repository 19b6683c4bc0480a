//! The task that sends: batches, retries while the collector is away, and the end.

use super::encode::{self, Resource};
use super::{Options, Waiting, drop_spans};
use crate::cli::chain;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tripline_actors::trace::TraceSpan;

/// Spans of one request.
const BATCH_MAX: usize = 512;
/// How long a span waits for others to go with it.
const LINGER: Duration = Duration::from_secs(1);
/// The first pause before the same request is sent again; each one is twice the one before.
pub(super) const PAUSE_FIRST: Duration = Duration::from_secs(1);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(30);
/// What is read of an answer.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How a request went.
enum Sent {
    /// The collector has it.
    Taken,
    /// It does not want so many of it, or any.
    Refused(u64, String),
    /// It is away or has too much to do, perhaps for so long.
    Away(Option<Duration>, String),
}

pub(super) struct Sender {
    client: Client,
    options: Options,
    resource: Resource,
    queue: mpsc::Receiver<TraceSpan>,
    waiting: Arc<Waiting>,
    stopping: watch::Receiver<bool>,
    /// It was told that the collector is away.
    away: bool,
}

impl Sender {
    pub(super) fn new(
        (client, options): (Client, Options),
        resource: Resource,
        queue: mpsc::Receiver<TraceSpan>,
        (waiting, stopping): (Arc<Waiting>, watch::Receiver<bool>),
    ) -> Self {
        Self {
            client,
            options,
            resource,
            queue,
            waiting,
            stopping,
            away: false,
        }
    }

    /// Sends until it is to stop, and then what waits.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            self.gather(&mut batch).await;
            if batch.is_empty() {
                return;
            }
            self.deliver(&batch).await;
            self.waiting.remove(batch.len() as u64);
            batch.clear();
        }
    }

    /// Waits for a span, and a little for more; nothing at all means that it is over.
    async fn gather(&mut self, batch: &mut Vec<TraceSpan>) {
        let mut full_at = None::<Instant>;
        while batch.len() < BATCH_MAX {
            let room = BATCH_MAX - batch.len();
            tokio::select! {
                biased;
                count = self.queue.recv_many(batch, room) => match count {
                    0 => return,
                    _ => drop(full_at.get_or_insert_with(|| Instant::now() + LINGER)),
                },
                // Nobody adds to it any more.
                () = stopped(&mut self.stopping) => return,
                () = until(full_at) => return,
            }
        }
    }

    /// Sends a batch until the collector took or refused it; on the way to the end only once.
    async fn deliver(&mut self, batch: &[TraceSpan]) {
        let body = match encode::request(&self.resource, batch) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "spans cannot be written");
                return drop_spans("refused", batch.len() as u64);
            }
        };
        let count = batch.len() as u64;
        let mut pause = PAUSE_FIRST;
        loop {
            match self.post(body.clone(), count).await {
                Sent::Taken => return self.taken(count),
                Sent::Refused(refused, why) => {
                    tracing::warn!(
                        spans = refused,
                        why,
                        "the collector refuses spans; they are dropped"
                    );
                    drop_spans("refused", refused);
                    return self.taken(count.saturating_sub(refused));
                }
                Sent::Away(wished, why) => {
                    self.note_away(&why);
                    if self.is_over() {
                        return drop_spans("shutdown", count);
                    }
                    let wait = wished.unwrap_or(pause).min(PAUSE_MAX);
                    tokio::select! {
                        // Back-off: a collector that is away must not cost the processor.
                        () = tokio::time::sleep(wait) => {}
                        () = stopped(&mut self.stopping) => {}
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// It is to stop, or whoever could say so is gone.
    fn is_over(&self) -> bool {
        *self.stopping.borrow() || self.stopping.has_changed().is_err()
    }

    fn taken(&mut self, count: u64) {
        metrics::counter!("tripline_tracing_spans_exported_total").increment(count);
        if std::mem::take(&mut self.away) {
            tracing::info!("the collector takes traces again");
        }
    }

    /// Told once until it is back.
    fn note_away(&mut self, why: &str) {
        metrics::counter!("tripline_tracing_exports_failed_total").increment(1);
        if !std::mem::replace(&mut self.away, true) {
            let (endpoint, most) = (self.options.url.as_str(), self.options.queue_max);
            tracing::warn!(
                endpoint,
                why,
                "the collector does not take traces; {most} spans wait at most, more are dropped"
            );
        }
    }

    async fn post(&self, body: Vec<u8>, count: u64) -> Sent {
        let request = self.client.post(self.options.url.clone());
        let sent = request.header(CONTENT_TYPE, "application/json").body(body).send();
        match sent.await {
            Ok(response) => judge(response, count).await,
            Err(error) => Sent::Away(None, chain(&error.without_url())),
        }
    }
}

async fn judge(response: Response, count: u64) -> Sent {
    let status = response.status();
    if status.is_success() {
        let body = read(response).await;
        return match encode::rejected(&body) {
            Some((refused, why)) => Sent::Refused(refused.min(count), why),
            None => Sent::Taken,
        };
    }
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Sent::Away(retry_after(&response), format!("it answers {status}")),
        _ => Sent::Refused(count, format!("it answers {status}")),
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// The first of a body; one that breaks off says nothing.
pub(super) async fn read(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ANSWER_BYTES_MAX.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
        if room == 0 {
            break;
        }
    }
    body
}

/// Returns when it is to stop, at once if it is already.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that whoever could stop it is gone, which is the end as well.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

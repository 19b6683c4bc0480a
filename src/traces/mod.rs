//! Traces on their way to a collector: OTLP over HTTP, as JSON.
//!
//! The actors hand over spans of what is durable ([`tripline_actors::trace`]); a queue with a bound holds them, and a
//! task sends them in batches. Nothing here makes the work wait: what finds no room is dropped and counted, and a
//! collector that is away costs the queue's memory and nothing else. Deliberately not here: which spans there are.

mod encode;
mod send;
#[cfg(test)]
mod tests;

use encode::Resource;
use reqwest::Url;
use reqwest::header::HeaderMap;
use send::Sender;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tripline_actors::trace::{TraceSink, TraceSpan};

/// How long the collector has for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where traces go, and how many may wait.
#[derive(Debug, Clone)]
pub struct Options {
    /// `tracing.otlp_endpoint`, with the path of traces.
    pub url: Url,
    /// `tracing.otlp_headers`
    pub headers: HeaderMap,
    /// `tracing.otlp_ca`
    pub ca: Option<PathBuf>,
    /// `tracing.service_name`
    pub service_name: String,
    /// `tracing.queue_max`
    pub queue_max: usize,
}

/// Why traces cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of `tracing.otlp_ca` cannot be read.
    #[error("read tracing.otlp_ca = {path}")]
    Ca {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has no certificate, or TLS cannot be set up.
    #[error("set up the connection to tracing.otlp_endpoint")]
    Client(#[from] reqwest::Error),
    /// There is no certificate in the file of `tracing.otlp_ca`.
    #[error("find a certificate (PEM) in tracing.otlp_ca = {path}")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
}

/// Counts of the queue, shared by its two ends.
#[derive(Debug, Default)]
struct Waiting(AtomicU64);

impl Waiting {
    fn add(&self, count: u64) {
        show(self.0.fetch_add(count, Ordering::Relaxed) + count);
    }

    fn remove(&self, count: u64) {
        show(self.0.fetch_sub(count, Ordering::Relaxed).saturating_sub(count));
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn show(waiting: u64) {
    metrics::gauge!("tripline_tracing_spans_waiting").set(waiting as f64);
}

/// `reason`: `queue_full`, `refused` or `shutdown`.
fn drop_spans(reason: &'static str, count: u64) {
    metrics::counter!("tripline_tracing_spans_dropped_total", "reason" => reason).increment(count);
}

/// The end of the queue that the actors have.
struct Queue {
    spans: mpsc::Sender<TraceSpan>,
    waiting: Arc<Waiting>,
}

impl TraceSink for Queue {
    fn take(&self, spans: Vec<TraceSpan>) {
        for span in spans {
            // Before it can be sent and taken off again.
            self.waiting.add(1);
            let reason = match self.spans.try_send(span) {
                Ok(()) => continue,
                Err(mpsc::error::TrySendError::Full(_)) => "queue_full",
                Err(mpsc::error::TrySendError::Closed(_)) => "shutdown",
            };
            self.waiting.remove(1);
            drop_spans(reason, 1);
        }
    }
}

/// The task that sends, running.
pub struct Traces {
    sink: Arc<Queue>,
    stopping: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Traces {
    /// Begins to send what [`Traces::sink`] is given. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// The CA cannot be read or is none. Whether the collector is there is not asked.
    pub fn start(options: Options) -> Result<Self, Error> {
        let client = client(&options)?;
        let (spans, queue) = mpsc::channel(options.queue_max);
        let (stopping, stopped) = watch::channel(false);
        let waiting = Arc::new(Waiting::default());
        let resource = Resource::new(&options.service_name);
        let sender = Sender::new(
            (client, options),
            resource,
            queue,
            (Arc::clone(&waiting), stopped),
        );
        Ok(Self {
            sink: Arc::new(Queue { spans, waiting }),
            stopping,
            task: tokio::spawn(sender.run()),
        })
    }

    /// Takes spans.
    pub fn sink(&self) -> Arc<dyn TraceSink> {
        self.sink.clone()
    }

    /// Sends what waits, each batch once and all of them within this time; what is left then is dropped and counted.
    pub async fn stop(mut self, within: Duration) {
        self.stopping.send_replace(true);
        match tokio::time::timeout(within, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the task that sends traces died"),
            Err(_) => self.task.abort(),
        }
        let left = self.sink.waiting.get();
        if left > 0 {
            self.sink.waiting.remove(left);
            drop_spans("shutdown", left);
            tracing::warn!(spans = left, "spans were not sent before the end");
        }
    }
}

fn client(options: &Options) -> Result<reqwest::Client, Error> {
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("tripline/", env!("CARGO_PKG_VERSION")))
        .default_headers(options.headers.clone());
    let client = match &options.ca {
        Some(path) => client.tls_certs_only(certificates(path)?),
        // Plain HTTP must not fail because a machine has no root certificates, and needs no proxy on the way.
        None if options.url.scheme() == "http" => client.tls_certs_only([]).no_proxy(),
        None => client,
    };
    Ok(client.build()?)
}

fn certificates(path: &PathBuf) -> Result<Vec<reqwest::Certificate>, Error> {
    let pem = std::fs::read(path).map_err(|source| Error::Ca {
        path: path.clone(),
        source,
    })?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem)?;
    match certificates.is_empty() {
        true => Err(Error::NoCertificate { path: path.clone() }),
        false => Ok(certificates),
    }
}

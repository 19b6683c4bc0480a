//! The edge as a whole: its thread, and the supervisor that goes from nothing to events flowing, again and
//! again.

use super::consumer::{self, Attached, CONSUMER};
use super::dead::{self, NatsDead, Requests};
use super::feed::{self, Followers, NatsFeed};
use super::intake::{Intake, Taker};
use super::link::Link;
use super::publisher::{NatsPublisher, Receiver, Sender};
use super::pull::{self, Puller};
use super::service::{self, Api};
use super::status::{NatsStatus, Phase};
use super::{Error, NatsOptions, streams};
use async_nats::jetstream::context::{Context, ContextBuilder};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout};
use tripline_protocol::Timestamp;

/// How long the broker may take to answer a request of JetStream's API, or to ack a message.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of events that are asked for at once.
const REQUEST_BYTES: u64 = 8 << 20;
/// Shortest and longest pause before streams and consumer are looked at again.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Shortest time between two takings-over while messages are held that the actors refused: each counts as one
/// more delivery.
const TAKE_OVER_EVERY: Duration = consumer::ACK_WAIT;
/// How long stopping may take.
const STOP_WAIT: Duration = Duration::from_secs(15);

/// The running edge. Stop it; dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct NatsEdge {
    status: NatsStatus,
    stop: watch::Sender<Stop>,
    intake_stopped: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
}

/// How much is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Nothing,
    Intake,
    Everything,
}

impl NatsEdge {
    /// Starts connecting and returns; whatever the broker does later is no error of this call. Waits only
    /// until the options were looked at.
    pub async fn start<I, A>(
        options: NatsOptions,
        (publisher, feed, dead): (&NatsPublisher, &NatsFeed, &NatsDead),
        intake: I,
        api: A,
    ) -> Result<Self, Error>
    where
        I: Intake + Send,
        A: Api + Send,
    {
        let receiver = publisher.take_receiver().ok_or(Error::PublisherTaken)?;
        let followers = feed.take_followers().ok_or(Error::FeedTaken)?;
        let letters = dead.take_requests().ok_or(Error::DeadTaken)?;
        let status = publisher.status();
        let (stop, stop_view) = watch::channel(Stop::Nothing);
        let (intake_done, intake_stopped) = watch::channel(false);
        let (opened, result) = oneshot::channel();
        let parts = Parts {
            options,
            status: status.clone(),
            stop: stop_view,
            intake_done,
            receiver,
            followers,
            letters,
        };
        let thread = std::thread::Builder::new()
            .name("nats".into())
            .spawn(move || run_thread(parts, intake, api, opened))
            .map_err(Error::Thread)?;
        match result.await {
            Ok(Ok(())) => Ok(Self {
                status,
                stop,
                intake_stopped,
                thread: Some(thread),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::Thread(std::io::Error::other("it ended at once"))),
        }
    }

    /// What is known about the connection.
    pub fn status(&self) -> NatsStatus {
        self.status.clone()
    }

    /// Takes no more events and answers no more requests, and waits for the batch under way. Publishing goes
    /// on: the actors are drained after this and before [`NatsEdge::stop`].
    pub async fn stop_intake(&mut self) {
        self.stop.send_modify(|stop| *stop = (*stop).max(Stop::Intake));
        if timeout(STOP_WAIT, self.intake_stopped.wait_for(|stopped| *stopped))
            .await
            .is_err()
        {
            tracing::warn!("taking events did not stop in time");
        }
    }

    /// Stops everything.
    pub async fn stop(mut self) {
        self.stop_intake().await;
        self.stop.send_replace(Stop::Everything);
        let Some(thread) = self.thread.take() else { return };
        let joined = tokio::task::spawn_blocking(move || thread.join());
        match timeout(STOP_WAIT, joined).await {
            Ok(Ok(Ok(()))) => {}
            Ok(_) => tracing::error!("the thread of the broker's connection panicked"),
            Err(_) => tracing::warn!("the thread of the broker's connection did not stop in time"),
        }
    }
}

impl Drop for NatsEdge {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::Everything);
    }
}

/// What the thread is given.
struct Parts {
    options: NatsOptions,
    status: NatsStatus,
    stop: watch::Receiver<Stop>,
    intake_done: watch::Sender<bool>,
    receiver: Receiver,
    followers: Followers,
    letters: Requests,
}

fn run_thread<I: Intake, A: Api>(
    parts: Parts,
    intake: I,
    api: A,
    opened: oneshot::Sender<Result<(), Error>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(opened.send(Err(Error::Thread(error)))),
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        match Link::open(&parts.options, &parts.status).await {
            Err(error) => drop(opened.send(Err(error))),
            Ok(link) => {
                drop(opened.send(Ok(())));
                run(parts, link, intake, api).await;
            }
        }
    });
}

async fn run<I: Intake, A: Api>(parts: Parts, link: Link, intake: I, api: A) {
    let Parts {
        options,
        status,
        mut stop,
        intake_done,
        receiver,
        followers,
        letters,
    } = parts;
    let context = context(&link);
    let recheck = Arc::new(Notify::new());
    let sender = Sender::new(context.clone(), status.clone(), &link, recheck.clone());
    let sending = tokio::task::spawn_local(sender.run(receiver));
    let source = feed::Source {
        link: link.clone(),
        context: context.clone(),
        subjects: options.subjects.clone(),
    };
    let feeding = tokio::task::spawn_local(feed::serve(source, followers));
    let source = dead::Source {
        link: link.clone(),
        context: context.clone(),
        subjects: options.subjects.clone(),
    };
    let reading = tokio::task::spawn_local(dead::serve(source, letters));
    let answering = tokio::task::spawn_local(service::run(
        link.clone(),
        options.subjects.clone(),
        api,
        stop_at(&stop, Stop::Intake),
    ));

    let mut supervisor = Supervisor {
        options,
        status: status.clone(),
        context,
        recheck,
        made: None,
        attached: None,
        took_over: None,
    };
    let mut taker = Taker::new(intake, link.client.clone());
    tokio::select! {
        () = supervisor.run(&mut taker, &link) => {}
        () = stop_at(&stop, Stop::Intake) => {}
    }
    taker.finish(&link).await;
    if timeout(STOP_WAIT, answering).await.is_err() {
        tracing::warn!("requests under way did not end in time");
    }
    intake_done.send_replace(true);
    // A dropped sender means a dropped edge: everything stops.
    drop(stop.wait_for(|stop| *stop == Stop::Everything).await);
    sending.abort();
    feeding.abort();
    reading.abort();
    status.enter(Phase::Away("stopped".into()));
}

/// JetStream over this connection, with an end to the broker's time.
fn context(link: &Link) -> Context {
    ContextBuilder::new()
        .timeout(REQUEST_TIMEOUT)
        .ack_timeout(REQUEST_TIMEOUT)
        .build(link.client.clone())
}

/// Waits until `stop` has come that far, or its owner is gone.
fn stop_at(stop: &watch::Receiver<Stop>, stage: Stop) -> impl Future<Output = ()> + use<> {
    let mut stop = stop.clone();
    async move { drop(stop.wait_for(|stop| *stop >= stage).await) }
}

/// Goes from a connection to events flowing.
struct Supervisor {
    options: NatsOptions,
    status: NatsStatus,
    context: Context,
    recheck: Arc<Notify>,
    /// The stream of events that this edge made, by its time of creation: all of it is ours to handle.
    made: Option<Timestamp>,
    attached: Option<Attached>,
    took_over: Option<Instant>,
}

/// Why events do not flow.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error("nats-server {0} is too old")]
    TooOld(String),
    #[error(transparent)]
    Streams(#[from] streams::Error),
    #[error(transparent)]
    Consumer(#[from] consumer::Error),
    #[error(transparent)]
    Pull(#[from] pull::Error),
}

impl Supervisor {
    /// Returns when the client has ended.
    async fn run<I: Intake>(&mut self, taker: &mut Taker<I>, link: &Link) {
        let mut pause = RETRY_PAUSE_MIN;
        while let Some(epoch) = link.up().await {
            let since = Instant::now();
            let Err(obstacle) = self.flow(taker, link, epoch).await else {
                pause = RETRY_PAUSE_MIN;
                continue;
            };
            self.report(&obstacle);
            if since.elapsed() > RETRY_PAUSE_MAX * 4 {
                pause = RETRY_PAUSE_MIN;
            }
            // Waits for the pause, or for another connection.
            drop(timeout(pause, link.lost(epoch)).await);
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    fn report(&self, obstacle: &Obstacle) {
        match obstacle {
            Obstacle::TooOld(version) => self.status.enter(Phase::TooOld(version.clone())),
            other => {
                let text = chain(other);
                tracing::warn!(obstacle = text, "events do not flow");
                if self.status.usable() {
                    self.status
                        .enter(Phase::Preparing(format!("events do not flow: {text}")));
                }
            }
        }
    }

    /// Prepares and takes events; `Ok` when the connection is lost or streams are to be looked at again.
    async fn flow<I: Intake>(
        &mut self,
        taker: &mut Taker<I>,
        link: &Link,
        epoch: u64,
    ) -> Result<(), Obstacle> {
        let mut puller = tokio::select! {
            puller = self.prepare(taker, link) => puller?,
            () = link.lost(epoch) => return Ok(()),
        };
        self.status.enter(Phase::Ready);
        let recheck = self.recheck.clone();
        let until = async {
            tokio::select! {
                () = link.lost(epoch) => {}
                () = recheck.notified() => {}
            }
        };
        Ok(taker.take(&mut puller, until).await?)
    }

    async fn prepare<I: Intake>(&mut self, taker: &mut Taker<I>, link: &Link) -> Result<Puller, Obstacle> {
        if let Some(version) = link.too_old().await {
            return Err(Obstacle::TooOld(version));
        }
        let limit = self.options.stream_bytes_max;
        let mut checked = streams::ensure(&self.context, &self.options.subjects, limit).await?;
        let created = consumer::stream_created(&checked.events);
        if checked.events_created {
            self.made = Some(created);
        }
        checked.events_created = self.made == Some(created);
        for warning in &checked.warnings {
            tracing::warn!(warning, "stream differs");
        }
        self.status.set_warnings(checked.warnings.clone());
        taker.intake().broker_returned();
        let long_ago = self.took_over.is_none_or(|at| at.elapsed() >= TAKE_OVER_EVERY);
        let counted_to = taker.let_go().await.then(|| taker.counted_to());
        let take_over = counted_to.is_some() || long_ago;
        let attaching = consumer::attach(&self.context, &checked, taker.intake(), take_over, counted_to);
        let (attached, origin) = attaching.await?;
        if take_over {
            self.took_over = Some(Instant::now());
        }
        match self.attached.replace(attached) == Some(attached) {
            true if counted_to.is_some() => taker.go_on(origin),
            true => {}
            false => taker.begin(origin),
        }
        let stream = &checked.events.config.name;
        Ok(Puller::open(&self.context, stream, CONSUMER, REQUEST_BYTES).await?)
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::deaf::DeafBroker;
    use super::*;
    use async_nats::jetstream::context::PublishErrorKind;

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_answer_is_given_up_after_its_time() {
        let broker = DeafBroker::that_lets_in().await;
        let link = Link::open(&broker.options(), &NatsStatus::default())
            .await
            .unwrap();
        link.up().await.expect("let in");
        let context = context(&link);
        let begun = Instant::now();
        context.query_account().await.unwrap_err();
        assert!(begun.elapsed() >= REQUEST_TIMEOUT, "a request");
        let begun = Instant::now();
        let ack = context.publish("tripline.results.x", "{}".into()).await.unwrap();
        assert_eq!(ack.await.unwrap_err().kind(), PublishErrorKind::TimedOut);
        assert!(begun.elapsed() >= REQUEST_TIMEOUT, "an ack");
    }
}

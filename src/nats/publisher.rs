//! The outbox's way to the broker: an ordered queue, one task that sends, and the acks awaited together.
//!
//! A run is sent without waiting for an ack in between. From its second message on each says which one it follows
//! (`Nats-Expected-Last-Msg-Id`), and the broker refuses it when another one is the last of the stream. So nothing overtakes a
//! message that was lost on its way, not even over a connection that comes back; and when somebody else publishes in
//! between, the rest is sent again (`docs/decisions/0033-runs-of-one-subject.md`).
//!
//! Deliberately not here: retries. A message that failed for now is the outbox's to send again, with the same
//! `Nats-Msg-Id`. A lost connection fails everything under way at once, since its acks will not come.

use super::link::{Denied, Link, LinkState};
use super::status::NatsStatus;
use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use async_nats::jetstream::context::{Context, PublishAckFuture, PublishError as AckError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use futures_util::FutureExt;
use futures_util::future::BoxFuture as Boxed;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tripline_actors::ports::{BoxFuture, OutMessage, PublishError, Publisher};

/// Most runs of messages that wait to be sent.
pub const QUEUE_MAX: usize = 4_096;
/// Messages sent and not acked at which no further run is sent.
const IN_FLIGHT_MAX: usize = 1_000;

/// Publishes for the outbox. Made before there is a connection; until [`super::NatsEdge::start`] has one,
/// every message fails for now.
#[derive(Debug)]
pub struct NatsPublisher {
    status: NatsStatus,
    queue: mpsc::Sender<Job>,
    receiver: Mutex<Option<mpsc::Receiver<Job>>>,
}

/// How each message of a run went.
type Results = Vec<Result<u64, PublishError>>;

/// What waits to be sent.
#[derive(Debug)]
enum Job {
    Publish(Vec<OutMessage>, oneshot::Sender<Results>),
    Notify(String, Vec<u8>),
    Purge(Vec<(String, String)>, oneshot::Sender<Result<(), PublishError>>),
}

impl NatsPublisher {
    /// Not connected.
    pub fn new() -> Arc<Self> {
        let (queue, receiver) = mpsc::channel(QUEUE_MAX);
        Arc::new(Self {
            status: NatsStatus::default(),
            queue,
            receiver: Mutex::new(Some(receiver)),
        })
    }

    /// The connection's state; the edge that serves this publisher keeps it.
    pub fn status(&self) -> NatsStatus {
        self.status.clone()
    }

    /// The other end of the queue; `None` when it was taken before.
    pub(crate) fn take_receiver(&self) -> Option<Receiver> {
        self.receiver.lock().take().map(Receiver)
    }
}

/// The other end of a publisher's queue.
pub(crate) struct Receiver(mpsc::Receiver<Job>);

impl Publisher for NatsPublisher {
    fn publish_run(&self, run: Vec<OutMessage>) -> BoxFuture<Results> {
        let count = run.len();
        let failed = move |error| std::future::ready(vec![Err(error); count]).boxed();
        if !self.status.usable() {
            return failed(PublishError::Transient(self.status.detail()));
        }
        let (answer, answered) = oneshot::channel();
        match self.queue.try_send(Job::Publish(run, answer)) {
            Ok(()) => async move { answered.await.unwrap_or_else(|_| vec![Err(stopped()); count]) }.boxed(),
            Err(mpsc::error::TrySendError::Full(_)) => failed(PublishError::Transient(format!(
                "{QUEUE_MAX} runs of messages wait to be sent already"
            ))),
            Err(mpsc::error::TrySendError::Closed(_)) => failed(stopped()),
        }
    }

    fn notify(&self, subject: String, payload: Vec<u8>) {
        if !self.status.usable() || self.queue.try_send(Job::Notify(subject, payload)).is_err() {
            metrics::counter!("tripline_nats_notifications_dropped_total").increment(1);
        }
    }

    fn purge(&self, filters: Vec<(String, String)>) -> BoxFuture<Result<(), PublishError>> {
        let (answer, answered) = oneshot::channel();
        match self.queue.try_send(Job::Purge(filters, answer)) {
            Ok(()) => async move { answered.await.unwrap_or_else(|_| Err(stopped())) }.boxed(),
            Err(_) => std::future::ready(Err(stopped())).boxed(),
        }
    }

    fn is_reachable(&self) -> bool {
        self.status.usable()
    }
}

fn stopped() -> PublishError {
    PublishError::Transient("the connection to the broker was stopped".into())
}

/// Sends what is queued until the publisher is dropped.
pub(crate) struct Sender {
    context: Context,
    status: NatsStatus,
    link: watch::Receiver<LinkState>,
    denials: broadcast::Receiver<Denied>,
    /// Wakes the supervisor when a stream is missing.
    recheck: Arc<Notify>,
    next: u64,
    waiting: HashMap<u64, Waiting>,
    acks: FuturesUnordered<Boxed<'static, Acked>>,
}

/// What the broker answered: to which run, at which place in it.
type Acked = (u64, usize, Result<u64, AckError>);

/// A run that was sent and is not acked whole.
struct Waiting {
    subject: String,
    /// In the order of the messages; `None` until the broker has answered.
    results: Vec<Option<Result<u64, PublishError>>>,
    left: usize,
    answer: oneshot::Sender<Results>,
}

impl Waiting {
    fn new(run: &[OutMessage], answer: oneshot::Sender<Results>) -> Self {
        Self {
            subject: run.first().map(|first| first.subject.clone()).unwrap_or_default(),
            results: vec![None; run.len()],
            left: run.len(),
            answer,
        }
    }

    fn settle(&mut self, place: usize, result: Result<u64, PublishError>) {
        if let Some(open) = self.results.get_mut(place).filter(|known| known.is_none()) {
            *open = Some(result);
            self.left -= 1;
        }
    }

    /// Tells how all went; what is open failed with `error`.
    fn finish(self, error: &PublishError) {
        let known = |result: Option<_>| result.unwrap_or_else(|| Err(error.clone()));
        // Nobody waiting for it any more is no error.
        drop(self.answer.send(self.results.into_iter().map(known).collect()));
    }
}

impl Sender {
    pub(crate) fn new(context: Context, status: NatsStatus, link: &Link, recheck: Arc<Notify>) -> Self {
        Self {
            context,
            status,
            link: link.watch(),
            denials: link.denials(),
            recheck,
            next: 0,
            waiting: HashMap::new(),
            acks: FuturesUnordered::new(),
        }
    }

    /// Runs until every publisher is gone.
    pub(crate) async fn run(mut self, Receiver(mut queue): Receiver) {
        loop {
            let room = self.acks.len() < IN_FLIGHT_MAX;
            tokio::select! {
                job = queue.recv(), if room => match job {
                    Some(job) => self.send(job).await,
                    None => break,
                },
                Some((id, place, result)) = self.acks.next() => self.acked(id, place, result),
                denied = self.denials.recv() => self.denied(denied),
                changed = self.link.changed() => match changed {
                    Ok(()) => self.link_changed(),
                    Err(_) => break,
                },
            }
        }
        self.fail_all("the connection was closed");
    }

    async fn send(&mut self, job: Job) {
        match job {
            Job::Notify(subject, payload) => self.notify(subject, payload).await,
            // A purge of a large stream takes its time, and publishing goes on meanwhile.
            Job::Purge(filters, answer) => {
                let context = self.context.clone();
                let usable = self.status.usable().then_some(());
                let away = PublishError::Transient(self.status.detail());
                tokio::task::spawn_local(async move {
                    let purged = match usable {
                        Some(()) => purge(&context, filters).await,
                        None => Err(away),
                    };
                    // Nobody waiting for it any more is no error.
                    drop(answer.send(purged));
                });
            }
            Job::Publish(run, answer) => self.send_run(run, answer).await,
        }
    }

    async fn send_run(&mut self, run: Vec<OutMessage>, answer: oneshot::Sender<Results>) {
        let (id, mut waiting) = (self.next, Waiting::new(&run, answer));
        self.next += 1;
        let (mut before, mut out_of_turn) = (None, false);
        for (place, message) in run.into_iter().enumerate() {
            if out_of_turn {
                waiting.settle(place, Err(PublishError::OutOfTurn));
                continue;
            }
            let message_id = message.message_id.clone();
            match self.publish(message, before.as_deref()).await {
                Ok(ack) => {
                    before = Some(message_id);
                    let acked = async move { (id, place, ack.await.map(|ack| ack.sequence)) };
                    self.acks.push(acked.boxed());
                }
                Err(error) => {
                    // What will never be sent holds nothing back.
                    out_of_turn = !matches!(error, PublishError::Permanent(_));
                    waiting.settle(place, Err(error));
                }
            }
        }
        self.keep(id, waiting);
    }

    /// Waits for the rest of a run, or tells how it went if there is none.
    fn keep(&mut self, id: u64, waiting: Waiting) {
        if waiting.left == 0 {
            waiting.finish(&PublishError::OutOfTurn);
        } else {
            self.waiting.insert(id, waiting);
        }
    }

    async fn notify(&self, subject: String, payload: Vec<u8>) {
        if !self.status.usable() {
            metrics::counter!("tripline_nats_notifications_dropped_total").increment(1);
        } else if let Err(error) = self.context.client().publish(subject, payload.into()).await {
            tracing::debug!(%error, "notification dropped");
            metrics::counter!("tripline_nats_notifications_dropped_total").increment(1);
        }
    }

    async fn publish(
        &self,
        message: OutMessage,
        before: Option<&str>,
    ) -> Result<PublishAckFuture, PublishError> {
        if !self.status.usable() {
            return Err(PublishError::Transient(self.status.detail()));
        }
        let subject = async_nats::Subject::validated(&message.subject)
            .map_err(|_| PublishError::Permanent(format!("{:?} is no subject", message.subject)))?;
        let publish = PublishMessage::build()
            .headers(headers(&message)?)
            .message_id(&message.message_id)
            .payload(message.payload.into());
        let publish = match before {
            Some(before) => publish.expected_last_message_id(before),
            None => publish,
        };
        self.context
            .send_publish(subject, publish)
            .await
            .map_err(|error| classify(&error))
    }

    fn acked(&mut self, id: u64, place: usize, result: Result<u64, AckError>) {
        // Those that failed with their connection are answered already.
        let Some(mut waiting) = self.waiting.remove(&id) else {
            return;
        };
        let result = result.map_err(|error| {
            let subject = &waiting.subject;
            match error.kind() {
                PublishErrorKind::WrongLastMessageId => tracing::debug!(subject, "published out of turn"),
                kind => {
                    tracing::warn!(subject, %error, "publish failed");
                    if kind == PublishErrorKind::StreamNotFound {
                        self.recheck.notify_one();
                    }
                }
            }
            classify(&error)
        });
        waiting.settle(place, result);
        self.keep(id, waiting);
    }

    fn denied(&mut self, denied: Result<Denied, broadcast::error::RecvError>) {
        // Missing one only means that its message times out.
        let Ok(denied) = denied else { return };
        let error = PublishError::Permanent(denied.text);
        let of_subject = |_: &u64, waiting: &mut Waiting| waiting.subject == denied.subject;
        for (_, waiting) in self.waiting.extract_if(of_subject) {
            waiting.finish(&error);
        }
    }

    fn link_changed(&mut self) {
        if !self.link.borrow_and_update().up {
            self.fail_all("the connection was lost");
        }
    }

    fn fail_all(&mut self, why: &str) {
        self.acks.clear();
        let error = PublishError::Transient(why.into());
        for (_, waiting) in self.waiting.drain() {
            waiting.finish(&error);
        }
    }
}

/// Removes what has these subjects from their streams. Whatever fails is asked for again.
async fn purge(context: &Context, filters: Vec<(String, String)>) -> Result<(), PublishError> {
    let again = |error: &dyn std::error::Error| PublishError::Transient(error.to_string());
    for (name, filter) in filters {
        let stream = context
            .get_stream_no_info(&name)
            .await
            .map_err(|error| again(&error))?;
        let purged = stream
            .purge()
            .filter(&filter)
            .await
            .map_err(|error| again(&error))?;
        if purged.purged > 0 {
            tracing::info!(stream = name, filter, messages = purged.purged, "purged");
        }
    }
    Ok(())
}

fn headers(message: &OutMessage) -> Result<HeaderMap, PublishError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &message.headers {
        let invalid = || PublishError::Permanent(format!("header {name:?} cannot be sent"));
        let name = HeaderName::from_str(name).map_err(|_| invalid())?;
        headers.append(name, HeaderValue::from_str(value).map_err(|_| invalid())?);
    }
    Ok(headers)
}

/// Whether trying the same message again can help.
pub(super) fn classify(error: &AckError) -> PublishError {
    let text = describe(error);
    match error.kind() {
        PublishErrorKind::WrongLastMessageId => PublishError::OutOfTurn,
        PublishErrorKind::MaxPayloadExceeded => PublishError::Permanent(text),
        PublishErrorKind::Other if is_refused(error) => PublishError::Permanent(text),
        _ => PublishError::Transient(text),
    }
}

/// Whether the stream said that it will never take this message.
fn is_refused(error: &AckError) -> bool {
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<jetstream::Error>());
    source.is_some_and(|source| {
        [
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM,
            ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM,
        ]
        .contains(&source.error_code())
    })
}

fn describe(error: &AckError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{}: {source}", error.kind()),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::Phase;
    use super::*;
    use crate::counts::Counts;

    fn message(number: usize) -> OutMessage {
        OutMessage {
            subject: "tripline.results.default.x".into(),
            message_id: number.to_string(),
            headers: Vec::new(),
            payload: Vec::new(),
        }
    }

    #[test]
    fn so_many_messages_wait_for_the_connection_and_the_next_is_refused_for_now_or_dropped() {
        let counts = Counts::new();
        let _listening = counts.listen();
        let publisher = NatsPublisher::new();
        publisher.status().enter(Phase::Ready);
        let mut waiting: Vec<_> = (1..QUEUE_MAX)
            .map(|number| publisher.publish(message(number)))
            .collect();
        publisher.notify("tripline.jobs.x".into(), Vec::new());
        assert_eq!(counts.of("tripline_nats_notifications_dropped_total"), 0);
        assert!(waiting.iter_mut().all(|answer| answer.now_or_never().is_none()));
        let refused = publisher.publish(message(QUEUE_MAX)).now_or_never();
        assert!(
            matches!(&refused, Some(Err(PublishError::Transient(why))) if why.contains("wait to be sent")),
            "{refused:?}"
        );
        publisher.notify("tripline.jobs.x".into(), Vec::new());
        assert_eq!(counts.of("tripline_nats_notifications_dropped_total"), 1);
        let Some(Receiver(mut queue)) = publisher.take_receiver() else {
            panic!("nobody took it");
        };
        assert!(matches!(queue.try_recv(), Ok(Job::Publish(run, _)) if run[0].message_id == "1"));
        assert!(
            publisher.publish(message(QUEUE_MAX)).now_or_never().is_none(),
            "there is room again"
        );
    }
}

//! Reading the stream of dead letters, and removing from it.
//!
//! Letters are read one by one by their sequence, from the newest back: that needs no consumer, works on streams that
//! others made, and a page never reads more than it may. Deliberately not here: making dead letters, which are results
//! like others to the publisher.

use super::consumer::{stream_created, timestamp};
use super::link::Link;
use crate::dead::{DeadLetters, Error, Letters, RawLetter, Section};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{
    DeleteMessageErrorKind, LastRawMessageErrorKind, RawMessageErrorKind, Stream,
};
use async_nats::jetstream::{self, ErrorCode};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tripline_protocol::{Subjects, Timestamp};

/// Most requests that wait or are under way.
const QUEUE_MAX: usize = 32;
/// Letters asked for at once: each may have 1 MiB.
const AHEAD: usize = 8;
/// What came to nothing, as callers are told.
const READING: &str = "reading the dead letters failed";
const REMOVING: &str = "removing the dead letter failed";
/// How long a request may take.
const REQUEST_WAIT: Duration = Duration::from_secs(15);

/// The dead letters of the broker. Made before there is a connection; until [`super::NatsEdge::start`] has one,
/// requests wait, and fail in time.
#[derive(Debug)]
pub struct NatsDead {
    queue: mpsc::Sender<Request>,
    receiver: Mutex<Option<mpsc::Receiver<Request>>>,
}

#[derive(Debug)]
enum Request {
    Read(Section, oneshot::Sender<Result<Letters, Error>>),
    Get(u64, oneshot::Sender<Result<Option<RawLetter>, Error>>),
    Remove(u64, oneshot::Sender<Result<bool, Error>>),
}

impl NatsDead {
    /// Not connected.
    pub fn new() -> Arc<Self> {
        let (queue, receiver) = mpsc::channel(QUEUE_MAX);
        Arc::new(Self {
            queue,
            receiver: Mutex::new(Some(receiver)),
        })
    }

    /// The other end of the queue; `None` when it was taken before.
    pub(crate) fn take_requests(&self) -> Option<Requests> {
        self.receiver.lock().take().map(Requests)
    }

    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let (answer, answered) = oneshot::channel();
        match self.queue.try_send(request(answer)) {
            Err(mpsc::error::TrySendError::Full(_)) => std::future::ready(Err(Error::Busy)).boxed(),
            Err(mpsc::error::TrySendError::Closed(_)) => std::future::ready(Err(Error::Away)).boxed(),
            // Who is not answered in time asked a broker that is away.
            Ok(()) => async move {
                match timeout(REQUEST_WAIT, answered).await {
                    Ok(Ok(result)) => result,
                    Ok(Err(_)) | Err(_) => Err(Error::Away),
                }
            }
            .boxed(),
        }
    }
}

impl DeadLetters for NatsDead {
    fn read(&self, section: Section) -> BoxFuture<'static, Result<Letters, Error>> {
        self.ask(|answer| Request::Read(section, answer))
    }

    fn get(&self, sequence: u64) -> BoxFuture<'static, Result<Option<RawLetter>, Error>> {
        self.ask(|answer| Request::Get(sequence, answer))
    }

    fn remove(&self, sequence: u64) -> BoxFuture<'static, Result<bool, Error>> {
        self.ask(|answer| Request::Remove(sequence, answer))
    }
}

/// The other end of the queue.
pub(crate) struct Requests(mpsc::Receiver<Request>);

/// What answers come from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) link: Link,
    pub(crate) context: Context,
    pub(crate) subjects: Subjects,
}

/// Answers until nobody can ask any more. To be aborted for an end before that.
pub(crate) async fn serve(source: Source, Requests(mut queue): Requests) {
    let mut tasks = JoinSet::new();
    loop {
        let room = tasks.len() < QUEUE_MAX;
        tokio::select! {
            request = queue.recv(), if room => match request {
                Some(request) => drop(tasks.spawn_local(answer(source.clone(), request))),
                None => break,
            },
            Some(ended) = tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a request for dead letters died");
                }
            }
        }
    }
}

async fn answer(source: Source, request: Request) {
    // A caller that has gone is no error.
    match request {
        Request::Read(section, answer) => drop(answer.send(source.read(section).await)),
        Request::Get(sequence, answer) => drop(answer.send(source.get(sequence).await)),
        Request::Remove(sequence, answer) => drop(answer.send(source.remove(sequence).await)),
    }
}

impl Source {
    async fn stream(&self) -> Result<Stream, Error> {
        if !self.link.watch().borrow().up {
            return Err(Error::Away);
        }
        let stream = self.context.get_stream(self.subjects.dead_stream()).await;
        stream.map_err(|error| failed(READING, &error))
    }

    async fn read(&self, section: Section) -> Result<Letters, Error> {
        let stream = self.stream().await?;
        let (created, state) = (stream_created(stream.cached_info()), &stream.cached_info().state);
        let (first, last) = (state.first_sequence.max(1), state.last_sequence);
        let top = section
            .before
            .map_or(last, |before| last.min(before.saturating_sub(1)));
        let limit = u64::try_from(section.limit).unwrap_or(u64::MAX).max(1);
        let bottom = first.max((top + 1).saturating_sub(limit));
        let found: Vec<Option<RawLetter>> = stream::iter((bottom..=top).rev())
            .map(|sequence| letter(&stream, created, sequence))
            .buffered(AHEAD)
            .try_collect()
            .await?;
        Ok(Letters {
            letters: found.into_iter().flatten().collect(),
            next: (bottom > first && top >= first).then_some(bottom),
        })
    }

    async fn get(&self, sequence: u64) -> Result<Option<RawLetter>, Error> {
        let stream = self.stream().await?;
        letter(&stream, stream_created(stream.cached_info()), sequence).await
    }

    async fn remove(&self, sequence: u64) -> Result<bool, Error> {
        let stream = self.stream().await?;
        match stream.delete_message(sequence).await {
            Ok(removed) => Ok(removed),
            Err(error) => match error.kind() {
                DeleteMessageErrorKind::JetStream(why) if is_missing(&why) => Ok(false),
                DeleteMessageErrorKind::TimedOut => Err(Error::Away),
                _ => Err(failed(REMOVING, &error)),
            },
        }
    }
}

async fn letter(stream: &Stream, created: Timestamp, sequence: u64) -> Result<Option<RawLetter>, Error> {
    match stream.get_raw_message(sequence).await {
        Ok(message) => Ok(Some(to_letter(message, created))),
        Err(error) => match error.kind() {
            RawMessageErrorKind::NoMessageFound => Ok(None),
            LastRawMessageErrorKind::JetStream(why) if is_missing(&why) => Ok(None),
            _ => Err(failed(READING, &error)),
        },
    }
}

/// Whether the stream has no such message (any more).
fn is_missing(why: &jetstream::Error) -> bool {
    [ErrorCode::NO_MESSAGE_FOUND, ErrorCode::SEQUENCE_NOT_FOUND].contains(&why.error_code())
}

fn to_letter(message: StreamMessage, stream_created: Timestamp) -> RawLetter {
    let headers = message.headers.iter().flat_map(|(name, values)| {
        values
            .iter()
            .map(move |value| (name.to_string(), value.as_str().to_owned()))
    });
    RawLetter {
        stream_created,
        sequence: message.sequence,
        subject: message.subject.to_string(),
        headers: headers.collect(),
        payload: message.payload,
        stored_at: timestamp(message.time),
    }
}

/// What an error of the client means: no answer, or one that is no.
fn failed(what: &'static str, error: &(dyn std::error::Error + 'static)) -> Error {
    if is_away(error) {
        return Error::Away;
    }
    let mut why = error.to_string();
    if let Some(source) = error.source() {
        why = format!("{why}: {source}");
    }
    Error::Refused { what, why }
}

/// Whether a request got no answer: no time was left, the connection is gone, or there is no JetStream just now.
fn is_away(error: &(dyn std::error::Error + 'static)) -> bool {
    use jetstream::context::{RequestError, RequestErrorKind};
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(request) = error.downcast_ref::<RequestError>()
            && [RequestErrorKind::TimedOut, RequestErrorKind::NoResponders].contains(&request.kind())
        {
            return true;
        }
        if let Some(request) = error.downcast_ref::<async_nats::RequestError>()
            && request.kind() == async_nats::RequestErrorKind::Other
        {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_an_answer_is_told_from_one_that_was_refused() {
        use async_nats::jetstream::context::{
            GetStreamError, GetStreamErrorKind, RequestError, RequestErrorKind,
        };
        let of = |kind| {
            let request = RequestError::new(kind);
            let error = GetStreamError::with_source(GetStreamErrorKind::Request, request);
            failed(READING, &error)
        };
        assert!(matches!(of(RequestErrorKind::TimedOut), Error::Away));
        assert!(matches!(of(RequestErrorKind::NoResponders), Error::Away));
        let refused = of(RequestErrorKind::InvalidSubject);
        assert!(
            refused
                .to_string()
                .starts_with("reading the dead letters failed: "),
            "{refused}"
        );
        let closed = async_nats::RequestError::new(async_nats::RequestErrorKind::Other);
        let closed = RequestError::with_source(RequestErrorKind::Other, closed);
        let error = GetStreamError::with_source(GetStreamErrorKind::Request, closed);
        assert!(matches!(failed(REMOVING, &error), Error::Away));
    }

    #[tokio::test]
    async fn so_many_requests_wait_for_the_broker_and_the_next_is_refused() {
        let dead = NatsDead::new();
        let waiting: Vec<_> = (0..QUEUE_MAX).map(|number| dead.get(number as u64)).collect();
        assert!(matches!(dead.get(4711).await, Err(Error::Busy)));
        assert_eq!(waiting.len(), 32);
    }
}

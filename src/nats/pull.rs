//! Pulling messages from the consumer: requests are sent ahead, so that messages flow without pauses.
//!
//! The client library has a pull stream of its own. It asks for more whenever it is read, so it cannot be read
//! without taking more; but whoever holds messages must read on, or those that wait unread are delivered
//! again. Here reading and asking are two things.

use async_nats::jetstream::context::Context;
use async_nats::{Client, Message, StatusCode, Subject, Subscriber};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::Instant;

/// Most messages of one request.
const REQUEST_MESSAGES: u64 = 500;
/// How long a request waits for messages.
const REQUEST_EXPIRES: Duration = Duration::from_secs(30);
/// How often the broker says that a request is still waiting.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Silence after which requests count as lost.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Why pulling ended; the consumer must be attached again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The consumer or its stream is gone, or the broker does not know it.
    #[error("the consumer is gone: {0}")]
    Gone(String),
    /// Neither a message nor a heartbeat came.
    #[error("no word from the broker for {} s", SILENCE_MAX.as_secs())]
    Silent,
    /// The client has ended.
    #[error("the connection is closed")]
    Closed,
}

/// The reading end of a consumer.
pub(crate) struct Puller {
    client: Client,
    request_subject: String,
    inbox: Subject,
    subscriber: Subscriber,
    /// Most bytes of one request; a message that is larger is never delivered.
    request_bytes: u64,
    outstanding: u64,
    silence: Silence,
}

/// How long nothing was heard.
struct Silence {
    /// Whether nothing was since the last look, and since when.
    silent: bool,
    since: Instant,
}

impl Puller {
    /// Listens, and asks for nothing yet.
    pub(crate) async fn open(
        context: &Context,
        stream: &str,
        consumer: &str,
        request_bytes: u64,
    ) -> Result<Self, Error> {
        let client = context.client();
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(inbox.clone()).await.map_err(|_| Error::Closed)?;
        Ok(Self {
            request_subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            inbox: inbox.into(),
            client,
            subscriber,
            request_bytes,
            outstanding: 0,
            silence: Silence::new(),
        })
    }

    /// Asks for as many messages as there is `room` for, unless enough are on their way.
    pub(crate) async fn ask(&mut self, room: u64) -> Result<(), Error> {
        let wanted = room.saturating_sub(self.outstanding).min(REQUEST_MESSAGES);
        if wanted == 0 || self.outstanding > REQUEST_MESSAGES {
            return Ok(());
        }
        if self.outstanding > 0 && wanted < REQUEST_MESSAGES / 4 {
            return Ok(());
        }
        let request = format!(
            r#"{{"batch":{wanted},"max_bytes":{},"expires":{},"idle_heartbeat":{}}}"#,
            self.request_bytes,
            REQUEST_EXPIRES.as_nanos(),
            HEARTBEAT.as_nanos()
        );
        self.client
            .publish_with_reply(self.request_subject.clone(), self.inbox.clone(), request.into())
            .await
            .map_err(|_| Error::Closed)?;
        self.outstanding += wanted;
        Ok(())
    }

    /// The next message, or `None` after a sign of life that is no message. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, Error> {
        let message = self.subscriber.next().await.ok_or(Error::Closed)?;
        self.silence.silent = false;
        self.sort(message)
    }

    /// Fails when requests wait and the broker has been silent for too long. To be called now and then.
    pub(crate) fn check_silence(&mut self) -> Result<(), Error> {
        self.silence.check(self.outstanding > 0)
    }

    /// Tells messages from what the broker says about requests.
    fn sort(&mut self, message: Message) -> Result<Option<Message>, Error> {
        match message.status {
            None | Some(StatusCode::OK) => {
                self.outstanding = self.outstanding.saturating_sub(1);
                Ok(Some(message))
            }
            Some(StatusCode::IDLE_HEARTBEAT) => Ok(None),
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => self.request_ended(&message),
            Some(StatusCode::REQUEST_TERMINATED) if is_fatal(&message) => {
                Err(Error::Gone(describe(&message)))
            }
            Some(StatusCode::REQUEST_TERMINATED) => self.request_ended(&message),
            Some(_) => Err(Error::Gone(describe(&message))),
        }
    }

    /// A request ended before it was filled.
    fn request_ended(&mut self, message: &Message) -> Result<Option<Message>, Error> {
        let unfilled = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get("Nats-Pending-Messages"))
            .and_then(|value| value.as_str().parse::<u64>().ok());
        self.outstanding = unfilled.map_or(0, |unfilled| self.outstanding.saturating_sub(unfilled));
        Ok(None)
    }
}

impl Silence {
    fn new() -> Self {
        Self {
            silent: false,
            since: Instant::now(),
        }
    }

    /// Fails when somebody `waits` and nothing was heard for too long.
    fn check(&mut self, waits: bool) -> Result<(), Error> {
        let now = Instant::now();
        if !self.silent || !waits {
            self.silent = true;
            self.since = now;
        }
        if now.duration_since(self.since) > SILENCE_MAX {
            Err(Error::Silent)
        } else {
            Ok(())
        }
    }
}

/// Whether asking again would end the same way.
fn is_fatal(message: &Message) -> bool {
    let text = describe(message).to_ascii_lowercase();
    [
        "consumer deleted",
        "consumer is push based",
        "stream deleted",
        "exceeded maxrequest",
        "server shutdown",
    ]
    .iter()
    .any(|fatal| text.contains(fatal))
}

fn describe(message: &Message) -> String {
    let status = message.status.map_or(0, |status| status.as_u16());
    format!(
        "{status} {}",
        message.description.as_deref().unwrap_or("without a description")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_broker_may_be_silent_for_so_long_and_no_longer_while_somebody_waits() {
        let mut silence = Silence::new();
        assert_eq!(silence.check(true), Ok(()));
        advance(SILENCE_MAX).await;
        assert_eq!(silence.check(true), Ok(()));
        advance(Duration::from_millis(1)).await;
        assert_eq!(silence.check(true), Err(Error::Silent));
        assert_eq!(silence.check(false), Ok(()), "nobody waits");
        advance(SILENCE_MAX).await;
        silence.silent = false;
        assert_eq!(silence.check(true), Ok(()), "something was heard");
        advance(SILENCE_MAX).await;
        assert_eq!(silence.check(true), Ok(()));
    }
}

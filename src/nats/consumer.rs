//! The durable consumer of the events stream: where it starts, and what it must look like.
//!
//! Deliberately not here: taking messages from it (`pull.rs`) and handing them on (`intake.rs`).

use super::intake::Intake;
use super::missed::{self, Origin};
use super::streams;
use async_nats::datetime::DateTime;
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{Info, Stream};
use std::time::Duration;
use tripline_actors::{IngestPosition, Refusal};
use tripline_protocol::Timestamp;

/// Its name.
pub const CONSUMER: &str = "tripline";
/// How long the broker waits for an ack or a sign of progress before it delivers again.
pub const ACK_WAIT: Duration = Duration::from_secs(60);
/// Most messages that are delivered and not acked.
pub const ACK_PENDING_MAX: i64 = 4_096;
/// The ack wait that makes the broker deliver again at once what a dead process held.
const TAKE_OVER_ACK_WAIT: Duration = Duration::from_millis(1);
/// How long the broker is given for that; it looks 100 ms after the change (2.11 to 2.15). What it has not
/// noticed then comes at the end of its ordinary ack wait.
const TAKE_OVER_WAIT: Duration = Duration::from_millis(300);

/// Why there is no consumer to take events from.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The actors did not tell, or did not store, how far the stream was handled.
    #[error("agree on the position with the actors")]
    Position(#[source] Refusal),
    /// The broker does not answer about it.
    #[error("look up consumer {CONSUMER}")]
    LookUp(#[source] async_nats::Error),
    /// The broker does not remove a foreign one.
    #[error("remove consumer {CONSUMER}, which was made for something else")]
    Remove(#[source] async_nats::Error),
    /// The broker does not make it.
    #[error("create consumer {CONSUMER}")]
    Create(#[source] async_nats::Error),
    /// The broker does not change its limits.
    #[error("update consumer {CONSUMER}")]
    Update(#[source] async_nats::Error),
}

/// The consumer as it is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attached {
    /// When it was created; another time is another consumer, and old acks are void.
    pub(crate) created: Timestamp,
}

/// Where a missing consumer starts, decided from what is stored and what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Start {
    /// The first sequence to deliver.
    sequence: u64,
    /// The position to store first, when the stored one is missing, of another stream, or before the stream's beginning.
    store: Option<IngestPosition>,
    /// Whether a consumer that exists is of another stream's life and must go.
    replace: bool,
    /// Events of this stream that were gone before they were handled.
    gone: u64,
    /// Events of another stream than before, which are passed over.
    skipped: Option<u64>,
}

impl Start {
    /// Tells what will never be handled. Once the position is durable: the next start does not tell it again.
    fn tell(&self, stream: &str) {
        missed::tell_gone(self.gone);
        if let Some(skipped) = self.skipped {
            missed::tell_other_stream(skipped);
            tracing::warn!(stream, skipped, "another stream than before: going on at its end");
        }
    }
}

/// Finds or makes the consumer, so that it goes on after the last event that was handled. What is gone between that, or
/// `counted_to`, and the stream's beginning is counted; not with `None`, while deliveries are held that may be of it.
pub(crate) async fn attach(
    context: &Context,
    checked: &streams::Checked,
    intake: &impl Intake,
    take_over: bool,
    counted_to: Option<u64>,
) -> Result<(Attached, Origin), Error> {
    let stream = context
        .get_stream_no_info(&checked.events.config.name)
        .await
        .map_err(|error| Error::LookUp(Box::new(error)))?;
    let found = existing(&stream).await?;
    // After the consumer, which is moved on by a purge: so the purge is seen here, too.
    let now = stream_now(context, checked).await?;
    let just_created = checked.events_created && now.created == checked.events.created;
    let stored = intake.position().await.map_err(Error::Position)?;
    let start = start(stored, &now, just_created, found.as_ref(), counted_to);
    if let Some(position) = start.store {
        intake.set_position(position).await.map_err(Error::Position)?;
    }
    start.tell(&now.config.name);
    let kept = found
        .as_ref()
        .filter(|found| !start.replace && !is_foreign(&found.config));
    let origin = origin(&start, &now, kept, counted_to.is_some());
    let created = match found {
        Some(found) if !start.replace && !is_foreign(&found.config) => {
            adjust(&stream, &found, take_over).await?;
            found.created
        }
        Some(_) => {
            stream
                .delete_consumer(CONSUMER)
                .await
                .map_err(|error| Error::Remove(Box::new(error)))?;
            create(&stream, start.sequence).await?
        }
        None => create(&stream, start.sequence).await?,
    };
    let attached = Attached {
        created: timestamp(created),
    };
    Ok((attached, origin))
}

async fn stream_now(context: &Context, checked: &streams::Checked) -> Result<Info, Error> {
    let stream = context.get_stream(&checked.events.config.name).await;
    let stream = stream.map_err(|error| Error::LookUp(Box::new(error)))?;
    Ok(stream.cached_info().clone())
}

/// From where on a sequence that does not come is missed. What a consumer that is kept has delivered comes again, and
/// what lies before the stream's beginning is counted, or will show as passed over.
fn origin(start: &Start, stream: &Info, kept: Option<&consumer::Info>, is_counted: bool) -> Origin {
    let begins = match is_counted {
        true => stream.state.first_sequence.saturating_sub(1),
        false => 0,
    };
    let delivered = kept.map(|kept| kept.delivered);
    Origin {
        first: stream.state.first_sequence,
        last: stream.state.last_sequence,
        sequence: (start.sequence.saturating_sub(1))
            .max(begins)
            .max(delivered.map_or(0, |delivered| delivered.stream_sequence)),
        delivery: delivered.map_or(0, |delivered| delivered.consumer_sequence),
    }
}

async fn existing(stream: &Stream<()>) -> Result<Option<consumer::Info>, Error> {
    match stream.consumer_info(CONSUMER).await {
        Ok(info) => Ok(Some(info)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(Error::LookUp(Box::new(error))),
    }
}

fn is_missing(error: &jetstream::context::ConsumerInfoError) -> bool {
    use jetstream::context::ConsumerInfoErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => true,
        Kind::JetStream(error) => error.error_code() == jetstream::ErrorCode::CONSUMER_NOT_FOUND,
        _ => false,
    }
}

/// Decides where to start.
fn start(
    stored: Option<IngestPosition>,
    stream: &Info,
    just_created: bool,
    found: Option<&consumer::Info>,
    counted_to: Option<u64>,
) -> Start {
    let created = stream_created(stream);
    let last = stream.state.last_sequence;
    let begins = stream.state.first_sequence.saturating_sub(1);
    match stored {
        // A broker that lost its newest messages in a power loss uses their sequences again.
        Some(position) if position.stream_created == created => {
            let handled = position.last_sequence;
            let gone = counted_to.map_or(0, |counted| begins.saturating_sub(handled.max(counted)));
            let store = (gone > 0).then_some(IngestPosition {
                last_sequence: begins,
                ..position
            });
            let handled = store.map_or(handled, |position| position.last_sequence);
            Start {
                sequence: handled.min(last) + 1,
                store,
                replace: false,
                gone,
                skipped: None,
            }
        }
        Some(_) => {
            let (handled, skipped) = match just_created {
                true => (0, 0),
                false => (last, stream.state.messages),
            };
            let position = IngestPosition {
                stream_created: created,
                last_sequence: handled,
            };
            Start {
                sequence: handled + 1,
                store: Some(position),
                replace: true,
                gone: 0,
                skipped: Some(skipped),
            }
        }
        None => {
            let handled = found.map_or(0, |found| found.ack_floor.stream_sequence);
            let position = IngestPosition {
                stream_created: created,
                last_sequence: handled,
            };
            Start {
                sequence: handled + 1,
                store: Some(position),
                replace: false,
                gone: 0,
                skipped: None,
            }
        }
    }
}

/// When a stream was created, which tells it from another of the same name.
pub(crate) fn stream_created(stream: &Info) -> Timestamp {
    timestamp(stream.created)
}

pub(crate) fn timestamp(time: DateTime) -> Timestamp {
    let micros = time.unix_timestamp_nanos() / 1000;
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

fn config(deliver_policy: DeliverPolicy) -> Config {
    Config {
        durable_name: Some(CONSUMER.into()),
        description: Some("takes events into Tripline".into()),
        deliver_policy,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: -1,
        max_ack_pending: ACK_PENDING_MAX,
        ..Config::default()
    }
}

/// Whether a consumer of our name would not deliver every event to us once and wait for our ack.
fn is_foreign(found: &consumer::Config) -> bool {
    found.deliver_subject.is_some()
        || found.ack_policy != AckPolicy::Explicit
        || found.headers_only
        || !found.filter_subject.is_empty()
        || !found.filter_subjects.is_empty()
        || found.max_deliver > 0
        || !found.backoff.is_empty()
        || !found.priority_groups.is_empty()
}

async fn create(stream: &Stream<()>, sequence: u64) -> Result<DateTime, Error> {
    let policy = match sequence {
        0 | 1 => DeliverPolicy::All,
        start_sequence => DeliverPolicy::ByStartSequence { start_sequence },
    };
    let consumer = stream
        .create_consumer(config(policy))
        .await
        .map_err(|error| Error::Create(Box::new(error)))?;
    tracing::info!(consumer = CONSUMER, sequence, "consumer created");
    Ok(consumer.cached_info().created)
}

/// Gives an existing consumer our limits and, when asked, has the broker deliver again at once whatever it
/// delivered to a process that is gone. Otherwise those events would wait for the end of their ack wait.
async fn adjust(stream: &Stream<()>, found: &consumer::Info, take_over: bool) -> Result<(), Error> {
    let policy = found.config.deliver_policy;
    let take_over = take_over && found.num_ack_pending > 0;
    if take_over {
        update(
            stream,
            Config {
                ack_wait: TAKE_OVER_ACK_WAIT,
                ..config(policy)
            },
        )
        .await?;
        tracing::info!(
            messages = found.num_ack_pending,
            "taking over messages delivered before"
        );
        // Until the broker gives up waiting for acks of the server before.
        tokio::time::sleep(TAKE_OVER_WAIT).await;
    }
    let differs = found.config.ack_wait != ACK_WAIT || found.config.max_ack_pending != ACK_PENDING_MAX;
    if take_over || differs {
        update(stream, config(policy)).await?;
    }
    Ok(())
}

async fn update(stream: &Stream<()>, config: Config) -> Result<(), Error> {
    stream
        .update_consumer(config)
        .await
        .map(drop)
        .map_err(|error| Error::Update(Box::new(error)))
}

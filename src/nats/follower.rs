//! One who follows the events: a consumer of its own that is made anew whenever it is lost, so that nothing is left
//! out, nothing comes twice, and what the stream has dropped meanwhile is named.
//!
//! It reads no faster than its reader: what the broker sent ahead is bounded by one request, and for a reader that
//! does not read at all nothing is kept.

use super::consumer::stream_created;
use super::feed::Source;
use super::place::Place;
use super::pull::{self, Puller};
use crate::feed::{Follow, Piece};
use async_nats::Message;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::context::GetStreamError;
use async_nats::jetstream::stream::{ConsumerError, Info, Stream};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tripline_protocol::Timestamp;
use tripline_protocol::event::StreamGap;
use uuid::Uuid;

/// Most messages that are asked for ahead.
const ROOM: u64 = 256;
/// What a message may have beside its payload: subject, headers.
const HEAD_BYTES: u64 = 64 << 10;
/// The largest payload where the broker does not say.
const PAYLOAD_BYTES: u64 = 1 << 20;
/// After this long without reading, a reader is slow: what was sent ahead for it is dropped and asked for later.
const SLOW_AFTER: Duration = Duration::from_secs(5);
/// How long the broker keeps the consumer of somebody who does not ask.
pub const INACTIVE_MAX: Duration = Duration::from_secs(60);
/// How often the broker's silence is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often it is asked how far it has looked for events when it found none.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long removing a consumer may take.
const LEAVE_WAIT: Duration = Duration::from_secs(2);
/// Shortest and longest pause before the stream is looked at again.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Why nothing comes for now.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error("look up the stream of events")]
    Stream(#[from] GetStreamError),
    #[error("make a consumer")]
    Consumer(#[from] ConsumerError),
    #[error(transparent)]
    Pull(#[from] pull::Error),
    #[error("a message was lost on its way")]
    Lost,
}

/// Whether the reader keeps up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Reads,
    Slow,
}

/// The task's state.
pub(crate) struct Follower {
    source: Source,
    filters: Vec<String>,
    pieces: mpsc::Sender<Piece>,
    position: Position,
    /// Of the consumer that is in use: its name, and how much came from it.
    consumer: Option<(String, u64)>,
    /// When the broker was last heard of with something new.
    moved: Instant,
}

/// How far the stream was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Position {
    /// The last sequence that was read; `None` before the beginning.
    after: Option<u64>,
    /// Which stream it was, by its time of creation; `None` when a caller has only the sequence.
    created: Option<Timestamp>,
}

/// Where reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Start {
    after: u64,
    gap: Option<StreamGap>,
}

impl Position {
    /// Where to go on in the stream as it is. What the stream has is never sent a second time: when it is
    /// uncertain whether it is the same, reading goes on at its end.
    fn resume(self, created: Timestamp, first: u64, last: u64) -> Start {
        let Some(after) = self.after else {
            return Start {
                after: last,
                gap: None,
            };
        };
        let from = |next: u64, lost: Option<u64>| Start {
            after: next - 1,
            gap: Some(StreamGap { after, next, lost }),
        };
        match self.created {
            Some(before) if before != created => from(first.max(1), None),
            // A broker that lost its newest messages in a power loss: they were read before.
            Some(_) if after > last => Start {
                after: last,
                gap: None,
            },
            None if after > last => from(last + 1, None),
            _ if after + 1 < first => from(first, Some(first - 1 - after)),
            _ => Start { after, gap: None },
        }
    }
}

impl Follower {
    pub(crate) fn new(source: Source, follow: &Follow, pieces: mpsc::Sender<Piece>) -> Self {
        Self {
            filters: source.subjects.event_filters(follow.org.as_ref(), &follow.etypes),
            source,
            pieces,
            position: Position {
                after: follow.after,
                created: None,
            },
            consumer: None,
            moved: Instant::now(),
        }
    }

    /// Runs until nobody reads any more.
    pub(crate) async fn run(mut self) {
        let reader = self.pieces.clone();
        tokio::select! {
            () = reader.closed() => {}
            () = self.follow_on() => {}
        }
        self.leave().await;
    }

    /// Returns when the client has ended.
    async fn follow_on(&mut self) {
        let mut pause = RETRY_PAUSE_MIN;
        loop {
            self.await_room().await;
            let Some(epoch) = self.source.link.up().await else {
                return;
            };
            match self.follow(epoch).await {
                Ok(()) => pause = RETRY_PAUSE_MIN,
                Err(obstacle) => {
                    tracing::debug!(%obstacle, "events are not followed");
                    drop(timeout(pause, self.source.link.lost(epoch)).await);
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                }
            }
        }
    }

    /// For a reader that does not read there is no need to ask the broker.
    async fn await_room(&self) {
        drop(self.pieces.reserve().await);
    }

    /// Hands on what comes, until the connection is lost or the reader is slow.
    async fn follow(&mut self, epoch: u64) -> Result<(), Obstacle> {
        let link = self.source.link.clone();
        let (mut puller, start, created) = tokio::select! {
            attached = self.attach() => attached?,
            () = link.lost(epoch) => return Ok(()),
        };
        self.begin(start, created).await;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            puller.ask(ROOM).await?;
            tokio::select! {
                message = puller.next() => {
                    if let Some(message) = message? && self.hand_on(&message).await? == Reader::Slow {
                        return Ok(());
                    }
                }
                _ = tick.tick() => {
                    puller.check_silence()?;
                    self.look_how_far().await;
                }
                () = link.lost(epoch) => return Ok(()),
            }
        }
    }

    /// Makes a consumer that goes on where reading ended.
    async fn attach(&mut self) -> Result<(Puller, Start, Timestamp), Obstacle> {
        self.leave().await;
        let context = &self.source.context;
        let name = self.source.subjects.events_stream();
        let stream = context.get_stream(&name).await?;
        let info: &Info = stream.cached_info();
        let (created, state) = (stream_created(info), &info.state);
        let start = self
            .position
            .resume(created, state.first_sequence, state.last_sequence);
        let consumer = make_consumer(&stream, start.after + 1, self.filters.clone()).await?;
        let puller = Puller::open(context, &name, &consumer, self.request_bytes()).await?;
        self.consumer = Some((consumer, 0));
        Ok((puller, start, created))
    }

    /// Enough for the largest message there can be, so that none stops the others.
    fn request_bytes(&self) -> u64 {
        let info = self.source.link.client.try_server_info();
        let payload = info.and_then(|info| u64::try_from(info.max_payload).ok());
        payload.unwrap_or(PAYLOAD_BYTES).max(PAYLOAD_BYTES) + HEAD_BYTES
    }

    /// Says where reading begins, when that is news.
    async fn begin(&mut self, start: Start, created: Timestamp) {
        let first = self.position.created.is_none();
        if let Some(gap) = start.gap {
            tracing::info!(?gap, "events are gone that somebody has not read");
            self.say(Piece::Gap(gap)).await;
        }
        self.position = Position {
            after: Some(start.after),
            created: Some(created),
        };
        self.moved = Instant::now();
        if first {
            self.say(Piece::Reached(start.after)).await;
        }
    }

    /// Nobody reading any more ends the task elsewhere.
    async fn say(&self, piece: Piece) {
        drop(self.pieces.send(piece).await);
    }

    async fn hand_on(&mut self, message: &Message) -> Result<Reader, Obstacle> {
        let Some(place) = Place::of(message) else {
            tracing::warn!(subject = %message.subject, "message without a consumer's reply subject ignored");
            return Ok(Reader::Reads);
        };
        let Some((_, received)) = &mut self.consumer else {
            return Err(Obstacle::Lost);
        };
        if place.consumer_sequence != *received + 1 {
            return Err(Obstacle::Lost);
        }
        *received += 1;
        match timeout(SLOW_AFTER, self.pieces.reserve()).await {
            Ok(Ok(permit)) => permit.send(Piece::Event(place.delivery(message))),
            Ok(Err(_)) | Err(_) => return Ok(Reader::Slow),
        }
        self.position.after = Some(place.sequence);
        self.moved = Instant::now();
        Ok(Reader::Reads)
    }

    /// Where no event matches for long, the place to go on from moves all the same. Else it would be lost in time,
    /// and nobody knew whether anything was missed.
    async fn look_how_far(&mut self) {
        let Some((consumer, received)) = &self.consumer else {
            return;
        };
        if self.moved.elapsed() < LOOK_EVERY {
            return;
        }
        self.moved = Instant::now();
        let context = &self.source.context;
        let stream = context.get_stream_no_info(self.source.subjects.events_stream());
        let Ok(stream) = stream.await else { return };
        let Ok(info) = stream.consumer_info(consumer).await else {
            return;
        };
        // What it delivered and has not come yet is behind what it looked at.
        let reached = info.delivered.stream_sequence;
        if info.delivered.consumer_sequence == *received && self.position.after < Some(reached) {
            self.position.after = Some(reached);
            self.say(Piece::Reached(reached)).await;
        }
    }

    /// Removes the consumer, if there is one. What cannot be removed now ends by itself.
    async fn leave(&mut self) {
        let Some((consumer, _)) = self.consumer.take() else {
            return;
        };
        let context = &self.source.context;
        let remove = context.delete_consumer_from_stream(consumer, self.source.subjects.events_stream());
        match timeout(LEAVE_WAIT, remove).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a consumer was not removed"),
            Err(_) => tracing::debug!("a consumer was not removed in time"),
        }
    }
}

async fn make_consumer(stream: &Stream, first: u64, filters: Vec<String>) -> Result<String, ConsumerError> {
    let name = format!("follow-{}", Uuid::new_v4());
    let config = Config {
        name: Some(name.clone()),
        description: Some("follows events for a client of Tripline".into()),
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: first.max(1),
        },
        ack_policy: AckPolicy::None,
        filter_subjects: filters,
        inactive_threshold: INACTIVE_MAX,
        memory_storage: true,
        num_replicas: 1,
        ..Config::default()
    };
    stream.create_consumer(config).await?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: Timestamp = Timestamp::from_micros(1);
    const OTHER: Timestamp = Timestamp::from_micros(2);

    fn at(after: u64, created: Option<Timestamp>) -> Position {
        Position {
            after: Some(after),
            created,
        }
    }

    fn whole(after: u64) -> Start {
        Start { after, gap: None }
    }

    fn torn(after: u64, next: u64, lost: Option<u64>) -> Start {
        Start {
            after: next - 1,
            gap: Some(StreamGap { after, next, lost }),
        }
    }

    #[test]
    fn without_a_place_to_go_on_from_reading_begins_at_the_end() {
        assert_eq!(Position::default().resume(CREATED, 3, 9), whole(9));
        assert_eq!(Position::default().resume(CREATED, 0, 0), whole(0));
    }

    #[test]
    fn what_is_kept_is_read_on_and_what_is_gone_is_counted() {
        for created in [None, Some(CREATED)] {
            assert_eq!(at(5, created).resume(CREATED, 3, 9), whole(5));
            assert_eq!(at(2, created).resume(CREATED, 3, 9), whole(2));
            assert_eq!(at(9, created).resume(CREATED, 3, 9), whole(9));
            assert_eq!(at(0, created).resume(CREATED, 0, 0), whole(0));
            assert_eq!(at(1, created).resume(CREATED, 3, 9), torn(1, 3, Some(1)));
            // Everything has grown too old.
            assert_eq!(at(4, created).resume(CREATED, 10, 9), torn(4, 10, Some(5)));
        }
    }

    #[test]
    fn another_stream_is_read_whole_by_who_knows_it_is_another() {
        assert_eq!(at(5, Some(OTHER)).resume(CREATED, 1, 9), torn(5, 1, None));
        assert_eq!(at(5, Some(OTHER)).resume(CREATED, 0, 0), torn(5, 1, None));
        assert_eq!(at(5, Some(OTHER)).resume(CREATED, 4, 9), torn(5, 4, None));
    }

    #[test]
    fn a_place_beyond_the_end_repeats_nothing() {
        assert_eq!(at(12, Some(CREATED)).resume(CREATED, 1, 9), whole(9));
        assert_eq!(at(12, None).resume(CREATED, 1, 9), torn(12, 10, None));
    }
}

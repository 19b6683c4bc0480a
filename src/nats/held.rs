//! Messages that were delivered and not acked: in order, counted, each known by its sequence.
//!
//! Deliberately not here: any I/O.

use super::place::Place;
use async_nats::{Message, Subject};
use std::collections::{HashSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;
use tripline_actors::Delivery;

/// Most messages offered to the actors at once.
pub(crate) const BATCH_MAX: usize = 500;
/// Most bytes of messages held; one more message may exceed it.
const HELD_BYTES_MAX: usize = 32 << 20;
/// Most messages held.
const HELD_MESSAGES_MAX: u64 = 2_048;
/// From this delivery on a message is suspected of what went wrong before: it is fetched and offered alone,
/// so that its neighbours are not taken for poison with it.
const SUSPECT_FROM: u64 = 3;

/// A message that waits for its ack.
#[derive(Debug)]
pub(crate) struct Waiting {
    message: Message,
    reply: Subject,
    place: Place,
    /// When the broker was last told about it.
    pub(crate) touched: Instant,
}

impl Waiting {
    /// `None` when it is no message of a consumer.
    pub(crate) fn new(message: Message) -> Option<Self> {
        let reply = message.reply.clone()?;
        let place = Place::of(&message)?;
        Some(Self {
            message,
            reply,
            place,
            touched: Instant::now(),
        })
    }

    /// Where to send the ack.
    pub(crate) fn reply(&self) -> Subject {
        self.reply.clone()
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// As the actors take it.
    pub(crate) fn delivery(&self) -> Delivery {
        self.place.delivery(&self.message)
    }

    fn is_suspect(&self) -> bool {
        self.place.delivered >= SUSPECT_FROM
    }
}

/// What is held, in the order it is offered.
#[derive(Debug, Default)]
pub(crate) struct Held {
    queue: VecDeque<Waiting>,
    sequences: HashSet<u64>,
    bytes: usize,
    careful: Careful,
}

/// Whether to fetch one message at a time: at first, and while suspects come.
#[derive(Debug)]
struct Careful(bool);

impl Default for Careful {
    fn default() -> Self {
        Self(true)
    }
}

impl Held {
    /// Takes a message in, unless it is another copy of one that is held.
    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.careful = Careful(waiting.is_suspect());
        if self.sequences.insert(waiting.place.sequence) {
            self.bytes += waiting.message.length;
            self.queue.push_back(waiting);
        }
    }

    /// Another connection: probe before fetching much.
    pub(crate) fn be_careful(&mut self) {
        self.careful = Careful(true);
    }

    /// How many more messages may be asked for.
    pub(crate) fn room(&self) -> u64 {
        let held = u64::try_from(self.sequences.len()).unwrap_or(u64::MAX);
        match self.careful {
            Careful(true) => 1_u64.saturating_sub(held),
            Careful(false) if self.bytes > HELD_BYTES_MAX => 0,
            Careful(false) => HELD_MESSAGES_MAX.saturating_sub(held),
        }
    }

    /// Takes the next batch out; it counts as held until [`Held::release`].
    pub(crate) fn cut(&mut self) -> Vec<Waiting> {
        let suspect_at = self.queue.iter().take(BATCH_MAX).position(Waiting::is_suspect);
        let length = match suspect_at {
            Some(0) => 1,
            Some(before) => before,
            None => self.queue.len().min(BATCH_MAX),
        };
        self.queue.drain(..length).collect()
    }

    /// A message is held no more.
    pub(crate) fn release(&mut self, waiting: &Waiting) {
        self.sequences.remove(&waiting.place.sequence);
        self.bytes = self.bytes.saturating_sub(waiting.message.length);
    }

    /// Whether nothing waits to be offered.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Forgets everything: its acks would mean messages of another consumer.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The replies of messages the broker was not told about for `age`; they count as told now.
    pub(crate) fn stale(&mut self, age: Duration) -> Vec<Subject> {
        stale(self.queue.iter_mut(), age)
    }
}

/// The replies of those `waiting` that the broker was not told about for `age`; they count as told now.
pub(crate) fn stale<'a>(waiting: impl Iterator<Item = &'a mut Waiting>, age: Duration) -> Vec<Subject> {
    let now = Instant::now();
    let old = waiting.filter(|waiting| now.duration_since(waiting.touched) >= age);
    old.map(|waiting| {
        waiting.touched = now;
        waiting.reply()
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(sequence: u64, delivered: u64) -> Waiting {
        let reply =
            format!("$JS.ACK.TRIPLINE_EVENTS.tripline.{delivered}.{sequence}.9.1700000000123456789.0");
        let message = Message {
            subject: "tripline.events.default.x".into(),
            reply: Some(reply.into()),
            payload: "{}".into(),
            headers: None,
            status: None,
            description: None,
            length: 100,
        };
        Waiting::new(message).unwrap()
    }

    fn sequences(batch: &[Waiting]) -> Vec<u64> {
        batch.iter().map(|waiting| waiting.place.sequence).collect()
    }

    #[test]
    fn a_second_copy_of_a_held_message_is_dropped() {
        let mut held = Held::default();
        held.push(waiting(1, 1));
        held.push(waiting(1, 2));
        held.push(waiting(2, 1));
        let batch = held.cut();
        assert_eq!(sequences(&batch), [1, 2]);
        held.push(waiting(2, 2));
        assert!(held.is_empty(), "a message being offered is held too");
        batch.iter().for_each(|waiting| held.release(waiting));
        held.push(waiting(2, 2));
        assert!(!held.is_empty());
    }

    #[test]
    fn a_suspect_is_offered_alone_and_its_neighbours_without_it() {
        let mut held = Held::default();
        for (sequence, delivered) in [(1, 1), (2, 2), (3, 3), (4, 1)] {
            held.push(waiting(sequence, delivered));
        }
        assert_eq!(sequences(&held.cut()), [1, 2]);
        assert_eq!(sequences(&held.cut()), [3]);
        assert_eq!(sequences(&held.cut()), [4]);
    }

    #[test]
    fn one_message_is_fetched_first_and_many_only_when_it_is_no_suspect() {
        let mut held = Held::default();
        assert_eq!(held.room(), 1);
        held.push(waiting(1, 3));
        assert_eq!(held.room(), 0);
        let batch = held.cut();
        batch.iter().for_each(|waiting| held.release(waiting));
        assert_eq!(held.room(), 1);
        held.push(waiting(2, 1));
        assert_eq!(held.room(), HELD_MESSAGES_MAX - 1);
    }
}

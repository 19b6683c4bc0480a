//! Events that were gone from the stream before they could be taken: how many, each counted once.
//!
//! Two things show them. A stream that begins behind what was handled has lost its beginning, to its limits or to a purge
//! (`consumer.rs`). And the consumer delivers every message there is, in the order of the stream, so a sequence that is
//! passed over at a first delivery is gone: by its limits, a purge, or because somebody deleted it singly; which of
//! them, nobody can tell afterwards. Deliveries are numbered, too, so what was only lost on its way, and comes again, is
//! told from what is gone.
//!
//! What was counted is durable first, as the position: it is not counted again after a restart. Not counted is what was
//! delivered, not handled, and deleted singly before it could come again.

use super::place::Place;
use std::collections::VecDeque;

/// Where counting begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The stream has nothing before this sequence.
    pub(crate) first: u64,
    /// Its last sequence.
    pub(crate) last: u64,
    /// Up to this sequence everything was delivered, or is accounted for.
    pub(crate) sequence: u64,
    /// Number of the consumer's last delivery.
    pub(crate) delivery: u64,
}

/// Sequences that were passed over, up to the one before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    count: u64,
    /// The message that showed it.
    before: u64,
}

/// What was passed over, until it is counted.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    /// The highest sequence that was delivered.
    highest: u64,
    delivery: u64,
    /// Deliveries since the highest sequence that did not arrive, and come again.
    on_their_way: u64,
    gaps: VecDeque<Gap>,
    counted_to: u64,
}

impl Missed {
    /// For a consumer that nothing came from yet.
    pub(crate) fn after(origin: Origin) -> Self {
        Self {
            highest: origin.sequence.min(origin.last),
            delivery: origin.delivery,
            ..Self::default()
        }
    }

    /// The same consumer is attached again, and everything before its stream's first sequence is counted.
    pub(crate) fn go_on(&mut self, origin: Origin) {
        for gap in &mut self.gaps {
            // As many as lie behind the first; of those that were only on their way none is known to.
            gap.count = gap.count.min(gap.before.saturating_sub(origin.first));
        }
        self.gaps.retain(|gap| gap.count > 0);
        let begins = origin.first.saturating_sub(1);
        self.highest = self.highest.max(begins).min(origin.last);
        self.counted_to = self.counted_to.max(begins);
    }

    /// Takes note of a message that came.
    pub(crate) fn see(&mut self, place: &Place) {
        let lost = place
            .consumer_sequence
            .saturating_sub(self.delivery.saturating_add(1));
        self.delivery = place.consumer_sequence;
        self.on_their_way = self.on_their_way.saturating_add(lost);
        if place.sequence <= self.highest {
            return;
        }
        let passed = place.sequence - self.highest - 1;
        let count = passed.saturating_sub(self.on_their_way);
        if count > 0 {
            let before = place.sequence;
            self.gaps.push_back(Gap { count, before });
        }
        (self.highest, self.on_their_way) = (place.sequence, 0);
    }

    /// Whether something is to be counted once `sequence` is handled.
    pub(crate) fn is_due(&self, sequence: u64) -> bool {
        self.gaps.front().is_some_and(|gap| gap.before <= sequence)
    }

    /// Everything up to `sequence` is handled, and that is durable: how many were missed before it.
    pub(crate) fn settle(&mut self, sequence: u64) -> u64 {
        let mut count = 0;
        while let Some(gap) = self.gaps.pop_front_if(|gap| gap.before <= sequence) {
            count += gap.count;
            self.counted_to = self.counted_to.max(gap.before - 1);
        }
        count
    }

    /// Up to where everything that was missed is counted.
    pub(crate) fn counted_to(&self) -> u64 {
        self.counted_to
    }
}

/// Counts events that are gone.
pub(crate) fn tell_gone(count: u64) {
    if count > 0 {
        metrics::counter!("tripline_nats_events_missed_total", "why" => "gone").increment(count);
        tracing::warn!(
            count,
            "events were gone from the stream before they were read: its limits, a purge, or deleted"
        );
    }
}

/// Counts events of another stream than before, which are passed over.
pub(crate) fn tell_other_stream(count: u64) {
    metrics::counter!("tripline_nats_events_missed_total", "why" => "other_stream").increment(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: u64, consumer_sequence: u64) -> Place {
        let reply = format!("$JS.ACK.S.c.1.{sequence}.{consumer_sequence}.1700000000123456789.0");
        super::super::place::parse_reply(&reply).expect("a place")
    }

    fn missed(sequence: u64, delivery: u64) -> Missed {
        Missed::after(Origin {
            first: 1,
            last: 1_000,
            sequence,
            delivery,
        })
    }

    fn see(missed: &mut Missed, places: impl IntoIterator<Item = (u64, u64)>) {
        for (sequence, delivery) in places {
            missed.see(&place(sequence, delivery));
        }
    }

    #[test]
    fn what_is_passed_over_is_counted_once_when_what_is_behind_it_is_handled() {
        let mut missed = missed(0, 0);
        see(&mut missed, [(1, 1), (2, 2), (11, 3), (12, 4), (15, 5)]);
        assert!(!missed.is_due(10));
        assert_eq!(missed.settle(10), 0);
        assert!(missed.is_due(12));
        assert_eq!(missed.settle(12), 8);
        assert_eq!(missed.settle(14), 0);
        assert_eq!(missed.settle(15), 2);
        assert_eq!((missed.settle(15), missed.counted_to()), (0, 14));
    }

    #[test]
    fn what_comes_again_is_not_missed() {
        let mut missed = missed(4, 4);
        see(&mut missed, [(5, 5), (3, 6), (5, 7), (4, 8), (6, 9)]);
        assert!(!missed.is_due(u64::MAX));
    }

    #[test]
    fn what_was_lost_on_its_way_is_told_from_what_is_gone() {
        let mut missed = missed(0, 0);
        // 2 to 5 were delivered and did not arrive; they come again.
        see(
            &mut missed,
            [(1, 1), (6, 6), (2, 7), (3, 8), (4, 9), (5, 10), (7, 11)],
        );
        assert!(!missed.is_due(u64::MAX));
        // Of 8 to 17, one was delivered and did not arrive.
        see(&mut missed, [(18, 13)]);
        assert_eq!(missed.settle(18), 9);
    }

    #[test]
    fn what_is_counted_as_the_lost_beginning_is_not_counted_as_a_gap() {
        let origin = Origin {
            first: 21,
            last: 40,
            sequence: 0,
            delivery: 0,
        };
        let mut missed = missed(0, 0);
        see(&mut missed, [(1, 1), (11, 2), (31, 3)]);
        missed.go_on(origin);
        assert!(!missed.is_due(11));
        assert_eq!(missed.settle(31), 10, "21 to 30");
        let mut missed = super::tests::missed(0, 0);
        see(&mut missed, [(1, 1)]);
        missed.go_on(origin);
        see(&mut missed, [(21, 2)]);
        assert!(!missed.is_due(u64::MAX));
        assert_eq!(missed.counted_to(), 20);
    }

    #[test]
    fn a_broker_that_lost_its_newest_messages_uses_their_sequences_again() {
        let mut missed = missed(0, 0);
        see(&mut missed, (1..=10).map(|n| (n, n)));
        missed.go_on(Origin {
            first: 1,
            last: 5,
            sequence: 10,
            delivery: 10,
        });
        see(&mut missed, [(6, 11), (9, 12)]);
        assert_eq!(missed.settle(9), 2);
    }
}

//! Requests of tokens: each has a bucket that holds so many, and that so many flow into in a second.

use std::collections::HashMap;
use tripline_protocol::Span;

/// Buckets that are kept; a full one is as good as none.
const BUCKETS_MAX: usize = 20_000;
/// A request, in the unit that a bucket counts in: thousandths, of which whole ones flow in a millisecond.
const REQUEST: u64 = 1_000;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// What is in it, in thousandths of a request.
    level: u64,
    at: Span,
}

/// The buckets of all tokens.
#[derive(Debug)]
pub(super) struct Buckets {
    per_second: u64,
    burst: u64,
    buckets: HashMap<String, Bucket>,
}

impl Buckets {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: u64::from(per_second),
            burst: u64::from(burst.max(1)),
            buckets: HashMap::new(),
        }
    }

    /// Takes a request out, or says how long until there is one.
    pub(super) fn take(&mut self, token_id: &str, now: Span) -> Result<(), Span> {
        if self.per_second == 0 {
            return Ok(());
        }
        let full = self.burst * REQUEST;
        let (per_second, known) = (self.per_second, self.buckets.get_mut(token_id));
        let Some(bucket) = known else {
            self.make_room(now);
            let level = full - REQUEST;
            self.buckets
                .insert(token_id.to_owned(), Bucket { level, at: now });
            return Ok(());
        };
        bucket.level = level(bucket, per_second, now).min(full);
        bucket.at = now;
        if let Some(left) = bucket.level.checked_sub(REQUEST) {
            bucket.level = left;
            return Ok(());
        }
        let missing = REQUEST - bucket.level;
        Err(Span::from_millis(missing.div_ceil(per_second)))
    }

    /// Forgets full buckets, and when none is full all: tokens may be more than buckets only for a moment.
    fn make_room(&mut self, now: Span) {
        if self.buckets.len() < BUCKETS_MAX {
            return;
        }
        let (per_second, full) = (self.per_second, self.burst * REQUEST);
        self.buckets
            .retain(|_, bucket| level(bucket, per_second, now) < full);
        if self.buckets.len() >= BUCKETS_MAX {
            self.buckets.clear();
        }
    }
}

/// What is in it now; a bucket may be asked for more than it holds.
fn level(bucket: &Bucket, per_second: u64, now: Span) -> u64 {
    let passed = now.as_millis().saturating_sub(bucket.at.as_millis());
    bucket.level.saturating_add(passed.saturating_mul(per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Span {
        Span::from_millis(millis)
    }

    #[test]
    fn a_token_may_ask_a_burst_at_once_and_then_at_its_rate() {
        let mut buckets = Buckets::new(10, 5);
        for _ in 0..5 {
            assert_eq!(buckets.take("a", at(0)), Ok(()));
        }
        assert_eq!(buckets.take("a", at(0)), Err(at(100)));
        assert_eq!(buckets.take("a", at(40)), Err(at(60)));
        assert_eq!(buckets.take("b", at(40)), Ok(()), "another token's");
        assert_eq!(buckets.take("a", at(100)), Ok(()));
        assert_eq!(buckets.take("a", at(100)), Err(at(100)));
        for _ in 0..5 {
            assert_eq!(buckets.take("a", at(10_000)), Ok(()));
        }
        assert!(buckets.take("a", at(10_000)).is_err(), "no more than a burst");
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let mut buckets = Buckets::new(0, 1);
        assert!((0..1000).all(|_| buckets.take("a", at(0)).is_ok()));
    }

    #[test]
    fn the_number_of_buckets_is_bounded_and_the_empty_ones_stay_longest() {
        let mut buckets = Buckets::new(1, 2);
        assert_eq!(buckets.take("spent", at(0)), Ok(()));
        assert_eq!(buckets.take("spent", at(0)), Ok(()));
        for token in 1..BUCKETS_MAX {
            assert_eq!(buckets.take(&token.to_string(), at(0)), Ok(()));
        }
        assert_eq!(buckets.buckets.len(), BUCKETS_MAX);
        assert_eq!(buckets.take("one more", at(1_000)), Ok(()));
        assert_eq!(buckets.buckets.len(), 2);
        assert!(buckets.buckets.contains_key("spent"));
    }
}

//! When members of a clock are due, and how far the clock has come: arithmetic over whole milliseconds.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tripline_protocol::Timestamp;
use tripline_protocol::limacharlie::Period;

/// Where within every period a member is due, in parts of 2^32. It follows from the member alone: so all periods have their
/// members in the same order, and none of them has to be remembered for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Phase(u32);

impl Phase {
    /// Of whom these bytes name.
    pub(super) fn of(name: &[u8]) -> Self {
        let hash = Sha256::digest(name);
        Self(hash.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)))
    }

    #[cfg(test)]
    pub(super) const fn at(part: u32) -> Self {
        Self(part)
    }

    pub(super) fn part(self) -> u64 {
        self.0.into()
    }
}

/// Milliseconds since the Unix epoch; times before it do not occur with a clock that is set.
pub(super) fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_micros() / 1000).unwrap_or(0)
}

/// When a phase is due in a round. 30 days are less than 2^32 ms, so nothing overflows.
pub(super) fn due(period: Period, round: u64, phase: Phase) -> u64 {
    let period = period.span().as_millis();
    round
        .saturating_mul(period)
        .saturating_add((period * phase.part()) >> 32)
}

/// How far a clock has come: all who are due before it, or at it, had their tick. Rounds are numbered from the Unix epoch.
/// Without `last`, nobody of this phase had it yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place<K> {
    pub(super) round: u64,
    pub(super) phase: u64,
    pub(super) last: Option<K>,
}

impl<K> Place<K> {
    /// Of a clock that has done everything that is due up to `now`, and nothing else.
    pub(super) fn at(now: u64, period: Period) -> Self {
        let period = period.span().as_millis();
        let within = now % period;
        Self {
            round: now / period,
            // The first phase that is due later.
            phase: ((within + 1) << 32).div_ceil(period),
            last: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn period() -> impl Strategy<Value = Period> {
        proptest::sample::select(Period::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn whoever_is_due_by_now_is_before_the_place_of_now_and_nobody_else(
            now in 0u64..4_000_000_000_000, period in period(), part: u32, rounds in 0u64..3,
        ) {
            let round = (now / period.span().as_millis() + 1).saturating_sub(rounds);
            let is_due = due(period, round, Phase::at(part)) <= now;
            let of_member = Place { round, phase: u64::from(part), last: Some(()) };
            prop_assert_eq!(of_member <= Place::at(now, period), is_due);
        }
    }

    #[test]
    fn the_last_phase_of_the_longest_period_is_due_within_it() {
        let last = due(Period::D30, 0, Phase::at(u32::MAX));
        assert_eq!(last, Period::D30.span().as_millis() - 1);
    }
}

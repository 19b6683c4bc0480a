//! The time zone that clients and server share: LittleBrother's times name none.

use super::LocalTime;
use crate::time::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// A time zone, found by the caller (finding one reads files). In the last two days of the year 9999 and the first
/// two of the year 1 it counts as UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(pub TimeZone);

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The local time at `instant`, cut to the second. Beyond the years 1 to 9999 it is the first second of 1970.
    pub fn to_local(&self, instant: Timestamp) -> LocalTime {
        let seconds = instant.as_micros().div_euclid(MICROS_PER_SECOND);
        let offset = jiff::Timestamp::from_second(seconds).map_or(0, |at| self.0.to_offset(at).seconds());
        LocalTime::from_naive_seconds(seconds.saturating_add(i64::from(offset)))
            .or_else(|| LocalTime::from_naive_seconds(seconds))
            .unwrap_or_else(LocalTime::epoch)
    }

    /// The instant of a local time. One that occurs twice (the clock went back) is the first, one that never
    /// occurs (the clock went on) is as long after the change as it says.
    pub fn to_instant(&self, local: LocalTime) -> Timestamp {
        let civil = local.as_str().parse::<DateTime>();
        let seconds = civil
            .and_then(|civil| self.0.to_ambiguous_timestamp(civil).compatible())
            .map_or_else(|_| local.naive_seconds(), jiff::Timestamp::as_second);
        Timestamp::from_micros(seconds.saturating_mul(MICROS_PER_SECOND))
    }
}

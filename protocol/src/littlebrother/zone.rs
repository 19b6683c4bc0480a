//! The time zone that clients and server share: LittleBrother's times name none.

use super::LocalTime;
use crate::time::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A time zone, found by the caller (finding one reads files).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(pub TimeZone);

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The local time at `instant`, cut to the second. Beyond the years 0 to 9999 it is the first second of 1970.
    pub fn to_local(&self, instant: Timestamp) -> LocalTime {
        let local = jiff::Timestamp::from_microsecond(instant.as_micros())
            .ok()
            .map(|instant| self.0.to_offset(instant))
            .and_then(|offset| {
                let seconds = instant.as_micros().div_euclid(1_000_000);
                LocalTime::from_naive_seconds(seconds + i64::from(offset.seconds()))
            });
        local.unwrap_or_else(LocalTime::epoch)
    }

    /// The instant of a local time. One that occurs twice (the clock went back) is the first, one that never
    /// occurs (the clock went on) is as long after the change as it says.
    pub fn to_instant(&self, local: LocalTime) -> Timestamp {
        let naive = local.naive_seconds();
        let civil = jiff::Timestamp::from_second(naive)
            .map(|instant| TimeZone::UTC.to_datetime(instant))
            .unwrap_or(DateTime::ZERO);
        let instant = self
            .0
            .to_ambiguous_timestamp(civil)
            .compatible()
            .map_or(naive, jiff::Timestamp::as_second);
        Timestamp::from_micros(instant.saturating_mul(1_000_000))
    }
}

//! How far a client's clock is behind ours.
//!
//! The lag of an event is our time when it came, less its own. It is how long the event was under way (never
//! negative) plus how far the clock is behind: so the clock is behind by the least lag at most. How long an event
//! can have been under way is known too: a message that follows another one brings only what happened since. So
//! each message gives a lowest and a highest value, and a right clock, or what was found before, stays in force
//! as long as it lies between them.

use tripline_protocol::Timestamp;
use tripline_protocol::littlebrother::{LocalTime, WireEvent, Zone};

/// Seconds that may be lost in rounding and on the way.
const SLACK_S: i64 = 2;
/// An offset of more than this is told, in seconds.
const TOLD_FROM_S: i64 = 60;

/// The clock of a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Clock {
    /// Seconds it is behind ours; negative when ahead.
    pub(super) behind_s: i64,
}

/// What learning found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    Nothing,
    /// Another offset than before.
    Changed,
    /// Another one, and the clock was not known to be off by that much.
    Off,
}

impl Clock {
    /// Learns from new events of one message. `delay_max_s` is the longest an event of it can have been under way;
    /// `None` when nothing is known about that.
    pub(super) fn learn<'a>(
        &mut self,
        events: impl Iterator<Item = &'a WireEvent>,
        delay_max_s: Option<i64>,
        now: Timestamp,
        zone: &Zone,
    ) -> Learned {
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for event in events {
            let lag = seconds(now) - seconds(zone.to_instant(event.event_time));
            (least, most) = (least.min(lag), most.max(lag));
        }
        if most < least {
            return Learned::Nothing;
        }
        let lowest = delay_max_s.map_or(i64::MIN, |delay| (most - delay - SLACK_S).min(least));
        self.settle(lowest, least)
    }

    fn settle(&mut self, lowest: i64, highest: i64) -> Learned {
        let possible = lowest..=highest + SLACK_S;
        let found = if possible.contains(&self.behind_s) {
            self.behind_s
        } else if possible.contains(&0) {
            0
        } else {
            highest
        };
        if found == self.behind_s {
            return Learned::Nothing;
        }
        let was_off = self.behind_s.abs() > TOLD_FROM_S;
        self.behind_s = found;
        match found.abs() > TOLD_FROM_S && !was_off {
            true => Learned::Off,
            false => Learned::Changed,
        }
    }

    /// The instant of a client's time by our clock.
    pub(super) fn instant(self, local: LocalTime, zone: &Zone) -> Timestamp {
        let instant = zone.to_instant(local).as_micros();
        Timestamp::from_micros(instant.saturating_add(self.behind_s.saturating_mul(1_000_000)))
    }
}

/// Whole seconds since the epoch.
pub(super) fn seconds(instant: Timestamp) -> i64 {
    instant.as_micros().div_euclid(1_000_000)
}

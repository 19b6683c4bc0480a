//! The times of the watcher: the host's local time, and starts of processes that stay what they are.
//!
//! A start is the time of the boot plus what the kernel counted since; the time of the boot moves by a second or more
//! whenever the clock is set, and a start that moves is another process for a server. So the time of the boot is
//! kept, also over restarts of the agent, as long as it is the same boot and not wrong by more than a minute.

use crate::platform::{Booted, Platform};
use crate::watcher::Moment;
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::time::SystemTime;
use tripline_protocol::Timestamp;
use tripline_protocol::littlebrother::{LocalTime, Zone};

/// How far the kept time of the boot may be off, in seconds: a clock that ran before it was first set is off by
/// years, one that is kept right by parts of a second.
const OFF_MAX_S: u64 = 60;

/// Tells the time.
#[derive(Clone)]
pub(super) struct Clock {
    zone: Zone,
    platform: Arc<dyn Platform>,
}

impl Clock {
    /// In the host's time zone.
    pub(super) fn new(platform: Arc<dyn Platform>) -> Self {
        let zone = TimeZone::try_system().unwrap_or_else(|error| {
            tracing::warn!(%error, "the host's time zone is not known: times are in UTC");
            TimeZone::UTC
        });
        Self {
            zone: Zone(zone),
            platform,
        }
    }

    /// Now.
    pub(super) fn moment(&self) -> Moment {
        Moment {
            up: self.platform.since_boot(),
            local: self.zone.to_local(SystemTime::now().into()),
        }
    }

    /// The local time of a process' start.
    pub(super) fn start(&self, booted: Booted, started_s: u64) -> LocalTime {
        let after = i64::try_from(started_s).unwrap_or(i64::MAX);
        let seconds = booted.at_s.saturating_add(after);
        self.zone
            .to_local(Timestamp::from_micros(seconds.saturating_mul(1_000_000)))
    }
}

/// The boot to count from: the one kept, while it is still right.
pub(super) fn settled(kept: Option<Booted>, now: Booted) -> Booted {
    match kept {
        Some(kept) if kept.id == now.id && kept.at_s.abs_diff(now.at_s) <= OFF_MAX_S => kept,
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_time_of_the_boot_stays_until_it_is_wrong_or_another_boot() {
        let kept = Booted {
            id: Uuid::from_u128(1),
            at_s: 1_800_000_000,
        };
        let at = |id, at_s| Booted {
            id: Uuid::from_u128(id),
            at_s,
        };
        for off in [-60, -1, 0, 1, 60] {
            assert_eq!(settled(Some(kept), at(1, kept.at_s + off)), kept);
        }
        let set = at(1, kept.at_s + 61);
        assert_eq!(settled(Some(kept), set), set);
        let next = at(2, kept.at_s);
        assert_eq!(settled(Some(kept), next), next);
        assert_eq!(settled(None, next), next);
    }
}

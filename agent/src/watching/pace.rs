//! Noticing that the host was suspended, or this process stopped, while the watcher waited.

use crate::platform::Platform;
use std::time::{Duration, Instant};

/// A wait that should end at a certain time at the latest.
pub(super) struct Nap {
    planned: Duration,
    began: Instant,
    began_up: Duration,
}

impl Nap {
    /// Begins now and should take `planned` at most.
    pub(super) fn new(platform: &dyn Platform, planned: Duration) -> Self {
        Self {
            planned,
            began: Instant::now(),
            began_up: platform.since_boot(),
        }
    }

    /// How much longer than it should it took, now that it is over.
    pub(super) fn overslept(&self, platform: &dyn Platform) -> Duration {
        let up = platform.since_boot().saturating_sub(self.began_up);
        beyond(self.planned, self.began.elapsed(), up)
    }
}

/// `awake` does not go on while the host is suspended, `up` does. Whatever is beyond what was planned was a suspend or
/// a stop of this process; and if something else ended the wait early, the difference of the clocks was a suspend.
fn beyond(planned: Duration, awake: Duration, up: Duration) -> Duration {
    up.saturating_sub(planned).max(up.saturating_sub(awake))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspend_and_a_stop_are_time_overslept() {
        let s = Duration::from_secs;
        let cases = [
            ("in time", s(5), s(5), s(5), s(0)),
            ("woken early", s(5), s(2), s(2), s(0)),
            ("stopped", s(5), s(31), s(31), s(26)),
            ("suspended", s(5), s(5), s(3605), s(3600)),
            ("suspended and woken early", s(5), s(2), s(3602), s(3600)),
        ];
        for (what, planned, awake, up, expected) in cases {
            assert_eq!(beyond(planned, awake, up), expected, "{what}");
        }
    }
}

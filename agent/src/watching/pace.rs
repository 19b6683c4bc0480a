//! Noticing that the host was suspended, or this process stopped.

use std::time::{Duration, Instant};

/// How time goes on from one look at the clock to the next. A stop is noticed by the first look after it, wherever
/// in the watcher's work it fell.
pub(super) struct Pace {
    looked: Instant,
    looked_up: Duration,
    planned: Duration,
}

impl Pace {
    /// Begins `now`, which is `up` since the boot.
    pub(super) fn begin(now: Instant, up: Duration) -> Self {
        Self {
            looked: now,
            looked_up: up,
            planned: Duration::ZERO,
        }
    }

    /// A wait of at most so long begins.
    pub(super) fn plan(&mut self, rest: Duration) {
        self.planned = rest;
    }

    /// How much longer than planned it took since the last look, at one `now`.
    pub(super) fn overslept(&mut self, now: Instant, up: Duration) -> Duration {
        let last = std::mem::replace(self, Self::begin(now, up));
        let awake = self.looked.saturating_duration_since(last.looked);
        beyond(last.planned, awake, up.saturating_sub(last.looked_up))
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
    fn only_the_wait_is_planned_and_only_up_to_the_next_look() {
        let began = Instant::now();
        let mut pace = Pace::begin(began, Duration::ZERO);
        let mut look = |plan: Option<u64>, at: u64| {
            if let Some(plan) = plan {
                pace.plan(Duration::from_secs(plan));
            }
            let at = Duration::from_secs(at);
            pace.overslept(began + at, at).as_secs()
        };
        assert_eq!(look(Some(5), 5), 0);
        assert_eq!(look(None, 12), 7, "stopped at work");
        assert_eq!(look(None, 12), 0, "and that is said once");
        assert_eq!(look(Some(5), 29), 12);
    }

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

//! How long there has been no server. Time in which the agent itself did not run does not count.

use super::notice::{Notice, Notices};
use super::{Failure, Options};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Silence {
    /// The last success, or the start.
    since: Duration,
    warned: bool,
    too_long: bool,
    last_failure: Option<Failure>,
    /// A message was lost since the last success: the server may have missed anything.
    lost: bool,
}

impl Silence {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            since: now,
            warned: false,
            too_long: false,
            last_failure: None,
            lost: false,
        }
    }

    /// A message was delivered; tells whether earlier ones were lost.
    pub(super) fn succeeded(&mut self, now: Duration, notices: &mut Notices) -> bool {
        if self.last_failure.is_some() {
            let silence = now.saturating_sub(self.since);
            notices.add(Notice::InContact { silence });
        }
        let lost = self.lost;
        *self = Self::new(now);
        lost
    }

    pub(super) fn failed(&mut self, failure: Failure, notices: &mut Notices) {
        // A server that refuses a message has lost nothing.
        self.lost |= failure != Failure::Refused;
        if self.last_failure != Some(failure) {
            notices.add(Notice::NotDelivered { failure });
        }
        self.last_failure = Some(failure);
    }

    pub(super) fn overslept(&mut self, by: Duration, now: Duration) {
        self.since = self.since.saturating_add(by).min(now);
    }

    /// Whether it has been too long, with what is to be said of it once.
    pub(super) fn check(
        &mut self,
        now: Duration,
        max: Duration,
        options: &Options,
        notices: &mut Notices,
    ) -> bool {
        let silence = now.saturating_sub(self.since);
        let too_long = silence >= max;
        if too_long && !self.too_long {
            notices.add(Notice::TooSilent { silence });
        } else if silence >= options.silence_warned && !self.warned && !too_long {
            notices.add(Notice::Silent {
                silence,
                silence_max: max,
            });
        }
        self.warned |= silence >= options.silence_warned;
        self.too_long |= too_long;
        too_long
    }

    /// When [`Self::check`] has something new to say.
    pub(super) fn next_due(&self, max: Duration, options: &Options) -> Option<Duration> {
        let warning = (!self.warned).then(|| self.since.saturating_add(options.silence_warned));
        let end = (!self.too_long).then(|| self.since.saturating_add(max));
        warning.into_iter().chain(end).min()
    }
}

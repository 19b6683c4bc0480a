//! What an agent says that no good agent says: it changes nothing, is counted, and told in the log now and then.
//!
//! Deliberately not here: frames that cannot be read at all, which end their connection before an actor hears of them.

use super::Host;
use crate::seldom::Seldom;
use actix::prelude::*;
use std::fmt::Display;
use tripline_protocol::{Span, Timestamp};

/// Changes of a host's isolation that are published at once, and after how long one more is.
const CHANGES_MAX: u32 = 32;
const CHANGE_EVERY: Span = Span::from_secs(10);

/// Of one host, as long as it is in memory.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    seldom: Seldom,
    changes: u32,
    changes_since: Option<Timestamp>,
}

impl Conduct {
    /// Whether a change of the isolation may be taken: each is an event, which nothing else holds back.
    pub(super) fn may_change(&mut self, now: Timestamp) -> bool {
        let since = *self.changes_since.get_or_insert(now);
        let earned = now.since(since).as_millis() / CHANGE_EVERY.as_millis();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.changes = self.changes.saturating_sub(earned);
            self.changes_since = Some(now);
        }
        let may = self.changes < CHANGES_MAX;
        self.changes += u32::from(may);
        may
    }
}

impl Host {
    /// A frame is refused, and nothing changes.
    pub(super) fn refuse_frame(&mut self, reason: &'static str, why: &dyn Display) {
        metrics::counter!("tripline_host_frames_refused_total", "reason" => reason).increment(1);
        if let Some(untold) = self.conduct.seldom.tell(self.ground.now()) {
            tracing::warn!(
                host = %self.record.host_id, hostname = %self.record.hostname, reason, %why, untold,
                "an agent's frame is refused"
            );
        }
    }

    /// A frame is refused that would come again and again, or comes too often: the connection ends with it.
    pub(super) fn break_off(&mut self, reason: &'static str, why: &dyn Display, ctx: &Context<Self>) {
        self.refuse_frame(reason, why);
        self.close_link("protocol_error");
        self.detach(ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_in_a_burst_and_then_one_by_one() {
        let mut conduct = Conduct::default();
        let at = |seconds| Timestamp::from_micros(0).after(Span::from_secs(seconds));
        assert!((0..CHANGES_MAX).all(|_| conduct.may_change(at(0))));
        assert!(!conduct.may_change(at(9)));
        assert!(conduct.may_change(at(10)));
        assert!(!conduct.may_change(at(11)));
        assert!((0..3).all(|_| conduct.may_change(at(40))));
    }
}

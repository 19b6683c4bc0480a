//! Until when a job may wait: to begin, or to go on once it has begun.
//!
//! Its own `expires` counts for both. The time of its fan-out counts only for what is still to begin, the first time or anew:
//! a job that has begun goes on to its end, whatever has become of the fan-out.

use super::{FINALLY_WAIT_MAX, JobRecord};
use tripline_protocol::Timestamp;

impl JobRecord {
    /// Until when it may wait: to start, or to go on once it has begun.
    pub(crate) fn leaves_at(&self) -> Timestamp {
        let leaves_at = self.deadline.unwrap_or_else(|| self.waits_until());
        match &self.ending {
            Some(ending) => ending.until.unwrap_or(leaves_at.after(FINALLY_WAIT_MAX)),
            None => leaves_at,
        }
    }

    /// The same, as far as the time that it may run says nothing.
    pub(super) fn waits_until(&self) -> Timestamp {
        match self.is_to_begin() {
            true => self.begins_until(),
            false => self.expires_at,
        }
    }

    /// Until when it may begin, the first time or anew: not behind its fan-out.
    pub(crate) fn begins_until(&self) -> Timestamp {
        let of_fanout = self.fanout.as_ref().and_then(|part| part.expires_at);
        of_fanout.map_or(self.expires_at, |at| at.min(self.expires_at))
    }

    /// Whether it has not begun yet, or waits to begin anew. Whatever else rests has begun.
    fn is_to_begin(&self) -> bool {
        self.started_at.is_none() || (self.rest.is_some() && !self.has_begun())
    }
}

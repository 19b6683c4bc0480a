//! Which events came lately: a client that heard no answer sends them again.
//!
//! What comes again does so in order, at the beginning of a message; and a message that was overtaken by its own
//! repetition holds nothing else. So the leading events that are known have been handled, and everything behind
//! the first new one is handled in order, known or not.

use std::collections::VecDeque;
use tripline_protocol::{Span, Timestamp};

/// Most events remembered. Beyond, a repeated message is handled again, in order, which comes to the same.
const EVENTS_MAX: usize = 512;
/// A connection that brings something older does not exist.
const KEPT: Span = Span::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct Recent {
    marks: VecDeque<u64>,
    last_at: Timestamp,
}

impl Recent {
    pub(super) fn contains(&self, mark: u64) -> bool {
        self.marks.contains(&mark)
    }

    pub(super) fn add(&mut self, mark: u64, now: Timestamp) {
        self.last_at = now;
        if self.contains(mark) {
            return;
        }
        if self.marks.len() >= EVENTS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back(mark);
    }

    /// Gives the memory back when nothing came for long.
    pub(super) fn forget_old(&mut self, now: Timestamp) {
        if !self.marks.is_empty() && now.since(self.last_at) > KEPT {
            self.marks = VecDeque::new();
        }
    }
}

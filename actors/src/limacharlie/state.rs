//! Which calls are under way and who waits for their answers: a message is handled once, however often it comes.
//!
//! No actix, no clock, no store: what was noted of a call comes with it. `W` is whoever waits for an answer.

use super::record::{CallKey, CallNote};
use std::collections::HashMap;
use tripline_protocol::limacharlie::{Answer, RetryAdvice};
use tripline_protocol::{JobId, Timestamp};

/// Calls under way at once; one more is to come again.
pub(super) const CALLS_UNDER_WAY_MAX: usize = 4_096;
/// Repeats of one call that wait for it; one more is to come again.
pub(super) const REPEATS_WAITING_MAX: usize = 64;

/// Repeats that wait, of all calls; one more is to come again. With those that wait for results far less than what may be under
/// way: whatever waits long leaves room for what is handled at once.
pub(super) const REPEATS_WAITING_ALL_MAX: usize = 1_024;

/// The calls under way.
#[derive(Debug)]
pub(super) struct Calls<W> {
    under_way: HashMap<CallKey, Vec<W>>,
    /// Of all of them, whoever waits beside the first.
    repeats: usize,
}

/// What becomes of a call that came.
#[derive(Debug, PartialEq)]
pub(super) enum Begun<W> {
    /// It was answered before.
    Known(W, Box<Answer>),
    /// Another call came with its `mid` before.
    Other(W),
    /// It is under way, and is answered with the first.
    Waits,
    /// Its jobs were accepted, and the server stopped before they had ended. It is under way again.
    Resumes(Vec<JobId>),
    /// It is handled now.
    Fresh,
    /// Too much is under way.
    Full(W),
}

impl<W> Default for Calls<W> {
    fn default() -> Self {
        Self {
            under_way: HashMap::new(),
            repeats: 0,
        }
    }
}

impl<W> Calls<W> {
    /// A call came. `note` is what was noted of an earlier one with its key.
    pub(super) fn begin(
        &mut self,
        key: &CallKey,
        etype: &str,
        note: Option<CallNote>,
        waiter: W,
        now: Timestamp,
    ) -> Begun<W> {
        let note = note.filter(|note| note.until > now);
        if note.as_ref().is_some_and(|note| note.etype != etype) {
            return Begun::Other(waiter);
        }
        if let Some(waiting) = self.under_way.get_mut(key) {
            if waiting.len() > REPEATS_WAITING_MAX || self.repeats >= REPEATS_WAITING_ALL_MAX {
                return Begun::Full(waiter);
            }
            waiting.push(waiter);
            self.repeats += 1;
            return Begun::Waits;
        }
        let jobs = match note {
            Some(CallNote {
                answer: Some(answer), ..
            }) => return Begun::Known(waiter, Box::new(answer)),
            Some(CallNote { jobs, .. }) => Some(jobs),
            None => None,
        };
        if self.under_way.len() >= CALLS_UNDER_WAY_MAX {
            return Begun::Full(waiter);
        }
        self.under_way.insert(key.clone(), vec![waiter]);
        jobs.map_or(Begun::Fresh, Begun::Resumes)
    }

    /// It is answered: whoever waits for that. The answer is to be noted before, if it [is final](is_final).
    pub(super) fn finish(&mut self, key: &CallKey) -> Vec<W> {
        let waiting = self.under_way.remove(key).unwrap_or_default();
        self.repeats -= waiting.len().saturating_sub(1);
        waiting
    }
}

/// Whether the same message is not to be handled again.
pub(super) fn is_final(answer: &Answer) -> bool {
    answer.advice() != RetryAdvice::Again
}

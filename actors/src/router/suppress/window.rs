//! One window: when a pipeline matched and acted under one key, as far as that can still matter.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tripline_protocol::{Span, Timestamp};

/// What `suppress` says, without its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Least matches within `per`, 1 or more.
    pub(crate) min: u32,
    /// Most acts within `per`, 1 or more.
    pub(crate) max: u32,
    /// The span that is looked at. What happened exactly so long ago is out of it.
    pub(crate) per: Span,
}

/// Whether a pipeline that matches may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may.
    Act,
    /// It acted `max` times already.
    Suppressed,
    /// It matched fewer than `min` times; so often, this time included.
    BelowThreshold(u32),
    /// Too much is counted already.
    Full,
}

/// The newest `min - 1` matches and `max` acts, ascending: older ones decide nothing. Microseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    matched: VecDeque<i64>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    acted: VecDeque<i64>,
}

impl Window {
    /// Whether a match now may act. Asks; nothing is counted.
    pub(super) fn verdict(&self, rule: Rule, now: Timestamp) -> Verdict {
        let horizon = now.before(rule.per).as_micros();
        if within(&self.acted, horizon) >= rule.max as usize {
            return Verdict::Suppressed;
        }
        let matches = u32::try_from(within(&self.matched, horizon) + 1).unwrap_or(u32::MAX);
        if matches < rule.min {
            return Verdict::BelowThreshold(matches);
        }
        Verdict::Act
    }

    /// It matched now. With a `min` of 1 nothing is kept: this match is enough.
    pub(super) fn matched(&mut self, rule: Rule, now: Timestamp) {
        note(&mut self.matched, rule, now, rule.min as usize - 1);
    }

    /// It acted now.
    pub(super) fn acted(&mut self, rule: Rule, now: Timestamp) {
        note(&mut self.acted, rule, now, rule.max as usize);
    }

    /// From when on nothing of it matters.
    pub(super) fn over_at(&self, per: Span) -> Timestamp {
        let newest = self.matched.back().max(self.acted.back());
        let newest = newest.map_or(Timestamp::from_micros(i64::MIN), |at| Timestamp::from_micros(*at));
        newest.after(per)
    }

    /// How many times it holds.
    pub(super) fn len(&self) -> usize {
        self.matched.len() + self.acted.len()
    }

    /// Nothing in it is later than `now`: the machine's clock may have been set back while the server was down, and a
    /// guard must not hold for longer than it says.
    pub(super) fn not_after(mut self, now: Timestamp) -> Self {
        let now = now.as_micros();
        for at in self.matched.iter_mut().chain(&mut self.acted) {
            *at = (*at).min(now);
        }
        self
    }
}

/// How many of the times are after `horizon`.
fn within(times: &VecDeque<i64>, horizon: i64) -> usize {
    times.len() - times.partition_point(|at| *at <= horizon)
}

/// Adds `now`, and keeps the newest `most` of those that are in the window.
fn note(times: &mut VecDeque<i64>, rule: Rule, now: Timestamp, most: usize) {
    let horizon = now.before(rule.per).as_micros();
    times.push_back(now.as_micros());
    while times.len() > most || times.front().is_some_and(|at| *at <= horizon) {
        times.pop_front();
    }
}

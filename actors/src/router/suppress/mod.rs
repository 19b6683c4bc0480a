//! Suppression: how often pipelines matched and acted, per key, and whether they may act once more.
//!
//! A sliding window over the time of handling: a pipeline acts if it matched at least `min` times within `per`, this
//! time included, and acted fewer than `max` times within it. Only what can still decide something is kept
//! ([`window`]), so a pipeline that is suppressed with a `min` of 1 changes nothing and costs no write. What changes is
//! staged with the decision ([`Windows::stage`]), or taken back with it ([`Windows::roll_back`]).
//!
//! Everything is bounded. At a bound a pipeline does not act: a guard that cannot count holds.
//!
//! Deliberately not here: what acting means, keys, the clock, reading and writing the store (`rows`).

mod rows;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use rows::WindowRecord;
pub(crate) use window::{Rule, Verdict, Window};

use std::collections::{BTreeSet, HashMap, HashSet};
use tripline_protocol::{Name, Span, Timestamp};
use uuid::Uuid;

/// Windows of one pipeline: one for each key, and with `scope: host` for each host.
const WINDOWS_PER_PIPELINE_MAX: usize = 10_000;
/// Windows of all pipelines.
const WINDOWS_MAX: usize = 200_000;
/// Times that all windows hold together, 8 bytes each.
const TIMES_MAX: usize = 4_000_000;
/// Windows that are over and looked for when there is no room.
const SWEEP_MAX: usize = 1_000;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) per_pipeline: usize,
    pub(super) total: usize,
    pub(super) times: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_pipeline: WINDOWS_PER_PIPELINE_MAX,
            total: WINDOWS_MAX,
            times: TIMES_MAX,
        }
    }
}

/// Which window.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) pipeline: Name,
    /// Of the text that says what is counted together: another one begins anew.
    pub(crate) identity: Uuid,
    /// Of org, host and key.
    pub(crate) id: Uuid,
}

/// A window with the span that it looks at.
#[derive(Debug, Clone)]
struct Kept {
    window: Window,
    per: Span,
}

impl Kept {
    fn over_at(&self) -> Timestamp {
        self.window.over_at(self.per)
    }
}

/// All windows.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    limits: Limits,
    kept: HashMap<Place, Kept>,
    of_pipeline: HashMap<Name, usize>,
    over: BTreeSet<(Timestamp, Place)>,
    times: usize,
    /// Those that the decisions under way changed, as they were before.
    before: HashMap<Place, Option<Kept>>,
    /// Those that were let go of and may still have a row.
    gone: HashSet<Place>,
}

impl Windows {
    #[cfg(test)]
    fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// A pipeline matched. Counts it, and says whether it may act.
    pub(crate) fn matched(&mut self, place: &Place, rule: Rule, now: Timestamp) -> Verdict {
        let verdict = self.kept.get(place).map_or_else(
            || Window::default().verdict(rule, now),
            |kept| kept.window.verdict(rule, now),
        );
        let counts = rule.min > 1;
        if !counts && verdict != Verdict::Act {
            return verdict;
        }
        if !self.has_room(place, now) {
            return Verdict::Full;
        }
        if counts {
            self.change(place, rule, |window| window.matched(rule, now));
        }
        verdict
    }

    /// It acts, as [`Windows::matched`] said that it may.
    pub(crate) fn acted(&mut self, place: &Place, rule: Rule, now: Timestamp) {
        self.change(place, rule, |window| window.acted(rule, now));
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether a match and an act of it can be noted.
    fn has_room(&mut self, place: &Place, now: Timestamp) -> bool {
        self.fits(place) || {
            self.sweep(now, SWEEP_MAX);
            self.fits(place)
        }
    }

    fn fits(&self, place: &Place) -> bool {
        let own = || self.of_pipeline.get(&place.pipeline).copied().unwrap_or(0);
        let is_there = self.kept.contains_key(place);
        self.times + 2 <= self.limits.times
            && (is_there || (self.kept.len() < self.limits.total && own() < self.limits.per_pipeline))
    }

    fn change(&mut self, place: &Place, rule: Rule, change: impl FnOnce(&mut Window)) {
        let old = self.take(place);
        if !self.before.contains_key(place) {
            self.before.insert(place.clone(), old.clone());
        }
        let mut window = old.map(|kept| kept.window).unwrap_or_default();
        change(&mut window);
        let per = rule.per;
        self.put(place, Kept { window, per });
    }

    fn put(&mut self, place: &Place, kept: Kept) {
        self.times += kept.window.len();
        self.over.insert((kept.over_at(), place.clone()));
        *self.of_pipeline.entry(place.pipeline.clone()).or_default() += 1;
        self.kept.insert(place.clone(), kept);
    }

    /// Removes a window and everything that is known of it beside.
    fn take(&mut self, place: &Place) -> Option<Kept> {
        let old = self.kept.remove(place)?;
        self.times -= old.window.len();
        self.over.remove(&(old.over_at(), place.clone()));
        if let Some(count) = self.of_pipeline.get_mut(&place.pipeline) {
            *count -= 1;
            if *count == 0 {
                self.of_pipeline.remove(&place.pipeline);
            }
        }
        Some(old)
    }

    /// Lets go of at most `most` windows that are over.
    pub(crate) fn sweep(&mut self, now: Timestamp, most: usize) {
        let over = self.over.iter().take_while(|(at, _)| *at <= now).take(most);
        let over: Vec<Place> = over.map(|(_, place)| place.clone()).collect();
        self.let_go(over);
    }

    /// Keeps the windows for which `holds` is true.
    pub(crate) fn retain(&mut self, holds: impl Fn(&Place) -> bool) {
        let others = self.kept.keys().filter(|place| !holds(place));
        let others: Vec<Place> = others.cloned().collect();
        self.let_go(others);
    }

    fn let_go(&mut self, places: Vec<Place>) {
        for place in places {
            if self.take(&place).is_some() {
                self.gone.insert(place);
            }
        }
    }

    /// The decisions under way are refused: as if they had not been made.
    pub(crate) fn roll_back(&mut self) {
        for (place, before) in std::mem::take(&mut self.before) {
            self.take(&place);
            if let Some(before) = before {
                self.put(&place, before);
            }
        }
    }

    /// Checks what must always hold; tests call it after every step.
    #[cfg(test)]
    fn assert_invariants(&self) {
        let times: usize = self.kept.values().map(|kept| kept.window.len()).sum();
        assert_eq!(times, self.times);
        assert!(self.times <= self.limits.times && self.kept.len() <= self.limits.total);
        assert_eq!(self.over.len(), self.kept.len());
        assert_eq!(self.of_pipeline.values().sum::<usize>(), self.kept.len());
        assert!(
            self.of_pipeline
                .values()
                .all(|count| *count <= self.limits.per_pipeline)
        );
        for (place, kept) in &self.kept {
            assert!(self.over.contains(&(kept.over_at(), place.clone())));
        }
    }
}

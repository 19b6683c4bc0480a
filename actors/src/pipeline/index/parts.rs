//! Texts that a field must begin with, end with or contain, all of them looked for in one pass.

use super::field::Numbers;
use super::shelf::Number;
use crate::pipeline::condition::need::{Place, SEARCHED_TEXT_BYTES_MAX};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use std::collections::HashMap;

/// Occurrences that are looked at in one text, unless more pipelines than these search it: parts that lie within one
/// another, in a text made for it, occur very often.
const OCCURRENCES_MIN: usize = 1_024;

/// The parts that pipelines look for in one field.
#[derive(Debug, Default)]
pub(super) struct Parts {
    numbers: HashMap<Box<str>, usize>,
    /// For each part who looks for it, and where.
    wanted: Vec<Vec<(Place, Number)>>,
    /// All who look for one.
    all: Numbers,
    /// Nothing before all parts are there, nor where there are none.
    search: Option<AhoCorasick>,
}

impl Parts {
    pub(super) fn add(&mut self, place: Place, part: &str, number: Number) {
        let next = self.wanted.len();
        let at = *self.numbers.entry(part.into()).or_insert(next);
        if at == next {
            self.wanted.push(Vec::new());
        }
        if let Some(wanted) = self.wanted.get_mut(at) {
            wanted.push((place, number));
        }
        self.all.push(number);
    }

    /// Makes the search, when all parts are there.
    pub(super) fn finish(&mut self) {
        let mut parts: Vec<_> = std::mem::take(&mut self.numbers).into_iter().collect();
        if parts.is_empty() {
            return;
        }
        parts.sort_unstable_by_key(|(_, at)| *at);
        let built = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(parts.iter().map(|(part, _)| &**part));
        // It fails only for more parts than it can number; then all pipelines are evaluated.
        self.search = built.ok();
    }

    /// All who look for a part.
    pub(super) fn all(&self) -> &[Number] {
        &self.all
    }

    /// Adds who may find their part in `text`.
    pub(super) fn find(&self, text: &str, found: &mut Numbers) {
        let Some(search) = self
            .search
            .as_ref()
            .filter(|_| text.len() <= SEARCHED_TEXT_BYTES_MAX)
        else {
            return found.extend(&self.all);
        };
        let mut left = self.all.len().max(OCCURRENCES_MIN);
        for occurrence in search.find_overlapping_iter(text) {
            let wanted = self.wanted.get(occurrence.pattern().as_usize());
            let wanted = wanted.map(Vec::as_slice).unwrap_or_default();
            let Some(rest) = left.checked_sub(wanted.len()) else {
                return found.extend(&self.all);
            };
            left = rest;
            let is_at = |place: Place| place.is_at(occurrence.start(), occurrence.end(), text.len());
            let holding = wanted.iter().filter(|(place, _)| is_at(*place));
            found.extend(holding.map(|(_, number)| number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(parts: &Parts, text: &str) -> Numbers {
        let mut found = Numbers::new();
        parts.find(text, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn all_who_look_for_a_part_are_found_when_there_is_too_much_to_look_at() {
        let mut parts = Parts::default();
        parts.add(Place::Anywhere, "a", 0);
        parts.add(Place::Start, "ab", 1);
        parts.add(Place::End, "ab", 2);
        parts.finish();
        assert_eq!(found(&parts, "cab"), [0, 2]);
        assert_eq!(found(&parts, &"a".repeat(OCCURRENCES_MIN)), [0]);
        assert_eq!(found(&parts, &"a".repeat(OCCURRENCES_MIN + 1)), [0, 1, 2]);
        assert_eq!(
            found(&parts, &"b".repeat(SEARCHED_TEXT_BYTES_MAX)),
            Numbers::new()
        );
        assert_eq!(found(&parts, &"b".repeat(SEARCHED_TEXT_BYTES_MAX + 1)), [0, 1, 2]);
    }
}

//! Pipelines that listen to the same etypes, arranged by what their conditions need of an event.

use super::field::{Fields, Numbers};
use crate::pipeline::condition::need::{Need, Plain, Test};
use crate::pipeline::pipeline::Pipeline;
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::Event;

/// What a shelf knows a pipeline by: its place on it.
pub(super) type Number = usize;

/// How often each comparison is made on a shelf: one that many pipelines share tells them apart badly.
type Shared<'p> = HashMap<(&'p [Box<str>], &'p Test), usize>;

/// Pipelines in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pipelines: Vec<Arc<Pipeline>>,
    /// Those of which nothing is known that an event must have.
    always: Numbers,
    fields: Fields,
}

impl Shelf {
    /// Adds a pipeline, unless it was the last that was added.
    pub(super) fn add(&mut self, pipeline: &Arc<Pipeline>) {
        // Patterns of one pipeline come together.
        if self
            .pipelines
            .last()
            .is_none_or(|last| !Arc::ptr_eq(last, pipeline))
        {
            self.pipelines.push(Arc::clone(pipeline));
        }
    }

    /// Makes the index, when all pipelines are there.
    pub(super) fn arrange(&mut self) {
        let mut shared = Shared::new();
        let needs = self.pipelines.iter().flat_map(|pipeline| pipeline.needs());
        for wanted in needs.flatten() {
            for test in &wanted.tests {
                *shared.entry((&wanted.path, test)).or_default() += 1;
            }
        }
        for (number, pipeline) in self.pipelines.iter().enumerate() {
            let weight = |need: &&Need| weight(need, &shared, self.pipelines.len());
            match pipeline.needs().iter().min_by_key(weight) {
                Some(need) => self.fields.add_all(need, number),
                None => self.always.push(number),
            }
        }
        self.fields.finish();
    }

    pub(super) fn pipelines(&self) -> &[Arc<Pipeline>] {
        &self.pipelines
    }

    /// Adds those that have no needs, and those that are found by one; in their order and each once.
    pub(super) fn may_match<'a>(&'a self, event: &Event, found: &mut Vec<&'a Arc<Pipeline>>) {
        let mut numbers = self.always.clone();
        self.fields.find(event, &mut numbers);
        numbers.sort_unstable();
        numbers.dedup();
        found.extend(numbers.iter().filter_map(|number| self.pipelines.get(*number)));
    }
}

/// How many pipelines are likely to be found along with the one that is found by `need`; of the same number the text
/// as a whole is better than its part.
fn weight(need: &Need, shared: &Shared<'_>, pipelines: usize) -> usize {
    let tests = need
        .iter()
        .flat_map(|wanted| wanted.tests.iter().map(|test| (&*wanted.path, test)));
    let weights = tests.map(|(path, test)| {
        let sharing = 2 * shared.get(&(path, test)).copied().unwrap_or_default();
        sharing
            + match test {
                Test::Text(_) | Test::Plain(Plain::Number(_)) => 0,
                // Half of all events have it.
                Test::Plain(Plain::Bool(_) | Plain::Null) | Test::Bound(_, _) => 2 * pipelines,
                Test::Part(_, part) if part.len() < 3 => pipelines,
                Test::Part(_, _) => 1,
            }
    });
    weights.sum()
}

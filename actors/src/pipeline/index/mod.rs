//! Which pipelines an event may concern: by its etype, and among those by what their conditions need of it.
//!
//! An etype finds its shelf in a hash; patterns stand on shelves by their first word. An etype nobody listens to
//! costs two or three look-ups. On a shelf a pipeline is found by the rarest of its needs (see `shelf`), so that only
//! conditions that may hold are evaluated.

mod bounds;
mod field;
mod parts;
mod shelf;

use super::pipeline::Pipeline;
use shelf::Shelf;
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::{Etype, Event};

/// The index over a set of pipelines.
#[derive(Debug, Default)]
pub(super) struct Index {
    literal: HashMap<Box<str>, Shelf>,
    /// Pipelines with a wildcard pattern, by its first word.
    by_first: HashMap<Box<str>, Shelf>,
    /// Pipelines with a pattern whose first word is a wildcard.
    any_first: Shelf,
}

/// The pipelines that listen to one etype, each once.
#[derive(Debug)]
pub struct Candidates<'a> {
    literal: std::slice::Iter<'a, Arc<Pipeline>>,
    by_first: std::slice::Iter<'a, Arc<Pipeline>>,
    any_first: std::slice::Iter<'a, Arc<Pipeline>>,
    etype: &'a Etype,
}

/// On which shelf a pipeline is found for an etype; the first that applies, so that it comes once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Literal,
    ByFirst,
    AnyFirst,
}

fn first_word(text: &str) -> &str {
    text.split('.').next().unwrap_or(text)
}

fn is_wildcard(word: &str) -> bool {
    word == "*" || word == ">"
}

/// The shelf on which `pipeline` stands for `etype`, if it listens to it.
fn kind(pipeline: &Pipeline, etype: &Etype) -> Option<Kind> {
    let mut found = None;
    for pattern in pipeline
        .patterns()
        .iter()
        .filter(|pattern| pattern.matches(etype))
    {
        if pattern.is_literal() {
            return Some(Kind::Literal);
        }
        if !is_wildcard(first_word(pattern.as_str())) {
            found = Some(Kind::ByFirst);
        } else if found.is_none() {
            found = Some(Kind::AnyFirst);
        }
    }
    found
}

impl Index {
    pub(super) fn new<'p>(pipelines: impl Iterator<Item = &'p Arc<Pipeline>>) -> Self {
        let mut index = Self::default();
        for pipeline in pipelines {
            for pattern in pipeline.patterns() {
                let first = first_word(pattern.as_str());
                let shelf = if pattern.is_literal() {
                    index.literal.entry(pattern.as_str().into()).or_default()
                } else if is_wildcard(first) {
                    &mut index.any_first
                } else {
                    index.by_first.entry(first.into()).or_default()
                };
                shelf.add(pipeline);
            }
        }
        let shelves = index.literal.values_mut().chain(index.by_first.values_mut());
        shelves.chain([&mut index.any_first]).for_each(Shelf::arrange);
        index
    }

    /// The pipelines that listen to `etype`, each once.
    pub(super) fn candidates<'a>(&'a self, etype: &'a Etype) -> Candidates<'a> {
        let listed = |shelf: Option<&'a Shelf>| shelf.map(Shelf::pipelines).unwrap_or_default().iter();
        Candidates {
            literal: listed(self.literal.get(etype.as_str())),
            by_first: listed(self.by_first.get(first_word(etype.as_str()))),
            any_first: listed(Some(&self.any_first)),
            etype,
        }
    }

    /// Those of the candidates that `event` does not lack anything for: the others do not match it.
    pub(super) fn may_match<'a>(&'a self, event: &Event) -> Vec<&'a Arc<Pipeline>> {
        let etype = event.etype.as_str();
        let mut found = Vec::new();
        if let Some(shelf) = self.literal.get(etype) {
            shelf.may_match(event, &mut found);
        }
        let shelves = [
            (self.by_first.get(first_word(etype)), Kind::ByFirst),
            (Some(&self.any_first), Kind::AnyFirst),
        ];
        for (shelf, wanted) in shelves {
            let Some(shelf) = shelf else { continue };
            let mut listed = Vec::new();
            shelf.may_match(event, &mut listed);
            listed.retain(|pipeline| kind(pipeline, &event.etype) == Some(wanted));
            found.append(&mut listed);
        }
        // They were found by one of their needs; now each of the others is looked at, so that it does not matter
        // which one that was.
        found.retain(|pipeline| !pipeline.is_ruled_out(event));
        found
    }
}

impl<'a> Iterator for Candidates<'a> {
    type Item = &'a Arc<Pipeline>;

    fn next(&mut self) -> Option<Self::Item> {
        let etype = self.etype;
        let on = |wanted: Kind| move |pipeline: &&Arc<Pipeline>| kind(pipeline, etype) == Some(wanted);
        self.literal
            .next()
            .or_else(|| self.by_first.find(on(Kind::ByFirst)))
            .or_else(|| self.any_first.find(on(Kind::AnyFirst)))
    }
}

//! Which pipelines listen to an etype: a hash for those named as they are, and for patterns a hash over
//! their first word. An etype nobody listens to costs two or three look-ups.

use super::pipeline::Pipeline;
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::Etype;

/// The index over a set of pipelines.
#[derive(Debug, Default)]
pub(super) struct Index {
    literal: HashMap<Box<str>, Vec<Arc<Pipeline>>>,
    /// Pipelines with a wildcard pattern, by its first word.
    by_first: HashMap<Box<str>, Vec<Arc<Pipeline>>>,
    /// Pipelines with a pattern whose first word is a wildcard.
    any_first: Vec<Arc<Pipeline>>,
}

/// The pipelines that listen to one etype, each once.
#[derive(Debug)]
pub struct Candidates<'a> {
    literal: std::slice::Iter<'a, Arc<Pipeline>>,
    by_first: std::slice::Iter<'a, Arc<Pipeline>>,
    any_first: std::slice::Iter<'a, Arc<Pipeline>>,
    etype: &'a Etype,
}

/// Where in the index a pipeline is found for an etype; the first that applies, so that it comes once.
#[derive(Debug, PartialEq, Eq)]
enum Shelf {
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
fn shelf(pipeline: &Pipeline, etype: &Etype) -> Option<Shelf> {
    let mut found = None;
    for pattern in pipeline
        .patterns()
        .iter()
        .filter(|pattern| pattern.matches(etype))
    {
        if pattern.is_literal() {
            return Some(Shelf::Literal);
        }
        if !is_wildcard(first_word(pattern.as_str())) {
            found = Some(Shelf::ByFirst);
        } else if found.is_none() {
            found = Some(Shelf::AnyFirst);
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
                // Patterns of one pipeline come together, so a pipeline already there is the last.
                if shelf.last().is_none_or(|last| !Arc::ptr_eq(last, pipeline)) {
                    shelf.push(Arc::clone(pipeline));
                }
            }
        }
        index
    }

    pub(super) fn candidates<'a>(&'a self, etype: &'a Etype) -> Candidates<'a> {
        let listed = |shelf: &'a HashMap<Box<str>, Vec<Arc<Pipeline>>>, key: &str| {
            shelf.get(key).map(Vec::as_slice).unwrap_or_default().iter()
        };
        Candidates {
            literal: listed(&self.literal, etype.as_str()),
            by_first: listed(&self.by_first, first_word(etype.as_str())),
            any_first: self.any_first.iter(),
            etype,
        }
    }
}

impl<'a> Iterator for Candidates<'a> {
    type Item = &'a Arc<Pipeline>;

    fn next(&mut self) -> Option<Self::Item> {
        let etype = self.etype;
        let on =
            |wanted: Shelf| move |pipeline: &&Arc<Pipeline>| shelf(pipeline, etype).as_ref() == Some(&wanted);
        self.literal
            .next()
            .or_else(|| self.by_first.find(on(Shelf::ByFirst)))
            .or_else(|| self.any_first.find(on(Shelf::AnyFirst)))
    }
}

//! The fields of events that pipelines are found by, as a tree: it is walked along with the event, and what it has
//! in common with the event is all that is looked at.

use super::bounds::Bounds;
use super::parts::Parts;
use super::shelf::Number;
use crate::pipeline::condition::need::{Need, Plain, Seen, Test, Wanted};
use serde_json::{Map, Value};
use std::collections::HashMap;
use tripline_protocol::Event;

/// Pipelines.
pub(super) type Numbers = Vec<Number>;

/// Fields by their names.
#[derive(Debug, Default)]
pub(super) struct Fields(HashMap<Box<str>, Field>);

#[derive(Debug, Default)]
struct Field {
    texts: HashMap<Box<str>, Numbers>,
    /// The longest of them, in bytes: no longer one is hashed.
    text_bytes_max: usize,
    plain: HashMap<Plain, Numbers>,
    parts: Parts,
    bounds: Bounds,
    below: Fields,
    /// The pipelines that are found by a field below. An event where this one is no map is an error in their
    /// conditions, which the evaluation tells.
    through: Numbers,
}

impl Fields {
    /// Makes `number` found by `need`.
    pub(super) fn add_all(&mut self, need: &Need, number: Number) {
        for Wanted { path, tests } in need {
            self.add(path, tests, number);
        }
    }

    fn add(&mut self, path: &[Box<str>], tests: &[Test], number: Number) {
        let Some((name, rest)) = path.split_first() else {
            return;
        };
        let field = self.0.entry(name.clone()).or_default();
        if rest.is_empty() {
            tests.iter().for_each(|test| field.add(test, number));
        } else {
            field.through.push(number);
            field.below.add(rest, tests, number);
        }
    }

    /// Makes what is searched for, when all pipelines are there.
    pub(super) fn finish(&mut self) {
        for field in self.0.values_mut() {
            field.parts.finish();
            field.bounds.finish();
            field.below.finish();
        }
    }

    /// Adds the pipelines that `event` may concern, some more than once.
    pub(super) fn find(&self, event: &Event, found: &mut Numbers) {
        for (name, field) in &self.0 {
            if let Some(seen) = Seen::field(event, name) {
                field.find(seen, found);
            }
        }
    }

    fn find_in(&self, map: &Map<String, Value>, found: &mut Numbers) {
        if self.0.len() <= map.len() {
            for (name, field) in &self.0 {
                if let Some(value) = map.get(&**name) {
                    field.find(Seen::of(value), found);
                }
            }
        } else {
            for (name, value) in map {
                if let Some(field) = self.0.get(name.as_str()) {
                    field.find(Seen::of(value), found);
                }
            }
        }
    }
}

impl Field {
    fn add(&mut self, test: &Test, number: Number) {
        match test {
            Test::Text(text) => {
                self.text_bytes_max = self.text_bytes_max.max(text.len());
                self.texts.entry(text.clone()).or_default().push(number);
            }
            Test::Plain(value) => self.plain.entry(*value).or_default().push(number),
            Test::Part(place, part) => self.parts.add(*place, part, number),
            Test::Bound(side, bound) => self.bounds.add(*side, bound.get(), number),
        }
    }

    /// Looks at each kind of comparison; one that is an error with such a value finds all that make it.
    fn find(&self, seen: Seen<'_>, found: &mut Numbers) {
        match seen {
            Seen::Text(text) if text.len() <= self.text_bytes_max => {
                found.extend(self.texts.get(text).into_iter().flatten());
            }
            Seen::Plain(value) => found.extend(self.plain.get(&value).into_iter().flatten()),
            _ => {}
        }
        match seen {
            Seen::Text(text) => self.parts.find(text, found),
            _ => found.extend(self.parts.all()),
        }
        match seen {
            Seen::Plain(Plain::Number(value)) => self.bounds.find(value.get(), found),
            _ => self.bounds.all(found),
        }
        match seen {
            Seen::Map(map) => self.below.find_in(map, found),
            _ => found.extend(&self.through),
        }
    }
}

//! Checking a store row by row: that each can be read, that what it refers to is there, that its indexes are there,
//! and that artifacts are on the disk; and repairing what can be.
//!
//! Every table has a rule in [`rules`]. Deliberately not here: what sled keeps (`crate::store`), and the order in which
//! an operator does things (`tripline store`).

mod contents;
mod look;
mod repair;
mod rules;
#[cfg(test)]
mod tests;

pub use contents::Contents;
pub use repair::{Repaired, repair};

use crate::store::{Error, Store, Table};
use look::{Found, Look};
use serde::Serialize;

/// Problems that a report names; the rest is counted.
pub(crate) const PROBLEMS_MAX: usize = 1000;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The format of the rows.
    pub store_format: u32,
    /// Tables that have rows.
    pub tables: Vec<TableCount>,
    /// Artifacts, if there was a look at them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<contents::Count>,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// All problems.
    pub problems_total: u64,
}

/// How many rows a table has.
#[derive(Debug, Serialize)]
pub struct TableCount {
    /// Its name.
    pub table: String,
    /// Its number.
    pub number: u8,
    /// Rows.
    pub rows: u64,
    /// Problems found in them.
    pub problems: u64,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The table of the row, or what else it is about.
    pub table: String,
    /// The row's key: as text where it is text, else in hexadecimal digits.
    pub key: String,
    /// What is wrong.
    pub problem: String,
}

impl Report {
    /// Adds a problem that is not of a row.
    pub fn add(&mut self, table: &str, key: impl Into<String>, problem: impl Into<String>) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem {
                table: table.to_owned(),
                key: key.into(),
                problem: problem.into(),
            });
        }
    }

    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// Reads every row of a store that nobody writes, and looks at the artifacts if they are given.
pub fn check(store: &Store, contents: Option<&Contents>) -> Result<Report, Error> {
    let mut report = Report {
        store_format: Store::newest_format(),
        artifacts: contents.map(Contents::count),
        ..Report::default()
    };
    for_each_row(store, contents, |table, key, found| {
        note(&mut report, table, key, found);
        Ok(())
    })?;
    let counters = rules::counters(store)?;
    for (key, missing) in counters {
        report.add("Meta", text_of(&key), missing.what);
    }
    store.chunk_problems(|key, what| report.add("Chunk", text_of(key), what))?;
    for (sha256, what) in contents.map_or(&[][..], Contents::problems) {
        report.add("artifacts", sha256.clone(), *what);
    }
    Ok(report)
}

fn note(report: &mut Report, table: Table, key: &[u8], found: Vec<Found>) {
    let name = format!("{table:?}");
    if report.tables.last().is_none_or(|count| count.table != name) {
        report.tables.push(TableCount {
            table: name.clone(),
            number: table as u8,
            rows: 0,
            problems: 0,
        });
    }
    if let Some(count) = report.tables.last_mut() {
        count.rows += 1;
        count.problems += found.len() as u64;
    }
    for found in found {
        report.add(&name, text_of(key), found.what);
    }
}

/// Looks at every row of every table by its rule.
fn for_each_row(
    store: &Store,
    contents: Option<&Contents>,
    mut take: impl FnMut(Table, &[u8], Vec<Found>) -> Result<(), Error>,
) -> Result<(), Error> {
    for (table, rule) in rules::RULES {
        store.walk(*table, |key, value| {
            let mut look = Look::new(store, contents);
            match value {
                Ok(value) => rule(&mut look, key, &value)?,
                Err(error) => look.wrong(error.to_string()),
            }
            take(*table, key, look.found())
        })?;
    }
    Ok(())
}

/// Whether there is a table of this number.
pub(crate) fn is_table(number: u8) -> bool {
    rules::RULES.iter().any(|(table, _)| *table as u8 == number)
}

/// The name of a table, for people; of one that is not known, its number.
pub(crate) fn table_name(number: u8) -> String {
    let known = rules::RULES.iter().map(|(table, _)| *table);
    let known = known.chain([Table::Chunk]).find(|table| *table as u8 == number);
    known.map_or_else(|| format!("{number:#04x}"), |table| format!("{table:?}"))
}

/// A key for people: as it is when it is text, else in hexadecimal digits.
fn text_of(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) => text.to_owned(),
        _ => key.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

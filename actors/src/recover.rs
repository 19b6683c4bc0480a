//! Making a store anew from what can be read of one that does not open, or that has rows which do not fit together.
//!
//! The new store is made beside the old one; the old one is kept aside when the new one takes its place, and nothing
//! is changed before that. Deliberately not here: how a log is read (`crate::store`), what fits together
//! (`crate::check`), asking the operator.

use crate::check::{Repaired, Report, check, repair};
use crate::store::{Built, Error, Inspected, Loader, Loss, OpenError, Salvaged, Store, TableRow};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How a store is.
#[derive(Debug)]
pub enum Condition {
    /// It opens, and nothing is wrong with it.
    Sound,
    /// It opens, and rows are wrong.
    Faulty(Box<Report>),
    /// It does not open: why.
    Broken(String),
}

/// Looks how the store of `data_dir` is, and changes nothing. A copy of it is made in `scratch`, or in `data_dir`.
pub fn examine(data_dir: &Path, scratch: Option<&Path>) -> Result<Condition, OpenError> {
    let inspected = match Inspected::open(data_dir, scratch) {
        Ok(inspected) => inspected,
        Err(OpenError::Broken { detail, .. }) => return Ok(Condition::Broken(detail)),
        Err(error) => return Err(error),
    };
    match check(inspected.store(), None) {
        Ok(report) if report.problems_total == 0 => Ok(Condition::Sound),
        Ok(report) => Ok(Condition::Faulty(Box::new(report))),
        Err(error) => Ok(Condition::Broken(format!("failed to {error}"))),
    }
}

/// What was saved, and what was not.
#[derive(Debug, Clone, Serialize)]
pub struct Saved {
    /// Rows that could be read, by table.
    pub read: BTreeMap<String, u64>,
    /// Rows that are of no table.
    pub foreign: u64,
    /// Rows made again, and rows dropped.
    pub repaired: Repaired,
    /// What could not be read.
    pub loss: Loss,
    /// Tables of which a stretch of keys is missing.
    pub tables_with_gaps: Vec<String>,
}

/// A new store that is not in its place yet. Dropped, nothing is left of it and nothing was changed.
pub struct Recovery {
    built: Built,
    /// What is in it.
    pub saved: Saved,
}

/// Makes a new store of what can be read of the one in `data_dir`.
pub fn recover(data_dir: &Path) -> Result<Recovery, OpenError> {
    let (loader, dir) = Loader::recovery(data_dir)?;
    let broken = |error: Error| OpenError::Broken {
        path: dir.clone(),
        detail: format!("failed to {error}"),
    };
    let salvaged = Salvaged::read(&dir).map_err(|source| OpenError::Unwritable {
        path: dir.clone(),
        source,
    })?;
    let format = salvaged.format(&dir).unwrap_or(Store::newest_format());
    let (rows, loss) = salvaged.into_rows();
    let mut loader = loader;
    let mut read = BTreeMap::new();
    let mut foreign = 0;
    for row in rows {
        if !crate::check::is_table(row.table) {
            foreign += 1;
            continue;
        }
        *read.entry(name_of(&row)).or_default() += 1;
        loader.put(row).map_err(broken)?;
    }
    let built = loader.finish(format)?;
    let repaired = repair(built.store()).map_err(broken)?;
    let tables_with_gaps = loss
        .tables
        .iter()
        .map(|table| crate::check::table_name(*table))
        .collect();
    let saved = Saved {
        read,
        foreign,
        repaired,
        loss,
        tables_with_gaps,
    };
    Ok(Recovery { built, saved })
}

fn name_of(row: &TableRow) -> String {
    crate::check::table_name(row.table)
}

impl Recovery {
    /// Puts the new store in its place. The answer is where the old one is now.
    pub fn put_in_place(self) -> Result<Option<PathBuf>, OpenError> {
        self.built.put_in_place()
    }
}

/// Puts an earlier recovery in its place that was complete and did not come to that; where the old store is now.
pub fn go_on(data_dir: &Path) -> Result<Option<PathBuf>, OpenError> {
    Loader::go_on(data_dir)
}

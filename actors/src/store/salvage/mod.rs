//! Reading what can be read of a store that sled does not open: its log, message by message.
//!
//! sled 0.34.7 opens a log only up to the first message it cannot read, and panics when a page that is still referred
//! to lies behind it. Everything before and after is there nevertheless: each message has its own checksum. So the log
//! is read segment by segment ([`log`]), pages are put together from their messages ([`page`]), and where pages
//! contradict each other the newer one decides ([`Salvaged::of`]).
//!
//! Rows may come out older than they were, when what changed them last is lost. Deliberately not here: what rows
//! mean and whether they fit together (`crate::check`).

mod log;
mod page;

use super::keepsake::files;
use super::table::Table;
use super::{TableRow, format, long};
use page::{Page, Pages};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What was read of a damaged store.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// Entries as they were on disk, by their full keys.
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What is missing.
    pub loss: Loss,
}

/// What could not be read.
#[derive(Debug, Default, Clone, Serialize, PartialEq, Eq)]
pub struct Loss {
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes of it that are neither empty nor readable.
    pub unreadable_bytes: u64,
    /// Long values of which a piece is lost.
    pub incomplete_values: u64,
    /// Tables, by number, of which a stretch of keys is missing: some of their rows may be lost.
    pub tables: Vec<u8>,
}

impl Salvaged {
    /// Reads the log of the store in `dir`. Nothing is changed.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut pages = Pages::default();
        let mut loss = Loss::default();
        if files(dir)?
            .iter()
            .any(|path| path.file_name().is_some_and(|name| name == "db"))
        {
            log::read(&dir.join("db"), &mut pages, &mut loss)?;
        }
        Ok(Self::of(pages.finish(), loss))
    }

    /// Takes each stretch of keys from the newest page that has it.
    fn of(mut pages: Vec<Page>, loss: Loss) -> Self {
        pages.sort_by_key(|page| std::cmp::Reverse(page.rank()));
        let mut salvaged = Self {
            entries: BTreeMap::new(),
            loss,
        };
        let mut covered = Covered::default();
        for page in pages {
            for (key, value) in page.entries() {
                if !covered.has(&key) {
                    salvaged.entries.insert(key, value);
                }
            }
            covered.add(page.lo, page.hi);
        }
        salvaged.loss.tables = covered.tables_with_gaps();
        salvaged
    }

    /// The format of the rows: what the store says, else what its file `FORMAT` says.
    pub fn format(&self, dir: &Path) -> Option<u32> {
        let stored = self.entries.get(&format::full_key());
        let stored = stored.and_then(|value| value.as_slice().try_into().ok());
        stored.map(u32::from_be_bytes).or_else(|| {
            let announced = format::announced(dir, format::UPGRADES);
            announced.ok().flatten()
        })
    }

    /// The rows, long values put together; what is left of incomplete ones is counted.
    pub fn into_rows(self) -> (Vec<TableRow>, Loss) {
        let Self { entries, mut loss } = self;
        let mut rows = Vec::new();
        for (key, stored) in &entries {
            let Some((table, rest)) = key.split_first() else {
                continue;
            };
            if *table == Table::Chunk as u8 || format::is_own(key) {
                continue;
            }
            match long::assemble(key, stored, |chunk| entries.get(chunk).map(Vec::as_slice)) {
                Some(value) => rows.push(TableRow {
                    table: *table,
                    key: rest.to_vec(),
                    value,
                }),
                None => loss.incomplete_values += 1,
            }
        }
        (rows, loss)
    }
}

/// Stretches of keys, from one up to another; an empty end is the end of all.
#[derive(Debug, Default)]
struct Covered(Vec<(Vec<u8>, Vec<u8>)>);

impl Covered {
    fn has(&self, key: &[u8]) -> bool {
        let after = self.0.partition_point(|(lo, _)| lo.as_slice() <= key);
        after
            .checked_sub(1)
            .and_then(|at| self.0.get(at))
            .is_some_and(|(_, hi)| hi.is_empty() || key < hi.as_slice())
    }

    fn add(&mut self, lo: Vec<u8>, hi: Vec<u8>) {
        let from = self.0.partition_point(|(_, end)| !end.is_empty() && *end < lo);
        let to = match hi.is_empty() {
            true => self.0.len(),
            false => self.0.partition_point(|(begin, _)| *begin <= hi),
        };
        let (mut lo, mut hi) = (lo, hi);
        if let Some(touched) = self.0.get(from..to).filter(|touched| !touched.is_empty()) {
            for (begin, end) in touched {
                lo = lo.min(begin.clone());
                if !hi.is_empty() && (end.is_empty() || *end > hi) {
                    hi.clone_from(end);
                }
            }
        }
        if from <= to {
            self.0.splice(from..to, [(lo, hi)]);
        }
    }

    /// The tables that have keys between the stretches.
    fn tables_with_gaps(&self) -> Vec<u8> {
        let has_gap = |table: u8| {
            let (from, to) = (vec![table], super::table::prefix_end(&[table]));
            let whole = self
                .0
                .iter()
                .any(|(lo, hi)| *lo <= from && (hi.is_empty() || *hi >= to));
            !whole
        };
        (1..=super::table::TABLE_LAST)
            .filter(|table| has_gap(*table))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_keys_grow_together() {
        let mut covered = Covered::default();
        covered.add(b"c".to_vec(), b"e".to_vec());
        covered.add(b"g".to_vec(), b"k".to_vec());
        assert!(covered.has(b"c") && covered.has(b"dz") && !covered.has(b"e") && !covered.has(b"f"));
        covered.add(b"e".to_vec(), b"g".to_vec());
        assert_eq!(covered.0, [(b"c".to_vec(), b"k".to_vec())]);
        covered.add(b"m".to_vec(), Vec::new());
        covered.add(Vec::new(), b"a".to_vec());
        assert!(covered.has(b"zzz") && covered.has(b"") && !covered.has(b"b"));
        covered.add(b"".to_vec(), Vec::new());
        assert_eq!(covered.0, [(Vec::new(), Vec::new())]);
    }
}

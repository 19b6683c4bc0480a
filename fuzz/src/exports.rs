//! Exports, as `tripline store check` and `tripline store import` read them.
//!
//! Input: a line, then bytes. Behind `file` they are an export. Behind `blocks` they are its blocks without the hashes,
//! which are put in here: kind (1), length of the content (2, big-endian), content. Behind `rows` they are rows, of
//! which an export is made: table (1), lengths of key and value (2 each, big-endian), key, value.

use crate::input::{file_with, order_and_rest, take, take_up_to};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::NamedTempFile;
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::check::{Repaired, check, repair};
use tripline_actors::export::{Error, Writer, import, unpack, verify};
use tripline_actors::store::{Store, TableRow, is_row_key};
use tripline_protocol::Timestamp;

const ROWS_MAX: usize = 200;

/// An export is refused with words, or everything that says it has is in the store that is made of it.
pub fn run(data: &[u8]) {
    let (kind, rest) = order_and_rest(data);
    match kind {
        b"file" => read(&file_with(rest, "export")),
        b"blocks" => read(&file_with(&of_blocks(rest), "export")),
        b"rows" => written(rows(rest)),
        _ => {}
    }
}

/// The hashes are right, so that what is behind them is reached.
fn of_blocks(mut blocks: &[u8]) -> Vec<u8> {
    let mut export = b"tripline-export\n".to_vec();
    let mut hash = Sha256::new_with_prefix(&export);
    while let Some(kind) = take(&mut blocks, 1) {
        let content = long(&mut blocks).unwrap_or_default();
        let length = u32::try_from(content.len()).expect("two bytes").to_be_bytes();
        let block = [kind, &length, content].concat();
        hash.update(&block);
        let sum = hash.clone().finalize();
        hash.update(sum);
        export.extend(block);
        export.extend(sum);
    }
    export
}

/// What is behind its length of two bytes.
fn long<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take(from, 2)?.try_into().map(u16::from_be_bytes).ok()?;
    Some(take_up_to(from, usize::from(length)))
}

/// Rows that a store can have, in the order of their keys.
fn rows(mut from: &[u8]) -> Vec<TableRow> {
    let mut rows = BTreeMap::new();
    while rows.len() < ROWS_MAX
        && let Some(&[table]) = take(&mut from, 1)
    {
        let lengths = take(&mut from, 4).and_then(|bytes| bytes.split_first_chunk::<2>());
        let Some((key, value)) = lengths else { break };
        let mut bytes = |length: &[u8]| {
            let length = length.try_into().map_or(0, u16::from_be_bytes);
            take(&mut from, usize::from(length)).map(<[u8]>::to_vec)
        };
        let (Some(key), Some(value)) = (bytes(key), bytes(value)) else {
            break;
        };
        if is_row_key(table, &key) {
            rows.insert((table, key), value);
        }
    }
    let row = |((table, key), value)| TableRow { table, key, value };
    rows.into_iter().map(row).collect()
}

/// An export that Tripline wrote is whole, whatever is in its rows.
fn written(rows: Vec<TableRow>) {
    let folder = tempfile::tempdir().expect("a folder");
    let artifacts = ArtifactStore::open(folder.path(), u64::MAX).expect("a store of artifacts");
    let format = Store::newest_format();
    let begun = Writer::begin(Vec::new(), format, Timestamp::default(), true);
    let mut writer = begun.expect("a writer");
    for row in &rows {
        writer.row(row).expect("a row is taken");
    }
    let (export, made) = writer.finish(&artifacts).expect("an export");
    assert_eq!(made.totals.rows(), rows.len() as u64);
    let file = file_with(&export, "export");
    let totals = verify(file.path(), &mut |_, _| {}).expect("it is whole").totals;
    assert_eq!(totals, made.totals);
    read(&file);
}

/// As `tripline store check` and `tripline store import` do it, and as `tripline store recover` goes on.
fn read(file: &NamedTempFile) {
    let path = file.path();
    match verify(path, &mut |_, _| {}) {
        Err(error) => says(&error),
        Ok(found) if found.header.artifacts && found.totals.artifacts > 0 => imported(path),
        Ok(_) => unpacked(path),
    }
}

fn says(error: &Error) {
    assert!(!error.to_string().is_empty(), "an error without a word");
}

fn unpacked(path: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let (export, built) = match unpack(path, folder.path(), &mut |_, _| {}) {
        Ok(unpacked) => unpacked,
        Err(error) => return says(&error),
    };
    let found = check(built.store(), None).expect("a new store can be read");
    if export.header.store_format == found.store_format {
        // Rows of tables that nobody knows are passed over here; an import refuses them.
        for table in &found.tables {
            let rows = export.totals.tables.get(&table.number);
            assert_eq!(rows, Some(&table.rows), "rows of {} came or went", table.table);
        }
    }
    repair(built.store()).expect("a new store can be repaired");
    // What is lost for good is told again, and nothing else is left to do.
    let again = repair(built.store()).expect("a repaired store can be repaired");
    assert_eq!(again, Repaired::default(), "a repaired store is not right");
}

fn imported(path: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let (export, built) = match import(path, folder.path(), &mut |_, _| {}) {
        Ok(imported) => imported,
        Err(error) => return says(&error),
    };
    built.put_in_place().expect("a new store gets its name");
    let artifacts = ArtifactStore::open(folder.path(), u64::MAX).expect("a store of artifacts");
    assert_eq!(artifacts.bytes_used(), export.totals.artifact_bytes);
}

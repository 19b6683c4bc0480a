//! What a rule may ask of the store about one row, and what it finds.

use super::Contents;
use crate::store::{Error, Store, Table};
use serde::de::DeserializeOwned;
use tripline_protocol::Sha256;

/// Something wrong with a row.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) what: String,
    pub(super) remedy: Remedy,
}

/// What makes it right.
#[derive(Debug)]
pub(super) enum Remedy {
    /// The row says nothing that holds: without it the store is right.
    Drop,
    /// Another row follows from this one and is missing.
    Put(Table, Vec<u8>, Vec<u8>),
    /// What is lost cannot be made again, and the row is right without it.
    None,
}

/// The view of one rule on one row.
pub(super) struct Look<'a> {
    store: &'a Store,
    contents: Option<&'a Contents>,
    found: Vec<Found>,
}

impl<'a> Look<'a> {
    pub(super) fn new(store: &'a Store, contents: Option<&'a Contents>) -> Self {
        let found = Vec::new();
        Self {
            store,
            contents,
            found,
        }
    }

    pub(super) fn found(self) -> Vec<Found> {
        self.found
    }

    fn add(&mut self, what: impl Into<String>, remedy: Remedy) {
        let what = what.into();
        self.found.push(Found { what, remedy });
    }

    /// The row says nothing that holds.
    pub(super) fn wrong(&mut self, what: impl Into<String>) {
        self.add(what, Remedy::Drop);
    }

    /// `right`, or the row says nothing that holds.
    pub(super) fn expect(&mut self, right: bool, what: &str) -> bool {
        if !right {
            self.wrong(what);
        }
        right
    }

    /// Reads the row's value.
    pub(super) fn decode<T: DeserializeOwned>(&mut self, value: &[u8]) -> Option<T> {
        match serde_json::from_slice(value) {
            Ok(record) => Some(record),
            Err(error) => {
                // Without the text of the value: it may be a secret.
                self.wrong(format!(
                    "it cannot be read: {:?} at column {}",
                    error.classify(),
                    error.column()
                ));
                None
            }
        }
    }

    /// The record of another row; none when it is missing or cannot be read, which its own rule says.
    pub(super) fn other<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, Error> {
        let value = self.value(table, key)?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    /// The value of another row; one that is damaged counts as missing.
    pub(super) fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.store.get(table, key) {
            Err(Error::Damaged { .. }) => Ok(None),
            found => found,
        }
    }

    /// The row means something only beside another one.
    pub(super) fn needs(&mut self, table: Table, key: &[u8]) -> Result<bool, Error> {
        let there = self.value(table, key)?.is_some();
        if !there {
            self.wrong(format!("it refers to a row of {table:?} that is not there"));
        }
        Ok(there)
    }

    /// How many rows of a table begin with `prefix`: none, or some.
    pub(super) fn rows(&self, table: Table, prefix: &[u8]) -> Result<usize, Error> {
        Ok(self.store.scan(table, prefix, None, 1)?.len())
    }

    /// Another row follows from this one.
    pub(super) fn implies(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) -> Result<(), Error> {
        if self.value(table, &key)?.as_ref() != Some(&value) {
            self.add(
                format!("its row in {table:?} is missing or says something else"),
                Remedy::Put(table, key, value),
            );
        }
        Ok(())
    }

    /// Something belongs to the row that cannot be made again.
    pub(super) fn lost(&mut self, what: &str) {
        self.add(what, Remedy::None);
    }

    /// The content that a row names has this many bytes, if it is there at all.
    pub(super) fn content_length(&mut self, sha256: &Sha256, bytes: u64) {
        let found = self.contents.and_then(|contents| contents.bytes(sha256));
        if found.is_some_and(|found| found != bytes) {
            self.lost("its artifact's file has another length");
        }
    }

    /// The content that a row names is there.
    pub(super) fn content(&mut self, sha256: &Sha256) {
        if self
            .contents
            .is_some_and(|contents| contents.bytes(sha256).is_none())
        {
            self.lost("its artifact's file is not there");
        }
    }
}

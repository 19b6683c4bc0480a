//! What one decision changes, together or not at all.

use super::chain::Link;
use super::long;
use super::table::Table;
use sled::IVec;
use std::sync::Arc;

/// Bytes a key may have; the limit keeps a leaf of the tree below the size at which sled spills it.
pub const KEY_BYTES_MAX: usize = 1024;

/// Writes that become visible at once and durable together. A later write of a key replaces an earlier one.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) writes: Vec<Write>,
    pub(super) links: Vec<Box<dyn Link>>,
}

/// One key's new value, or its end.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) key: IVec,
    pub(super) value: Option<Value>,
}

/// A value as it waits for the disk. Cloning shares its bytes.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Encoded as it will be on disk.
    Inline(IVec),
    /// To be cut into chunks.
    Long(Arc<Vec<u8>>),
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` of `table`. Keys have at most [`KEY_BYTES_MAX`] bytes; values may have any length.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.write(table, key.into(), Some(Value::encode(value.into())));
    }

    /// Removes `key` of `table`; it need not exist.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.write(table, key.into(), None);
    }

    /// Adds the writes of `other` after those of this one.
    pub fn append(&mut self, mut other: Batch) {
        self.links.append(&mut other.links);
        if self.writes.is_empty() {
            self.writes = other.writes;
        } else {
            self.writes.append(&mut other.writes);
        }
    }

    /// Adds a row to a chain, behind all that were submitted before it. No reader sees it before it is durable.
    pub fn link(&mut self, link: Box<dyn Link>) {
        self.links.push(link);
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.links.is_empty()
    }

    /// How many writes it has, linked rows included.
    pub fn len(&self) -> usize {
        self.writes.len() + self.links.len()
    }

    fn write(&mut self, table: Table, mut key: Vec<u8>, value: Option<Value>) {
        debug_assert!(
            key.len() <= KEY_BYTES_MAX,
            "a key of {} bytes in {table:?}",
            key.len()
        );
        key.insert(0, table as u8);
        self.writes.push(Write {
            key: key.into(),
            value,
        });
    }
}

impl Value {
    pub(super) fn encode(mut value: Vec<u8>) -> Self {
        if value.len() > long::INLINE_BYTES_MAX {
            return Self::Long(Arc::new(value));
        }
        value.insert(0, long::INLINE);
        Self::Inline(value.into())
    }

    /// The value as it was put.
    pub(super) fn decode(&self) -> Vec<u8> {
        match self {
            Self::Inline(encoded) => encoded.get(1..).unwrap_or_default().to_vec(),
            Self::Long(value) => value.as_ref().clone(),
        }
    }

    /// Bytes it takes on disk, roughly.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Inline(encoded) => encoded.len(),
            Self::Long(value) => value.len(),
        }
    }
}

//! Exports: the rows of a store in one file, with or without the artifacts they name, for backups and for moving.
//!
//! | part | bytes |
//! | --- | --- |
//! | begin | `tripline-export\n` |
//! | block | kind (1), length of the content (4, big-endian), the content, SHA-256 of the file up to here (32) |
//!
//! | kind | content |
//! | --- | --- |
//! | `H`, first | JSON: [`Header`] |
//! | `R` | rows in the order of their keys: table (1), length of the key (2), of the value (4), key, value |
//! | `A` | an artifact begins: SHA-256 (32), length (8); in the order of the hashes |
//! | `C` | the next bytes of its content |
//! | `E`, last | JSON: [`Totals`] |
//!
//! Each block's hash covers everything before it, so a block that is changed, missing, repeated or moved is found where
//! it stands, and a file without its `E` is cut. The hashes find damage; they prove nobody's hand.
//!
//! Deliberately not here: what rows mean (`crate::check`), how a store is written (`crate::store`), where exports are
//! kept and for how long.

mod block;
mod error;
mod folder;
mod import;
mod read;
mod spool;
#[cfg(test)]
mod tests;

mod write;

pub use error::Error;
pub use folder::{Folder, Kept};
pub use import::{Imported, Progress, import, unpack, verify};
pub use read::{Item, Reader};
pub use spool::{Export, Exporter};
pub use write::{Made, Writer};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tripline_protocol::Timestamp;

/// Version of the layout above. A reader refuses a newer one.
pub const VERSION: u32 = 1;

/// What an export says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`] of its writer.
    pub version: u32,
    /// The format of its rows; a newer server upgrades older ones.
    pub store_format: u32,
    /// Version of the program that wrote it.
    pub made_by: String,
    /// When its writer began.
    pub made_at: Timestamp,
    /// Whether the artifacts that its rows name follow.
    pub artifacts: bool,
}

/// What is in an export.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Rows by the number of their table.
    pub tables: BTreeMap<u8, u64>,
    /// Artifacts.
    #[serde(default)]
    pub artifacts: u64,
    /// Bytes of all artifacts.
    #[serde(default)]
    pub artifact_bytes: u64,
    /// Artifacts that rows name and that were not there any more.
    #[serde(default)]
    pub artifacts_missing: u64,
}

impl Totals {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.values().sum()
    }
}

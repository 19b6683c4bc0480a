//! Reading an export, and finding out whether it is whole: hashes of blocks, order and keys of rows, contents of
//! artifacts, totals, the end.

use super::block::{Checked, Kind, damaged};
use super::error::Error;
use super::{Header, Totals, VERSION};
use crate::store::{TableRow, is_row_key};
use sha2::Digest;
use std::io::Read;

/// What comes next in an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Rows, their keys after all before.
    Rows(Vec<TableRow>),
    /// An artifact begins.
    Artifact {
        /// Its SHA-256.
        sha256: [u8; 32],
        /// Its length.
        bytes: u64,
    },
    /// The next bytes of it; with the last of them its hash was found to be right.
    Content(Vec<u8>),
    /// The end.
    End(Totals),
}

/// Reads an export from its beginning to its end. After an error nothing more of it is to be trusted.
pub struct Reader<R> {
    blocks: Checked<R>,
    header: Header,
    found: Totals,
    last_key: Vec<u8>,
    last_artifact: Option<[u8; 32]>,
    content: Option<Content>,
    ended: bool,
}

/// An artifact whose content is being read.
struct Content {
    sha256: [u8; 32],
    left: u64,
    hash: sha2::Sha256,
}

impl<R: Read> Reader<R> {
    /// Reads its header. `known` is the newest format of rows that the caller understands.
    pub fn begin(from: R, known: u32) -> Result<Self, Error> {
        let mut blocks = Checked::begin(from)?;
        let at = blocks.bytes;
        let (kind, content) = blocks.next()?;
        let header = match kind {
            Kind::Header => header(at, &content)?,
            _ => return Err(damaged(at, "it does not begin with its header")),
        };
        refuse_newer("version", header.version, VERSION)?;
        refuse_newer("a store format", header.store_format, known)?;
        Ok(Self {
            blocks,
            header,
            found: Totals::default(),
            last_key: Vec::new(),
            last_artifact: None,
            content: None,
            ended: false,
        })
    }

    /// What it says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.blocks.bytes
    }

    /// The hash of everything read so far: two readings of one file have the same in the end.
    pub fn digest(&self) -> [u8; 32] {
        self.blocks.digest()
    }

    /// The next item; none after the end.
    pub fn next_item(&mut self) -> Result<Option<Item>, Error> {
        if self.ended {
            return Ok(None);
        }
        let at = self.blocks.bytes;
        let (kind, content) = self.blocks.next()?;
        match (kind, self.content.is_some()) {
            (Kind::Content, true) => self.content(at, content).map(Some),
            (Kind::Rows, false) if self.last_artifact.is_none() => self.rows(at, &content).map(Some),
            (Kind::Artifact, false) if self.header.artifacts => self.artifact(at, &content).map(Some),
            (Kind::End, false) => self.end(at, &content).map(Some),
            _ => Err(damaged(at, "a block stands where it cannot")),
        }
    }

    fn rows(&mut self, at: u64, mut content: &[u8]) -> Result<Item, Error> {
        let mut rows = Vec::new();
        while !content.is_empty() {
            let row = take_row(&mut content).ok_or_else(|| damaged(at, "a row is cut"))?;
            if !is_row_key(row.table, &row.key) {
                return Err(damaged(at, "a row has a key that no store has"));
            }
            let mut key = vec![row.table];
            key.extend(&row.key);
            if key <= self.last_key {
                return Err(damaged(at, "a row is out of order"));
            }
            self.last_key = key;
            *self.found.tables.entry(row.table).or_default() += 1;
            rows.push(row);
        }
        Ok(Item::Rows(rows))
    }

    fn artifact(&mut self, at: u64, content: &[u8]) -> Result<Item, Error> {
        let wrong = || damaged(at, "an artifact begins wrong");
        let (sha256, length) = content.split_first_chunk().ok_or_else(wrong)?;
        let bytes = u64::from_be_bytes(length.try_into().map_err(|_| wrong())?);
        if self.last_artifact.is_some_and(|last| last >= *sha256) {
            return Err(damaged(at, "an artifact is out of order"));
        }
        self.last_artifact = Some(*sha256);
        self.found.artifacts += 1;
        self.found.artifact_bytes = self.found.artifact_bytes.saturating_add(bytes);
        let reading = Content {
            sha256: *sha256,
            left: bytes,
            hash: sha2::Sha256::new(),
        };
        self.content = Some(reading);
        self.end_content(at)?;
        Ok(Item::Artifact {
            sha256: *sha256,
            bytes,
        })
    }

    fn content(&mut self, at: u64, piece: Vec<u8>) -> Result<Item, Error> {
        if let Some(reading) = &mut self.content {
            reading.hash.update(&piece);
            let left = reading.left.checked_sub(piece.len() as u64);
            reading.left = left.ok_or_else(|| damaged(at, "an artifact is longer than it says"))?;
        }
        self.end_content(at)?;
        Ok(Item::Content(piece))
    }

    /// Looks at the hash when the content is complete.
    fn end_content(&mut self, at: u64) -> Result<(), Error> {
        if let Some(Content { sha256, hash, .. }) = self.content.take_if(|reading| reading.left == 0) {
            let found: [u8; 32] = hash.finalize().into();
            if found != sha256 {
                return Err(damaged(at, "an artifact has another SHA-256 than it says"));
            }
        }
        Ok(())
    }

    fn end(&mut self, at: u64, content: &[u8]) -> Result<Item, Error> {
        let totals: Totals =
            serde_json::from_slice(content).map_err(|_| damaged(at, "its totals cannot be read"))?;
        let missing = totals.artifacts_missing;
        self.found.artifacts_missing = missing;
        if totals != self.found {
            return Err(damaged(at, "it has not what its totals say"));
        }
        if !self.blocks.is_at_end()? {
            return Err(damaged(self.blocks.bytes, "something follows its end"));
        }
        self.ended = true;
        Ok(Item::End(totals))
    }
}

fn header(at: u64, content: &[u8]) -> Result<Header, Error> {
    serde_json::from_slice(content).map_err(|_| damaged(at, "its header cannot be read"))
}

fn refuse_newer(what: &'static str, found: u32, known: u32) -> Result<(), Error> {
    match found <= known {
        true => Ok(()),
        false => Err(Error::Newer { what, found, known }),
    }
}

fn take_row(content: &mut &[u8]) -> Option<TableRow> {
    let (table, rest) = content.split_first()?;
    let (key_length, rest) = rest.split_first_chunk()?;
    let (value_length, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(u16::from_be_bytes(*key_length).into())?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*value_length) as usize)?;
    *content = rest;
    Some(TableRow {
        table: *table,
        key: key.to_vec(),
        value: value.to_vec(),
    })
}

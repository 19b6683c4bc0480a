//! Writing an export: rows first, then the artifacts they name.

use super::block::{BLOCK_BYTES_MAX, Blocks, Kind};
use super::error::Error;
use super::{Header, Totals, VERSION};
use crate::artifact::{self, ArtifactStore};
use crate::store::{Table, TableRow};
use std::io::{Read, Write};
use tripline_protocol::{Sha256, Timestamp};

/// Bytes after which a block of rows ends, and bytes of a block of content.
const PIECE_BYTES: usize = 256 * 1024;

/// Takes rows in the order of their keys, then artifacts.
pub struct Writer<W> {
    blocks: Blocks<W>,
    rows: Vec<u8>,
    totals: Totals,
    artifacts: bool,
    /// Artifacts that rows name, in order, each once.
    named: Vec<[u8; 32]>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Bytes of the file.
    pub bytes: u64,
    /// What is in it.
    pub totals: Totals,
}

impl<W: Write> Writer<W> {
    /// Begins an export of rows that have the format `store_format`.
    pub fn begin(to: W, store_format: u32, made_at: Timestamp, artifacts: bool) -> Result<Self, Error> {
        let header = Header {
            version: VERSION,
            store_format,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            made_at,
            artifacts,
        };
        let mut blocks = Blocks::begin(to)?;
        blocks.write(Kind::Header, &crate::record::encode(&header))?;
        Ok(Self {
            blocks,
            rows: Vec::with_capacity(2 * PIECE_BYTES),
            totals: Totals::default(),
            artifacts,
            named: Vec::new(),
        })
    }

    /// Adds a row; its key comes after all before.
    pub fn row(&mut self, row: &TableRow) -> Result<(), Error> {
        let TableRow { table, key, value } = row;
        let too_long = || Error::TooLong {
            table: *table,
            bytes: key.len() + value.len(),
        };
        let key_length = u16::try_from(key.len()).map_err(|_| too_long())?;
        let value_length = u32::try_from(value.len()).map_err(|_| too_long())?;
        if key.len() + value.len() > BLOCK_BYTES_MAX - 2 * PIECE_BYTES {
            return Err(too_long());
        }
        self.rows.push(*table);
        self.rows.extend(key_length.to_be_bytes());
        self.rows.extend(value_length.to_be_bytes());
        self.rows.extend(key);
        self.rows.extend(value);
        *self.totals.tables.entry(*table).or_default() += 1;
        if *table == Table::ArtifactUse as u8
            && let Some(sha256) = key.first_chunk()
            && self.named.last() != Some(sha256)
        {
            self.named.push(*sha256);
        }
        match self.rows.len() >= PIECE_BYTES {
            true => self.end_rows(),
            false => Ok(()),
        }
    }

    fn end_rows(&mut self) -> Result<(), Error> {
        if !self.rows.is_empty() {
            self.blocks.write(Kind::Rows, &self.rows)?;
            self.rows.clear();
        }
        Ok(())
    }

    /// Adds the artifacts if they are wanted, and ends the export. Whatever it went to is not synced yet.
    pub fn finish(mut self, artifacts: &ArtifactStore) -> Result<(W, Made), Error> {
        self.end_rows()?;
        if self.artifacts {
            for sha256 in std::mem::take(&mut self.named) {
                self.artifact(artifacts, &sha256)?;
            }
        }
        self.blocks
            .write(Kind::End, &crate::record::encode(&self.totals))?;
        let (bytes, totals) = (self.blocks.bytes, self.totals);
        Ok((self.blocks.finish()?, Made { bytes, totals }))
    }

    fn artifact(&mut self, artifacts: &ArtifactStore, digest: &[u8; 32]) -> Result<(), Error> {
        let sha256 = Sha256::from_digest(digest);
        let (mut file, length) = match artifacts.open_read(&sha256) {
            Ok(opened) => opened,
            Err(artifact::Error::Missing { .. }) => {
                tracing::warn!(%sha256, "an artifact that is to be exported is not there");
                self.totals.artifacts_missing += 1;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let mut begin = digest.to_vec();
        begin.extend(length.to_be_bytes());
        self.blocks.write(Kind::Artifact, &begin)?;
        let mut left = length;
        let mut piece = vec![0; PIECE_BYTES];
        while left > 0 {
            let next = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let piece = piece.get_mut(..next).unwrap_or_default();
            file.read_exact(piece).map_err(|source| Error::Stream {
                verb: "read an artifact for",
                source,
            })?;
            self.blocks.write(Kind::Content, piece)?;
            left -= next as u64;
        }
        self.totals.artifacts += 1;
        self.totals.artifact_bytes += length;
        Ok(())
    }
}

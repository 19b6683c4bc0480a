//! Rows that are linked: each is numbered and holds the hash of the one before it.
//!
//! Which row comes first is settled by the order of commits alone, so the writer settles it: it seals the rows of a
//! group in the order of their batches, in the sled batch that makes those durable. Until then no reader sees them. A
//! chain's newest row is in a row of its own, so that a tail that is cut off is missed.
//!
//! Deliberately not here: what a linked row says and how it is encoded ([`Link`]'s implementors know).

use super::batch::{Value, Write};
use super::disk::Disk;
use super::error::Error;
use super::key::{self, Key};
use super::long;
use super::table::{Table, prefix_end};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ops::Bound;

/// A row that waits for its number and for the hash of the one before it.
pub trait Link: Send + std::fmt::Debug {
    /// The chain it belongs to: a text without zero bytes.
    fn chain(&self) -> &str;

    /// Bytes it takes, roughly.
    fn size(&self) -> usize;

    /// The row as it is stored, and as it is hashed for the next one.
    fn seal(&self, number: u64, previous: &[u8; 32]) -> Vec<u8>;
}

/// The newest row of a chain. Before the first it is number 0 and its hash is all zeroes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Its number; the first is 1.
    pub number: u64,
    /// SHA-256 of the row.
    pub sha256: [u8; 32],
}

impl Head {
    /// Eight bytes of the number, big-endian, and the hash.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = key::u64(self.number).to_vec();
        bytes.extend_from_slice(&self.sha256);
        bytes
    }

    /// Reads what [`Head::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            number: key::read_u64(bytes)?,
            sha256: *bytes.get(8..)?.first_chunk()?,
        })
    }

    /// The head with this row.
    pub(crate) fn of(number: u64, row: &[u8]) -> Self {
        Self {
            number,
            sha256: Sha256::digest(row).into(),
        }
    }
}

/// The key of a row.
pub(crate) fn row_key(chain: &str, number: u64) -> Vec<u8> {
    Key::new().text(chain).u64(number).into()
}

/// The key that all rows of a chain begin with.
pub(crate) fn chain_key(chain: &str) -> Vec<u8> {
    Key::new().text(chain).into()
}

/// Heads that are durable, as everybody may see them.
pub(super) type Heads = RwLock<BTreeMap<String, Head>>;

/// Reads the heads of all chains.
pub(super) fn load(disk: &dyn Disk) -> Result<BTreeMap<String, Head>, Error> {
    let from = [Table::AuditHead as u8];
    let to = prefix_end(&from);
    let mut heads = BTreeMap::new();
    for entry in disk.range(Bound::Included(&from), Bound::Excluded(&to)) {
        let (key, stored) = entry?;
        let chain = key.get(1..).and_then(|chain| std::str::from_utf8(chain).ok());
        let head = long::inline(&stored).and_then(Head::decode);
        if let (Some(chain), Some(head)) = (chain, head) {
            heads.insert(chain.to_owned(), head);
        }
    }
    Ok(heads)
}

/// The writer's own view of the chains: with rows that are about to be written.
#[derive(Debug)]
pub(super) struct Chains {
    heads: BTreeMap<String, Head>,
}

/// What a group's links came to.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    pub(super) writes: Vec<Write>,
    pub(super) heads: BTreeMap<String, Head>,
}

impl Chains {
    pub(super) fn new(heads: BTreeMap<String, Head>) -> Self {
        Self { heads }
    }

    /// Numbers the links in their order.
    pub(super) fn seal(&mut self, disk: &dyn Disk, links: &[Box<dyn Link>]) -> Result<Sealed, Error> {
        let mut sealed = Sealed::default();
        for link in links {
            let head = self.head(disk, link.chain())?;
            let number = head.number + 1;
            let row = link.seal(number, &head.sha256);
            *head = Head::of(number, &row);
            sealed.heads.insert(link.chain().to_owned(), *head);
            let key = Table::Audit.full_key(&row_key(link.chain(), number));
            sealed.writes.push(Write::put(key, row));
        }
        for (chain, head) in &sealed.heads {
            let key = Table::AuditHead.full_key(chain.as_bytes());
            sealed.writes.push(Write::put(key, head.encode()));
        }
        Ok(sealed)
    }

    fn head(&mut self, disk: &dyn Disk, chain: &str) -> Result<&mut Head, Error> {
        if !self.heads.contains_key(chain) {
            let head = newest_row(disk, chain)?;
            self.heads.insert(chain.to_owned(), head);
        }
        Ok(self.heads.entry(chain.to_owned()).or_default())
    }
}

/// A chain whose head is not there goes on behind its newest row, so that none is ever written over.
fn newest_row(disk: &dyn Disk, chain: &str) -> Result<Head, Error> {
    let from = Table::Audit.full_key(&chain_key(chain));
    let to = prefix_end(&from);
    let newest = disk
        .range(Bound::Included(&from), Bound::Excluded(&to))
        .next_back();
    let Some((key, stored)) = newest.transpose()? else {
        return Ok(Head::default());
    };
    let number = key.get(from.len()..).and_then(key::read_u64).unwrap_or(0);
    Ok(Head::of(number, &long::read(disk, &key, &stored)?))
}

impl Write {
    fn put(key: Vec<u8>, value: Vec<u8>) -> Self {
        Self {
            key: key.into(),
            value: Some(Value::encode(value)),
        }
    }
}

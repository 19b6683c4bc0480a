//! Pages of sled 0.34.7: a leaf as it was written whole, and the changes since.
//!
//! Keys are written without the bytes that all keys of their page begin with. When a page as it was written whole is
//! lost, later changes meet an older state of it, which may have more or fewer of those bytes; a page's first key never
//! changes. So the key of such a change comes out with another length than any key has, and its row is dropped by the
//! rule of its table (`crate::check`).

use super::log::{Kind, take_byte, take_u64};
use std::collections::{BTreeMap, HashMap};

/// Pages that are not of the tree: the table of trees and a counter.
const PAGES_OF_SLED: u64 = 2;

/// A leaf: a stretch of keys with their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// Its first key.
    pub(super) lo: Vec<u8>,
    /// The first key after it; empty: none.
    pub(super) hi: Vec<u8>,
    /// Bytes that all its keys begin with, which are those of `lo`.
    prefix: usize,
    /// By the rest of their keys.
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// When it was written whole.
    lsn: u64,
    /// It was merged into another one.
    gone: bool,
}

impl Page {
    /// Which of two pages is believed about a key: one that is in use before one that is not, the later before the
    /// earlier.
    pub(super) fn rank(&self) -> (bool, u64) {
        (!self.gone, self.lsn)
    }

    /// Its keys within its bounds, with their values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        let prefix = self.lo.get(..self.prefix).unwrap_or_default();
        let entries = self.entries.iter();
        let entries = entries.map(move |(rest, value)| ([prefix, rest].concat(), value.clone()));
        // A change that was made to a later state of the page than this one may lie outside.
        entries.filter(|(key, _)| *key >= self.lo && (self.hi.is_empty() || *key < self.hi))
    }
}

/// Pages, put together from messages in the order they were written.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Leaves; none: a page of the index.
    live: HashMap<u64, Option<Page>>,
    freed: Vec<Page>,
}

impl Pages {
    /// Takes the next message. One that is not understood changes nothing.
    pub(super) fn take(&mut self, id: u64, kind: Kind, lsn: u64, body: &[u8]) {
        if id < PAGES_OF_SLED {
            return;
        }
        match kind {
            Kind::Node => {
                if let Some(node) = node(body, lsn) {
                    self.live.insert(id, node);
                }
            }
            Kind::Free => self.free(id),
            Kind::Link => self.link(id, body),
            Kind::Batch | Kind::Other => {}
        }
    }

    /// A page that was freed says what was where nothing newer is known.
    fn free(&mut self, id: u64) {
        if let Some(Some(page)) = self.live.remove(&id) {
            self.freed.push(Page { gone: true, ..page });
        }
    }

    fn link(&mut self, id: u64, mut body: &[u8]) {
        // Without a page it is an old change, of one that moved on, or the page is lost.
        let Some(Some(page)) = self.live.get_mut(&id) else {
            return;
        };
        match take_byte(&mut body) {
            Some(0) => {
                if let Some((key, value)) = take_bytes(&mut body).zip(take_bytes(&mut body)) {
                    page.entries.insert(key, value);
                }
            }
            Some(1) => {
                if let Some(key) = take_bytes(&mut body) {
                    page.entries.remove(&key);
                }
            }
            Some(4) => page.gone = true,
            // Of the index.
            _ => {}
        }
    }

    /// All leaves, also those that are not in use any more.
    pub(super) fn finish(self) -> Vec<Page> {
        let live = self.live.into_values().flatten();
        live.chain(self.freed).collect()
    }
}

/// A page as it was written whole; `Some(None)`: one of the index.
#[expect(
    clippy::option_option,
    reason = "a page of the index is known, and has no keys of ours"
)]
fn node(mut body: &[u8], lsn: u64) -> Option<Option<Page>> {
    let from = &mut body;
    let (_next, _merging_child) = (take_u64(from)?, take_u64(from)?);
    let gone = take_byte(from)? != 0;
    let prefix = usize::from(take_byte(from)?);
    let (lo, hi) = (take_bytes(from)?, take_bytes(from)?);
    let is_index = take_byte(from)? != 0;
    if is_index {
        return Some(None);
    }
    let length = usize::try_from(take_u64(from)?)
        .ok()
        .filter(|length| *length <= from.len())?;
    let keys: Option<Vec<Vec<u8>>> = (0..length).map(|_| take_bytes(from)).collect();
    let values: Option<Vec<Vec<u8>>> = (0..length).map(|_| take_bytes(from)).collect();
    if prefix > lo.len() {
        return None;
    }
    Some(Some(Page {
        lo,
        hi,
        prefix,
        entries: keys?.into_iter().zip(values?).collect(),
        lsn,
        gone,
    }))
}

fn take_bytes(from: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(take_u64(from)?).ok()?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes.to_vec())
}

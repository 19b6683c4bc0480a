//! The log of sled 0.34.7: segments of 512 KiB, each a header and messages.
//!
//! | part | bytes |
//! | --- | --- |
//! | segment's header | CRC-32 of the rest, inverted (4); its first LSN and a stable one, each inverted but for the sign (8, 8) |
//! | message's header | CRC-32 of body and rest of the header, inverted (4); kind (1); length, number of the segment, page (varints) |
//!
//! A message's LSN is the number of its segment times the segment's size, and its place in it. Integers are
//! little-endian.

use super::Loss;
use super::page::Pages;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SEGMENT_BYTES: usize = 512 * 1024;
const SEGMENT_HEADER_BYTES: usize = 20;
/// The least that is left of a segment when another message begins.
const MESSAGE_ROOM_MIN: usize = 32;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The end of a segment, a write that did not happen, and what is not about keys.
    Other,
    /// LSN of the last message of a batch.
    Batch,
    Free,
    Node,
    Link,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            // Canceled, end of the segment, counter, and the table of trees, inline or in a file.
            1 | 2 | 5 | 6 | 7 => Some(Self::Other),
            3 => Some(Self::Batch),
            4 => Some(Self::Free),
            8 => Some(Self::Node),
            10 => Some(Self::Link),
            // Nodes and links in files of their own: this store never has any.
            9 | 11 => Some(Self::Other),
            _ => None,
        }
    }
}

/// A message whose checksum is right.
struct Message<'a> {
    kind: Kind,
    page: u64,
    segment: u64,
    body: &'a [u8],
    /// Bytes with its header.
    length: usize,
}

/// Reads all segments in the order they were written.
pub(super) fn read(path: &Path, pages: &mut Pages, loss: &mut Loss) -> io::Result<()> {
    let file = File::open(path)?;
    loss.log_bytes = file.metadata()?.len();
    let mut order = Vec::new();
    let mut buffer = vec![0; SEGMENT_BYTES];
    for offset in (0..loss.log_bytes).step_by(SEGMENT_BYTES) {
        let segment = fill(&file, offset, &mut buffer)?;
        match number_of(segment) {
            Some(number) => order.push((number, offset)),
            None => loss.unreadable_bytes += not_empty(segment),
        }
    }
    order.sort_unstable();
    let end = torn_batch(&file, &order, &mut buffer)?;
    for (number, offset) in order {
        let segment = fill(&file, offset, &mut buffer)?;
        loss.unreadable_bytes += messages(segment, number, |lsn, message| {
            if lsn < end {
                pages.take(message.page, message.kind, lsn, message.body);
            }
        });
    }
    Ok(())
}

fn fill<'a>(file: &File, offset: u64, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A block that the device cannot read: what is before it counts.
            Err(error) if length > 0 => {
                tracing::warn!(%error, offset, "a part of the store's log cannot be read");
                break;
            }
            Err(error) => {
                tracing::warn!(%error, offset, "a segment of the store's log cannot be read");
                break;
            }
        }
    }
    Ok(buffer.get(..length).unwrap_or_default())
}

fn not_empty(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte != 0).count() as u64
}

/// The number of a segment: from its header, or from its first message that can be read.
fn number_of(segment: &[u8]) -> Option<u64> {
    from_header(segment).or_else(|| {
        let mut at = SEGMENT_HEADER_BYTES;
        while at < segment.len().min(SEGMENT_BYTES - MESSAGE_ROOM_MIN + 1) {
            if let Some(message) = message_at(segment, at, None) {
                return Some(message.segment);
            }
            at += 1;
        }
        None
    })
}

fn from_header(segment: &[u8]) -> Option<u64> {
    let (crc, rest) = segment.get(..SEGMENT_HEADER_BYTES)?.split_first_chunk::<4>()?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*crc) ^ u32::MAX {
        return None;
    }
    let lsn = i64::from_le_bytes(*rest.first_chunk()?) ^ i64::MAX;
    let lsn = u64::try_from(lsn).ok()?;
    lsn.is_multiple_of(SEGMENT_BYTES as u64)
        .then_some(lsn / SEGMENT_BYTES as u64)
}

/// Tells every message of a segment with its LSN. The answer is how many bytes between them are no message and not
/// empty. After bytes that are none, it looks for the next one at every place.
fn messages(segment: &[u8], number: u64, mut take: impl FnMut(u64, &Message<'_>)) -> u64 {
    let begin = number.saturating_mul(SEGMENT_BYTES as u64);
    let (mut at, mut lost, mut skipped) = (SEGMENT_HEADER_BYTES, 0, 0);
    while at < segment.len().min(SEGMENT_BYTES - MESSAGE_ROOM_MIN + 1) {
        match message_at(segment, at, Some(number)) {
            Some(message) => {
                lost += skipped;
                skipped = 0;
                take(begin.saturating_add(at as u64), &message);
                at += message.length;
            }
            // What follows the last message is what was in the segment before: no loss.
            None => {
                skipped += u64::from(segment.get(at).is_some_and(|byte| *byte != 0));
                at += 1;
            }
        }
    }
    lost
}

fn message_at(segment: &[u8], at: usize, expected: Option<u64>) -> Option<Message<'_>> {
    let start = segment.get(at..)?;
    let (crc, mut rest) = start.split_first_chunk::<4>()?;
    let after_crc = rest;
    let kind = Kind::of(take_byte(&mut rest)?)?;
    let length = usize::try_from(take_u64(&mut rest)?).ok()?;
    let number = take_u64(&mut rest)?;
    let page = take_u64(&mut rest)?;
    if expected.is_some_and(|expected| expected != number) || length > SEGMENT_BYTES {
        return None;
    }
    let body = rest.get(..length)?;
    let header = after_crc.get(..after_crc.len() - rest.len())?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(body);
    hasher.update(header);
    (hasher.finalize() ^ u32::MAX == u32::from_le_bytes(*crc)).then_some(Message {
        kind,
        page,
        segment: number,
        body,
        length: 4 + header.len() + length,
    })
}

/// Where the log ends: at the begin of a batch whose last byte was never written, as sled sees it.
fn torn_batch(file: &File, order: &[(u64, u64)], buffer: &mut [u8]) -> io::Result<u64> {
    let (mut end, mut open) = (0, None);
    // A batch that is torn is the last one, and no batch is longer than a few segments.
    for (number, offset) in order.iter().skip(order.len().saturating_sub(64)) {
        let segment = fill(file, *offset, buffer)?;
        messages(segment, *number, |lsn, message| {
            end = lsn.saturating_add(message.length as u64);
            if message.kind == Kind::Batch
                && let Some(last) = message.body.first_chunk()
            {
                open = Some((lsn, u64::from_le_bytes(*last)));
            }
        });
    }
    Ok(match open {
        Some((begin, last)) if last >= end => begin,
        _ => u64::MAX,
    })
}

pub(super) fn take_byte(from: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = from.split_first()?;
    *from = rest;
    Some(*byte)
}

/// An integer as sled writes it: small ones in one byte.
pub(super) fn take_u64(from: &mut &[u8]) -> Option<u64> {
    let first = take_byte(from)?;
    match first {
        0..=240 => Some(first.into()),
        241..=248 => {
            let second = take_byte(from)?;
            Some(240 + 256 * (u64::from(first) - 241) + u64::from(second))
        }
        249 => {
            let (high, low) = (take_byte(from)?, take_byte(from)?);
            Some(2288 + 256 * u64::from(high) + u64::from(low))
        }
        _ => {
            let (bytes, rest) = from.split_at_checked(usize::from(first - 247))?;
            *from = rest;
            let mut all = [0; 8];
            all.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(u64::from_le_bytes(all))
        }
    }
}

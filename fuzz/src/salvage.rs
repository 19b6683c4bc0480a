//! The log of a damaged store, as `tripline store recover` reads it.
//!
//! Input: a line, then bytes. Behind `log` they are the log. Behind `segments` they are messages without their checksums,
//! which are put in here: kind (1), length of the body (1), segment and page (integers as sled writes them), body. A
//! kind of 255 begins another segment, whose first LSN (8, big-endian) follows.

use crate::input::{order_and_rest, take, take_up_to};
use tripline_actors::store::Salvaged;

const SEGMENT_BYTES: usize = 512 * 1024;
const SEGMENTS_MAX: usize = 4;
const HEADER_BYTES: usize = 20;

/// Whatever a log holds, it is read to its end, and twice the same.
pub fn run(data: &[u8]) {
    let (kind, rest) = order_and_rest(data);
    match kind {
        b"log" => read(rest),
        b"segments" => read(&segments(rest)),
        _ => {}
    }
}

fn read(log: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("db"), log).expect("written");
    let salvaged = || Salvaged::read(folder.path()).expect("a file can be read");
    let (rows, loss) = salvaged().into_rows();
    assert!(loss.unreadable_bytes <= loss.log_bytes, "{loss:?}");
    let (again, _) = salvaged().into_rows();
    assert_eq!(rows, again, "another time it says something else");
    let in_order = rows.is_sorted_by(|one, next| (one.table, &one.key) < (next.table, &next.key));
    assert!(in_order, "a row is there twice");
}

/// A log of whole messages.
fn segments(mut from: &[u8]) -> Vec<u8> {
    let mut log: Vec<u8> = Vec::new();
    let mut segment = vec![0; HEADER_BYTES];
    while let Some(&[kind]) = take(&mut from, 1) {
        if kind == u8::MAX {
            let Some(lsn) = take(&mut from, 8) else { break };
            end(&mut log, &mut segment);
            segment = begin(lsn);
            if log.len() >= SEGMENTS_MAX * SEGMENT_BYTES {
                return log;
            }
            continue;
        }
        let Some(&[length]) = take(&mut from, 1) else {
            break;
        };
        let (number, page) = (integer(&mut from), integer(&mut from));
        let body = take_up_to(&mut from, usize::from(length));
        // Beyond 240 an integer has more than one byte.
        let short = u8::try_from(body.len().min(240)).unwrap_or_default();
        let body = body.get(..usize::from(short)).unwrap_or_default();
        let header = [&[kind, short], number, page].concat();
        let sum = crc32fast::hash(&[body, &header].concat()) ^ u32::MAX;
        segment.extend([&sum.to_le_bytes(), header.as_slice(), body].concat());
    }
    // The last segment need not be whole.
    log.extend(segment);
    log
}

/// The bytes of an integer as sled writes it.
fn integer<'a>(from: &mut &'a [u8]) -> &'a [u8] {
    let length = match from.first() {
        None | Some(0..=240) => 1,
        Some(241..=248) => 2,
        Some(249) => 3,
        Some(first) => usize::from(first - 246),
    };
    take(from, length).unwrap_or(&[0])
}

fn begin(lsn: &[u8]) -> Vec<u8> {
    let lsn = lsn.try_into().map_or(0, i64::from_be_bytes);
    let rest = [(lsn ^ i64::MAX).to_le_bytes(), i64::MAX.to_le_bytes()].concat();
    let sum = crc32fast::hash(&rest) ^ u32::MAX;
    [&sum.to_le_bytes(), rest.as_slice()].concat()
}

fn end(log: &mut Vec<u8>, segment: &mut Vec<u8>) {
    segment.resize(SEGMENT_BYTES, 0);
    log.append(segment);
}

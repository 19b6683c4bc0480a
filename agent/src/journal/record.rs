//! The bytes of the journal: a header, then records. No I/O.
//!
//! Header: `TRIPJNL1`, then the journal's id (16 bytes). Record: length of the payload (u32), first 8 bytes of
//! the payload's SHA-256, payload. Payload: kind (1), command id (16), Unix seconds (u64), body. Integers are
//! big-endian.

use sha2::{Digest, Sha256};
use tripline_protocol::CommandId;
use uuid::Uuid;

const MAGIC: &[u8; 8] = b"TRIPJNL1";
/// Bytes of the file before the first record.
#[cfg(test)]
const HEADER_BYTES: usize = 24;
const PREFIX_BYTES: usize = 12;
const FIXED_BYTES: usize = 25;
/// Largest payload; a longer length is damage.
const PAYLOAD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a record says about its command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// It begins. `leftover` is a temporary file to remove if it never finishes.
    Begun { leftover: Vec<u8> },
    /// It ended with this result (the text of its frame).
    Finished { result: String },
    /// The server has its result.
    Acked,
    /// It started a process group with this id.
    Started { pid: u32 },
    /// Not about a command: the newest epoch seen.
    Epoch(u64),
}

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: CommandId,
    /// Unix seconds when it was written.
    pub(super) time: u64,
    pub(super) body: Body,
}

impl Record {
    /// Appends the record's bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(FIXED_BYTES + 64);
        let (kind, body): (u8, &[u8]) = match &self.body {
            Body::Begun { leftover } => (1, leftover),
            Body::Finished { result } => (2, result.as_bytes()),
            Body::Acked => (3, &[]),
            Body::Started { pid } => (4, &pid.to_be_bytes()),
            Body::Epoch(epoch) => (5, &epoch.to_be_bytes()),
        };
        payload.push(kind);
        payload.extend_from_slice(self.id.as_bytes());
        payload.extend_from_slice(&self.time.to_be_bytes());
        payload.extend_from_slice(body);
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&checksum(&payload));
        out.extend_from_slice(&payload);
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let (kind, rest) = payload.split_first()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (time, body) = rest.split_first_chunk::<8>()?;
        let body = match kind {
            1 => Body::Begun {
                leftover: body.to_vec(),
            },
            2 => Body::Finished {
                result: String::from_utf8(body.to_vec()).ok()?,
            },
            3 => Body::Acked,
            4 => Body::Started {
                pid: u32::from_be_bytes(body.try_into().ok()?),
            },
            5 => Body::Epoch(u64::from_be_bytes(body.try_into().ok()?)),
            _ => return None,
        };
        Some(Self {
            id: CommandId(Uuid::from_bytes(*id)),
            time: u64::from_be_bytes(*time),
            body,
        })
    }
}

fn checksum(payload: &[u8]) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::digest(payload).into();
    let mut first = [0; 8];
    first.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    first
}

/// The bytes before the first record.
pub(super) fn header(id: Uuid) -> Vec<u8> {
    [MAGIC.as_slice(), id.as_bytes()].concat()
}

/// What a journal's bytes hold.
#[derive(Debug)]
pub(super) struct Scan {
    /// The journal's id.
    pub(super) id: Uuid,
    /// The records before the first damage.
    pub(super) records: Vec<Record>,
    /// Bytes of header and these records.
    pub(super) good_bytes: usize,
    /// Whether a whole record follows the damage, so that it is no torn tail.
    pub(super) damaged: bool,
}

/// Reads a journal; `None` if not even its header is one.
pub(super) fn scan(bytes: &[u8]) -> Option<Scan> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (id, mut rest) = rest.split_first_chunk::<16>()?;
    if magic != MAGIC {
        return None;
    }
    let mut records = Vec::new();
    while let Some((record, after)) = take_record(rest) {
        records.push(record);
        rest = after;
    }
    let good_bytes = bytes.len() - rest.len();
    let damaged = (1..rest.len()).any(|skip| rest.get(skip..).and_then(take_record).is_some());
    Some(Scan {
        id: Uuid::from_bytes(*id),
        records,
        good_bytes,
        damaged,
    })
}

fn take_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if !(FIXED_BYTES..=PAYLOAD_BYTES_MAX).contains(&length) {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(length)?;
    if checksum(payload) != *sum {
        return None;
    }
    Some((Record::decode(payload)?, rest))
}

/// Bytes a record with a body of `body` bytes takes in the file.
pub(super) const fn record_bytes(body: usize) -> usize {
    PREFIX_BYTES + FIXED_BYTES + body
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = Record> {
        let body = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|leftover| Body::Begun { leftover }),
            ".{0,40}".prop_map(|result| Body::Finished { result }),
            Just(Body::Acked),
            any::<u32>().prop_map(|pid| Body::Started { pid }),
            any::<u64>().prop_map(Body::Epoch),
        ];
        (any::<u128>(), any::<u64>(), body).prop_map(|(id, time, body)| Record {
            id: CommandId(Uuid::from_u128(id)),
            time,
            body,
        })
    }

    fn encode(records: &[Record]) -> Vec<u8> {
        let mut bytes = header(Uuid::from_u128(7));
        records.iter().for_each(|record| record.encode(&mut bytes));
        bytes
    }

    #[test]
    fn a_record_is_as_long_as_its_bound_and_a_longer_one_is_damage() {
        let finished = |payload: usize| Record {
            id: CommandId(Uuid::from_u128(1)),
            time: 2,
            body: Body::Finished {
                result: "x".repeat(payload - FIXED_BYTES),
            },
        };
        let acked = Record {
            id: CommandId(Uuid::from_u128(1)),
            time: 3,
            body: Body::Acked,
        };
        let whole = [finished(PAYLOAD_BYTES_MAX), acked.clone()];
        let scan = super::scan(&encode(&whole)).unwrap();
        assert!(scan.records == whole && !scan.damaged);
        let scan = super::scan(&encode(&[finished(PAYLOAD_BYTES_MAX + 1), acked])).unwrap();
        assert!(scan.records.is_empty() && scan.damaged);
        assert_eq!(scan.good_bytes, HEADER_BYTES);
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(records in proptest::collection::vec(record(), 0..20)) {
            let bytes = encode(&records);
            let scan = scan(&bytes).unwrap();
            prop_assert_eq!(scan.records, records);
            prop_assert_eq!(scan.good_bytes, bytes.len());
            prop_assert!(!scan.damaged);
        }

        #[test]
        fn a_cut_anywhere_keeps_every_whole_record_before_it(
            records in proptest::collection::vec(record(), 1..10), cut in 0usize..4000,
        ) {
            let mut bytes = encode(&records);
            let cut = HEADER_BYTES + cut % (bytes.len() - HEADER_BYTES);
            bytes.truncate(cut);
            let scan = scan(&bytes).unwrap();
            prop_assert_eq!(&scan.records, &records[..scan.records.len()]);
            prop_assert!(scan.good_bytes <= cut);
            prop_assert!(!scan.damaged);
            prop_assert!(encode(&records[..=scan.records.len()]).len() > cut);
        }
    }

    #[test]
    fn damage_before_a_whole_record_is_no_torn_tail() {
        let record = |n| Record {
            id: CommandId(Uuid::from_u128(n)),
            time: 1,
            body: Body::Acked,
        };
        let mut bytes = encode(&[record(1), record(2), record(3)]);
        let middle = HEADER_BYTES + record_bytes(0) + 20;
        bytes[middle] ^= 0xff;
        let scan = scan(&bytes).unwrap();
        assert_eq!(scan.records, [record(1)]);
        assert!(scan.damaged);
    }
}

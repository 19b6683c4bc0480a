//! The mark of a handled event: the jobs and fan-outs that it caused, where it was in its stream, and which rules decided.
//!
//! It is their ids, 16 bytes each, and behind them how it was handled: 88 bytes. A version that did not write
//! that left a multiple of 16, which this never is.

use crate::refusal::Refusal;
use crate::replay;
use crate::store::{Store, Table};
use tripline_protocol::{EventKey, Sha256, Timestamp};
use uuid::Uuid;

/// Bytes of a job's id.
const ID_BYTES: usize = 16;
/// Bytes of how it was handled: a sequence, two times, a version.
const HANDLED_BYTES: usize = 88;

/// What is remembered of a handled event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The ids of the jobs and fan-outs that it caused.
    pub(crate) caused: Vec<Uuid>,
    /// `None`: an older version wrote it.
    pub(crate) handled: Option<Handled>,
}

/// How an event was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handled {
    /// Its sequence in the stream of events.
    pub(crate) sequence: u64,
    /// When JetStream stored it.
    pub(crate) stored_at: Timestamp,
    /// When it was decided about.
    pub(crate) at: Timestamp,
    /// Of the rules that were in force.
    pub(crate) rules: Sha256,
}

impl Mark {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.caused.iter().flat_map(|id| *id.as_bytes()).collect();
        if let Some(handled) = &self.handled {
            bytes.extend(handled.sequence.to_be_bytes());
            bytes.extend(handled.stored_at.as_micros().to_be_bytes());
            bytes.extend(handled.at.as_micros().to_be_bytes());
            bytes.extend(handled.rules.as_str().bytes());
        }
        bytes
    }

    /// `None`: it is no mark.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (ids, handled) = match bytes.len() % ID_BYTES {
            0 => (bytes, None),
            _ => {
                let (ids, handled) = bytes.split_last_chunk::<HANDLED_BYTES>()?;
                (ids, Some(Handled::of_bytes(handled)?))
            }
        };
        let chunks = ids.chunks_exact(ID_BYTES);
        if !chunks.remainder().is_empty() {
            return None;
        }
        let id = |chunk: &[u8]| chunk.try_into().ok().map(Uuid::from_bytes);
        Some(Self {
            caused: chunks.filter_map(id).collect(),
            handled,
        })
    }
}

impl Handled {
    fn of_bytes(bytes: &[u8; HANDLED_BYTES]) -> Option<Self> {
        let (sequence, rest) = bytes.split_first_chunk::<8>()?;
        let (stored_at, rest) = rest.split_first_chunk::<8>()?;
        let (at, rules) = rest.split_first_chunk::<8>()?;
        let time = |bytes: &[u8; 8]| Timestamp::from_micros(i64::from_be_bytes(*bytes));
        Some(Self {
            sequence: u64::from_be_bytes(*sequence),
            stored_at: time(stored_at),
            at: time(at),
            rules: std::str::from_utf8(rules).ok()?.parse().ok()?,
        })
    }
}

/// The marks of an event and of its replays, oldest first.
pub(super) fn of_event(store: &Store, key: EventKey) -> Result<Vec<Mark>, Refusal> {
    let mut marks = Vec::new();
    for mark in replay::marks(store, key)? {
        let bytes = store.get(Table::HandledEvent, mark.as_bytes())?;
        marks.extend(bytes.as_deref().and_then(Mark::of_bytes));
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn handled(sequence: u64, micros: i64) -> Handled {
        Handled {
            sequence,
            stored_at: Timestamp::from_micros(micros),
            at: Timestamp::from_micros(micros.wrapping_add(7)),
            rules: Sha256::from_digest(&[0xab; 32]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_mark_is_read_as_it_was_written(
            ids in prop::collection::vec(any::<u128>(), 0..20), sequence in any::<u64>(), micros in any::<i64>(),
            is_old in any::<bool>(),
        ) {
            let mark = Mark {
                caused: ids.into_iter().map(Uuid::from_u128).collect(),
                handled: (!is_old).then(|| handled(sequence, micros)),
            };
            prop_assert_eq!(Mark::of_bytes(&mark.to_bytes()), Some(mark));
        }

        #[test]
        fn what_is_no_mark_is_none_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let is_list = bytes.len() % ID_BYTES == 0;
            prop_assert_eq!(Mark::of_bytes(&bytes).is_some(), is_list);
        }
    }

    #[test]
    fn the_ids_that_an_older_version_wrote_are_read() {
        let mark = Mark::of_bytes(&[7; 32]).unwrap();
        assert_eq!(mark.caused, [Uuid::from_bytes([7; 16]); 2]);
        assert_eq!(mark.handled, None);
    }
}

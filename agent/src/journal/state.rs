//! What the journal's records mean: a pure fold over them. No I/O and no clock.

use super::record::{Body, Record, record_bytes};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tripline_protocol::CommandId;
use uuid::Uuid;

/// A command that began and has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Which.
    pub id: CommandId,
    /// A temporary file it may have left behind, as bytes of its path; empty: none.
    pub leftover: Vec<u8>,
    /// The process group it started, if it did.
    pub pid: Option<u32>,
}

/// What the journal knows about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It began and has no result yet.
    Begun,
    /// It ended; the text of its result frame waits for an ack.
    Finished(Arc<str>),
    /// It ended and the server has its result.
    Acked,
}

enum Entry {
    Begun {
        leftover: Vec<u8>,
        pid: Option<u32>,
        time: u64,
    },
    Finished {
        result: Arc<str>,
        time: u64,
    },
    Acked,
}

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Most acked ids.
    pub(super) acked_max: usize,
    /// Seconds an acked id is remembered.
    pub(super) acked_seconds: u64,
}

/// The fold.
pub(super) struct State {
    memory: Memory,
    entries: HashMap<CommandId, Entry>,
    acked: VecDeque<(u64, CommandId)>,
    epoch: u64,
    finished: usize,
    result_bytes: usize,
}

impl State {
    pub(super) fn new(memory: Memory) -> Self {
        Self {
            memory,
            entries: HashMap::new(),
            acked: VecDeque::new(),
            epoch: 0,
            finished: 0,
            result_bytes: 0,
        }
    }

    /// Takes one record in. A record that contradicts an earlier one never brings a command back to life.
    pub(super) fn apply(&mut self, record: Record) {
        let Record { id, time, body } = record;
        match body {
            Body::Begun { leftover } => {
                self.entries.entry(id).or_insert(Entry::Begun {
                    leftover,
                    pid: None,
                    time,
                });
            }
            Body::Started { pid: started } => {
                if let Some(Entry::Begun { pid, .. }) = self.entries.get_mut(&id) {
                    *pid = Some(started);
                }
            }
            Body::Finished { result } => self.finish(id, result.into(), time),
            Body::Acked => self.ack(id, time),
            Body::Epoch(epoch) => self.epoch = self.epoch.max(epoch),
        }
        self.prune(time);
    }

    fn finish(&mut self, id: CommandId, result: Arc<str>, time: u64) {
        if let None | Some(Entry::Begun { .. }) = self.entries.get(&id) {
            self.finished += 1;
            self.result_bytes += result.len();
            self.entries.insert(id, Entry::Finished { result, time });
        }
    }

    fn ack(&mut self, id: CommandId, time: u64) {
        match self.entries.insert(id, Entry::Acked) {
            Some(Entry::Acked) => return,
            Some(Entry::Finished { result, .. }) => {
                self.finished = self.finished.saturating_sub(1);
                self.result_bytes = self.result_bytes.saturating_sub(result.len());
            }
            Some(Entry::Begun { .. }) | None => {}
        }
        self.acked.push_back((time, id));
    }

    fn prune(&mut self, now: u64) {
        while let Some((time, id)) = self.acked.front() {
            let old = time.saturating_add(self.memory.acked_seconds) < now;
            if !old && self.acked.len() <= self.memory.acked_max {
                break;
            }
            self.entries.remove(id);
            self.acked.pop_front();
        }
    }

    pub(super) fn known(&self, id: CommandId) -> Option<Known> {
        self.entries.get(&id).map(|entry| match entry {
            Entry::Begun { .. } => Known::Begun,
            Entry::Finished { result, .. } => Known::Finished(result.clone()),
            Entry::Acked => Known::Acked,
        })
    }

    /// The results that wait for an ack.
    pub(super) fn unacked(&self) -> Vec<(CommandId, Arc<str>)> {
        let of = |(id, entry): (&CommandId, &Entry)| match entry {
            Entry::Finished { result, .. } => Some((*id, result.clone())),
            _ => None,
        };
        self.entries.iter().filter_map(of).collect()
    }

    /// How many results wait for an ack, and their bytes.
    pub(super) fn unacked_size(&self) -> (usize, usize) {
        (self.finished, self.result_bytes)
    }

    /// The commands without a result.
    pub(super) fn begun(&self) -> Vec<Begun> {
        let of = |(id, entry): (&CommandId, &Entry)| match entry {
            Entry::Begun { leftover, pid, .. } => Some(Begun {
                id: *id,
                leftover: leftover.clone(),
                pid: *pid,
            }),
            _ => None,
        };
        self.entries.iter().filter_map(of).collect()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Bytes the records of a compacted file would take.
    pub(super) fn live_bytes(&self) -> usize {
        self.result_bytes + self.entries.len() * record_bytes(64)
    }

    /// The fewest records that fold to this state.
    pub(super) fn to_records(&self) -> Vec<Record> {
        let epoch = Record {
            id: CommandId(Uuid::nil()),
            time: 0,
            body: Body::Epoch(self.epoch),
        };
        let acked = self.acked.iter().map(|(time, id)| Record {
            id: *id,
            time: *time,
            body: Body::Acked,
        });
        let mut records: Vec<Record> = std::iter::once(epoch).chain(acked).collect();
        for (id, entry) in &self.entries {
            match entry {
                Entry::Begun { leftover, pid, time } => {
                    let record = |body| Record {
                        id: *id,
                        time: *time,
                        body,
                    };
                    records.push(record(Body::Begun {
                        leftover: leftover.clone(),
                    }));
                    records.extend(pid.map(|pid| record(Body::Started { pid })));
                }
                Entry::Finished { result, time } => {
                    let body = Body::Finished {
                        result: result.to_string(),
                    };
                    records.push(Record {
                        id: *id,
                        time: *time,
                        body,
                    });
                }
                Entry::Acked => {}
            }
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MEMORY: Memory = Memory {
        acked_max: 4,
        acked_seconds: 50,
    };

    fn record() -> impl Strategy<Value = Record> {
        let body = prop_oneof![
            Just(Body::Begun {
                leftover: b"/tmp/x".to_vec()
            }),
            Just(Body::Finished {
                result: "{}".to_owned()
            }),
            Just(Body::Acked),
            any::<u32>().prop_map(|pid| Body::Started { pid }),
            (0u64..9).prop_map(Body::Epoch),
        ];
        (0u128..6, 0u64..100, body).prop_map(|(id, time, body)| Record {
            id: CommandId(Uuid::from_u128(id)),
            time,
            body,
        })
    }

    fn fold(records: &[Record]) -> State {
        let mut state = State::new(MEMORY);
        records.iter().for_each(|record| state.apply(record.clone()));
        state
    }

    fn observable(state: &State) -> (Vec<Option<Known>>, Vec<Begun>, u64, (usize, usize)) {
        let mut begun = state.begun();
        begun.sort_by_key(|begun| begun.id);
        let known = (0..6)
            .map(|id| state.known(CommandId(Uuid::from_u128(id))))
            .collect();
        (known, begun, state.epoch(), state.unacked_size())
    }

    proptest! {
        #[test]
        fn compacting_keeps_the_meaning(mut records in proptest::collection::vec(record(), 0..60)) {
            records.sort_by_key(|record| record.time);
            let state = fold(&records);
            prop_assert_eq!(observable(&fold(&state.to_records())), observable(&state));
        }

        #[test]
        fn a_command_never_goes_back(records in proptest::collection::vec(record(), 0..60)) {
            let memory = Memory { acked_max: usize::MAX, acked_seconds: u64::MAX };
            let rank = |known: Option<Known>| match known {
                None => 0,
                Some(Known::Begun) => 1,
                Some(Known::Finished(_)) => 2,
                Some(Known::Acked) => 3,
            };
            let mut state = State::new(memory);
            for record in records {
                let id = record.id;
                let before = rank(state.known(id));
                state.apply(record);
                prop_assert!(rank(state.known(id)) >= before);
                prop_assert_eq!(state.unacked().len(), state.unacked_size().0);
            }
        }
    }

    #[test]
    fn acked_ids_are_forgotten_by_count_and_by_age() {
        let acked = |id: u128, time| Record {
            id: CommandId(Uuid::from_u128(id)),
            time,
            body: Body::Acked,
        };
        let records: Vec<Record> = (0..6).map(|id| acked(id, 10)).collect();
        let state = fold(&records);
        assert_eq!(state.known(CommandId(Uuid::from_u128(1))), None);
        assert_eq!(state.known(CommandId(Uuid::from_u128(2))), Some(Known::Acked));
        let mut state = state;
        state.apply(acked(9, 61));
        assert_eq!(state.known(CommandId(Uuid::from_u128(5))), None);
        assert_eq!(state.known(CommandId(Uuid::from_u128(9))), Some(Known::Acked));
    }
}

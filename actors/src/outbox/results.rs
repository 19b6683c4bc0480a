//! Results of jobs: where each came to lie in its stream, for whoever asks what became of a job.

use crate::ports::OutMessage;
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use std::collections::HashMap;
use tripline_protocol::{JobId, Subjects, Timestamp};

/// Where a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublishedResult {
    /// Its sequence in the stream of results.
    pub(crate) sequence: u64,
    /// When the broker acknowledged it.
    pub(crate) at: Timestamp,
}

impl PublishedResult {
    fn to_bytes(self) -> Vec<u8> {
        [self.sequence.to_be_bytes(), self.at.as_micros().to_be_bytes()].concat()
    }

    /// `None`: the row cannot be read.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (sequence, at) = bytes.split_first_chunk::<8>()?;
        Some(Self {
            sequence: u64::from_be_bytes(*sequence),
            at: Timestamp::from_micros(i64::from_be_bytes(at.try_into().ok()?)),
        })
    }

    /// Of a job, if the broker has its result and this version or a later one published it.
    pub(crate) fn of_job(store: &Store, job_id: JobId) -> Result<Option<Self>, Refusal> {
        let row = store.get(Table::PublishedResult, job_id.as_bytes())?;
        Ok(row.as_deref().and_then(Self::of_bytes))
    }
}

/// Results on their way, and those that arrived since the last batch.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// By the numbers of their messages; no more than there are messages.
    waiting: HashMap<u64, JobId>,
    arrived: Vec<(JobId, PublishedResult)>,
}

impl Results {
    /// A message is under way.
    pub(super) fn add(&mut self, subjects: &Subjects, seq: u64, message: &OutMessage) {
        let job_id = message.message_id.parse().ok();
        if let Some(job_id) = job_id.filter(|_| subjects.parse_result(&message.subject).is_ok()) {
            self.waiting.insert(seq, job_id);
        }
    }

    /// The broker will have no more to say about it; `sequence`: where it lies.
    pub(super) fn settled(&mut self, seq: u64, sequence: Option<u64>, at: Timestamp) {
        let arrived = self.waiting.remove(&seq).zip(sequence);
        self.arrived
            .extend(arrived.map(|(job_id, sequence)| (job_id, PublishedResult { sequence, at })));
    }

    /// Adds those that arrived to a batch. What is told of a job that is forgotten meanwhile goes nowhere.
    pub(super) fn stage(&mut self, store: &Store, batch: &mut Batch) {
        for (job_id, result) in self.arrived.drain(..) {
            if matches!(store.get(Table::Job, job_id.as_bytes()), Ok(Some(_))) {
                batch.put(
                    Table::PublishedResult,
                    job_id.as_bytes().to_vec(),
                    result.to_bytes(),
                );
            }
        }
    }
}

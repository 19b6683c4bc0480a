//! Jobs that wait: again for their host, or for a time, and those that have waited for too long.

use super::JobScheduler;
use super::state::Wait;
use crate::record::JobRecord;
use crate::store::Batch;
use crate::trace;
use std::sync::Arc;
use tripline_protocol::job::{JobState, Outcome, Reason};

impl JobScheduler {
    /// Writes down a job that has no slot any more and has not ended.
    pub(super) fn keep_waiting(&mut self, record: &mut JobRecord, why: &str) {
        record.state = JobState::Queued;
        self.state.note_begun(record.job_id, record.has_begun());
        let mut batch = Batch::new();
        let spans = trace::given_back(&self.ground, record, why);
        let ground = Arc::clone(&self.ground);
        record.attempt_at = None;
        record.put(&mut batch);
        let events = self.put_on_record(&mut batch, record);
        // They are out.
        record.outgoing.clear();
        let notice = self.notice(record);
        self.cache.remove(&record.job_id);
        self.commit(batch, events, move || {
            notice();
            ground.traces.send(spans);
        });
    }

    /// A job waits for a time: others of its host go first, and it keeps its number.
    pub(super) fn rest(&mut self, mut record: JobRecord) {
        let Some(rest) = record.rest.clone() else {
            tracing::error!(job = %record.job_id, "a job rests without a time");
            self.keep_waiting(&mut record, "rests");
            return self.state.give_back(record.job_id);
        };
        self.keep_waiting(&mut record, &rest.reason.code);
        metrics::counter!("tripline_scheduler_rests_total", "reason" => rest.reason.code.clone())
            .increment(1);
        self.state
            .rest(record.job_id, rest.not_before, record.leaves_at());
    }

    /// A job has waited for as long as it may: it never started, or it has run for too long.
    pub(super) fn leave(&mut self, mut record: JobRecord, wait: Option<Wait>) {
        if let Some(ending) = record.ending.clone() {
            return self.end(record, ending.outcome, ending.reason);
        }
        if record.deadline.is_none() {
            let why = self.wait_text(&record, wait);
            let reason = Reason::new("expired", format!("it did not start in time: {why}"));
            return self.end(record, Outcome::Expired, reason);
        }
        let reason = Reason::new("job_timeout", format!("it ran longer than {}", record.timeout));
        match record.begin_anew(Outcome::TimedOut, &reason, self.ground.now()) {
            Some(_) => self.rest(record),
            None => {
                let there = self.is_there(&record);
                self.conclude(record, Outcome::TimedOut, reason, there);
            }
        }
    }

    pub(super) fn is_there(&self, record: &JobRecord) -> bool {
        self.ground.attachments.get(record.host.host_id).is_some()
    }

    /// Ends a job that has no slot. One that has begun and has steps for its end gets another session for them, when its
    /// host is there: then the answer is `true`.
    pub(super) fn conclude(
        &mut self,
        mut record: JobRecord,
        outcome: Outcome,
        reason: Reason,
        there: bool,
    ) -> bool {
        let now = self.ground.now();
        if !there || !record.begin_finally(outcome, &reason, now) {
            self.end(record, outcome, reason);
            return false;
        }
        self.keep_waiting(&mut record, &reason.code);
        self.state.rest(record.job_id, now, record.leaves_at());
        self.state.wake(now);
        true
    }
}

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
        let mut batch = Batch::new();
        let spans = trace::given_back(&self.ground, record, why);
        let ground = Arc::clone(&self.ground);
        record.attempt_at = None;
        record.put(&mut batch);
        self.put_on_record(&mut batch, record);
        let notice = self.notice(record);
        self.cache.remove(&record.job_id);
        self.commit(batch, Vec::new(), move || {
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
        if record.deadline.is_none() {
            let why = self.wait_text(wait);
            let reason = Reason::new("expired", format!("it did not start in time: {why}"));
            return self.end(record, Outcome::Expired, reason);
        }
        let reason = Reason::new("job_timeout", format!("it ran longer than {}", record.timeout));
        match record.begin_anew(Outcome::TimedOut, &reason, self.ground.now()) {
            Some(_) => self.rest(record),
            None => self.end(record, Outcome::TimedOut, reason),
        }
    }
}

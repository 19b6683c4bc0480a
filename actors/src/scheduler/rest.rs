//! Jobs that wait: again for their host, or for a time, and those that have waited for too long.

use super::JobScheduler;
use super::state::Wait;
use crate::record::{JobRecord, without_last_steps};
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
        if record.ending.is_some() {
            self.state.close(record.job_id);
        }
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

    /// A job without a slot takes its place in its host's lane again.
    pub(super) fn wait_again(&mut self, record: &JobRecord) {
        let now = self.ground.now();
        self.state.rest(record.job_id, now, record.leaves_at());
        self.state.wake(now);
    }

    /// A job has waited for as long as it may: it never started, it has run for too long, or its last steps did not get
    /// their turn.
    pub(super) fn leave(&mut self, mut record: JobRecord, wait: Option<Wait>) {
        if let Some(ending) = record.ending.clone() {
            let why = Reason::new("not_gone_on", self.wait_text(&record, wait));
            return self.end(record, ending.outcome, why);
        }
        if record.intent.is_some() {
            let text = format!(
                "nobody knows how its command ended that ran when the server stopped: {}",
                self.wait_text(&record, wait)
            );
            return self.end(record, Outcome::Interrupted, Reason::new("not_resumed", text));
        }
        if record.started_at.is_none() {
            let why = self.wait_text(&record, wait);
            let reason = Reason::new("expired", format!("it did not start in time: {why}"));
            return self.end(record, Outcome::Expired, reason);
        }
        if record.deadline.is_none() {
            let (outcome, reason) = not_gone_on(&record, &self.wait_text(&record, wait));
            return drop(self.conclude(record, outcome, reason));
        }
        let reason = Reason::new("job_timeout", format!("it ran longer than {}", record.timeout));
        match record.begin_anew(Outcome::TimedOut, &reason, self.ground.now()) {
            Some(_) => self.rest(record),
            None => drop(self.conclude(record, Outcome::TimedOut, reason)),
        }
    }

    /// Ends a job that has no slot any more. One that has begun and has steps for its end waits for another session for
    /// them, unless its host has been away for longer than a command would wait for it. Returns it as it is then.
    pub(super) fn conclude(&mut self, mut record: JobRecord, outcome: Outcome, reason: Reason) -> JobRecord {
        let (now, grace) = (self.ground.now(), self.ground.config.reconnect_grace);
        if record.has_last_steps() && self.state.is_away(record.host.host_id, grace, now) {
            let reason = without_last_steps(reason, "its host is away");
            return self.end_with(record, outcome, reason);
        }
        if !record.begin_finally(outcome, &reason, now) {
            return self.end_with(record, outcome, reason);
        }
        self.keep_waiting(&mut record, &reason.code);
        self.wait_again(&record);
        record
    }
}

/// How a job ends that has begun and could not go on in time: as its last try, where it is tried again.
fn not_gone_on(record: &JobRecord, why: &str) -> (Outcome, Reason) {
    match &record.last_try {
        Some(last) => {
            let text = format!("{}; it did not begin anew in time: {why}", last.reason.text);
            (last.outcome, Reason::new(&last.reason.code, text))
        }
        None => {
            let text = format!("it did not go on in time: {why}");
            (Outcome::Expired, Reason::new("expired", text))
        }
    }
}

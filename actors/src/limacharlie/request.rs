//! Calls that make jobs: accepted in one batch with the note of the call, and answered with their results if these come before the
//! caller stops waiting, else with their ids.

use super::messages::{JobEnded, JobsAccepted};
use super::record::CallKey;
use super::{Call, NOT_SUBSCRIBED, ServiceRole};
use crate::audit::By;
use crate::door::Door;
use crate::ground::read;
use crate::record::{JobRecord, encode};
use crate::refusal::Refusal;
use crate::scheduler::{Accept, CancelJob, NewJob};
use crate::service::Deliveries;
use crate::store::{Batch, Table};
use actix::prelude::*;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tripline_protocol::audit::Action;
use tripline_protocol::limacharlie::Answer;
use tripline_protocol::{JobId, Org, Span, Timestamp};

/// So long before its caller stops waiting a call is answered, with whatever there is.
pub(super) const ANSWER_BEFORE: Span = Span::from_secs(2);
/// The longest wait for results.
pub(super) const WAIT_MAX: Span = Span::from_secs(600);
/// Calls that wait for results at once; further ones are answered at once with the ids of their jobs, as those are whose time is
/// over. Far less than what may be under way: whatever waits long leaves room for what is handled at once.
pub const WAITING_MAX: usize = 512;
/// Bytes of results in an answer; results beyond are left out, and say so.
const RESULTS_BYTES_MAX: usize = 1024 * 1024;

/// Longest answer that is remembered as it is, in bytes of JSON. Of a longer one the ids of its jobs are.
const ANSWER_BYTES_KEPT_MAX: usize = 16 * 1024;

/// Calls whose jobs have not all ended.
#[derive(Default)]
pub(super) struct Waits {
    calls: HashMap<CallKey, Waiting>,
    of_job: HashMap<JobId, HashSet<CallKey>>,
    /// How many have a timer.
    timed: usize,
}

struct Waiting {
    call: Call,
    jobs: Vec<JobId>,
    open: HashSet<JobId>,
    timer: Option<SpawnHandle>,
}

impl Waits {
    fn add(&mut self, call: Call, jobs: Vec<JobId>) {
        let key = call.key.clone();
        for job_id in &jobs {
            self.of_job.entry(*job_id).or_default().insert(key.clone());
        }
        let open = jobs.iter().copied().collect();
        let waiting = Waiting {
            call,
            jobs,
            open,
            timer: None,
        };
        self.calls.insert(key, waiting);
    }

    fn has_room(&self) -> bool {
        self.timed < WAITING_MAX
    }

    /// It waits until its jobs have ended, or the timer does.
    fn wait(&mut self, key: &CallKey, timer: SpawnHandle) {
        if let Some(waiting) = self.calls.get_mut(key) {
            self.timed += usize::from(waiting.timer.is_none());
            waiting.timer = Some(timer);
        }
    }

    /// A job has ended; returns the calls that wait for nothing more.
    fn ended(&mut self, job_id: JobId) -> Vec<CallKey> {
        let keys = self.of_job.remove(&job_id).unwrap_or_default();
        let mut done = Vec::new();
        for key in keys {
            if let Some(waiting) = self.calls.get_mut(&key) {
                waiting.open.remove(&job_id);
                if waiting.open.is_empty() {
                    done.push(key);
                }
            }
        }
        done
    }

    fn of_org(&self, org: &Org) -> Vec<CallKey> {
        let keys = self.calls.keys();
        keys.filter(|key| key.org.as_ref() == Some(org))
            .cloned()
            .collect()
    }

    fn take(&mut self, key: &CallKey) -> Option<Waiting> {
        let waiting = self.calls.remove(key)?;
        self.timed -= usize::from(waiting.timer.is_some());
        for job_id in &waiting.open {
            if let Some(keys) = self.of_job.get_mut(job_id) {
                keys.remove(key);
                if keys.is_empty() {
                    self.of_job.remove(job_id);
                }
            }
        }
        Some(waiting)
    }
}

impl ServiceRole {
    /// Has the jobs accepted with the call's note.
    pub(super) fn start(&mut self, call: Call, jobs: Vec<NewJob>, ctx: &Context<Self>) {
        if jobs.is_empty() {
            // A repeat of a call that was forgotten since it was looked for.
            let answer = Answer::again("it is to be handled anew");
            return self.answer(&call, answer, Batch::new(), Vec::new());
        }
        let ids: Vec<JobId> = jobs.iter().map(|job| job.job_id).collect();
        let jobs = match self.not_made(jobs) {
            Ok(jobs) => jobs,
            Err(refusal) => return self.refuse(&call.key, &refusal),
        };
        self.subscribe_alone(call.key.org.as_ref());
        let mut batch = Batch::new();
        for job in &jobs {
            let entry = self.ground.audit(Action::JobSubmit, &call.by, Some(&job.org));
            let entry = entry.host(&job.host).on("job", job.job_id);
            batch.audit(entry.detail("name", &job.spec.name));
        }
        self.note(&call, None, ids.clone(), &mut batch);
        let Ok((reply, accepted)) = Door::new("limacharlie", 1).enter() else {
            return;
        };
        let (me, key) = (ctx.address(), call.key.clone());
        self.waits.add(call, ids);
        self.others.scheduler.do_send(Accept {
            batch,
            jobs,
            outgoing: Vec::new(),
            spans: Vec::new(),
            deliveries: Deliveries::default(),
            reply: Some(reply),
        });
        actix::spawn(async move {
            // Without an answer the actors end, and the repeat of the call is answered by others.
            if accepted.wait().await.is_ok() {
                me.do_send(JobsAccepted(key));
            }
        });
    }

    /// Those that no earlier call made: a repeat may come after the answer to its first was forgotten, and is answered with what
    /// became of the jobs.
    fn not_made(&self, jobs: Vec<NewJob>) -> Result<Vec<NewJob>, Refusal> {
        let store = &self.ground.store;
        let mut new = Vec::with_capacity(jobs.len());
        for job in jobs {
            let id = job.job_id.as_bytes();
            let is_known =
                store.get(Table::Job, id)?.is_some() || store.get(Table::JobTombstone, id)?.is_some();
            if !is_known {
                new.push(job);
            }
        }
        Ok(new)
    }

    /// A repeat of a call whose jobs were accepted before a restart.
    pub(super) fn resume(&mut self, call: Call, jobs: Vec<JobId>, ctx: &Context<Self>) {
        if call
            .key
            .org
            .as_ref()
            .is_some_and(|org| self.ground.limacharlie.is_leaving(org))
        {
            return self.dismiss(&call.key);
        }
        let key = call.key.clone();
        self.waits.add(call, jobs);
        ctx.address().do_send(JobsAccepted(key));
    }

    /// The jobs are durable: some may have ended already, for the others the answer waits.
    fn accepted(&mut self, key: &CallKey, ctx: &mut Context<Self>) {
        let Some(waiting) = self.waits.calls.get(key) else {
            return;
        };
        let left = patience(waiting.call.deadline, self.ground.now());
        let over: Vec<JobId> = waiting
            .jobs
            .iter()
            .copied()
            .filter(|job_id| {
                self.record_of(*job_id)
                    .is_none_or(|record| record.state.outcome().is_some())
            })
            .collect();
        let done = over
            .into_iter()
            .any(|job_id| self.waits.ended(job_id).contains(key));
        let left = left.filter(|_| !done);
        if left.is_some() && !self.waits.has_room() {
            metrics::counter!("tripline_limacharlie_requests_not_waited_total").increment(1);
        }
        match left.filter(|_| self.waits.has_room()) {
            None => self.conclude(key, ctx),
            Some(left) => {
                let own = key.clone();
                let timer = ctx.run_later(left.to_duration(), move |role, ctx| role.conclude(&own, ctx));
                self.waits.wait(key, timer);
            }
        }
    }

    fn record_of(&self, job_id: JobId) -> Option<JobRecord> {
        let record: Result<Option<JobRecord>, Refusal> =
            read(&self.ground.store, Table::Job, job_id.as_bytes(), "job");
        record.ok().flatten()
    }

    /// Nobody waits for the jobs of an org that leaves, and what was asked for is not done any more.
    pub(super) fn dismiss_waits(&mut self, org: &Org, ctx: &mut Context<Self>) {
        for key in self.waits.of_org(org) {
            if let Some(waiting) = self.waits.take(&key) {
                if let Some(timer) = waiting.timer {
                    ctx.cancel_future(timer);
                }
                waiting.open.into_iter().for_each(|job_id| self.cancel(job_id));
            }
            self.dismiss(&key);
        }
    }

    /// Behind whatever the scheduler was told before: the job may not be accepted yet. Nobody waits for the answer; the org's removal
    /// looks for what is left.
    fn cancel(&self, job_id: JobId) {
        let Ok((reply, _)) = Door::new("limacharlie", 1).enter() else {
            return;
        };
        self.others.scheduler.do_send(CancelJob {
            org: None,
            job_id,
            by: Arc::new(By::limacharlie(None)),
            reply,
        });
    }

    /// Without a note: the removal would have to forget it, and calls that go on coming would keep it from its end.
    pub(super) fn dismiss(&mut self, key: &CallKey) {
        let waiting = self.calls.finish(key);
        self.ground.after_commit(move || {
            for reply in waiting {
                reply.send(Ok(Answer::refused(NOT_SUBSCRIBED)));
            }
        });
    }

    /// Answers with what there is now.
    fn conclude(&mut self, key: &CallKey, ctx: &mut Context<Self>) {
        let Some(waiting) = self.waits.take(key) else {
            return;
        };
        if let Some(timer) = waiting.timer {
            ctx.cancel_future(timer);
        }
        let (mut bytes, mut jobs) = (0, Vec::new());
        for job_id in &waiting.jobs {
            let record = self.record_of(*job_id);
            jobs.push(shown(*job_id, record.as_ref(), &mut bytes));
        }
        let data = json!({ "jobs": jobs, "done": waiting.open.is_empty() });
        let answer = Answer::done_with(data);
        if encode(&answer).len() <= ANSWER_BYTES_KEPT_MAX {
            return self.answer(&waiting.call, answer, Batch::new(), Vec::new());
        }
        // What was noted when the jobs were accepted stays: a repeat is answered from them again.
        self.send(&waiting.call.key, answer, Batch::new(), Vec::new());
    }
}

/// How long a call waits for results; `None`: not at all.
fn patience(deadline: Option<Timestamp>, now: Timestamp) -> Option<Span> {
    let until = deadline?.before(ANSWER_BEFORE);
    Some(until.since(now).min(WAIT_MAX)).filter(|left| *left > Span::ZERO)
}

/// Whether a result fits beside those that are in the answer; it is then.
fn has_room(bytes: &mut usize, result: usize) -> bool {
    let fits = *bytes + result <= RESULTS_BYTES_MAX;
    *bytes += if fits { result } else { 0 };
    fits
}

/// A job in an answer, with its result while there is room for it.
fn shown(job_id: JobId, record: Option<&JobRecord>, bytes: &mut usize) -> Value {
    let Some(record) = record else {
        return json!({ "job_id": job_id, "state": "forgotten" });
    };
    let mut shown = json!({
        "job_id": job_id,
        "host_id": record.host.host_id,
        "hostname": record.host.hostname,
        "name": record.name,
        "state": record.state.as_str(),
    });
    if let Some(result) = record.to_result() {
        let size = encode(&result).len();
        let (part, value) = if has_room(bytes, size) {
            ("result", json!(result))
        } else {
            ("result_left_out_bytes", json!(size))
        };
        if let Value::Object(map) = &mut shown {
            map.insert(part.to_owned(), value);
        }
    }
    shown
}

impl Handler<JobsAccepted> for ServiceRole {
    type Result = ();
    fn handle(&mut self, JobsAccepted(key): JobsAccepted, ctx: &mut Self::Context) {
        self.accepted(&key, ctx);
    }
}

impl Handler<JobEnded> for ServiceRole {
    type Result = ();
    fn handle(&mut self, JobEnded(job_id): JobEnded, ctx: &mut Self::Context) {
        for key in self.waits.ended(job_id) {
            self.conclude(&key, ctx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_waited_for_until_shortly_before_the_deadline_and_ten_minutes_at_most() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let left = |seconds| patience(Some(now.after(Span::from_secs(seconds))), now);
        assert_eq!(left(60), Some(Span::from_secs(58)));
        assert_eq!(left(3), Some(Span::from_secs(1)));
        assert_eq!(left(2), None);
        assert_eq!(left(602), Some(WAIT_MAX));
        assert_eq!(left(603), Some(WAIT_MAX));
        assert_eq!(patience(None, now), None);
    }

    #[test]
    fn results_go_with_an_answer_up_to_a_sum() {
        let mut bytes = RESULTS_BYTES_MAX - 10;
        assert!(!has_room(&mut bytes, 11));
        assert!(has_room(&mut bytes, 10), "a smaller one may still fit");
        assert!(!has_room(&mut bytes, 1));
        assert_eq!(bytes, RESULTS_BYTES_MAX);
    }
}

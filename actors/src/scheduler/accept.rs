//! Accepting jobs: what a decision or a person asks for becomes durable records, in one batch.

use super::messages::{Accept, NewJob, Submit};
use super::{JobScheduler, RECORDS_CACHED_MAX, entry_of};
use crate::audit::Entry;
use crate::limacharlie;
use crate::once::{self, Made, Once};
use crate::outbox::Outgoing;
use crate::record::{JobRecord, finally_len, reports};
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use crate::trace;
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::api::JobView;
use tripline_protocol::audit::Action;
use tripline_protocol::job::{JobSpec, JobState, Outcome, Reason};
use tripline_protocol::step::StepVerb;

impl Handler<Accept> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: Accept, _: &mut Self::Context) {
        let Accept {
            mut batch,
            jobs,
            mut outgoing,
            mut spans,
            deliveries,
            reply,
        } = message;
        let mut notices = Vec::with_capacity(jobs.len());
        for job in jobs {
            // The router decides an event once; should it ever decide twice, the job is still one.
            if self.state.phase(job.job_id).is_some() {
                tracing::error!(job = %job.job_id, "a job that is open was decided again");
                // Jobs of fan-outs are counted when they are taken.
                let pipeline = job.pipeline.as_ref().filter(|_| job.fanout.is_none());
                self.tell_landed(pipeline.map(|pipeline| &pipeline.name));
                continue;
            }
            self.tell_made(&job);
            let (record, staged) = self.take(job, &mut batch);
            outgoing.extend(staged);
            // One beyond a limit has ended already.
            spans.extend(trace::ended(&self.ground, &record));
            notices.push(self.notice(&record));
        }
        let ground = Arc::clone(&self.ground);
        self.commit(batch, outgoing, move || {
            notices.into_iter().for_each(|notice| notice());
            trace::commit(&ground, spans);
            deliveries.hand_over();
            if let Some(reply) = reply {
                reply.send(Ok(()));
            }
        });
        self.dispatch();
    }
}

impl Handler<Submit> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: Submit, _: &mut Self::Context) {
        let reply = message.reply;
        match self.submit(message.job, message.once.as_ref()) {
            Err(refusal) => reply.send(Err(refusal)),
            Ok(Submission {
                batch,
                outgoing,
                view,
                taken,
            }) => {
                let ground = Arc::clone(&self.ground);
                let spans = taken
                    .as_deref()
                    .map_or_else(Vec::new, |record| trace::ended(&ground, record));
                let notice = taken.map(|record| self.notice(&record));
                self.commit(batch, outgoing, move || {
                    notice.into_iter().for_each(|notice| notice());
                    reply.send(Ok(view));
                    ground.traces.send(spans);
                });
                self.dispatch();
            }
        }
    }
}

/// What a submission led to.
struct Submission {
    batch: Batch,
    outgoing: Vec<Outgoing>,
    view: JobView,
    /// The job, if it is a new one.
    taken: Option<Box<JobRecord>>,
}

impl Submission {
    /// It was submitted before.
    fn known(view: JobView) -> Self {
        Self {
            batch: Batch::new(),
            outgoing: Vec::new(),
            view,
            taken: None,
        }
    }
}

impl JobScheduler {
    fn submit(&mut self, job: NewJob, wanted: Option<&Once>) -> Result<Submission, Refusal> {
        let now = self.ground.now();
        if let Some(Made::Job(job_id)) = self.ground.onces.made(wanted, now)? {
            let known = self.record_of(job_id)?.ok_or_else(once::gone)?;
            return Ok(Submission::known(self.view(known)));
        }
        if let Some(known) = self.record_of(job.job_id)? {
            let waiting = self.waiting_view(&known);
            return Ok(Submission::known(known.to_view(waiting)));
        }
        if self
            .ground
            .store
            .get(Table::JobTombstone, job.job_id.as_bytes())?
            .is_some()
        {
            return Err(Refusal::Conflict {
                code: "job_pruned",
                detail: format!("job {} of this idempotency key ended long ago", job.job_id),
            });
        }
        self.check_known(job.host.host_id)?;
        self.ground.admit()?;
        let mut batch = Batch::new();
        let job_id = job.job_id;
        self.ground
            .onces
            .note(wanted, || Made::Job(job_id), now, &mut batch)?;
        let (record, outgoing) = self.take(job, &mut batch);
        batch.audit(self.submission(&record));
        let waiting = self.waiting_view(&record);
        Ok(Submission {
            batch,
            outgoing,
            view: record.to_view(waiting),
            taken: Some(Box::new(record)),
        })
    }

    /// The record of a job that somebody submitted. Its arguments are on record with its commands.
    fn submission(&self, record: &JobRecord) -> Entry {
        let verbs: Vec<StepVerb> = record.steps.iter().map(|step| step.verb).collect();
        let entry = self
            .ground
            .audit(Action::JobSubmit, &record.by(), Some(&record.org));
        let entry = entry
            .host(&record.host)
            .on("job", record.job_id)
            .detail("name", &record.name)
            .detail("steps", verbs);
        match &record.reason {
            Some(reason) => entry.refused(&reason.code),
            None => entry,
        }
    }

    /// Accepts one job. Beyond a limit it is stored already ended, so that it too ends exactly once and with a
    /// result.
    fn take(&mut self, mut job: NewJob, batch: &mut Batch) -> (JobRecord, Vec<Outgoing>) {
        let now = self.ground.now();
        if let Err(error) = self.follow_link(&mut job) {
            // The store cannot be read: the process is about to end with that reason.
            tracing::error!(job = %job.job_id, %error, "whether a job's host is linked cannot be read");
        }
        let seq = self.state.take_seq();
        let pipeline = job.pipeline.as_ref().map(|pipeline| &pipeline.name);
        let room = self.state.room(job.host.host_id, pipeline);
        let mut record = new_record(job, seq, now);
        metrics::counter!("tripline_scheduler_jobs_accepted_total").increment(1);
        self.ground.tally.jobs_accepted.add(1);
        match room {
            Ok(()) => {
                record.put_new(batch);
                limacharlie::job_accepted(&self.ground, batch, &record);
                self.ground.load.reserve();
                let attachments = &self.ground.attachments;
                let host_id = record.host.host_id;
                self.state
                    .add(entry_of(&record), || attachments.get(host_id).is_some(), now);
                if self.cache.len() < RECORDS_CACHED_MAX {
                    self.cache.insert(record.job_id, record.clone());
                }
                (record, Vec::new())
            }
            Err(full) => {
                record.end(now, Outcome::Failed, Reason::new("queue_full", full.text()));
                metrics::counter!("tripline_scheduler_queue_full_total", "limit" => full.limit())
                    .increment(1);
                record.put_new(batch);
                self.pruner.ended();
                super::record_metrics(&self.ground, &record);
                self.tell_end(batch, &record);
                let staged = self.stage_result(batch, &record);
                (record, staged)
            }
        }
    }
}

fn new_record(job: NewJob, seq: u64, now: tripline_protocol::Timestamp) -> JobRecord {
    let mut spec = job.spec;
    let finally = finally_len(&spec);
    spec.steps.append(&mut spec.finally);
    let reports = reports(&spec.steps, finally);
    JobRecord {
        job_id: job.job_id,
        org: job.org,
        host: job.host,
        seq,
        priority: spec.priority,
        state: JobState::Queued,
        run: job.run,
        attempt: 0,
        pauses: 0,
        rests: 0,
        retries: 0,
        retry: spec.retry,
        rest: None,
        last_try: None,
        deadline: None,
        finally,
        finally_timeout: spec.finally_timeout,
        ending: None,
        queued_at: now,
        expires_at: now.after(spec.expires.unwrap_or(JobSpec::EXPIRES_DEFAULT)),
        timeout: spec.timeout.unwrap_or(JobSpec::TIMEOUT_DEFAULT),
        started_at: None,
        finished_at: None,
        reason: None,
        pipeline: job.pipeline,
        event: job.event,
        fanout: job.fanout,
        traceparent: job.traceparent,
        depth: job.depth,
        investigation_id: job.investigation_id,
        reports,
        loops: Vec::new(),
        name: spec.name,
        steps: spec.steps,
        intent: None,
        vars: job.vars,
        cancel_requested: false,
        by: job.by,
        notes: Vec::new(),
        attempt_at: None,
        passed: Vec::new(),
        dropped: Vec::new(),
        outgoing: Vec::new(),
    }
}

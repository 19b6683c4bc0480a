//! JobScheduler: all jobs, from acceptance to their one end.
//!
//! It accepts what the router and people submit, keeps a lane per host, starts jobs when a slot and their host
//! are free, expires and cancels, and writes how each ended together with the result that the outbox
//! publishes. While a job runs, its slot owns its record.
//!
//! Deliberately not here: running steps (SessionSlot), reaching hosts (Directory, Host).

mod accept;
mod bury;
mod changes;
mod ends;
mod fanouts;
mod forget;
mod held;
mod isolation;
mod link;
mod messages;
mod pause;
mod protected;
mod prune;
mod query;
mod rest;
mod sessions;
mod slots;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use changes::{HostTold, notice};
pub(crate) use ends::{End, EndsRecord, RecentEnds, WatchPipelines};
pub(crate) use held::PipelinePaused;
pub(crate) use isolation::GetIsolationsAsked;
pub(crate) use messages::{
    Accept, CancelJob, CountOpen, Drain, GetJob, GetJobCounts, GetSlots, HostAttached, HostDetached,
    HostDiffers, HostLinked, LinkHost, ListJobs, NewJob, Persist, SessionEnd, SessionEnded, Submit,
};
pub(crate) use pause::ChangePause;

pub(crate) use forget::{ForgetHost, HostForgotten};
pub(crate) use sessions::{
    AddFile, CancelCommand, CloseSession, DeleteFile, GetSession, InteractiveEnded, KeepAlive, ListSessions,
    OpenSession, RunCommand,
};

use crate::audit;
use crate::directory::{Directory, ToHost};
use crate::door::Reply;
use crate::fanout::{Fanouts, News};
use crate::ground::{Ground, read};
use crate::guardian::{Sentinel, retires};
use crate::host::{HostCommand, event_message};
use crate::outbox::{Enqueue, Outbox, Outgoing, stage};
use crate::pipeline::RuleSet;
use crate::ports::OutMessage;
use crate::published::stage_events;
use crate::record::JobRecord;
use crate::refusal::Refusal;
use crate::router::EtypeRouter;
use crate::service;
use crate::slot::{Cancel, RunJob, SessionSlot};
use crate::store::{Batch, Table};
use crate::trace;
use actix::prelude::*;
use serde::Serialize;
use slots::Kind;
use state::{Entry, Limits, Phase, State};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::api::{JobView, Pause};
use tripline_protocol::audit::Action;
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::limit::RESULT_BYTES_MAX;
use tripline_protocol::result::JobResult;
use tripline_protocol::{FanoutId, HostId, JobId, Timestamp};

/// How often expiries are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Jobs expired at once.
const EXPIRE_MAX: usize = 1000;
/// Records of waiting jobs kept in memory; others are read again when their turn comes.
const RECORDS_CACHED_MAX: usize = 4096;

/// The actor.
pub(crate) struct JobScheduler {
    ground: Arc<Ground>,
    state: State,
    /// Records of waiting jobs that were just accepted.
    cache: HashMap<JobId, JobRecord>,
    /// How the last jobs of pipelines with `auto_pause` ended.
    ends: ends::Ends,
    /// Pipelines that are paused.
    held: held::Held,
    /// How far the histories of fan-outs have come.
    turns: fanouts::Turns,
    router: Addr<EtypeRouter>,
    fanouts: Addr<Fanouts>,
    outbox: Addr<Outbox>,
    directory: Addr<Directory>,
    slots: Vec<Addr<SessionSlot>>,
    sessions: sessions::Desk,
    pruner: prune::Pruner,
    /// Jobs that were under way when the server stopped, to be started first.
    resume: Vec<JobId>,
    /// Jobs that somebody cancelled and the server stopped before they ended.
    cancelled: Vec<JobId>,
    /// Hosts to be forgotten as soon as their work has ended.
    forgetting: forget::Forgetting,
    draining: Option<Reply<()>>,
    /// There while no new jobs start.
    pause: Option<Pause>,
    /// What goes on record with the next batch.
    on_record: Vec<audit::Entry>,
    sentinel: Sentinel,
}

retires!(JobScheduler);

impl JobScheduler {
    /// Reads the open jobs.
    pub(crate) fn load(
        ground: Arc<Ground>,
        (router, rules): (Addr<EtypeRouter>, Arc<RuleSet>),
        (fanouts, turns): (Addr<Fanouts>, HashMap<FanoutId, u32>),
        outbox: Addr<Outbox>,
        directory: Addr<Directory>,
        slots: Vec<Addr<SessionSlot>>,
        sentinel: Sentinel,
    ) -> Result<Self, Refusal> {
        let config = &ground.config;
        let limits = Limits {
            per_host: config.jobs_per_host_max,
            per_pipeline: config.jobs_per_pipeline_max,
            total: config.jobs_max,
        };
        let mut state = State::new(limits, sessions::slots(config));
        let held = held::Held::load(&ground.store)?;
        held.pipelines().for_each(|pipeline| state.hold(pipeline));
        let (mut resume, mut cancelled) = (Vec::new(), Vec::new());
        let (mut after, mut lost): (Option<Vec<u8>>, _) = (None, Batch::new());
        loop {
            let page = ground.store.scan(Table::OpenJob, &[], after.as_deref(), 1000)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (row, job_id) in page {
                let record: Option<JobRecord> = read(&ground.store, Table::Job, &job_id, "job")?;
                let Some(record) = record else {
                    tracing::error!(seq = ?row, "an open job has no record");
                    lost.delete(Table::OpenJob, row);
                    continue;
                };
                if record.intent.is_some() {
                    resume.push(record.job_id);
                } else if record.cancel_requested {
                    cancelled.push(record.job_id);
                }
                let offline = || false;
                state.add(entry_of(&record), offline, ground.now());
                if record.ending.is_some() {
                    state.close(record.job_id);
                }
                if let Some(rest) = &record.rest {
                    state.rest(record.job_id, rest.not_before, record.leaves_at());
                }
            }
        }
        if !lost.is_empty() {
            ground.store.commit(lost, || {});
        }
        let pruner = prune::Pruner::load(&ground.store, state.open_len() as u64)?;
        ground.load.restart_reserved(state.open_len() as u64);
        let cache = HashMap::new();
        let pause = pause::load(&ground)?;
        state.set_paused(pause.is_some());
        let sessions = sessions::Desk::load(&ground)?;
        let ends = ends::Ends::load(&ground.store, rules)?;
        Ok(Self {
            ground,
            state,
            cache,
            ends,
            held,
            turns,
            router,
            fanouts,
            outbox,
            directory,
            slots,
            sessions,
            pruner,
            resume,
            cancelled,
            forgetting: forget::Forgetting::default(),
            draining: None,
            pause,
            on_record: Vec::new(),
            sentinel,
        })
    }

    /// Hands on what a committed batch staged.
    fn commit(&self, batch: Batch, outgoing: Vec<Outgoing>, then: impl FnOnce() + Send + 'static) {
        let outbox = self.outbox.clone();
        self.ground.store.commit(batch, move || {
            if !outgoing.is_empty() {
                outbox.do_send(Enqueue(outgoing));
            }
            then();
        });
    }

    /// Starts what can start.
    fn dispatch(&mut self) {
        if self.draining.is_some() {
            return;
        }
        while let Some(kind) = self.state.next_kind(self.sessions.is_ready()) {
            let started = match kind {
                Kind::Job => self.dispatch_job(),
                Kind::Session => self.dispatch_session(),
            };
            if !started {
                break;
            }
        }
        self.note_wanted();
    }

    fn dispatch_job(&mut self) -> bool {
        let Some((slot, job_id)) = self.state.dispatch() else {
            return false;
        };
        self.start(slot, job_id);
        true
    }

    fn start(&mut self, slot: u32, job_id: JobId) {
        let cached = self.cache.remove(&job_id);
        let record = match cached {
            Some(record) => Ok(Some(record)),
            None => read(&self.ground.store, Table::Job, job_id.as_bytes(), "job"),
        };
        match (record, self.slots.get(slot as usize)) {
            (Ok(Some(record)), Some(slot)) => match self.protection(&record) {
                None => slot.do_send(RunJob(Box::new(record))),
                Some(reason) => self.end(record, Outcome::Cancelled, reason),
            },
            (Ok(_), _) => self.lose(job_id),
            // The store cannot be read: the process is about to end with that reason.
            (Err(error), _) => tracing::error!(job = %job_id, %error, "a job cannot be started"),
        }
    }

    /// Writes how a job ended, with its result, and tells whoever watches.
    fn end(&mut self, record: JobRecord, outcome: Outcome, reason: Reason) {
        self.end_with(record, outcome, reason);
    }

    /// The same; returns it as it ended.
    fn end_with(&mut self, mut record: JobRecord, outcome: Outcome, reason: Reason) -> JobRecord {
        record.end(self.ground.now(), outcome, reason);
        let mut batch = Batch::new();
        let mut staged = self.put_on_record(&mut batch, &record);
        staged.extend(self.stage_end(&mut batch, &record));
        self.tell_end(&mut batch, &record);
        let (ground, spans) = (Arc::clone(&self.ground), trace::ended(&self.ground, &record));
        let notice = self.notice(&record);
        self.state.remove(record.job_id);
        self.cache.remove(&record.job_id);
        self.ground.load.release();
        self.pruner.ended();
        self.commit(batch, staged, move || {
            notice();
            ground.traces.send(spans);
        });
        record
    }

    /// Puts on record what happened to a job's commands, and what was done to the job; stages the events of its steps.
    fn put_on_record(&mut self, batch: &mut Batch, record: &JobRecord) -> Vec<Outgoing> {
        for note in &record.notes {
            batch.audit(audit::of_job(&self.ground, record, note));
        }
        self.on_record.drain(..).for_each(|entry| batch.audit(entry));
        stage_events(&self.ground, batch, record)
    }

    fn stage_end(&self, batch: &mut Batch, record: &JobRecord) -> Vec<Outgoing> {
        record.put(batch);
        batch.delete(Table::OpenJob, ends::open_row(record.seq));
        record_metrics(&self.ground, record);
        self.stage_result(batch, record)
    }

    /// Puts an ended job's result into the outbox, and the detection that it is to a service whose task it was.
    fn stage_result(&self, batch: &mut Batch, record: &JobRecord) -> Vec<Outgoing> {
        let Some(message) = result_message(&self.ground, record) else {
            return Vec::new();
        };
        let span = trace::result(&self.ground, record, &message.subject);
        let staged = stage(&self.ground.load, batch, message);
        let reply = service::reply(record).map(|event| event_message(&self.ground, &event));
        let reply = reply.map(|message| stage(&self.ground.load, batch, message));
        let result = Outgoing { span, ..staged };
        std::iter::once(result).chain(reply).collect()
    }

    /// A closure that tells watchers of the job's state, to be run once it is durable.
    fn notice(&self, record: &JobRecord) -> impl FnOnce() + Send + 'static + use<> {
        notice(&self.ground, record)
    }

    fn expire(&mut self) {
        let (now, grace) = (self.ground.now(), self.ground.config.reconnect_grace);
        let expired = self.state.expired(now, EXPIRE_MAX);
        let deserted = self.state.deserted(grace, now, EXPIRE_MAX);
        for job_id in expired.into_iter().chain(deserted) {
            if self.state.phase(job_id).is_none() {
                // It was both, and has ended.
                continue;
            }
            let wait = self.state.waiting(job_id);
            match self.record_of(job_id) {
                Ok(Some(record)) => self.leave(record, wait),
                Ok(None) => self.lose(job_id),
                Err(error) => tracing::error!(job = %job_id, %error, "an expired job cannot be ended"),
            }
        }
        self.dispatch();
    }

    /// Ends a job that was cancelled while it ran, and that waits again because the server stopped. One whose last steps
    /// ran then was cancelled because of these.
    fn end_cancelled(&mut self, job_id: JobId) {
        match self.record_of(job_id) {
            Ok(Some(record)) => {
                let reason = Reason::new("cancelled", "it was cancelled while it ran");
                self.conclude(record, Outcome::Cancelled, reason);
            }
            Ok(None) => self.lose(job_id),
            Err(error) => tracing::error!(job = %job_id, %error, "a cancelled job cannot be ended"),
        }
    }

    fn record_of(&self, job_id: JobId) -> Result<Option<JobRecord>, Refusal> {
        match self.cache.get(&job_id) {
            Some(record) => Ok(Some(record.clone())),
            None => read(&self.ground.store, Table::Job, job_id.as_bytes(), "job"),
        }
    }

    fn finish_drain(&mut self) {
        if self.state.slots().used(Kind::Job) == 0
            && let Some(reply) = self.draining.take()
        {
            self.ground.after_commit(move || reply.send(Ok(())));
        }
    }
}

fn entry_of(record: &JobRecord) -> Entry {
    Entry {
        job_id: record.job_id,
        host_id: record.host.host_id,
        seq: record.seq,
        priority: record.priority,
        expires_at: record.leaves_at(),
        pipeline: record.pipeline.as_ref().map(|pipeline| pipeline.name.clone()),
        begun: record.has_begun(),
    }
}

fn record_metrics(ground: &Ground, record: &JobRecord) {
    if let Some(outcome) = record.state.outcome() {
        ground.tally.jobs_ended.add(1);
        metrics::counter!("tripline_scheduler_jobs_ended_total", "outcome" => outcome.as_str()).increment(1);
    }
}

/// A result as a CloudEvent. Attributes are absent rather than null.
#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: JobId,
    source: &'static str,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    datacontenttype: &'static str,
    hostid: HostId,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: &'a JobResult,
}

/// The CloudEvent of a job's end. Outputs are bounded while the job runs, so it fits [`RESULT_BYTES_MAX`].
fn result_message(ground: &Ground, record: &JobRecord) -> Option<OutMessage> {
    let outcome = record.state.outcome()?;
    let result = record.to_result()?;
    let payload = crate::record::encode(&Envelope {
        specversion: "1.0",
        id: record.job_id,
        source: "tripline",
        r#type: format!("tripline.job.{outcome}"),
        time: record.finished_at,
        datacontenttype: "application/json",
        hostid: record.host.host_id,
        traceparent: record.traceparent.as_deref(),
        data: &result,
    });
    debug_assert!(
        payload.len() <= RESULT_BYTES_MAX,
        "a result of {} bytes",
        payload.len()
    );
    let mut headers = vec![(
        "Content-Type".to_owned(),
        "application/cloudevents+json".to_owned(),
    )];
    if let Some(traceparent) = &record.traceparent {
        headers.push(("traceparent".into(), traceparent.clone()));
    }
    Some(OutMessage {
        subject: ground
            .config
            .subjects
            .result(&record.org, &record.name, outcome, record.host.host_id),
        message_id: record.job_id.to_string(),
        headers,
        payload,
    })
}

impl Actor for JobScheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.tell_ends();
        self.resume_sessions();
        for job_id in std::mem::take(&mut self.resume) {
            if let Some(slot) = self.state.start(job_id) {
                self.start(slot, job_id);
            }
        }
        for job_id in std::mem::take(&mut self.cancelled) {
            self.end_cancelled(job_id);
        }
        ctx.run_interval(TICK, |scheduler, _| {
            scheduler.tick_sessions();
            scheduler.state.wake(scheduler.ground.now());
            scheduler.expire();
            scheduler.tick_forgetting();
            scheduler.pruner.tick(&scheduler.ground);
            scheduler.show_pause();
            scheduler.prune_onces();
            metrics::gauge!("tripline_scheduler_jobs_open").set(scheduler.state.open_len() as f64);
            metrics::gauge!("tripline_scheduler_hosts_ready").set(scheduler.state.ready_len() as f64);
        });
    }
}

impl Handler<HostAttached> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: HostAttached, _: &mut Self::Context) {
        self.state.attached(message.0);
        self.sessions.attached(message.0);
        self.tell_news(message.0, News::Attached);
        self.dispatch();
    }
}

impl Handler<HostDetached> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: HostDetached, _: &mut Self::Context) {
        self.state.detached(message.0, self.ground.now());
        self.sessions.detached(message.0, self.ground.now());
        self.tell_news(message.0, News::Detached);
    }
}

impl Handler<SessionEnded> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: SessionEnded, _: &mut Self::Context) {
        let mut record = *message.record;
        let host_id = record.host.host_id;
        match message.end {
            SessionEnd::Ended(outcome, reason) => drop(self.conclude(record, outcome, reason)),
            SessionEnd::Closed(outcome, reason) => self.end(record, outcome, reason),
            SessionEnd::GivenBack => {
                self.keep_waiting(&mut record, "host_offline");
                self.wait_again(&record);
            }
            SessionEnd::Rests => self.rest(record),
        }
        // The agent forgets its result only when what it led to is durable.
        if let Some(command_id) = message.ack {
            self.directory.do_send(ToHost {
                host_id,
                command: HostCommand::Ack { command_id },
            });
        }
        self.dispatch();
        self.finish_drain();
    }
}

impl Handler<CancelJob> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: CancelJob, _: &mut Self::Context) {
        self.cancel_job(message);
    }
}

impl JobScheduler {
    fn cancel_job(&mut self, message: CancelJob) {
        // What cancelling starts, the last steps of a job, is not cancelled with it.
        let slot = match self.state.phase(message.job_id) {
            Some(Phase::Running { slot }) => self.slots.get(slot as usize).cloned(),
            _ => None,
        };
        let answer = self.cancel(&message);
        let CancelJob {
            org,
            job_id,
            by,
            reply,
        } = message;
        // A running job's slot writes it down, and only then is it answered.
        if let (Ok(_), Some(slot)) = (&answer, slot) {
            return slot.do_send(Cancel {
                org,
                job_id,
                by,
                reply,
            });
        }
        self.ground.after_commit(move || reply.send(answer));
    }

    fn cancel(&mut self, message: &CancelJob) -> Result<JobView, Refusal> {
        let job_id = message.job_id;
        let not_found = || Refusal::NotFound {
            what: "job",
            id: job_id.to_string(),
        };
        let visible = |record: &JobRecord| message.org.as_ref().is_none_or(|org| *org == record.org);
        let record = self.record_of(job_id)?.filter(visible).ok_or_else(not_found)?;
        match self.state.phase(job_id) {
            None => Err(Refusal::Conflict {
                code: "job_ended",
                detail: format!("job {job_id} has already ended: {}", record.state),
            }),
            Some(Phase::Waiting | Phase::Resting { .. } | Phase::Held) => {
                let entry = self
                    .ground
                    .audit(Action::JobCancel, &message.by, Some(&record.org));
                self.on_record.push(entry.host(&record.host).on("job", job_id));
                let text = match record.started_at {
                    None => "it was cancelled before it started",
                    Some(_) => "it was cancelled while it waited to go on",
                };
                let reason = Reason::new("cancelled", text);
                let record = self.conclude(record, Outcome::Cancelled, reason);
                let view = self.view(record);
                self.dispatch();
                Ok(view)
            }
            Some(Phase::Running { .. }) => Ok(self.view(record)),
        }
    }
}

impl Handler<Drain> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: Drain, _: &mut Self::Context) {
        self.draining = Some(message.reply);
        self.finish_drain();
    }
}

//! Fan-outs begin: by an event, in its batch, or because somebody submits one.

use super::finish::end;
use super::record::{Definition, FanoutRecord, Phase};
use super::state::Machine;
use super::work::Work;
use super::{BeginFanouts, FANOUTS_OPEN_MAX, FanoutPlan, Fanouts, NewFanout, Open, SubmitNew};
use crate::audit::By;
use crate::ground::Ground;
use crate::once::{self, Made, Once};
use crate::outbox::Outgoing;
use crate::pipeline::{self, Pipeline, RuleSet};
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::audit::Action;
use tripline_protocol::fanout::{FanoutOutcome, FanoutView, SubmitFanout};
use tripline_protocol::job::{JobSpec, PipelineRef, Reason};
use tripline_protocol::{Event, FanoutId, Org, Span, Timestamp};
use uuid::Uuid;

/// Longest `idempotency_key` of a submission, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 200;

/// What begins when `pipeline`, whose target is a set of hosts, acts on an event; `run` is 0, and one more for each
/// replay. `None`: it acts on the event's host.
pub(crate) fn from_pipeline(
    pipeline: &Arc<Pipeline>,
    event: &Event,
    run: u32,
    now: Timestamp,
) -> Option<NewFanout> {
    let plan = pipeline.fanout()?.clone();
    let definition = Definition::Pipeline {
        pipeline: pipeline.text().to_owned(),
        named: pipeline.job_text().map(str::to_owned),
        event: Box::new(event.clone()),
    };
    let work = Work::Pipeline {
        pipeline: Arc::clone(pipeline),
        event: Arc::new(event.clone()),
    };
    let id = FanoutId::derive(event.key, pipeline.name(), run);
    let record = FanoutRecord {
        pipeline: Some(PipelineRef {
            name: pipeline.name().clone(),
            version: pipeline.version().clone(),
        }),
        event: Some(event.to_ref()),
        traceparent: event.traceparent.clone(),
        depth: event.depth,
        ..first_record(id, event.org.clone(), &work, plan, now)
    };
    Some(NewFanout {
        record,
        definition,
        work,
    })
}

/// The record of one that begins now. Who began it is the caller's to say.
fn first_record(
    fanout_id: FanoutId,
    org: Org,
    work: &Work,
    plan: FanoutPlan,
    now: Timestamp,
) -> FanoutRecord {
    FanoutRecord {
        fanout_id,
        org,
        name: work.name().clone(),
        phase: first_phase(plan.pace.canary),
        expires_at: now.after(plan.expires),
        plan,
        include_protected: false,
        pipeline: None,
        event: None,
        by: None,
        traceparent: None,
        depth: 0,
        created_at: now,
        timeout: None,
        resolved: false,
        cursor: None,
        chunks: 0,
        history: Vec::new(),
        paused: None,
        any_number: false,
        failure: None,
        full: None,
        ends: 0,
        ended: None,
    }
}

fn first_phase(canary: Option<u32>) -> Phase {
    match canary {
        Some(_) => Phase::Canary { since: 0 },
        None => Phase::Wide,
    }
}

/// Somebody's submission, checked.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) new: NewFanout,
    pub(crate) reason: Option<String>,
}

/// Checks what somebody submits.
pub(crate) fn submitted(
    request: SubmitFanout,
    rules: &RuleSet,
    by: &By,
    now: Timestamp,
) -> Result<Submission, Refusal> {
    request.check().map_err(|why| invalid("bad_fanout", why))?;
    let org = request.org.clone().unwrap_or_else(Org::default_org);
    let fanout_id = match &request.idempotency_key {
        Some(key) if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX => {
            return Err(invalid(
                "bad_idempotency_key",
                "idempotency_key must be 1 to 200 bytes",
            ));
        }
        Some(key) => FanoutId::derive_submitted(&org, key),
        None => FanoutId(Uuid::new_v4()),
    };
    let (definition, work) = work(&request, rules)?;
    let plan = FanoutPlan {
        target: request.target,
        pace: request.pace,
        standing: request.standing,
        expires: request.expires.unwrap_or(SubmitFanout::EXPIRES_DEFAULT),
        max_hosts: request.max_hosts,
        max_in_flight: None,
    };
    let record = FanoutRecord {
        include_protected: request.include_protected,
        by: Some(by.clone()),
        ..first_record(fanout_id, org, &work, plan, now)
    };
    Ok(Submission {
        new: NewFanout {
            record,
            definition,
            work,
        },
        reason: request.reason,
    })
}

fn work(request: &SubmitFanout, rules: &RuleSet) -> Result<(Definition, Work), Refusal> {
    match (&request.job, &request.named) {
        (Some(_), None) if !request.params.is_empty() => Err(invalid(
            "bad_params",
            "params belong to a named job; an inline job takes none",
        )),
        (Some(spec), None) => {
            let spec: Box<JobSpec> = pipeline::prepare_submitted(spec.clone())
                .map(Box::new)
                .map_err(|error| invalid(error.code(), error.to_string()))?;
            Ok((Definition::Job { spec: spec.clone() }, Work::Job(spec)))
        }
        (None, Some(name)) => {
            let job = rules.named_job(name).ok_or_else(|| Refusal::NotFound {
                what: "named job",
                id: name.to_string(),
            })?;
            job.check_params(&request.params)
                .map_err(|error| invalid(error.code(), error.to_string()))?;
            let definition = Definition::Named {
                text: job.text().to_owned(),
                params: request.params.clone(),
            };
            let job = Arc::clone(job);
            let params = request.params.clone();
            Ok((definition, Work::Named { job, params }))
        }
        _ => Err(invalid("bad_job", "exactly one of job and named is needed")),
    }
}

fn invalid(code: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal::Invalid {
        code,
        detail: detail.into(),
    }
}

impl Fanouts {
    /// Takes one that is in `batch`.
    fn take(&mut self, new: NewFanout, batch: &mut Batch) {
        let NewFanout {
            record,
            definition,
            work,
        } = new;
        record.put_new(&definition, batch);
        note_accepted(&record);
        let id = record.fanout_id;
        self.open.insert(id, Open::new(Machine::new(record), Ok(work)));
    }

    fn submit(&mut self, message: SubmitNew, ctx: &mut Context<Self>) {
        let SubmitNew {
            new,
            reason,
            once,
            reply,
        } = message;
        let id = new.record.fanout_id;
        match self.made_before(id, once.as_ref()) {
            Err(refusal) => return self.ground.after_commit(move || reply.send(Err(refusal))),
            Ok(Some(view)) => {
                return self.persist(Batch::new(), Vec::new(), None, move || reply.send(Ok(view)));
            }
            Ok(None) => {}
        }
        let mut batch = Batch::new();
        let noted = self.room().and_then(|()| self.ground.admit()).and_then(|()| {
            let (now, made) = (self.ground.now(), || Made::Fanout(id));
            self.ground.onces.note(once.as_ref(), made, now, &mut batch)
        });
        if let Err(refusal) = noted {
            return reply.send(Err(refusal));
        }
        let by = new.record.by.clone().unwrap_or_else(By::system);
        let entry = self
            .ground
            .audit(Action::FanoutSubmit, &by, Some(&new.record.org));
        let mut entry = entry
            .on("fanout", id)
            .detail("name", &new.record.name)
            .detail("target", &new.record.plan.target);
        if new.record.include_protected {
            entry = entry.detail("include_protected", true);
        }
        batch.audit(entry.detail("reason", &reason));
        self.take(*new, &mut batch);
        let view = self.open.get(&id).map(|open| self.view_of(open));
        // Not by way of the scheduler: who sends the same request again finds its key at once.
        self.ground.store.commit(batch, move || match view {
            Some(view) => reply.send(Ok(view)),
            None => drop(reply),
        });
        self.look_for_hosts(id, ctx);
    }

    /// What the same submission made before: that of the same key in the header, or with the same id.
    fn made_before(&self, id: FanoutId, once: Option<&Once>) -> Result<Option<FanoutView>, Refusal> {
        match self.ground.onces.made(once, self.ground.now())? {
            Some(Made::Fanout(made)) => self.view(made).map(Some).map_err(|_| once::gone()),
            _ => self.known(id),
        }
    }

    /// The one that was submitted before, under the same key.
    fn known(&self, id: FanoutId) -> Result<Option<FanoutView>, Refusal> {
        if let Some(open) = self.open.get(&id) {
            return Ok(Some(self.view_of(open)));
        }
        let is_buried = self
            .ground
            .store
            .get(Table::JobTombstone, id.as_bytes())?
            .is_some();
        if is_buried {
            return Err(Refusal::Conflict {
                code: "fanout_pruned",
                detail: format!("fan-out {id} of this idempotency key ended long ago"),
            });
        }
        Ok(self.ended(id)?.as_ref().map(super::query::ended_view))
    }

    /// Whether one more may be open.
    pub(super) fn room(&self) -> Result<(), Refusal> {
        if self.open.len() + self.reopening.len() < FANOUTS_OPEN_MAX {
            return Ok(());
        }
        metrics::counter!("tripline_fanouts_refused_total", "limit" => "open").increment(1);
        Err(Refusal::Busy {
            what: "list of open fan-outs",
            retry_after: Span::from_secs(10),
        })
    }
}

impl Handler<BeginFanouts> for Fanouts {
    type Result = ();
    fn handle(&mut self, message: BeginFanouts, ctx: &mut Self::Context) {
        let BeginFanouts { mut accept, fanouts } = message;
        let mut begun = Vec::new();
        for new in fanouts {
            let id = new.record.fanout_id;
            if self.open.contains_key(&id) {
                // The router decides an event once; should it ever decide twice, the fan-out is still one.
                tracing::error!(fanout = %id, "a fan-out that is open was decided again");
                continue;
            }
            if self.room().is_err() {
                let (record, outgoing) = refuse(&self.ground, new, &mut accept.batch);
                accept.outgoing.extend(outgoing);
                self.note_ended(record);
                continue;
            }
            self.take(new, &mut accept.batch);
            begun.push(id);
        }
        self.scheduler.do_send(accept);
        for id in begun {
            self.look_for_hosts(id, ctx);
        }
    }
}

fn note_accepted(record: &FanoutRecord) {
    metrics::counter!("tripline_fanouts_accepted_total").increment(1);
    tracing::info!(fanout = %record.fanout_id, org = %record.org, name = %record.name, "fan-out begins");
}

/// Begins one beyond those that may be open: it ends in the batch in which it begins, so that it is never found open.
fn refuse(ground: &Ground, new: NewFanout, batch: &mut Batch) -> (FanoutRecord, Vec<Outgoing>) {
    new.record.put_new(&new.definition, batch);
    note_accepted(&new.record);
    let text = format!("{FANOUTS_OPEN_MAX} fan-outs have not ended");
    let mut open = Open::new(Machine::new(new.record), Ok(new.work));
    let reason = Reason::new("too_many_fanouts", text);
    open.machine.fail(reason.clone(), ground.now());
    let outgoing = end(ground, &mut open, (FanoutOutcome::Failed, reason), batch);
    (open.machine.record().clone(), outgoing)
}

impl Handler<SubmitNew> for Fanouts {
    type Result = ();
    fn handle(&mut self, message: SubmitNew, ctx: &mut Self::Context) {
        self.submit(message, ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{commit, ground, store};
    use super::*;
    use crate::store::Table;

    #[test]
    fn one_beyond_those_that_may_be_open_begins_and_ends_in_one_batch_with_its_summary() {
        let (dir, store) = store();
        let ground = ground(&dir, &store);
        let request: SubmitFanout = serde_json::from_value(serde_json::json!({
            "target": "all",
            "job": { "name": "sweep", "steps": [{ "list_processes": {} }] },
        }))
        .unwrap();
        let rules = RuleSet::parse(&[], &[]).unwrap();
        let new = submitted(request, &rules, &By::system(), ground.now())
            .unwrap()
            .new;
        let id = new.record.fanout_id;
        let mut batch = Batch::new();
        let (_, outgoing) = refuse(&ground, new, &mut batch);
        // The process dies behind this batch.
        commit(&store, batch);
        let row = store.get(Table::Fanout, id.as_bytes()).unwrap().unwrap();
        let record: FanoutRecord = serde_json::from_slice(&row).unwrap();
        assert_eq!(record.ended.unwrap().reason.code, "too_many_fanouts");
        assert_eq!((outgoing.len(), store.count(Table::Outbox).unwrap()), (1, 1));
    }
}

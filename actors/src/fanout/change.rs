//! What people do with fan-outs: pause, resume, cancel, and retry what failed. And what time does: they expire.

use super::record::Turn;
use super::{Change, ChangeFanout, Fanouts};
use crate::audit::By;
use crate::door::Door;
use crate::ground::read;
use crate::record::JobRecord;
use crate::refusal::Refusal;
use crate::scheduler::CancelJob;
use crate::store::{Batch, Table};
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::audit::Action;
use tripline_protocol::fanout::{FanoutHostState, RetryFanout, SubmitFanout};
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::{FanoutId, JobId, Timestamp};

/// Entries of a fan-out's history beyond which it is not resumed or tried again.
const HISTORY_MAX: usize = 500;

fn conflict(code: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal::Conflict {
        code,
        detail: detail.into(),
    }
}

impl Fanouts {
    /// Carries a wish out. The answer is whether anything changed.
    fn change(&mut self, message: &ChangeFanout) -> Result<bool, Refusal> {
        let id = message.fanout_id;
        self.check_visible(message)?;
        match &message.change {
            Change::Pause(reason) => self.pause(id, reason.as_deref(), &message.by),
            Change::Resume => self.resume(id),
            Change::Cancel => Ok(self.cancel(id, &message.by)),
            Change::Retry(retry) => self.retry(id, retry),
        }
    }

    pub(super) fn check_visible(&self, message: &ChangeFanout) -> Result<(), Refusal> {
        let id = message.fanout_id;
        let org = match self.open.get(&id) {
            Some(open) => Some(open.machine.record().org.clone()),
            None => self.ended(id)?.map(|record| record.org),
        };
        let visible = |own: &_| message.org.as_ref().is_none_or(|org| org == own);
        match org.filter(visible) {
            Some(_) => Ok(()),
            None => Err(not_found(id)),
        }
    }

    fn must_be_open(&mut self, id: FanoutId) -> Result<&mut super::Open, Refusal> {
        let ended = || conflict("fanout_ended", format!("fan-out {id} has already ended"));
        self.open.get_mut(&id).ok_or_else(ended)
    }

    fn pause(&mut self, id: FanoutId, reason: Option<&str>, by: &By) -> Result<bool, Refusal> {
        let open = self.must_be_open(id)?;
        if open.machine.record().closed().is_some() {
            return Err(conflict(
                "fanout_ended",
                format!("no host of fan-out {id} has a turn any more; its open jobs go on"),
            ));
        }
        let who = by.who.name.as_deref().unwrap_or("the server");
        let text = match reason {
            Some(reason) => format!("paused by {who}: {reason}"),
            None => format!("paused by {who}"),
        };
        open.machine.pause(Reason::new("paused", text));
        Ok(true)
    }

    fn resume(&mut self, id: FanoutId) -> Result<bool, Refusal> {
        let record = self.must_be_open(id)?.machine.record().clone();
        if record.paused.is_none() {
            return match self.held(&record) {
                Some(reason) => Err(conflict(
                    "pipeline_paused",
                    format!("its pipeline is paused: {}", reason.text),
                )),
                None => Ok(false),
            };
        }
        check_history(&record.history)?;
        Ok(self.must_be_open(id)?.machine.resume())
    }

    /// Nobody waits any more, and open jobs are cancelled.
    pub(super) fn cancel(&mut self, id: FanoutId, by: &Arc<By>) -> bool {
        let now = self.ground.now();
        let Some(open) = self.open.get_mut(&id) else {
            return false;
        };
        if open.machine.record().closed() == Some(Outcome::Cancelled) {
            return false;
        }
        let who = by.who.name.as_deref().unwrap_or("the server");
        let reason = Reason::new("cancelled", format!("the fan-out was cancelled by {who}"));
        open.machine.close(Outcome::Cancelled, reason, now);
        self.cancel_jobs(id, by);
        true
    }

    /// Whether a job was cancelled before or has only its last steps left: cancelling it again would take these from it.
    fn is_ending(&self, job: JobId) -> bool {
        let record: Result<Option<JobRecord>, _> =
            read(&self.ground.store, Table::Job, job.as_bytes(), "job");
        matches!(record, Ok(Some(record)) if record.cancel_requested || record.ending.is_some())
    }

    /// Cancels the open jobs of a fan-out.
    pub(super) fn cancel_jobs(&self, id: FanoutId, by: &Arc<By>) {
        let Some(open) = self.open.get(&id) else { return };
        let record = open.machine.record();
        let jobs: Vec<JobId> = open
            .machine
            .in_order()
            .into_iter()
            .filter(|(_, member)| member.state == FanoutHostState::InFlight)
            .map(|(host, member)| JobId::derive_fanout(id, &record.name, host, member.run))
            .filter(|job| !self.is_ending(*job))
            .collect();
        // Nobody waits for the answers: how each job ends is told with its end.
        let door = Door::new("cancelled jobs", jobs.len().max(1));
        for job_id in jobs {
            let Ok((reply, _)) = door.enter() else { break };
            self.scheduler.do_send(CancelJob {
                org: None,
                job_id,
                by: Arc::clone(by),
                reply,
            });
        }
    }

    /// Hosts have another turn. One that had ended was read for it, and is as it was if it is refused.
    fn retry(&mut self, id: FanoutId, retry: &RetryFanout) -> Result<bool, Refusal> {
        let result = self.retry_open(id, retry);
        if result.is_err() && self.is_ended(id) {
            self.open.remove(&id);
        }
        result
    }

    fn is_ended(&self, id: FanoutId) -> bool {
        let open = self.open.get(&id);
        open.is_some_and(|open| open.machine.record().ended.is_some())
    }

    fn retry_open(&mut self, id: FanoutId, retry: &RetryFanout) -> Result<bool, Refusal> {
        let now = self.ground.now();
        let was_ended = self.is_ended(id);
        let machine = &mut self.must_be_open(id)?.machine;
        let record = machine.record();
        check_history(&record.history)?;
        if record.is_resolving() {
            return Err(conflict("fanout_resolving", "its hosts are still being found"));
        }
        if !was_ended && record.closed() == Some(Outcome::Cancelled) {
            return Err(conflict(
                "fanout_cancelling",
                "it was cancelled, and its last jobs have not ended yet",
            ));
        }
        if !machine.has_to_retry(&retry.outcomes) {
            return Err(nothing_to_retry());
        }
        // One that goes on has its own time, unless another is asked for.
        let goes_on = !was_ended && record.closed().is_none();
        let expires_at = match retry.expires {
            None if goes_on => record.expires_at,
            expires => now.after(expires.unwrap_or(SubmitFanout::EXPIRES_DEFAULT)),
        };
        machine.retry(&retry.outcomes, expires_at);
        let record = machine.record_mut();
        record.timeout = retry.timeout.or(record.timeout);
        if was_ended {
            self.pruner.reopened();
        }
        Ok(true)
    }

    /// Its time is over: hosts that wait end.
    pub(super) fn expire(&mut self, id: FanoutId, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        let reason = Reason::new("expired", "it had no turn before the fan-out expired");
        open.machine.close(Outcome::Expired, reason, now);
        self.settle(id);
    }
}

pub(super) fn check_history(history: &[Turn]) -> Result<(), Refusal> {
    match history.len() < HISTORY_MAX {
        true => Ok(()),
        false => Err(conflict(
            "too_many_changes",
            "it was resumed and tried again too often; submit a new one",
        )),
    }
}

pub(super) fn nothing_to_retry() -> Refusal {
    conflict("nothing_to_retry", "no host ended so")
}

pub(super) fn not_found(id: FanoutId) -> Refusal {
    Refusal::NotFound {
        what: "fan-out",
        id: id.to_string(),
    }
}

impl Handler<ChangeFanout> for Fanouts {
    type Result = ();
    fn handle(&mut self, message: ChangeFanout, ctx: &mut Self::Context) {
        if let Some(message) = self.reopen(message, ctx) {
            self.carry_out(message, ctx);
        }
    }
}

impl Fanouts {
    /// Does with one what is wanted, and answers when that is durable.
    pub(super) fn carry_out(&mut self, message: ChangeFanout, ctx: &mut Context<Self>) {
        let id = message.fanout_id;
        let changed = match self.change(&message) {
            Ok(changed) => changed,
            Err(refusal) => return self.ground.after_commit(move || message.reply.send(Err(refusal))),
        };
        let mut batch = Batch::new();
        if changed {
            batch.audit(self.on_record(&message));
        }
        self.settle_with(id, batch, || {});
        // The change may have been its end. Who asked is answered behind what was written.
        let view = self.view(id);
        let reply = message.reply;
        self.persist(Batch::new(), Vec::new(), None, move || reply.send(view));
        if matches!(message.change, Change::Retry(_)) {
            // It may have been over before all of its hosts were found.
            self.look_for_hosts(id, ctx);
            // Hosts that had ended may have gone since.
            self.look_at_waiting(id, ctx);
        }
        self.wake(id, ctx);
    }

    fn on_record(&self, message: &ChangeFanout) -> crate::audit::Entry {
        let org = self.open.get(&message.fanout_id);
        let org = org.map(|open| open.machine.record().org.clone());
        let (action, reason) = match &message.change {
            Change::Pause(reason) => (Action::FanoutPause, reason.as_ref()),
            Change::Resume => (Action::FanoutResume, None),
            Change::Cancel => (Action::FanoutCancel, None),
            Change::Retry(_) => (Action::FanoutRetry, None),
        };
        let entry = self.ground.audit(action, &message.by, org.as_ref());
        let entry = entry.on("fanout", message.fanout_id);
        match &message.change {
            Change::Retry(retry) => entry.detail("outcomes", &retry.outcomes),
            _ => entry.detail("reason", reason),
        }
    }
}

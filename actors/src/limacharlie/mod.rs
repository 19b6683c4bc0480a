//! ServiceRole: Tripline as a service of LimaCharlie.
//!
//! A call becomes one batch: what it causes, its event for the router, and the answer that is remembered, so that a message is
//! handled once however often it comes. The role knows which orgs are subscribed, learns sensors through the Directory, has the
//! scheduler accept the jobs of requests and waits for their ends, and removes everything of an org that leaves.
//!
//! Deliberately not here: signatures and the wire (crate `tripline-service`), HTTP, and what pipelines make of an event.

mod call;
mod kept;
mod messages;
mod news;
mod offer;
mod orgs;
mod record;
mod removal;
mod request;
mod sensor;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use call::{Given, read_call};
pub(crate) use messages::{
    ForgetDecisions, ForgetFanouts, ForgetJobs, ForgetSensors, ForgetServices, LearnSensor, NewsTold, Sweep,
    Swept, TakeCall, WithdrawMessages, Work,
};
pub use news::Carried;
pub(crate) use news::{NewsRow, sids, split as split_news};
pub(crate) use offer::{Hosts, Wish};
pub use offer::{Offer, Offered, REQUEST_HOSTS_MAX};
pub(crate) use orgs::{Limacharlie, job_accepted, job_ended, job_stepped, tell};
pub(crate) use record::{CallNote, Cut, INSTALLED, Installed, REMOVED, Removal, by_time, orgs};
pub use request::WAITING_MAX;
pub(crate) use sensor::Sensor;

use crate::audit::By;
use crate::directory::Directory;
use crate::door::Reply;
use crate::fanout::Fanouts;
use crate::ground::{Ground, read};
use crate::guardian::{Sentinel, retires};
use crate::outbox::{Enqueue, Outbox, Outgoing, stage};
use crate::ports::OutMessage;
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::router::EtypeRouter;
use crate::scheduler::JobScheduler;
use crate::service::Services;
use crate::store::{Batch, Table};
use actix::prelude::*;
use kept::Kept;
use messages::Learned;
use record::{CallKey, OrgState, org_row};
use request::Waits;
use state::{Begun, Calls, is_final};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tripline_protocol::audit::Action;
use tripline_protocol::limacharlie::{Answer, ServiceEtype};
use tripline_protocol::{Org, Span, Timestamp};

/// How often what is over is forgotten.
const TICK: Duration = Duration::from_millis(500);

/// What calls about an org that ended its subscription are answered.
pub(crate) const NOT_SUBSCRIBED: &str = "the org is not subscribed";

/// A call that is handled now.
struct Call {
    key: CallKey,
    etype: ServiceEtype,
    deadline: Option<Timestamp>,
    by: Arc<By>,
}

/// The actor.
pub(crate) struct ServiceRole {
    ground: Arc<Ground>,
    calls: Calls<Reply<Answer>>,
    /// Calls whose jobs have not all ended.
    waits: Waits,
    /// Answers that are remembered.
    kept: Kept,
    /// Of the orgs that leave one at a time has it.
    turn: Arc<Mutex<()>>,
    others: Others,
    sentinel: Sentinel,
}

/// Whom the role tells and asks.
#[derive(Debug, Clone)]
pub(crate) struct Others {
    pub(crate) scheduler: Addr<JobScheduler>,
    pub(crate) directory: Addr<Directory>,
    pub(crate) outbox: Addr<Outbox>,
    pub(crate) fanouts: Addr<Fanouts>,
    pub(crate) router: Addr<EtypeRouter>,
    pub(crate) services: Addr<Services>,
}

retires!(ServiceRole);

impl ServiceRole {
    /// Reads which orgs there are, and how many answers are remembered.
    pub(crate) fn load(ground: Arc<Ground>, others: Others, sentinel: Sentinel) -> Result<Self, Refusal> {
        ground.limacharlie.restart(&ground.store)?;
        let kept = Kept::load(&ground.store)?;
        Ok(Self {
            ground,
            calls: Calls::default(),
            waits: Waits::default(),
            kept,
            turn: Arc::default(),
            others,
            sentinel,
        })
    }

    fn take(&mut self, message: TakeCall, ctx: &mut Context<Self>) -> Result<(), (Refusal, Reply<Answer>)> {
        let TakeCall {
            key,
            etype,
            work,
            deadline,
            by,
            reply,
        } = message;
        let note: Option<CallNote> = match read(
            &self.ground.store,
            Table::LcCall,
            &key.row(),
            "answer to LimaCharlie",
        ) {
            Ok(note) => note,
            Err(refusal) => return Err((refusal, reply)),
        };
        let now = self.ground.now();
        match self.calls.begin(&key, etype.as_str(), note, reply, now) {
            Begun::Waits => {}
            Begun::Known(reply, answer) => {
                metrics::counter!("tripline_limacharlie_calls_repeated_total").increment(1);
                self.ground.after_commit(move || reply.send(Ok(*answer)));
            }
            Begun::Other(reply) => {
                let answer = Answer::refused("mid: another call came with it before");
                self.ground.after_commit(move || reply.send(Ok(answer)));
            }
            Begun::Full(reply) => {
                let what = "list of calls";
                let retry_after = Span::from_secs(1);
                return Err((Refusal::Busy { what, retry_after }, reply));
            }
            Begun::Resumes(jobs) => {
                let call = Call {
                    key,
                    etype,
                    deadline,
                    by,
                };
                self.resume(call, jobs, ctx);
            }
            Begun::Fresh => {
                let call = Call {
                    key,
                    etype,
                    deadline,
                    by,
                };
                self.handle_call(call, work, ctx);
            }
        }
        Ok(())
    }

    fn handle_call(&mut self, call: Call, work: Work, ctx: &mut Context<Self>) {
        if let Err(refusal) = self.ground.admit() {
            return self.refuse(&call.key, &refusal);
        }
        if let (Some(org), false) = (&call.key.org, is_about_subscription(&work))
            && self.ground.limacharlie.is_leaving(org)
        {
            return self.dismiss(&call.key);
        }
        if is_about_subscription(&work) && !self.kept.has_room_to_last() {
            let (what, retry_after) = ("list of orgs that came and went", Span::from_secs(60));
            return self.refuse(&call.key, &Refusal::Busy { what, retry_after });
        }
        match work {
            Work::Event { message, sensor } => self.publish(&call, message, sensor, ctx),
            Work::Install(message) => self.install(&call, message),
            Work::Uninstall => self.uninstall(&call, ctx),
            Work::Jobs(jobs) => self.start(call, jobs, ctx),
        }
    }

    /// It is to come again; nothing was changed.
    fn refuse(&mut self, key: &CallKey, refusal: &Refusal) {
        for reply in self.calls.finish(key) {
            reply.send(Err(refusal.clone()));
        }
    }

    /// Commits what the call causes, with the answer that is remembered, and answers everybody who waits for it.
    fn answer(&mut self, call: &Call, answer: Answer, mut batch: Batch, outgoing: Vec<Outgoing>) {
        if is_final(&answer) {
            self.note(call, Some(answer.clone()), Vec::new(), &mut batch);
        }
        self.send(&call.key, answer, batch, outgoing);
    }

    /// Commits a batch, and answers everybody who waits for the call.
    fn send(&mut self, key: &CallKey, answer: Answer, batch: Batch, outgoing: Vec<Outgoing>) {
        let (waiting, outbox) = (self.calls.finish(key), self.others.outbox.clone());
        self.ground.store.commit(batch, move || {
            if !outgoing.is_empty() {
                outbox.do_send(Enqueue(outgoing));
            }
            for reply in waiting {
                reply.send(Ok(answer.clone()));
            }
        });
    }

    /// Remembers what was answered, or whose ends are waited for.
    fn note(
        &mut self,
        call: &Call,
        answer: Option<Answer>,
        jobs: Vec<tripline_protocol::JobId>,
        batch: &mut Batch,
    ) {
        let (row, now) = (call.key.row(), self.ground.now());
        let known: Result<Option<CallNote>, Refusal> =
            read(&self.ground.store, Table::LcCall, &row, "answer to LimaCharlie");
        let known = known.ok().flatten();
        if let Some(known) = &known {
            self.kept.less(known.weight(&crate::record::encode(known)));
            known.delete(batch, &row);
        }
        let note = CallNote {
            etype: call.etype.to_string(),
            at: known.map_or(now, |known| known.at),
            until: CallNote::remembered_until(call.deadline, now),
            answer,
            jobs,
        };
        self.kept.more(note.put(batch, &row));
    }

    /// What the org's first call says: it is subscribed, whether or not that was heard.
    fn subscribe(&self, org: Option<&Org>, told: bool, batch: &mut Batch) -> bool {
        let Some(org) = org else { return false };
        let limacharlie = &self.ground.limacharlie;
        if limacharlie.is_told(org) || (!told && limacharlie.is_installed(org)) {
            return false;
        }
        let since = self.ground.now();
        let left = limacharlie.left(org).filter(|left| !left.is_past(since));
        let installed = Installed { since, told, left };
        batch.put(
            Table::LcOrg,
            org_row(INSTALLED, org),
            crate::record::encode(&installed),
        );
        batch.delete(Table::LcOrg, org_row(REMOVED, org));
        limacharlie.set(org, Some(OrgState::Installed(installed)));
        true
    }

    /// As a batch of its own: what the call causes is committed by other actors, later, when the org may have left again.
    fn subscribe_alone(&self, org: Option<&Org>) {
        let mut batch = Batch::new();
        if self.subscribe(org, false, &mut batch) {
            self.ground.store.commit(batch, || {});
        }
    }

    fn publish(&mut self, call: &Call, message: OutMessage, sensor: Option<Sensor>, ctx: &Context<Self>) {
        self.subscribe_alone(call.key.org.as_ref());
        let mut batch = Batch::new();
        let outgoing = vec![stage(&self.ground.load, &mut batch, message)];
        let unknown = sensor.filter(|sensor| !self.knows(sensor));
        match unknown {
            None => self.answer(call, Answer::done(), batch, outgoing),
            Some(sensor) => {
                self.note(call, Some(Answer::done()), Vec::new(), &mut batch);
                let (me, key) = (ctx.address(), call.key.clone());
                // Under way until then: before the Directory has committed it, no repeat would find the note.
                self.others.directory.do_send(LearnSensor {
                    sensor,
                    batch,
                    outgoing,
                    then: Box::new(move || me.do_send(Learned(key))),
                });
            }
        }
    }

    fn knows(&self, sensor: &Sensor) -> bool {
        let id = sensor.host_id();
        let record: Result<Option<HostRecord>, Refusal> =
            read(&self.ground.store, Table::Host, id.as_bytes(), "host");
        let now = self.ground.now();
        // Whatever cannot be read, the Directory tells.
        record.is_ok_and(|record| record.is_some_and(|record| sensor.is_known_as(&record, now)))
    }

    fn install(&mut self, call: &Call, message: OutMessage) {
        let org = call.key.org.as_ref();
        if org.is_some_and(|org| self.ground.limacharlie.is_being_removed(org)) {
            let answer = Answer::again("the org is still being removed");
            return self.answer(call, answer, Batch::new(), Vec::new());
        }
        let mut batch = Batch::new();
        let mut outgoing = Vec::new();
        if self.subscribe(org, true, &mut batch) {
            outgoing.push(stage(&self.ground.load, &mut batch, message));
            batch.audit(self.ground.audit(Action::OrgInstall, &call.by, org));
            tracing::info!(org = ?org.map(Org::as_str), "an org of LimaCharlie is subscribed");
        }
        self.answer(call, Answer::done(), batch, outgoing);
    }

    fn uninstall(&mut self, call: &Call, ctx: &mut Context<Self>) {
        let (mut batch, mut begins) = (Batch::new(), None);
        if let Some(org) = call
            .key
            .org
            .as_ref()
            .filter(|org| !self.ground.limacharlie.is_leaving(org))
        {
            let removal = Removal::begin(self.ground.now());
            batch.delete(Table::LcOrg, org_row(INSTALLED, org));
            removal.put(&mut batch, org);
            batch.audit(self.ground.audit(Action::OrgUninstall, &call.by, Some(org)));
            self.ground.limacharlie.set(org, Some(OrgState::Leaving(removal)));
            tracing::warn!(%org, "an org of LimaCharlie ended its subscription; everything of it is removed");
            begins = Some(org.clone());
        }
        self.answer(call, Answer::done(), batch, Vec::new());
        if let Some(org) = begins {
            self.dismiss_waits(&org, ctx);
            self.begin_removal(org, ctx);
        }
    }

    /// Forgets what is over, and tells how much there is.
    fn tick(&mut self) {
        self.prune();
        self.forget_removals();
        metrics::gauge!("tripline_limacharlie_calls_kept").set(self.kept.rows() as f64);
        metrics::gauge!("tripline_limacharlie_calls_kept_bytes").set(self.kept.bytes() as f64);
        metrics::gauge!("tripline_limacharlie_news_waiting").set(self.ground.limacharlie.news.len() as f64);
        metrics::gauge!("tripline_limacharlie_orgs").set(self.ground.limacharlie.len() as f64);
        metrics::gauge!("tripline_limacharlie_removals").set(self.ground.limacharlie.removals() as f64);
    }
}

fn is_about_subscription(work: &Work) -> bool {
    matches!(work, Work::Install(_) | Work::Uninstall)
}

impl Actor for ServiceRole {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.ground.limacharlie.set_role(ctx.address());
        self.resume_removals(ctx);
        ctx.run_interval(TICK, |role, _| role.tick());
    }
}

impl Handler<TakeCall> for ServiceRole {
    type Result = ();
    fn handle(&mut self, message: TakeCall, ctx: &mut Self::Context) {
        if let Err((refusal, reply)) = self.take(message, ctx) {
            reply.send(Err(refusal));
        }
    }
}

impl Handler<Learned> for ServiceRole {
    type Result = ();
    fn handle(&mut self, Learned(key): Learned, _: &mut Self::Context) {
        for reply in self.calls.finish(&key) {
            reply.send(Ok(Answer::done()));
        }
    }
}

impl Handler<NewsTold> for ServiceRole {
    type Result = ();
    fn handle(&mut self, NewsTold { org, told, written }: NewsTold, _: &mut Self::Context) {
        let news = &self.ground.limacharlie.news;
        if !written {
            return told.iter().for_each(|one| news.back(&org, one.job_id, true));
        }
        let mut batch = Batch::new();
        if let Err(error) = news.written(&self.ground.store, &org, &told, &mut batch) {
            return tracing::error!(%org, %error, "what LimaCharlie was told cannot be noted");
        }
        metrics::counter!("tripline_limacharlie_updates_told_total").increment(told.len() as u64);
        self.ground.store.commit(batch, || {});
    }
}

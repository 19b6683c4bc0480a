//! Removing everything of an org that ended its subscription.
//!
//! That it is to be removed is durable before the call is answered, and every pass over what there is can be made again: it ends the
//! jobs, forgets the hosts that LimaCharlie alone told of, and purges the streams once nothing of the org waits for the broker. A pass
//! that finds nothing any more is the last. Agents' own hosts stay, and so does the audit.

use super::messages::{CountWaitingOf, ForgetJobs, ForgetOrg, ForgetSensors, OrgGone};
use super::record::{OrgState, Removal, org_row, rows_of};
use super::{REMOVED, ServiceRole};
use crate::audit::By;
use crate::directory::Directory;
use crate::door::{Door, Reply};
use crate::ground::Ground;
use crate::outbox::Outbox;
use crate::refusal::Refusal;
use crate::scheduler::JobScheduler;
use crate::store::{Batch, Table};
use actix::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::audit::Action;
use tripline_protocol::{Org, Span};

/// Rows forgotten until other things are asked.
const FORGET_MAX: usize = 5_000;
/// Rows forgotten in one turn, which are read for it: notes of up to 20 KiB, news of up to 80 KiB.
const FORGET_TURN_MAX: usize = 200;
/// Between two passes, at first and at last.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// For so long calls about the org are refused: those that are on their way must not bring it back.
const REFUSED_FOR: Span = Span::from_secs(25 * 3600);

/// Whom a removal asks.
struct Parts {
    ground: Arc<Ground>,
    role: Addr<ServiceRole>,
    scheduler: Addr<JobScheduler>,
    directory: Addr<Directory>,
    outbox: Addr<Outbox>,
    org: Org,
}

impl Parts {
    async fn ask<T>(&self, send: impl FnOnce(Reply<T>)) -> Result<T, Refusal> {
        let (reply, answer) = Door::new("removal", 1).enter()?;
        send(reply);
        answer.wait().await
    }

    /// One pass; how much was found that is not to be there.
    async fn pass(&self) -> Result<usize, Refusal> {
        let org = || self.org.clone();
        let sensors = |reply| self.directory.do_send(ForgetSensors { org: org(), reply });
        let notes = |reply| {
            self.role.do_send(ForgetOrg {
                org: org(),
                forgotten: 0,
                reply,
            });
        };
        let waiting = |reply| self.outbox.do_send(CountWaitingOf { org: org(), reply });
        let mut found = self.forget_jobs().await?;
        found += self.ask(sensors).await?;
        found += self.ask(notes).await?;
        found += self.ask(waiting).await?;
        Ok(found)
    }

    async fn forget_jobs(&self) -> Result<usize, Refusal> {
        let (mut found, mut after) = (0, None);
        loop {
            let org = self.org.clone();
            let ask = |reply| self.scheduler.do_send(ForgetJobs { org, after, reply });
            let part = self.ask(ask).await?;
            found += part.found;
            match part.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }

    async fn purge(&self) -> bool {
        let filters = self.ground.config.subjects.of_org(&self.org).to_vec();
        let purged = self.ground.publisher.purge(filters).await;
        if let Err(error) = &purged {
            tracing::info!(org = %self.org, %error, "the streams of a removed org are not purged yet");
        }
        purged.is_ok()
    }

    /// Ends when nothing was found, the streams were purged, and still nothing is found: an event that was on its way before the
    /// purge may have made jobs.
    async fn run(self) {
        let (mut pause, mut is_purged) = (PAUSE, false);
        loop {
            match self.pass().await {
                Ok(0) if is_purged => break,
                Ok(0) => is_purged = self.purge().await,
                Ok(_) => is_purged = false,
                // Other actors will go on with it.
                Err(Refusal::Unavailable { .. }) if !self.role.connected() => return,
                Err(error) => tracing::warn!(org = %self.org, %error, "an org is not removed yet"),
            }
            // Back-off: hosts confirm the ends of their jobs in their own time, and a broker may be away for long.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        self.role.do_send(OrgGone(self.org.clone()));
    }
}

impl ServiceRole {
    pub(super) fn begin_removal(&self, org: Org, ctx: &Context<Self>) {
        let parts = Parts {
            ground: Arc::clone(&self.ground),
            role: ctx.address(),
            scheduler: self.scheduler.clone(),
            directory: self.directory.clone(),
            outbox: self.outbox.clone(),
            org,
        };
        actix::spawn(parts.run());
    }

    /// Goes on with what an earlier process began, and forgets those whose time is over.
    pub(super) fn resume_removals(&self, ctx: &Context<Self>) {
        for (org, removal) in self.ground.limacharlie.leaving() {
            match removal.done_at {
                None => self.begin_removal(org, ctx),
                Some(done_at) => self.forget_removal(&org, done_at),
            }
        }
    }

    /// An org that was removed long ago is one that nobody knows.
    pub(super) fn forget_removals(&self) {
        for (org, removal) in self.ground.limacharlie.leaving() {
            if let Some(done_at) = removal.done_at {
                self.forget_removal(&org, done_at);
            }
        }
    }

    fn forget_removal(&self, org: &Org, done_at: tripline_protocol::Timestamp) {
        if self.ground.now().since(done_at) >= REFUSED_FOR {
            let mut batch = Batch::new();
            batch.delete(Table::LcOrg, org_row(REMOVED, org));
            self.ground.limacharlie.set(org, None);
            self.ground.store.commit(batch, || {});
        }
    }

    /// Forgets the answers to calls of an org, some at once. Those about its subscription stay until their time is over: a late
    /// repeat of one would subscribe the org again, or remove it again after it came back.
    fn forget_calls(&mut self, org: &Org, batch: &mut Batch) -> Result<usize, Refusal> {
        let (store, prefix) = (self.ground.store.clone(), rows_of(org));
        let (mut count, mut after) = (0, None::<Vec<u8>>);
        while count == 0 {
            let page = store.scan(Table::LcCall, &prefix, after.as_deref(), FORGET_TURN_MAX)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (row, value) in page {
                let note: super::CallNote = crate::ground::decoded("answer to LimaCharlie", &value)?;
                if !note.is_about_subscription() {
                    note.delete(batch, &row);
                    self.kept.less(1, value.len() as u64);
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    fn forget_rows(&mut self, org: &Org) -> Result<usize, Refusal> {
        let mut batch = Batch::new();
        let mut count = self.forget_calls(org, &mut batch)?;
        let news = &self.ground.limacharlie.news;
        count += news.forget(&self.ground.store, org, FORGET_TURN_MAX, &mut batch)?;
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
        Ok(count)
    }
}

impl Handler<ForgetOrg> for ServiceRole {
    type Result = ();
    fn handle(&mut self, message: ForgetOrg, ctx: &mut Self::Context) {
        let ForgetOrg {
            org,
            forgotten,
            reply,
        } = message;
        match self.forget_rows(&org) {
            Ok(more) if more > 0 && forgotten < FORGET_MAX => {
                let forgotten = forgotten + more;
                ctx.notify(ForgetOrg {
                    org,
                    forgotten,
                    reply,
                });
            }
            last => {
                let all = last.map(|more| forgotten + more);
                self.ground.after_commit(move || reply.send(all));
            }
        }
    }
}

impl Handler<OrgGone> for ServiceRole {
    type Result = ();
    fn handle(&mut self, OrgGone(org): OrgGone, _: &mut Self::Context) {
        let leaving = self.ground.limacharlie.leaving();
        let Some((_, removal)) = leaving.into_iter().find(|(leaving, _)| *leaving == org) else {
            return;
        };
        let done_at = Some(self.ground.now());
        let removal = Removal { done_at, ..removal };
        let mut batch = Batch::new();
        batch.put(
            Table::LcOrg,
            org_row(REMOVED, &org),
            crate::record::encode(&removal),
        );
        batch.audit(self.ground.audit(Action::OrgRemoved, &By::system(), Some(&org)));
        tracing::info!(%org, "everything of an org of LimaCharlie is removed");
        self.ground.store.commit(batch, || {});
        // A call that subscribes it again is refused until then.
        self.ground
            .limacharlie
            .set(&org, Some(OrgState::Leaving(removal)));
    }
}

//! Removing everything of an org that ended its subscription.
//!
//! That it is to be removed is durable before the call is answered, and every pass over what there is can be made again; [`plan`] says in
//! which order. What goes is older than the [`Cut`]. Agents' own hosts stay, and so does the audit.

mod calls;
mod plan;
mod purge;
#[cfg(test)]
mod tests;

use super::messages::{
    ForgetCalls, ForgetDecisions, ForgetFanouts, ForgetJobs, ForgetNews, ForgetSensors, ForgetServices,
    OrgGone, OrgPurged, Sweep, Swept, WithdrawMessages,
};
use super::record::{Cut, OrgState, Removal, org_row};
use super::{Others, REMOVED, ServiceRole};
use crate::audit::By;
use crate::door::{Door, Reply};
use crate::ground::Ground;
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use actix::prelude::*;
use plan::{Found, Next, Plan};
use purge::Failures;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tripline_protocol::audit::Action;
use tripline_protocol::{Org, Span};

/// Between two passes, at first and at last.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The longest rest after a pass: a clock that was set on is no reason for a longer one.
const REST_MAX: Duration = Duration::from_secs(600);

/// Whom a removal asks.
struct Parts {
    ground: Arc<Ground>,
    role: Addr<ServiceRole>,
    others: Others,
    org: Org,
    /// Whoever has it makes a pass.
    turn: Arc<Mutex<()>>,
    failures: Failures,
}

impl Parts {
    async fn ask<T>(&self, send: impl FnOnce(Reply<T>)) -> Result<T, Refusal> {
        let (reply, answer) = Door::new("removal", 1).enter()?;
        send(reply);
        answer.wait().await
    }

    /// Goes over rows a part at a time, so that others are served in between; how much of the org was found.
    async fn sweep(&self, cut: Cut, tell: impl Fn(Sweep)) -> Result<usize, Refusal> {
        let (mut found, mut after) = (0, None);
        loop {
            let org = self.org.clone();
            let ask = |reply| {
                tell(Sweep {
                    org,
                    cut,
                    after,
                    reply,
                })
            };
            let Swept { found: more, next } = self.ask(ask).await?;
            found += more;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// One pass over everything.
    async fn pass(&self, cut: Cut, sealed: Option<u64>) -> Result<Found, Refusal> {
        let Others {
            scheduler,
            directory,
            fanouts,
            router,
            services,
            ..
        } = &self.others;
        let tell: [&dyn Fn(Sweep); 7] = [
            // Whoever makes jobs ends before them.
            &|sweep| fanouts.do_send(ForgetFanouts(sweep)),
            &|sweep| scheduler.do_send(ForgetJobs(sweep)),
            &|sweep| directory.do_send(ForgetSensors(sweep)),
            &|sweep| self.role.do_send(ForgetCalls(sweep)),
            &|sweep| self.role.do_send(ForgetNews(sweep)),
            &|sweep| services.do_send(ForgetServices(sweep)),
            &|sweep| router.do_send(ForgetDecisions(sweep)),
        ];
        let mut rows = 0;
        for tell in tell {
            rows += self.sweep(cut, tell).await?;
        }
        let messages = match sealed {
            Some(upto) => self.withdraw(cut, upto).await?,
            None => 0,
        };
        Ok(Found { rows, messages })
    }

    async fn withdraw(&self, cut: Cut, upto: u64) -> Result<usize, Refusal> {
        let mut found = 0;
        // From quarantine messages may come back to those that wait.
        for is_quarantine in [true, false] {
            let tell = |sweep| {
                self.others.outbox.do_send(WithdrawMessages {
                    sweep,
                    is_quarantine,
                    upto,
                });
            };
            found += self.sweep(cut, tell).await?;
        }
        Ok(found)
    }

    /// A pass reads rows of all orgs, however few are of this one. So one is made at a time, and passes have half of the time at most,
    /// however many orgs leave and however long hosts and the broker let them wait.
    async fn pass_in_turn(&self, plan: &mut Plan, cut: Cut) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        let began = self.ground.now();
        let found = self.pass(cut, plan.sealed()).await;
        let newest = self.ground.load.seq_last();
        // The other half of the time, for everybody else.
        tokio::time::sleep(rest(self.ground.now().since(began))).await;
        plan.passed(found?, newest);
        Ok(())
    }

    /// A pass, and a purge if it is time for one.
    async fn go_on(&mut self, plan: &mut Plan, cut: Cut) -> Result<Next, Refusal> {
        if plan.next() == Next::Pass {
            self.pass_in_turn(plan, cut).await?;
        }
        if plan.next() == Next::Purge && self.purge().await? {
            plan.purged();
        }
        Ok(plan.next())
    }

    async fn run(mut self) {
        let (mut pause, mut plan) = (PAUSE, Plan::begin());
        while let Some(removal) = self.ground.limacharlie.removal(&self.org) {
            let before = plan.clone();
            match self.go_on(&mut plan, removal.cut()).await {
                Ok(Next::Done) => return self.role.do_send(OrgGone(self.org.clone())),
                Ok(Next::Pass | Next::Purge) => {}
                // Other actors will go on with it.
                Err(Refusal::Unavailable { .. }) if !self.role.connected() => return,
                Err(error) => tracing::warn!(org = %self.org, %error, "an org is not removed yet"),
            }
            pause = match plan == before {
                true => (pause * 2).min(PAUSE_MAX),
                false => PAUSE,
            };
            // Back-off: hosts confirm the ends of their jobs in their own time, and a broker may be away for long.
            tokio::time::sleep(pause).await;
        }
    }
}

/// Others have as long as a pass took.
fn rest(took: Span) -> Duration {
    took.to_duration().min(REST_MAX)
}

impl ServiceRole {
    pub(super) fn begin_removal(&self, org: Org, ctx: &Context<Self>) {
        let parts = Parts {
            ground: Arc::clone(&self.ground),
            role: ctx.address(),
            others: self.others.clone(),
            org,
            turn: Arc::clone(&self.turn),
            failures: Failures::default(),
        };
        actix::spawn(parts.run());
    }

    /// Goes on with what an earlier process began, and forgets those whose time is over.
    pub(super) fn resume_removals(&self, ctx: &Context<Self>) {
        for (org, removal) in self.ground.limacharlie.leaving() {
            match removal.done_at {
                None => self.begin_removal(org, ctx),
                Some(_) => self.forget_removal(&org, &removal),
            }
        }
    }

    /// An org that was removed long ago is one that nobody knows.
    pub(super) fn forget_removals(&self) {
        for (org, removal) in self.ground.limacharlie.leaving() {
            self.forget_removal(&org, &removal);
        }
    }

    fn forget_removal(&self, org: &Org, removal: &Removal) {
        if removal.is_past(self.ground.now()) {
            let mut batch = Batch::new();
            batch.delete(Table::LcOrg, org_row(REMOVED, org));
            self.ground.limacharlie.set(org, None);
            self.ground.store.commit(batch, || {});
        }
    }

    /// Writes down how far a removal has come.
    fn note_removal(&self, org: &Org, removal: Removal, mut batch: Batch) {
        removal.put(&mut batch, org);
        self.ground.store.commit(batch, || {});
        self.ground.limacharlie.set(org, Some(OrgState::Leaving(removal)));
    }
}

impl Handler<OrgPurged> for ServiceRole {
    type Result = ();
    fn handle(&mut self, OrgPurged { org, reply }: OrgPurged, _: &mut Self::Context) {
        if let Some(mut removal) = self.ground.limacharlie.removal(&org) {
            // What is made after the first purge stays: were this to move on, the removal might not end.
            removal.purged_at.get_or_insert(self.ground.now());
            self.note_removal(&org, removal, Batch::new());
        }
        self.ground.after_commit(move || reply.send(Ok(())));
    }
}

impl Handler<OrgGone> for ServiceRole {
    type Result = ();
    fn handle(&mut self, OrgGone(org): OrgGone, _: &mut Self::Context) {
        let Some(mut removal) = self.ground.limacharlie.removal(&org) else {
            return;
        };
        removal.done_at = Some(self.ground.now());
        let mut batch = Batch::new();
        batch.audit(self.ground.audit(Action::OrgRemoved, &By::system(), Some(&org)));
        tracing::info!(%org, "everything of an org of LimaCharlie is removed");
        // A call that subscribes it again is refused until then.
        self.note_removal(&org, removal, batch);
    }
}

//! What services have of an org that leaves LimaCharlie: messages that wait for them, and jobs that they told of. A part at a
//! time, one service after the other. That the org is subscribed to a service is the operator's, and stays.

use super::actor::Service;
use super::record::split;
use super::registry::Services;
use crate::limacharlie::{ForgetServices, Sweep, Swept};
use crate::refusal::Refusal;
use crate::store::Batch;
use actix::prelude::*;
use tripline_protocol::Name;

/// Messages removed for one answer.
const MESSAGES: usize = 200;
/// Places that are no job's, because no text has these bytes: behind everything of a service, and before its jobs.
const BEHIND: &[u8] = &[0xff];
const MESSAGES_LEFT: &[u8] = &[0xfe];

/// A service's part.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct ForgetOrg {
    sweep: Sweep,
    /// Only jobs behind this row.
    after_job: Option<Vec<u8>>,
}

fn place(service: &Name, rest: &[u8]) -> Vec<u8> {
    [service.as_str().as_bytes(), &[0], rest].concat()
}

impl Handler<ForgetServices> for Services {
    type Result = ();
    fn handle(&mut self, ForgetServices(sweep): ForgetServices, _: &mut Self::Context) {
        let after = sweep.after.clone();
        let at = after.as_deref().and_then(split);
        let (service, after_job) = match &at {
            None => (self.behind(None), None),
            Some((name, rest)) if *rest == BEHIND => (self.behind(Some(name)), None),
            // One that has gone meanwhile took everything with it.
            Some((name, _)) if self.addr_of(name).is_none() => (self.behind(Some(name)), None),
            Some((name, rest)) if *rest == MESSAGES_LEFT => (self.addr_of(name), None),
            Some((name, _)) => (self.addr_of(name), after.clone()),
        };
        match service {
            Some(service) => service.do_send(ForgetOrg { sweep, after_job }),
            None => sweep.reply.send(Ok(Swept::default())),
        }
    }
}

impl Service {
    fn forget_org(&mut self, sweep: &Sweep, after_job: Option<&[u8]>) -> Result<Swept, Refusal> {
        let (org, latest) = (&sweep.org, sweep.cut.latest());
        let goes = |item: &super::queue::Item| {
            item.org.as_ref() == Some(org) && !item.is_barrier && item.queued_at <= latest
        };
        let mut batch = Batch::new();
        let queue = &self.machine.queue;
        let (mut found, mut waiting) = (queue.flying_which(goes), queue.which(|_, item| goes(item)));
        let more = waiting.len() > MESSAGES;
        waiting.truncate(MESSAGES);
        found += waiting.len();
        self.drop_waiting(waiting, &mut batch);
        let next = match more {
            true => place(self.name(), MESSAGES_LEFT),
            false => {
                let store = &self.ground.store;
                let (jobs, next) = self
                    .jobs
                    .forget_org(store, (org, latest), after_job, &mut batch)?;
                found += jobs;
                next.unwrap_or_else(|| place(self.name(), BEHIND))
            }
        };
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
        Ok(Swept {
            found,
            next: Some(next),
        })
    }
}

impl Handler<ForgetOrg> for Service {
    type Result = ();
    fn handle(&mut self, ForgetOrg { sweep, after_job }: ForgetOrg, _: &mut Self::Context) {
        let swept = self.forget_org(&sweep, after_job.as_deref());
        self.ground.after_commit(move || sweep.reply.send(swept));
    }
}

//! A host is forgotten: that it is isolated stands in the way, and so does its open work, which is ended first when that
//! was asked for. Steps that jobs have for their end run, if the host is there: afterwards nobody could.
//!
//! Ended jobs and sessions of a forgotten host stay until they are pruned. Deliberately not here: the host's own rows
//! (the Directory removes them).

use super::JobScheduler;
use super::messages::CancelJob;
use crate::audit::By;
use crate::directory::{RemoveHost, to_forget};
use crate::door::{Door, Reply};
use crate::record::{HostRecord, JobRecord};
use crate::refusal::Refusal;
use crate::store::Table;
use actix::prelude::*;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tripline_protocol::api::ForgottenHost;
use tripline_protocol::audit::Action;
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::{HostId, Isolation, JobId, Org, Span};

/// Hosts that may wait for the end of their work at a time.
const FORGETTING_MAX: usize = 64;

/// Forget a host; from the API. Refuses with `NotFound`, `Conflict` when it is isolated or has open work and `force` is
/// not said, and `Busy`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ForgetHost {
    pub(crate) org: Option<Org>,
    pub(crate) name: String,
    /// End its open work first, and leave it isolated if it is.
    pub(crate) force: bool,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<ForgottenHost>,
}

/// A host is known no longer; from the Directory.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostForgotten(pub(crate) HostId);

/// Hosts whose work is being ended.
pub(super) type Forgetting = HashMap<HostId, Removal>;

/// Who waits for the end of a host's work.
#[derive(Debug)]
pub(super) struct Removal {
    host: RemoveHost,
    /// Jobs that were cancelled for it: once each, as one may go on with its last steps.
    cancelled: HashSet<JobId>,
}

fn reason() -> Reason {
    Reason::new("host_forgotten", "its host was forgotten by an administrator")
}

impl Handler<ForgetHost> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: ForgetHost, _: &mut Self::Context) {
        match self.check_forget(&message) {
            Err(refusal) => message.reply.send(Err(refusal)),
            Ok(record) => {
                let isolation = record.isolated_at(self.ground.now());
                let forgotten = ForgottenHost {
                    isolated_until: isolation.map(|isolation| isolation.until),
                    host_id: record.host_id,
                    hostname: record.hostname,
                    org: record.org,
                    jobs_cancelled: 0,
                    sessions_closed: 0,
                };
                let (by, reply) = (message.by, message.reply);
                let host = RemoveHost { forgotten, by, reply };
                let cancelled = HashSet::new();
                self.forgetting
                    .insert(record.host_id, Removal { host, cancelled });
                self.go_on_forgetting(record.host_id);
            }
        }
    }
}

impl Handler<HostForgotten> for JobScheduler {
    type Result = ();
    fn handle(&mut self, HostForgotten(host_id): HostForgotten, _: &mut Self::Context) {
        for record in self.waiting_records(host_id) {
            self.note_cancel(&record, &By::system());
            self.end(record, Outcome::Cancelled, reason());
        }
        self.end_sessions_of(host_id, &reason());
        self.dispatch();
    }
}

impl JobScheduler {
    fn check_forget(&self, message: &ForgetHost) -> Result<HostRecord, Refusal> {
        let record = to_forget(&self.ground, message.org.as_ref(), &message.name)?;
        if self.forgetting.len() >= FORGETTING_MAX || self.forgetting.contains_key(&record.host_id) {
            return Err(Refusal::Busy {
                what: "list of hosts to be forgotten",
                retry_after: Span::from_secs(5),
            });
        }
        if !message.force
            && let Some(isolation) = record.isolated_at(self.ground.now())
        {
            return Err(is_isolated(&record, isolation));
        }
        let jobs = self.state.host_open_len(record.host_id);
        if !message.force && jobs > 0 {
            return Err(stands_in_the_way(
                "jobs_open",
                &record,
                &format!("{jobs} open jobs"),
            ));
        }
        if !message.force && self.sessions.is_used(record.host_id) {
            return Err(stands_in_the_way("sessions_open", &record, "open sessions"));
        }
        Ok(record)
    }

    /// Ends what is open, and has the host removed when nothing is.
    fn go_on_forgetting(&mut self, host_id: HostId) {
        let Some(mut removal) = self.forgetting.remove(&host_id) else {
            return;
        };
        let jobs = self.cancel_jobs(host_id, &mut removal);
        let sessions = self.end_sessions_of(host_id, &reason());
        removal.host.forgotten.jobs_cancelled += jobs;
        removal.host.forgotten.sessions_closed += sessions;
        let open = self.state.host_open_len(host_id) > 0 || self.sessions.is_used(host_id);
        match open {
            true => drop(self.forgetting.insert(host_id, removal)),
            false => self.directory.do_send(removal.host),
        }
        if jobs + sessions > 0 {
            self.dispatch();
        }
    }

    /// Looks again whether the work of hosts that are to be forgotten has ended.
    pub(super) fn tick_forgetting(&mut self) {
        let hosts: Vec<HostId> = self.forgetting.keys().copied().collect();
        hosts
            .into_iter()
            .for_each(|host_id| self.go_on_forgetting(host_id));
    }

    /// Cancels the open jobs of a host that were not before; returns how many. One of which only the last steps are left
    /// is about to end.
    fn cancel_jobs(&mut self, host_id: HostId, removal: &mut Removal) -> u32 {
        let by = Arc::clone(&removal.host.by);
        let mut count = 0;
        for record in self.waiting_records(host_id) {
            if record.ending.is_none() && removal.cancelled.insert(record.job_id) {
                self.note_cancel(&record, &by);
                self.conclude(record, Outcome::Cancelled, reason());
                count += 1;
            }
        }
        if let Some(job_id) = self.state.running_of(host_id)
            && !self.is_ending(job_id)
            && removal.cancelled.insert(job_id)
        {
            count += self.cancel_running(job_id, by);
        }
        count
    }

    /// Jobs of a host that wait.
    fn waiting_records(&mut self, host_id: HostId) -> Vec<JobRecord> {
        let mut records = Vec::new();
        for job_id in self.state.waiting_of(host_id) {
            match self.record_of(job_id) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => self.lose(job_id),
                Err(error) => {
                    tracing::error!(job = %job_id, %error, "a job of a forgotten host cannot be ended")
                }
            }
        }
        records
    }

    fn note_cancel(&mut self, record: &JobRecord, by: &By) {
        let entry = self.ground.audit(Action::JobCancel, by, Some(&record.org));
        self.on_record
            .push(entry.host(&record.host).on("job", record.job_id));
    }

    fn is_ending(&self, job_id: JobId) -> bool {
        let record = self.record_of(job_id);
        matches!(record, Ok(Some(record)) if record.cancel_requested || record.ending.is_some())
    }

    /// Has the slot end a job; 1 when that was asked.
    fn cancel_running(&mut self, job_id: JobId, by: Arc<By>) -> u32 {
        // Nobody waits for this answer: whether the job has ended is looked at again.
        let Ok((reply, _)) = Door::new("forget", 1).enter() else {
            return 0;
        };
        let org = None;
        self.cancel_job(CancelJob {
            org,
            job_id,
            by,
            reply,
        });
        1
    }

    /// Refuses work for a host that was forgotten since it was looked up.
    pub(super) fn check_known(&self, host_id: HostId) -> Result<(), Refusal> {
        match self.ground.store.get(Table::Host, host_id.as_bytes())? {
            Some(_) => Ok(()),
            None => Err(Refusal::NotFound {
                what: "host",
                id: host_id.to_string(),
            }),
        }
    }
}

/// The agent of a forgotten host is told nothing any more, so nobody could release the host.
fn is_isolated(record: &HostRecord, isolation: &Isolation) -> Refusal {
    Refusal::Conflict {
        code: "isolated",
        detail: format!(
            "{} is isolated until {}, and nobody can end that from afar when it is forgotten; unisolate it first, or \
             forget it with force, which leaves it isolated until then",
            record.hostname, isolation.until
        ),
    }
}

fn stands_in_the_way(code: &'static str, record: &HostRecord, what: &str) -> Refusal {
    let HostRecord { hostname, .. } = record;
    Refusal::Conflict {
        code,
        detail: format!(
            "{hostname} has {what}; wait for their end, or forget it with force, which cancels and closes them"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Agent, Fixture, Setup, delete, eventually};
    use serde_json::json;
    use tripline_protocol::CommandId;

    /// A host with a job that runs.
    async fn busy_host(fixture: &Fixture) -> (HostId, Agent, CommandId) {
        let host_id = fixture.enrol("amelie").await.host_id;
        let mut agent = fixture.attach(host_id, "amelie").await;
        fixture.submit(host_id, vec![delete()]).await;
        let command_id = agent.command().await.command_id;
        (host_id, agent, command_id)
    }

    #[actix::test]
    async fn so_many_hosts_wait_to_be_forgotten_and_the_next_when_one_is() {
        let mut setup = Setup::default();
        setup.config.slots_total = u32::try_from(FORGETTING_MAX + 1).unwrap();
        let fixture = Fixture::start_with(setup);
        let forget = |host_id: HostId| {
            let core = fixture.core.clone();
            async move { core.forget_host(None, host_id.to_string(), true).await }
        };
        let mut waiting = Vec::new();
        for _ in 0..FORGETTING_MAX {
            let (host_id, mut agent, command_id) = busy_host(&fixture).await;
            let answer = actix::spawn(forget(host_id));
            assert_eq!(agent.cancel().await, command_id);
            waiting.push((agent, command_id, answer));
        }
        let (next, mut agent, command_id) = busy_host(&fixture).await;
        let refused = eventually("it is refused", || async { forget(next).await.err() }).await;
        assert_eq!(refused.code(), "busy");
        let (first, of_first, answer) = waiting.swap_remove(0);
        first.answer(of_first, json!({}));
        assert_eq!(answer.await.unwrap().unwrap().jobs_cancelled, 1);
        let answer = actix::spawn(forget(next));
        assert_eq!(agent.cancel().await, command_id, "it is not refused again");
        agent.answer(command_id, json!({}));
        assert_eq!(answer.await.unwrap().unwrap().host_id, next);
        assert!(waiting.iter().all(|(_, _, answer)| !answer.is_finished()));
    }
}

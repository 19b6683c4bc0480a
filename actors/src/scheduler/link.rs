//! A LittleBrother client's own record comes to stand for an agent's host: no job or session may be left behind at
//! it.

use super::messages::{HostLinked, LinkHost};
use super::{JobScheduler, NewJob};
use crate::directory::{JoinHosts, check_link};
use crate::fanout::News;
use crate::ground::read;
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::store::Table;
use actix::prelude::*;
use tripline_protocol::HostId;
use tripline_protocol::job::{Outcome, Reason};

impl Handler<LinkHost> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: LinkHost, _: &mut Self::Context) {
        match self.check_link(&message) {
            Err(refusal) => message.reply.send(Err(refusal)),
            Ok((host, client)) => self.directory.do_send(JoinHosts {
                host,
                client,
                by: message.by,
                reply: message.reply,
            }),
        }
    }
}

impl Handler<HostLinked> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: HostLinked, _: &mut Self::Context) {
        self.end_stranded(&message);
        self.end_stranded_sessions(message.client, &message.host.hostname);
        self.tell_news(message.client, News::Linked);
        self.dispatch();
    }
}

impl JobScheduler {
    fn check_link(&self, message: &LinkHost) -> Result<(HostId, HostId), Refusal> {
        let LinkHost {
            org, host, client, ..
        } = message;
        let (host, client) = check_link(&self.ground, org.as_ref(), host, client)?;
        if self.sessions.is_used(client) {
            return Err(Refusal::Conflict {
                code: "sessions_open",
                detail: format!(
                    "interactive sessions of client {client} are open; wait for them or close them"
                ),
            });
        }
        match self.state.host_open_len(client) {
            0 => Ok((host, client)),
            open => Err(Refusal::Conflict {
                code: "jobs_open",
                detail: format!(
                    "{open} jobs of client {client} have not ended; wait for them or cancel them"
                ),
            }),
        }
    }

    /// Ends what was accepted for the client's own record while it was being linked: nothing would reach it there.
    fn end_stranded(&mut self, linked: &HostLinked) {
        for job_id in self.state.waiting_of(linked.client) {
            match self.record_of(job_id) {
                Ok(Some(record)) => {
                    let name = &linked.host.hostname;
                    let text = format!("its host was linked to {name} while it waited; submit it again");
                    self.end(record, Outcome::Failed, Reason::new("host_linked", text));
                }
                Ok(None) => self.lose(job_id),
                Err(error) => tracing::error!(job = %job_id, %error, "a stranded job cannot be ended"),
            }
        }
    }

    /// A job that was decided before its host was linked goes to the host that reports as it now.
    pub(super) fn follow_link(&self, job: &mut NewJob) -> Result<(), Refusal> {
        let store = &self.ground.store;
        let Some(host_id) = crate::link::host_of(store, job.host.host_id)? else {
            return Ok(());
        };
        let record: Option<HostRecord> = read(store, Table::Host, host_id.as_bytes(), "host")?;
        if let Some(record) = record {
            job.host = record.to_ref();
        }
        Ok(())
    }
}

//! The server at one moment, for whoever watches it.

use super::Core;
use crate::access::Principal;
use crate::outbox::GetOutboxCounts;
use crate::refusal::Refusal;
use crate::scheduler::GetJobCounts;
use crate::store::Table;
use tripline_protocol::api::{BrokerState, HostCounts, StatusView};

impl Core {
    /// Everything at once, with what the edge knows of the broker. It shows all orgs: a token bound to one is refused.
    pub async fn status(&self, caller: &Principal, broker: BrokerState) -> Result<StatusView, Refusal> {
        caller.require_all_orgs("the server's status")?;
        let slots = self.slots().await?;
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.scheduler.do_send(GetJobCounts { reply });
        let jobs = answer.wait().await?;
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.outbox.do_send(GetOutboxCounts { reply });
        let outbox = answer.wait().await?;
        let readiness = self.readiness();
        let parts = [
            readiness.store,
            readiness.disk,
            readiness.outbox,
            readiness.actors,
        ];
        let draining = self.is_draining();
        Ok(StatusView {
            at: self.ground.now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.ground.started,
            ready: parts.into_iter().all(|part| part) && broker.connected && !draining,
            pause: self.pause_view().pause,
            draining,
            broker,
            slots,
            jobs,
            hosts: self.count_hosts()?,
            outbox,
            totals: self.ground.tally.totals(),
        })
    }

    fn count_hosts(&self) -> Result<HostCounts, Refusal> {
        Ok(HostCounts {
            total: self.ground.hosts.known(),
            attached: self.ground.attachments.len() as u64,
            silent: self.ground.store.count(Table::LbSilent)?,
        })
    }
}

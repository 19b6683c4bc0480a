//! Forgetting a host: everything that is kept about it goes, in one batch.
//!
//! Its Host actor lets go of it first, so that nothing writes the host again. Its open work has ended before, or ends
//! when the scheduler hears of it; ended jobs, sessions and their contents stay until they are pruned.

use super::Directory;
use crate::audit::By;
use crate::door::Reply;
use crate::ground::Ground;
use crate::host::HostCommand;
use crate::link;
use crate::record::{HostRecord, host_name_key};
use crate::refusal::Refusal;
use crate::router::HostBook;
use crate::scheduler::HostForgotten;
use crate::store::{Batch, Store, Table, key};
use actix::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::api::{ForgottenHost, HostChangeKind};
use tripline_protocol::audit::Action;
use tripline_protocol::{HostId, Org, Span};

/// Rows of a client's processes that are read at once.
const ROWS_PAGE: usize = 1_000;

/// Remove this host, whose work has ended; from the scheduler.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct RemoveHost {
    pub(crate) forgotten: ForgottenHost,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<ForgottenHost>,
}

/// A Host actor writes nothing more about its host, and leaves memory; from itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostLeft(pub(crate) HostId);

/// Hosts whose actors are leaving, and who waits for it.
pub(super) type Removing = HashMap<HostId, RemoveHost>;

/// The host that a person wants forgotten. Unlike elsewhere, a linked client does not stand for its host: forgetting
/// the one must not forget the other.
pub(crate) fn to_forget(ground: &Ground, org: Option<&Org>, name: &str) -> Result<HostRecord, Refusal> {
    let book = HostBook::new(&ground.store, &ground.attachments);
    let linked_to = |record: &HostRecord| link::host_of(&ground.store, record.host_id);
    let record = book.own(org, name, |record| !matches!(linked_to(record), Ok(Some(_))))?;
    match linked_to(&record)? {
        None => Ok(record),
        Some(host) => Err(Refusal::Conflict {
            code: "linked",
            detail: format!(
                "client {} is linked to host {host}; unlink it first, or forget that host",
                record.hostname
            ),
        }),
    }
}

impl Directory {
    /// Refuses whatever would bring a host into memory that is about to be forgotten.
    pub(super) fn check_stays(&self, host_id: HostId) -> Result<(), Refusal> {
        match self.removing.contains_key(&host_id) {
            false => Ok(()),
            true => Err(Refusal::Busy {
                what: "host, which is being forgotten,",
                retry_after: Span::from_secs(1),
            }),
        }
    }

    fn remove(&mut self, message: RemoveHost) {
        let host_id = message.forgotten.host_id;
        let moves = self.is_moving(host_id);
        if moves || self.closing.is_some() || self.removing.contains_key(&host_id) {
            return message.reply.send(Err(Refusal::Busy {
                what: "link",
                retry_after: Span::from_secs(1),
            }));
        }
        match self.active.get_mut(&host_id) {
            Some(active) => {
                active.forwarded += 1;
                active.address.do_send(HostCommand::Leave("forgotten"));
                self.removing.insert(host_id, message);
            }
            None => self.finish_removal(message),
        }
    }

    /// Nobody has the host in memory any more.
    pub(super) fn host_left(&mut self, host_id: HostId) {
        if let Some(removal) = self.removing.remove(&host_id) {
            self.leave(host_id);
            self.finish_removal(removal);
        }
    }

    fn finish_removal(&mut self, removal: RemoveHost) {
        let RemoveHost { forgotten, by, reply } = removal;
        match self.removal(forgotten.host_id) {
            Err(refusal) => reply.send(Err(refusal)),
            Ok(mut batch) => {
                let entry = self.ground.audit(Action::HostForget, &by, Some(&forgotten.org));
                let entry = entry
                    .on("host", forgotten.host_id)
                    .on("hostname", &forgotten.hostname);
                let entry = entry.detail("jobs_cancelled", forgotten.jobs_cancelled);
                let entry = entry.detail("sessions_closed", forgotten.sessions_closed);
                batch.audit(entry.detail("isolated_until", forgotten.isolated_until));
                tracing::warn!(host = %forgotten.host_id, hostname = %forgotten.hostname, "host forgotten");
                metrics::counter!("tripline_directory_hosts_forgotten_total").increment(1);
                self.ground
                    .store
                    .commit(batch, move || reply.send(Ok(forgotten.clone())));
            }
        }
    }

    fn removal(&mut self, host_id: HostId) -> Result<Batch, Refusal> {
        let record = self.known(host_id)?;
        let mut batch = Batch::new();
        let client = link::client_of(&self.ground.store, host_id)?;
        if let Some(client) = client {
            link::delete(&mut batch, host_id, client);
            self.linked.remove(&client);
        }
        let sensors = link::sensors_of(&self.ground.store, host_id)?;
        for sensor in &sensors {
            link::delete_sensor(&mut batch, host_id, *sensor);
            self.linked.remove(sensor);
        }
        delete_host(&self.ground.store, &record, &mut batch)?;
        self.presence.forget(host_id);
        self.ground.hosts.forgotten();
        self.ground.newcomers.gone(host_id);
        self.ground.attachments.end_all(host_id);
        self.tell_of(&record, HostChangeKind::Forgotten);
        for parted in client.into_iter().chain(sensors) {
            self.tell(parted, HostChangeKind::Unlinked);
        }
        self.scheduler.do_send(HostForgotten(host_id));
        Ok(batch)
    }
}

/// Everything that is kept of a host, apart from its link.
pub(super) fn delete_host(store: &Store, record: &HostRecord, batch: &mut Batch) -> Result<(), Refusal> {
    let id = record.host_id.as_bytes();
    for table in [
        Table::Host,
        Table::HostLabels,
        Table::LbHost,
        Table::LbAlive,
        Table::LbSilent,
    ] {
        batch.delete(table, id.to_vec());
    }
    batch.delete(Table::HostBySensor, record.sensor_id.to_be_bytes().to_vec());
    let name = host_name_key(&record.org, &record.hostname, Some(record.host_id));
    batch.delete(Table::HostByName, name);
    for key in record.keys() {
        batch.delete(Table::AgentKey, key::sha256(key));
    }
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.scan(Table::LbProcess, id, after.as_deref(), ROWS_PAGE)?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        rows.into_iter()
            .for_each(|(key, _)| batch.delete(Table::LbProcess, key));
    }
}

impl Handler<RemoveHost> for Directory {
    type Result = ();
    fn handle(&mut self, message: RemoveHost, _: &mut Self::Context) {
        self.remove(message);
    }
}

impl Handler<HostLeft> for Directory {
    type Result = ();
    fn handle(&mut self, HostLeft(host_id): HostLeft, _: &mut Self::Context) {
        self.host_left(host_id);
    }
}

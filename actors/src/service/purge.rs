//! What is kept of services that are no more, removed page by page. Until all of it is gone nobody has their name: a service
//! registered over the API is refused, the configuration waits.

use super::actor::Service;
use super::leftovers::count_left;
use super::messages::Configure;
use super::queue::Item;
use super::record::{DeliveryRecord, ServiceRecord, delivery_key, name_key, prefix, split};
use super::registry::Services;
use crate::ground::{Ground, decoded, read};
use crate::refusal::Refusal;
use crate::store::key::read_u64;
use crate::store::{Batch, Table};
use actix::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;
use tripline_protocol::Name;

/// The rows of a service, and how many are read and removed at once: some may be long.
const PAGES: [(Table, usize); 5] = [
    (Table::ServiceDelivery, 200),
    (Table::ServiceOrg, 200),
    (Table::ServiceJob, 4),
    (Table::ServiceResource, 1),
    (Table::ServiceRequest, 4),
];
/// Between two looks whether a service's actor has stopped.
const STOP_PAUSE: Duration = Duration::from_millis(1);

/// Services whose rows are being removed, one after the other.
#[derive(Default)]
pub(super) struct Purges {
    waiting: VecDeque<Purge>,
    is_going: bool,
    /// Wait until the names that they use are free.
    delayed: VecDeque<Configure>,
}

struct Purge {
    name: Name,
    /// It must not write any more.
    actor: Option<Addr<Service>>,
}

impl Purges {
    pub(super) fn has(&self, name: &Name) -> bool {
        self.waiting.iter().any(|purge| purge.name == *name)
    }

    fn delays(&self, configure: &Configure) -> bool {
        let mut services = configure.services.iter();
        services.any(|service| self.has(&service.spec.name))
    }
}

/// The next page; from the registry to itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct PurgePage;

impl Services {
    /// Removes all rows of a service from now on.
    pub(super) fn purge(&mut self, name: Name, actor: Option<Addr<Service>>) {
        if self.purges.has(&name) {
            return;
        }
        self.purges.waiting.push_back(Purge { name, actor });
        if !std::mem::replace(&mut self.purges.is_going, true) {
            self.me.do_send(PurgePage);
        }
    }

    /// Whether a configuration has to wait; it is gone on with later.
    pub(super) fn delay(&mut self, configure: Configure) -> Option<Configure> {
        let purges = &mut self.purges;
        if purges.delayed.is_empty() && !purges.delays(&configure) {
            return Some(configure);
        }
        purges.delayed.push_back(configure);
        None
    }

    fn purged(&mut self) {
        self.purges.waiting.pop_front();
        while let Some(configure) = self.purges.delayed.pop_front() {
            if self.purges.delays(&configure) {
                return self.purges.delayed.push_front(configure);
            }
            self.configured_anew(configure);
        }
    }

    /// Messages of a service that went while they were on their way.
    pub(super) fn discard(&self, name: &Name, queued: Vec<(u64, Item)>) {
        let mut batch = Batch::new();
        for (seq, _) in queued {
            let key = delivery_key(name, seq);
            let discarded = match self.ground.store.get(Table::ServiceDelivery, &key) {
                Ok(Some(value)) => purge_delivery(&self.ground, name, (&key, &value), &mut batch),
                Ok(None) => Ok(()),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = discarded {
                tracing::error!(service = %name, %error, "a message of a service that is gone stays behind");
            }
        }
        self.ground.store.commit(batch, || {});
    }
}

/// The next page of what is to go; `None`: there is no more.
fn page(ground: &Ground, name: &Name) -> Result<Option<Batch>, Refusal> {
    let mut batch = Batch::new();
    let store = &ground.store;
    let record: Option<ServiceRecord> = read(store, Table::Service, &name_key(name), "service")?;
    if let Some(mut record) = record.filter(|record| !record.leaving) {
        // Durable before anything goes: were it there again after a crash, what is left would not be its own.
        record.leaving = true;
        record.floor = ground.services.take_seq();
        record.put(&mut batch);
        return Ok(Some(batch));
    }
    let prefix = prefix(name);
    for (table, rows) in PAGES {
        for (key, value) in store.scan(table, &prefix, None, rows)? {
            if table == Table::ServiceDelivery {
                purge_delivery(ground, name, (&key, &value), &mut batch)?;
            }
            batch.delete(table, key);
        }
        if !batch.is_empty() {
            return Ok(Some(batch));
        }
    }
    Ok(None)
}

fn purge_delivery(
    ground: &Ground,
    name: &Name,
    (key, value): (&[u8], &[u8]),
    batch: &mut Batch,
) -> Result<(), Refusal> {
    let Some(seq) = split(key).and_then(|(_, seq)| read_u64(seq)) else {
        return Ok(());
    };
    let delivery: DeliveryRecord = decoded("message for a service", value)?;
    delivery.bury(&ground.store, batch, name, seq)?;
    count_left(name, 1);
    Ok(())
}

impl Handler<PurgePage> for Services {
    type Result = ();
    fn handle(&mut self, _: PurgePage, ctx: &mut Self::Context) {
        let Some(Purge { name, actor }) = self.purges.waiting.front() else {
            self.purges.is_going = false;
            return;
        };
        if actor.as_ref().is_some_and(Addr::connected) {
            ctx.notify_later(PurgePage, STOP_PAUSE);
            return;
        }
        let mut is_over = false;
        let batch = match page(&self.ground, name) {
            Ok(Some(batch)) => batch,
            Ok(None) => {
                let mut batch = Batch::new();
                batch.delete(Table::ServiceSecret, name_key(name));
                batch.delete(Table::Service, name_key(name));
                is_over = true;
                batch
            }
            Err(error) => {
                tracing::error!(service = %name, %error, "what is kept of a service cannot be removed");
                is_over = true;
                Batch::new()
            }
        };
        let me = ctx.address();
        self.ground.store.commit(batch, move || me.do_send(PurgePage));
        // Its name is free from here on: what is decided now comes after that batch.
        if is_over {
            self.purged();
        }
    }
}

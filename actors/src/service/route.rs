//! The router's side: an event's messages for services, in the event's batch.

use super::book::Entry;
use super::messages::{Deliveries, Queued};
use super::record::{Content, DeliveryRecord, EventRecord, Sensor};
use crate::ground::Ground;
use crate::ingest::Dead;
use crate::pipeline::HostFacts;
use crate::record::encode;
use crate::refusal::Refusal;
use crate::router::{HostBook, Hosts, Resolution};
use crate::store::{Batch, Table};
use std::sync::Arc;
use tripline_protocol::event::HostHint;
use tripline_protocol::limacharlie::ServiceEtype;
use tripline_protocol::{Event, EventKey, HostId, Timestamp};

/// The reason of an event for which a service has no room.
pub(crate) const NOT_TAKEN: &str = "service_queue_full";

/// An event that services are to get.
#[derive(Debug)]
pub(crate) struct Planned {
    /// Under which it was handled: a replay is another one.
    key: EventKey,
    etype: ServiceEtype,
    record: EventRecord,
    /// The host that its messages are kept in order for.
    sensor: Option<HostId>,
    services: Vec<Arc<Entry>>,
}

impl Planned {
    /// For these services.
    pub(crate) fn new(
        ground: &Ground,
        key: EventKey,
        event: &Event,
        (etype, services): (ServiceEtype, Vec<Arc<Entry>>),
    ) -> Result<Self, Refusal> {
        let book = HostBook::new(&ground.store, &ground.attachments);
        let known = match &event.host {
            Some(hint) => book.resolve(&event.org, hint)?,
            None => Resolution::Unknown,
        };
        let sensor = match known {
            Resolution::Found(record) => Some(Sensor::from(book.facts(&record)?)),
            Resolution::Unknown | Resolution::Ambiguous(_) => None,
        };
        Ok(Self {
            key,
            etype,
            sensor: sensor
                .as_ref()
                .map(|sensor| sensor.host_id)
                .or_else(|| named(event)),
            record: EventRecord {
                event: event.clone(),
                sensor,
            },
            services,
        })
    }

    /// Adds its messages to the batch. Those services that have no room become a dead letter.
    pub(crate) fn stage(
        self,
        ground: &Ground,
        now: Timestamp,
        batch: &mut Batch,
        deliveries: &mut Deliveries,
    ) -> Option<Dead> {
        let (ready, full): (Vec<_>, Vec<_>) = self.services.iter().partition(|entry| entry.take_place());
        if !ready.is_empty() {
            let key = self.key.as_bytes().to_vec();
            batch.put(Table::ServiceEvent, key, encode(&self.record));
        }
        for entry in ready {
            let service = &entry.spec.name;
            let delivery = self.delivery(entry, now);
            let seq = ground.services.take_seq();
            delivery.put(batch, service, seq);
            deliveries.queued.push(Queued {
                service: service.clone(),
                seq,
                item: delivery.item(),
            });
        }
        let full: Vec<&str> = full.iter().map(|entry| entry.spec.name.as_str()).collect();
        if full.is_empty() {
            return None;
        }
        for service in &full {
            let service = (*service).to_owned();
            metrics::counter!("tripline_service_queue_full_total", "service" => service).increment(1);
        }
        Some(Dead {
            reason: NOT_TAKEN,
            text: format!("too many messages wait for service {}", full.join(", ")),
        })
    }

    fn delivery(&self, entry: &Entry, now: Timestamp) -> DeliveryRecord {
        let of_org = self.etype.is_of_org();
        DeliveryRecord {
            mid: self.key.mid(&entry.spec.name, self.etype.as_str()),
            etype: self.etype,
            org: of_org.then(|| self.record.event.org.clone()),
            sensor: self.sensor.filter(|_| of_org),
            content: Content::Event(self.key),
            depth: 0,
            queued_at: now,
            attempts: 0,
            not_before: None,
        }
    }
}

/// The sensor that an event names, if it is none that is known here: its messages have an order all the same.
fn named(event: &Event) -> Option<HostId> {
    match event.host.as_ref()? {
        HostHint::HostId(host_id) => Some(*host_id),
        HostHint::Sid(text) => text.parse().ok(),
        HostHint::SensorId(_) | HostHint::Hostname(_) | HostHint::Subject(_) => None,
    }
}

impl From<HostFacts> for Sensor {
    fn from(facts: HostFacts) -> Self {
        Self {
            host_id: facts.host_id,
            hostname: facts.hostname,
            platform: facts.platform,
            arch: facts.arch,
            int_ip: facts.addresses.into_iter().next(),
            labels: facts.labels,
        }
    }
}

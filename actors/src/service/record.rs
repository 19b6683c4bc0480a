//! What is kept of services, and its keys.

use super::queue::{Item, Lane};
use crate::ground::{read, rows};
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::key::{Key, read_u64};
use crate::store::{Batch, Store, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tripline_protocol::api::{Installation, ServiceRequestView, ServiceSpec};
use tripline_protocol::limacharlie::{Mtd, ServiceEtype};
use tripline_protocol::{Event, EventKey, HostId, Name, Org, Sha256, Timestamp};
use uuid::Uuid;

/// A service, from its registration until it was told of the end of its last org.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceRecord {
    pub(crate) spec: ServiceSpec,
    /// The configuration registers it.
    pub(crate) configured: bool,
    /// It was removed, and is being told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) leaving: bool,
    /// What it said last that it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wants: Option<Mtd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) healthy_at: Option<Timestamp>,
    /// Messages up to this number are those of a service of this name that was removed.
    #[serde(default)]
    pub(crate) floor: u64,
}

impl ServiceRecord {
    /// A new one, to which messages up to number `floor` do not belong.
    pub(crate) fn new(spec: ServiceSpec, configured: bool, floor: u64) -> Self {
        Self {
            spec,
            configured,
            leaving: false,
            wants: None,
            healthy_at: None,
            floor,
        }
    }

    pub(crate) fn put(&self, batch: &mut Batch) {
        batch.put(Table::Service, name_key(&self.spec.name), encode(self));
    }

    pub(crate) fn listens_to(&self, etype: ServiceEtype) -> bool {
        let wants = self.wants.as_ref();
        wants.is_some_and(|wants| wants.callbacks.iter().any(|one| one == etype.as_str()))
    }
}

/// How far the subscription of an org is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrgRecord {
    pub(crate) state: Installation,
    /// Since when.
    pub(crate) at: Timestamp,
    /// When the present subscription began: tokens of one before are worth nothing.
    #[serde(default)]
    pub(crate) joined: Timestamp,
    /// Messages up to this number are those of an earlier subscription.
    #[serde(default)]
    pub(crate) floor: u64,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    /// An event, kept once for all services: the key under which it was handled.
    Event(EventKey),
    /// This.
    Data(Value),
    /// The request whose id is the message's.
    Request,
}

/// A message that waits for a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeliveryRecord {
    pub(crate) mid: Uuid,
    pub(crate) etype: ServiceEtype,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) org: Option<Org>,
    /// The sensor that it is kept in order for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sensor: Option<HostId>,
    pub(crate) content: Content,
    /// How deep [`Content::Data`] is; events and requests know that themselves.
    #[serde(default)]
    pub(crate) depth: u8,
    pub(crate) queued_at: Timestamp,
    #[serde(default)]
    pub(crate) attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_before: Option<Timestamp>,
}

impl DeliveryRecord {
    /// Its place in the queue.
    pub(crate) fn item(&self) -> Item {
        let lane = match (self.sensor, &self.org) {
            // People's requests have no order among each other, and do not wait for what fails.
            _ if self.content == Content::Request => Lane::Request(self.mid),
            (Some(sensor), _) => Lane::Sensor(sensor),
            (None, Some(org)) => Lane::Org(org.clone()),
            (None, None) => Lane::Service,
        };
        Item {
            lane,
            org: self.org.clone(),
            is_barrier: matches!(self.etype, ServiceEtype::OrgInstall | ServiceEtype::OrgUninstall),
            attempts: self.attempts,
            queued_at: self.queued_at,
            not_before: self.not_before.unwrap_or(self.queued_at),
        }
    }

    pub(crate) fn put(&self, batch: &mut Batch, service: &Name, seq: u64) {
        batch.put(Table::ServiceDelivery, delivery_key(service, seq), encode(self));
        if let Content::Event(key) = &self.content {
            batch.put(Table::ServiceEventUse, use_key(*key, service), Vec::new());
        }
    }

    /// Removes it, and its event when no other service waits for that. All that waits is written from one thread: what the
    /// store shows here is what was decided.
    pub(crate) fn bury(
        &self,
        store: &Store,
        batch: &mut Batch,
        service: &Name,
        seq: u64,
    ) -> Result<(), Refusal> {
        batch.delete(Table::ServiceDelivery, delivery_key(service, seq));
        if let Content::Event(key) = &self.content {
            let own = use_key(*key, service);
            let uses = store.scan(Table::ServiceEventUse, key.as_bytes(), None, 2)?;
            if uses.iter().all(|(used, _)| *used == own) {
                batch.delete(Table::ServiceEvent, key.as_bytes().to_vec());
            }
            batch.delete(Table::ServiceEventUse, own);
        }
        Ok(())
    }

    /// The event that it is about.
    pub(crate) fn event(&self, store: &Store) -> Result<Option<EventRecord>, Refusal> {
        match &self.content {
            Content::Event(key) => read(store, Table::ServiceEvent, key.as_bytes(), "event of a service"),
            Content::Data(_) | Content::Request => Ok(None),
        }
    }
}

/// An event for services, with what was known of its host when it was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventRecord {
    pub(crate) event: Event,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sensor: Option<Sensor>,
}

/// What services are told of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sensor {
    pub(crate) host_id: HostId,
    pub(crate) hostname: String,
    pub(crate) platform: String,
    pub(crate) arch: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) int_ip: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
}

/// Something that a service was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestRecord {
    #[serde(flatten)]
    pub(crate) view: ServiceRequestView,
    /// How deep who asked for it is.
    #[serde(default)]
    pub(crate) depth: u8,
}

/// The content of something that a service offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResourceRecord {
    pub(crate) hash: Sha256,
    pub(crate) res_cat: String,
    pub(crate) res_data: String,
    pub(crate) fetched_at: Timestamp,
}

pub(crate) fn name_key(service: &Name) -> Vec<u8> {
    service.as_str().as_bytes().to_vec()
}

/// Rows of a service begin with this where they have more than its name.
pub(crate) fn prefix(service: &Name) -> Vec<u8> {
    Key::new().text(service.as_str()).into()
}

pub(crate) fn delivery_key(service: &Name, seq: u64) -> Vec<u8> {
    Key::new().text(service.as_str()).u64(seq).into()
}

pub(crate) fn text_key(service: &Name, text: &str) -> Vec<u8> {
    Key::new().text(service.as_str()).bytes(text.as_bytes()).into()
}

pub(crate) fn request_key(service: &Name, id: Uuid) -> Vec<u8> {
    Key::new().text(service.as_str()).bytes(id.as_bytes()).into()
}

pub(crate) fn use_key(event: EventKey, service: &Name) -> Vec<u8> {
    Key::new()
        .bytes(event.as_bytes())
        .bytes(service.as_str().as_bytes())
        .into()
}

/// The number of the last message that ever was: those that wait, and those that are told of as of before.
pub(crate) fn last_seq(store: &Store) -> Result<u64, Refusal> {
    let mut last = 0;
    rows(store, Table::Service, "service", |_, record| {
        let record: ServiceRecord = record?;
        last = record.floor.max(last);
        Ok(())
    })?;
    rows(store, Table::ServiceOrg, "org of a service", |_, record| {
        let record: OrgRecord = record?;
        last = record.floor.max(last);
        Ok(())
    })?;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store.scan(Table::ServiceDelivery, &[], after.as_deref(), 1_000)?;
        let Some((key, _)) = page.last() else {
            return Ok(last);
        };
        after = Some(key.clone());
        let seqs = page.iter().filter_map(|(key, _)| read_u64(split(key)?.1));
        last = seqs.max().unwrap_or(0).max(last);
    }
}

/// The service of a row and what comes after it in the key.
pub(crate) fn split(key: &[u8]) -> Option<(Name, &[u8])> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let (name, rest) = key.split_at(end);
    let name = std::str::from_utf8(name).ok()?.parse().ok()?;
    Some((name, rest.get(1..)?))
}

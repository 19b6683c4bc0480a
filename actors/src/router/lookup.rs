//! Reading the hosts: by id, sensor id or name, within an org. Only the Directory writes them.

use crate::ground::{Attachments, read};
use crate::pipeline::HostFacts;
use crate::record::{HostRecord, host_name_key};
use crate::refusal::Refusal;
use crate::store::{Store, Table};
use tripline_protocol::event::HostHint;
use tripline_protocol::{HostId, Org};

/// What a name stands for.
#[derive(Debug)]
pub(crate) enum Resolution {
    Found(Box<HostRecord>),
    Unknown,
    Ambiguous(usize),
}

/// Reads hosts.
pub(crate) struct HostBook<'a> {
    store: &'a Store,
    attachments: &'a Attachments,
}

impl<'a> HostBook<'a> {
    pub(crate) fn new(store: &'a Store, attachments: &'a Attachments) -> Self {
        Self { store, attachments }
    }

    pub(crate) fn by_id(&self, host_id: HostId) -> Result<Option<HostRecord>, Refusal> {
        read(self.store, Table::Host, host_id.as_bytes(), "host")
    }

    fn by_sensor(&self, sensor_id: u32) -> Result<Option<HostRecord>, Refusal> {
        match self.store.get(Table::HostBySensor, &sensor_id.to_be_bytes())? {
            Some(id) => read(self.store, Table::Host, &id, "host"),
            None => Ok(None),
        }
    }

    /// A name may match several hosts of an org; names compare without case.
    fn by_name(&self, org: &Org, hostname: &str) -> Result<Resolution, Refusal> {
        let prefix = host_name_key(org, hostname, None);
        let found = self.store.scan(Table::HostByName, &prefix, None, 100)?;
        match found.as_slice() {
            [] => Ok(Resolution::Unknown),
            [(key, _)] => {
                let id = key.get(prefix.len()..).unwrap_or_default();
                let record: Option<HostRecord> = read(self.store, Table::Host, id, "host")?;
                Ok(record.map_or(Resolution::Unknown, |record| Resolution::Found(Box::new(record))))
            }
            several => Ok(Resolution::Ambiguous(several.len())),
        }
    }

    /// The host an event means. A host of another org does not exist for it.
    pub(crate) fn resolve(&self, org: &Org, hint: &HostHint) -> Result<Resolution, Refusal> {
        match hint {
            HostHint::HostId(host_id) => Ok(within(org, self.by_id(*host_id)?)),
            HostHint::SensorId(sensor_id) => Ok(within(org, self.by_sensor(*sensor_id)?)),
            HostHint::Hostname(name) => self.by_name(org, name),
            HostHint::Sid(text) => self.by_id_text(org, text),
            HostHint::Subject(text) => match self.by_id_text(org, text)? {
                Resolution::Unknown => self.by_name(org, text),
                found => Ok(found),
            },
        }
    }

    fn by_id_text(&self, org: &Org, text: &str) -> Result<Resolution, Refusal> {
        match text.parse() {
            Ok(host_id) => Ok(within(org, self.by_id(host_id)?)),
            Err(_) => Ok(Resolution::Unknown),
        }
    }

    /// The host a person means: an id, a sensor id, or a name. Without an org all orgs are searched by id
    /// and sensor id, and `default` by name.
    pub(crate) fn named(&self, org: Option<&Org>, name: &str) -> Result<HostRecord, Refusal> {
        let visible = |record: &HostRecord| org.is_none_or(|org| *org == record.org);
        let direct = match (name.parse::<HostId>(), name.parse::<u32>()) {
            (Ok(host_id), _) => self.by_id(host_id)?,
            (_, Ok(sensor_id)) => self.by_sensor(sensor_id)?,
            _ => None,
        };
        if let Some(record) = direct.filter(visible) {
            return Ok(record);
        }
        let default = Org::default_org();
        match self.by_name(org.unwrap_or(&default), name)? {
            Resolution::Found(record) => Ok(*record),
            Resolution::Unknown => Err(Refusal::NotFound {
                what: "host",
                id: name.chars().take(80).collect(),
            }),
            Resolution::Ambiguous(count) => Err(Refusal::AmbiguousHost {
                name: name.chars().take(80).collect(),
                count,
            }),
        }
    }

    pub(crate) fn facts(&self, record: &HostRecord) -> HostFacts {
        HostFacts {
            host_id: record.host_id,
            hostname: record.hostname.clone(),
            platform: record.platform.clone(),
            arch: record.arch.clone(),
            os_version: record.os_version.clone(),
            labels: record.labels.clone(),
            addresses: record.addresses.clone(),
            attached: self.attachments.get(record.host_id).is_some(),
        }
    }
}

fn within(org: &Org, record: Option<HostRecord>) -> Resolution {
    match record {
        Some(record) if record.org == *org => Resolution::Found(Box::new(record)),
        _ => Resolution::Unknown,
    }
}

//! Reading the hosts: by id, sensor id or name, within an org. Only the Directory and the hosts write them.
//!
//! What is found by a LittleBrother client's own record is the host it is linked to, if an administrator linked
//! it. Only [`HostBook::own`] finds the record itself.

use crate::ground::{Attachments, read};
use crate::labels;
use crate::link;
use crate::pipeline::HostFacts;
use crate::record::{HostRecord, host_name_key};
use crate::refusal::Refusal;
use crate::store::{Store, Table};
use tripline_protocol::event::HostHint;
use tripline_protocol::{HostId, Org};
use uuid::Uuid;

/// Hosts of one name that are looked at.
pub(super) const NAMESAKES_MAX: usize = 100;

/// What a name stands for.
#[derive(Debug)]
pub(crate) enum Resolution {
    Found(Box<HostRecord>),
    Unknown,
    Ambiguous(usize),
}

/// Where a decision finds hosts.
pub(crate) trait Hosts {
    /// The host an event means. A host of another org does not exist for it.
    fn resolve(&self, org: &Org, hint: &HostHint) -> Result<Resolution, Refusal>;

    /// What conditions and templates know of it.
    fn facts(&self, record: &HostRecord) -> Result<HostFacts, Refusal>;
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
        self.follow(self.record(host_id.as_bytes())?)
    }

    fn record(&self, id: &[u8]) -> Result<Option<HostRecord>, Refusal> {
        read(self.store, Table::Host, id, "host")
    }

    /// The host that the own record of a linked LittleBrother client or LimaCharlie sensor stands for; any other record
    /// itself.
    fn follow(&self, record: Option<HostRecord>) -> Result<Option<HostRecord>, Refusal> {
        let Some(record) = record else {
            return Ok(None);
        };
        if record.has_agent() {
            return Ok(Some(record));
        }
        match link::host_of(self.store, record.host_id)? {
            None => Ok(Some(record)),
            Some(host_id) => Ok(self.record(host_id.as_bytes())?.or(Some(record))),
        }
    }

    fn by_sensor(&self, sensor_id: u32) -> Result<Option<HostRecord>, Refusal> {
        self.follow(self.record_of_sensor(sensor_id)?)
    }

    fn record_of_sensor(&self, sensor_id: u32) -> Result<Option<HostRecord>, Refusal> {
        match self.store.get(Table::HostBySensor, &sensor_id.to_be_bytes())? {
            Some(id) => self.record(&id),
            None => Ok(None),
        }
    }

    /// A name may match several hosts of an org; names compare without case. A host and the client it is linked
    /// to are one.
    fn by_name(&self, org: &Org, hostname: &str) -> Result<Resolution, Refusal> {
        let mut found: Vec<HostRecord> = Vec::new();
        for record in self.records_of_name(org, hostname)? {
            let known = |record: &HostRecord| found.iter().any(|other| other.host_id == record.host_id);
            found.extend(self.follow(Some(record))?.filter(|record| !known(record)));
        }
        Ok(only(found))
    }

    fn records_of_name(&self, org: &Org, hostname: &str) -> Result<Vec<HostRecord>, Refusal> {
        let prefix = host_name_key(org, hostname, None);
        let mut records = Vec::new();
        for (key, _) in self.store.scan(Table::HostByName, &prefix, None, NAMESAKES_MAX)? {
            records.extend(self.record(key.get(prefix.len()..).unwrap_or_default())?);
        }
        Ok(records)
    }

    fn by_id_text(&self, org: &Org, text: &str) -> Result<Resolution, Refusal> {
        match text.parse() {
            Ok(host_id) => Ok(within(org, self.by_id(host_id)?)),
            Err(_) => Ok(Resolution::Unknown),
        }
    }

    /// The host that LimaCharlie calls so.
    fn by_sid(&self, org: &Org, text: &str) -> Result<Resolution, Refusal> {
        let record = self.follow(self.sensor(Some(org), text)?)?;
        Ok(within(org, record))
    }

    /// The own record of the sensor that LimaCharlie calls so; without an org that of any it has subscribed.
    fn sensor(&self, org: Option<&Org>, text: &str) -> Result<Option<HostRecord>, Refusal> {
        let Ok(sid) = Uuid::parse_str(text) else {
            return Ok(None);
        };
        let of = |org: &Org| self.record(HostId::derive_limacharlie(org, sid).as_bytes());
        if let Some(org) = org {
            return of(org);
        }
        for org in crate::limacharlie::orgs(self.store)? {
            if let Some(record) = of(&org)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The host a person means: an id, a sensor id, LimaCharlie's id, or a name. Without an org all orgs are searched by
    /// ids, and `default` by name.
    pub(crate) fn named(&self, org: Option<&Org>, name: &str) -> Result<HostRecord, Refusal> {
        let visible = |record: &HostRecord| org.is_none_or(|org| *org == record.org);
        let direct = self.follow(self.direct(name)?)?;
        if let Some(record) = direct.filter(visible) {
            return Ok(record);
        }
        if let Some(record) = self.follow(self.sensor(org, name)?)?.filter(visible) {
            return Ok(record);
        }
        let default = Org::default_org();
        chosen(self.by_name(org.unwrap_or(&default), name)?, name)
    }

    fn direct(&self, name: &str) -> Result<Option<HostRecord>, Refusal> {
        match (name.parse::<HostId>(), name.parse::<u32>()) {
            (Ok(host_id), _) => self.record(host_id.as_bytes()),
            (_, Ok(sensor_id)) => self.record_of_sensor(sensor_id),
            _ => Ok(None),
        }
    }

    /// The record itself that a person means, without following links; of several with a name, that for which
    /// `wanted` holds.
    pub(crate) fn own(
        &self,
        org: Option<&Org>,
        name: &str,
        wanted: impl Fn(&HostRecord) -> bool,
    ) -> Result<HostRecord, Refusal> {
        let visible = |record: &HostRecord| org.is_none_or(|org| *org == record.org);
        if let Some(record) = self.direct(name)?.filter(visible) {
            return Ok(record);
        }
        if let Some(record) = self.sensor(org, name)? {
            return Ok(record);
        }
        let default = Org::default_org();
        let mut found = self.records_of_name(org.unwrap_or(&default), name)?;
        if found.len() > 1 {
            found.retain(wanted);
        }
        chosen(only(found), name)
    }
}

impl Hosts for HostBook<'_> {
    fn resolve(&self, org: &Org, hint: &HostHint) -> Result<Resolution, Refusal> {
        match hint {
            HostHint::HostId(host_id) => Ok(within(org, self.by_id(*host_id)?)),
            HostHint::SensorId(sensor_id) => Ok(within(org, self.by_sensor(*sensor_id)?)),
            HostHint::Hostname(name) => self.by_name(org, name),
            HostHint::Sid(text) => match self.by_id_text(org, text)? {
                Resolution::Unknown => self.by_sid(org, text),
                found => Ok(found),
            },
            HostHint::Subject(text) => match self.by_id_text(org, text)? {
                Resolution::Unknown => self.by_name(org, text),
                found => Ok(found),
            },
        }
    }

    fn facts(&self, record: &HostRecord) -> Result<HostFacts, Refusal> {
        Ok(HostFacts {
            host_id: record.host_id,
            hostname: record.hostname.clone(),
            platform: record.platform.clone(),
            arch: record.arch.clone(),
            os_version: record.os_version.clone(),
            labels: labels::all(self.store, record)?,
            addresses: record.addresses.clone(),
            attached: self.attachments.get(record.host_id).is_some(),
        })
    }
}

fn only(mut found: Vec<HostRecord>) -> Resolution {
    match (found.pop(), found.len()) {
        (None, _) => Resolution::Unknown,
        (Some(record), 0) => Resolution::Found(Box::new(record)),
        (Some(_), others) => Resolution::Ambiguous(others + 1),
    }
}

fn chosen(resolution: Resolution, name: &str) -> Result<HostRecord, Refusal> {
    let name = || name.chars().take(80).collect();
    match resolution {
        Resolution::Found(record) => Ok(*record),
        Resolution::Unknown => Err(Refusal::NotFound {
            what: "host",
            id: name(),
        }),
        Resolution::Ambiguous(count) => Err(Refusal::AmbiguousHost { name: name(), count }),
    }
}

fn within(org: &Org, record: Option<HostRecord>) -> Resolution {
    match record {
        Some(record) if record.org == *org => Resolution::Found(Box::new(record)),
        _ => Resolution::Unknown,
    }
}

//! The one host that an event of a trial may mean, found as the host book finds those of the store.

use crate::pipeline::{GivenHost, HostFacts};
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::router::{Hosts, Resolution};
use tripline_protocol::event::HostHint;
use tripline_protocol::{HostId, Org, Timestamp};

pub(super) struct OneHost<'a>(pub(super) Option<&'a GivenHost>);

impl Hosts for OneHost<'_> {
    fn resolve(&self, org: &Org, hint: &HostHint) -> Result<Resolution, Refusal> {
        let found = self.0.filter(|host| host.org == *org && is_meant(host, hint));
        Ok(found.map_or(Resolution::Unknown, |host| {
            Resolution::Found(Box::new(record(host)))
        }))
    }

    fn facts(&self, _: &HostRecord) -> Result<HostFacts, Refusal> {
        let host = self.0.ok_or(Refusal::Unavailable {
            detail: "there is no host",
        })?;
        Ok(host.facts.clone())
    }
}

fn is_meant(host: &GivenHost, hint: &HostHint) -> bool {
    let is_id = |text: &str| text.parse::<HostId>() == Ok(host.facts.host_id);
    let is_name = |text: &str| text.to_lowercase() == host.facts.hostname.to_lowercase();
    match hint {
        HostHint::HostId(id) => *id == host.facts.host_id,
        HostHint::SensorId(id) => *id == host.sensor_id,
        HostHint::Sid(text) => is_id(text),
        HostHint::Hostname(text) => is_name(text),
        HostHint::Subject(text) => is_id(text) || is_name(text),
    }
}

fn record(host: &GivenHost) -> HostRecord {
    let GivenHost {
        facts,
        org,
        sensor_id,
        ..
    } = host;
    HostRecord {
        host_id: facts.host_id,
        sensor_id: *sensor_id,
        org: org.clone(),
        hostname: facts.hostname.clone(),
        platform: facts.platform.clone(),
        arch: facts.arch.clone(),
        os_version: facts.os_version.clone(),
        addresses: facts.addresses.clone(),
        agent_version: String::new(),
        labels: facts.labels.clone(),
        install_id: None,
        key_sha256: None,
        next_key_sha256: None,
        rotation_asked_at: None,
        cloned: None,
        epoch: 0,
        isolation: None,
        limacharlie: None,
        created_at: Timestamp::from_micros(0),
        last_seen_at: Timestamp::from_micros(0),
    }
}

//! Enrolment: what it checks and what it writes; and what every new host is written with.

use super::addresses;
use crate::access::{self, AgentKeyRecord};
use crate::audit::By;
use crate::ground::{Ground, read};
use crate::host::event_message;
use crate::outbox::{Outgoing, stage};
use crate::record::{HostRecord, encode, host_name_key, meta};
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table, key};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use tripline_protocol::api::{Enrol, Enrolled};
use tripline_protocol::audit::Action;
use tripline_protocol::event::HostHint;
use tripline_protocol::frame::Hello;
use tripline_protocol::limit::LABELS_MAX;
use tripline_protocol::{Attestation, Etype, Event, EventKey, HostId, Label, Org, Sha256};

/// Longest host name taken, in bytes.
const HOSTNAME_BYTES_MAX: usize = 255;
/// Most addresses taken.
const ADDRESSES_MAX: usize = 64;
/// Longest address taken, in bytes.
const ADDRESS_BYTES_MAX: usize = 64;
/// Longest name of a platform or a processor taken, in bytes.
const WORD_BYTES_MAX: usize = 32;

/// Longest description of the system or the agent taken, in bytes.
const VERSION_BYTES_MAX: usize = 256;

fn check(request: &Enrol) -> Result<(), Refusal> {
    let Enrol {
        hostname,
        addresses,
        platform,
        arch,
        ..
    } = request;
    check_facts("bad_enrolment", hostname, addresses, [platform, arch])
}

/// What an agent says of its host later is bounded as at its enrolment.
pub(super) fn check_hello(hello: &Hello) -> Result<(), Refusal> {
    let words = [&hello.platform, &hello.arch];
    check_facts("bad_hello", &hello.hostname, &hello.addresses, words)?;
    let is_label = |text: &String| text.parse::<Label>().is_ok();
    if hello.labels.len() > LABELS_MAX || !hello.labels.iter().all(is_label) {
        return Err(Refusal::Invalid {
            code: "bad_hello",
            detail: format!("at most {LABELS_MAX} labels of 64 letters, digits and . _ : / = - are taken"),
        });
    }
    let versions = [&hello.os_version, &hello.agent_version];
    if versions.iter().any(|text| !is_plain(text, VERSION_BYTES_MAX)) {
        return Err(Refusal::Invalid {
            code: "bad_hello",
            detail: "os_version and agent_version are at most 256 bytes without control characters".into(),
        });
    }
    Ok(())
}

/// Whether it is short, and shows as it is in a terminal and in a log.
fn is_plain(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.chars().any(char::is_control)
}

fn check_facts(
    code: &'static str,
    name: &str,
    addresses: &[String],
    words: [&String; 2],
) -> Result<(), Refusal> {
    let invalid = |detail: &str| {
        Err(Refusal::Invalid {
            code,
            detail: detail.into(),
        })
    };
    if name.is_empty() || name.len() > HOSTNAME_BYTES_MAX || name.chars().any(char::is_control) {
        return invalid("hostname must be 1 to 255 bytes without control characters");
    }
    if addresses.len() > ADDRESSES_MAX || addresses.iter().any(|a| !is_plain(a, ADDRESS_BYTES_MAX)) {
        return invalid("at most 64 addresses of at most 64 bytes without control characters are taken");
    }
    if words.iter().any(|word| !is_plain(word, WORD_BYTES_MAX)) {
        return invalid("platform and arch are at most 32 bytes without control characters");
    }
    Ok(())
}

/// Enrols an agent. Repeating it with the same key gives the same host and takes no further use of the token.
pub(super) fn enrol(
    ground: &Ground,
    sensors: &mut Sensors,
    token_id: &str,
    request: Enrol,
    by: &By,
) -> Result<(Batch, Vec<Outgoing>, Enrolled), Refusal> {
    check(&request)?;
    ground.admit()?;
    let now = ground.now();
    let token = access::enrol_token(&ground.store, token_id, now)?;
    let org = token.org.unwrap_or_else(Org::default_org);
    let host_id = HostId::derive(&org, request.install_id);
    let known: Option<HostRecord> = read(&ground.store, Table::Host, host_id.as_bytes(), "host")?;
    if let Some(record) = known {
        return again(&request, record);
    }
    refuse_known_key(ground, &request.key_sha256)?;
    ground.hosts.admit()?;
    let mut batch = Batch::new();
    access::take_use(&ground.store, &mut batch, token_id, now)?;
    let record = HostRecord {
        host_id,
        sensor_id: sensors.next(&ground.store)?,
        org: org.clone(),
        hostname: request.hostname,
        platform: request.platform,
        arch: request.arch,
        os_version: String::new(),
        addresses: request.addresses,
        agent_version: String::new(),
        labels: Vec::new(),
        install_id: Some(request.install_id),
        key_sha256: Some(request.key_sha256.clone()),
        next_key_sha256: None,
        rotation_asked_at: None,
        cloned: None,
        epoch: 0,
        isolation: None,
        limacharlie: None,
        created_at: now,
        last_seen_at: now,
    };
    access::put_key(
        &mut batch,
        &request.key_sha256,
        &AgentKeyRecord::new(host_id, now),
    )?;
    let outgoing = put_new_host(ground, &record, peer(by), &mut batch);
    let entry = ground
        .audit(Action::HostEnrol, by, Some(&org))
        .host(&record.to_ref());
    batch.audit(
        entry
            .on("key", &request.key_sha256)
            .on("token", token_id)
            .detail("sensor_id", record.sensor_id),
    );
    tracing::info!(host = %host_id, hostname = %record.hostname, org = %org, "host enrolled");
    Ok((batch, outgoing, enrolled(&record)))
}

/// The address of whoever asks, if their edge knows it.
fn peer(by: &By) -> Option<IpAddr> {
    let address = by.from.as_ref()?.address.as_ref()?;
    let peer = address.parse::<SocketAddr>().map(|peer| peer.ip());
    peer.or_else(|_| address.parse()).ok()
}

/// A key speaks for one host, for ever: nobody takes it over by enrolling with its hash.
fn refuse_known_key(ground: &Ground, key: &Sha256) -> Result<(), Refusal> {
    match ground.store.get(Table::AgentKey, &key::sha256(key))? {
        None => Ok(()),
        Some(_) => Err(Refusal::Conflict {
            code: "key_in_use",
            detail: "this key was enrolled for another host; remove the agent's state directory".into(),
        }),
    }
}

fn enrolled(record: &HostRecord) -> Enrolled {
    Enrolled {
        host_id: record.host_id,
        sensor_id: record.sensor_id,
        org: record.org.clone(),
    }
}

/// An install id that is known keeps its host, and only its own key may speak for it.
fn again(request: &Enrol, record: HostRecord) -> Result<(Batch, Vec<Outgoing>, Enrolled), Refusal> {
    if record.key_sha256.as_ref() != Some(&request.key_sha256) {
        return Err(Refusal::Conflict {
            code: "already_enrolled",
            detail: format!(
                "host {} is enrolled with another key; remove the agent's state directory to enrol it as a \
                 new host",
                record.host_id
            ),
        });
    }
    Ok((Batch::new(), Vec::new(), enrolled(&record)))
}

/// The numbers of hosts, given once each. One that was given to a host which never was stored is left out.
#[derive(Debug, Default)]
pub(super) struct Sensors {
    last: u32,
}

impl Sensors {
    /// The next number. New clients are stored by their Host actors, in any order, so that what the store says was
    /// given last may be less than what was.
    pub(super) fn next(&mut self, store: &Store) -> Result<u32, Refusal> {
        let told: Option<u32> = read(store, Table::Meta, meta::SENSOR_ID, "sensor id")?;
        let rows = store.scan_back(Table::HostBySensor, &[], None, 1)?;
        let highest = rows.first().and_then(|(key, _)| key::read_u32(key));
        self.last = self.last.max(told.unwrap_or(0)).max(highest.unwrap_or(0)) + 1;
        Ok(self.last)
    }
}

/// Adds a new host with its indexes and `new_sensor`.
///
/// `peer` is the address from which it came, if that is known.
pub(crate) fn put_new_host(
    ground: &Ground,
    record: &HostRecord,
    peer: Option<IpAddr>,
    batch: &mut Batch,
) -> Vec<Outgoing> {
    put_host(ground, record, batch);
    let event = new_sensor(ground, record, peer);
    let staged = event.map(|event| stage(&ground.load, batch, event_message(ground, &event)));
    staged.into_iter().collect()
}

/// Adds a new host with its indexes; of a sensor of LimaCharlie, whose events are LimaCharlie's.
pub(super) fn put_host(ground: &Ground, record: &HostRecord, batch: &mut Batch) {
    ground.hosts.added();
    ground.newcomers.come(record.host_id, &record.org);
    record.put(batch);
    put_name(batch, record, None);
    batch.put(
        Table::HostBySensor,
        record.sensor_id.to_be_bytes().to_vec(),
        record.host_id.as_bytes().to_vec(),
    );
    batch.put(Table::Meta, meta::SENSOR_ID.to_vec(), encode(&record.sensor_id));
}

/// Writes the index by name, and removes an older name.
pub(crate) fn put_name(batch: &mut Batch, record: &HostRecord, old: Option<&str>) {
    if let Some(old) = old {
        batch.delete(
            Table::HostByName,
            host_name_key(&record.org, old, Some(record.host_id)),
        );
    }
    let key = host_name_key(&record.org, &record.hostname, Some(record.host_id));
    batch.put(Table::HostByName, key, Vec::new());
}

/// A new host is an event, attested by whoever speaks for it. LimaCharlie's name for it is kept for all kinds.
fn new_sensor(ground: &Ground, record: &HostRecord, peer: Option<IpAddr>) -> Option<Event> {
    let (speaker, attested_by) = match record.is_littlebrother() {
        true => ("littlebrother", Attestation::Littlebrother),
        false => ("agent", Attestation::Agent),
    };
    let source = format!("{speaker}/{}", record.host_id);
    // A host that was forgotten and comes again has another number: it is another event.
    let id = format!("new_sensor/{}", record.sensor_id);
    Some(Event {
        key: EventKey::derive(&record.org, &source, &id),
        etype: "new_sensor".parse::<Etype>().ok()?,
        id,
        org: record.org.clone(),
        source,
        host: Some(HostHint::HostId(record.host_id)),
        time: ground.now(),
        data: json!({
            "host_id": record.host_id,
            "sensor_id": record.sensor_id,
            "hostname": record.hostname,
            "platform": record.platform,
            "arch": record.arch,
            "addresses": record.addresses,
            // As LimaCharlie's services read it.
            "sid": record.host_id,
            "architecture": record.arch,
            "ext_ip": addresses::external(&record.addresses, peer),
            "int_ip": addresses::internal(&record.addresses),
        }),
        attested_by,
        depth: 0,
        traceparent: None,
    })
}

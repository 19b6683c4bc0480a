//! Hosts, their keys, LittleBrother clients and labels.

use super::{Look, id};
use crate::access::AgentKeyRecord;
use crate::host::littlebrother::{Key, Process, Saved};
use crate::record::{HostRecord, host_name_key};
use crate::store::{Error, Table, key};
use std::collections::BTreeSet;
use tripline_protocol::Label;

pub(super) fn host(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let Some(record) = look.decode::<HostRecord>(value) else {
        return Ok(());
    };
    let id = record.host_id.as_bytes();
    if !look.expect(key == id, "it is another host than its key says") {
        return Ok(());
    }
    let sensor_id = record.sensor_id.to_be_bytes().to_vec();
    look.implies(Table::HostBySensor, sensor_id, id.to_vec())?;
    let name = host_name_key(&record.org, &record.hostname, Some(record.host_id));
    look.implies(Table::HostByName, name, Vec::new())?;
    if let Some(sha256) = &record.key_sha256
        && look.value(Table::AgentKey, &key::sha256(sha256))?.is_none()
    {
        // Not made again: it may have been revoked.
        look.lost("its agent's key is not there: the agent is refused until it enrols as a new host");
    }
    Ok(())
}

pub(super) fn host_by_sensor(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    if look.needs(Table::Host, value)? {
        let host: Option<HostRecord> = look.other(Table::Host, value)?;
        let same = host.is_none_or(|host| host.sensor_id.to_be_bytes() == key);
        look.expect(same, "its host has another sensor id");
    }
    Ok(())
}

pub(super) fn host_by_name(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    let Some(id) = key.last_chunk::<16>() else {
        look.wrong("its key has no host id");
        return Ok(());
    };
    if look.needs(Table::Host, id)? {
        let host: Option<HostRecord> = look.other(Table::Host, id)?;
        let same =
            host.is_none_or(|host| host_name_key(&host.org, &host.hostname, Some(host.host_id)) == key);
        look.expect(same, "its host has another name");
    }
    Ok(())
}

pub(super) fn agent_key(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(key.len() == 32, "its key is no SHA-256");
    if let Some(record) = look.decode::<AgentKeyRecord>(value)
        // A revoked key outlives its host, so that it stays known as such.
        && record.revoked_at.is_none()
    {
        look.needs(Table::Host, record.host_id.as_bytes())?;
    }
    Ok(())
}

pub(super) fn client(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let _: Option<Saved> = look.decode(value);
    look.needs(Table::Host, key).map(drop)
}

pub(super) fn process(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let _: Option<Process> = look.decode(value);
    let process = key.get(16..).and_then(Key::from_bytes);
    match id(key).filter(|_| process.is_some()) {
        Some(id) => look.needs(Table::LbHost, &id).map(drop),
        None => {
            look.wrong("its key is no host with a process");
            Ok(())
        }
    }
}

/// Links stand both ways.
pub(super) fn link(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let other = match key.split_first() {
        Some((b'c', id)) => Some((b'h', id)),
        Some((b'h', id)) => Some((b'c', id)),
        _ => None,
    };
    let Some((prefix, id)) = other.filter(|(_, id)| id.len() == 16 && value.len() == 16) else {
        look.wrong("it joins no two hosts");
        return Ok(());
    };
    if look.needs(Table::Host, id)? && look.needs(Table::Host, value)? {
        let back = [&[prefix], value].concat();
        look.implies(Table::LbLink, back, id.to_vec())?;
    }
    Ok(())
}

pub(super) fn presence(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    look.needs(Table::LbHost, key).map(drop)
}

pub(super) fn labels(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let _: Option<BTreeSet<Label>> = look.decode(value);
    look.needs(Table::Host, key).map(drop)
}

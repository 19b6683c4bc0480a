//! Which agent's host reports as which LittleBrother client, and is which sensor of LimaCharlie: an administrator joined the
//! two records.
//!
//! The client's or sensor's own record stays as it is and is found no more: its ids and name mean the host. A host has one
//! client at most, and as many sensors as somebody says. Only the Directory writes links. Deliberately not here: the checks before a link (`crate::directory`).

use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use std::collections::HashMap;
use tripline_protocol::HostId;
use uuid::Uuid;

/// Sensors that a host may be.
pub(crate) const SENSORS_MAX: usize = 16;
/// Prefix of the rows from a client's own record to its host.
const CLIENT: u8 = b'c';
/// Prefix of the rows from a host to its client's own record.
const HOST: u8 = b'h';

/// The host that reports as the client, or is the sensor, with this own record.
pub(crate) fn host_of(store: &Store, own: HostId) -> Result<Option<HostId>, Refusal> {
    match read(store, &key(CLIENT, own))? {
        Some(host) => Ok(Some(host)),
        None => of_sensor(store, own),
    }
}

/// The host that is the sensor with this own record.
fn of_sensor(store: &Store, sensor: HostId) -> Result<Option<HostId>, Refusal> {
    let stored = store.get(Table::LcLink, &key(CLIENT, sensor))?;
    stored.map(|stored| id(&stored)).transpose()
}

/// The own records of the sensors that this host is.
pub(crate) fn sensors_of(store: &Store, host: HostId) -> Result<Vec<HostId>, Refusal> {
    let prefix = key(HOST, host);
    let rows = store.scan(Table::LcLink, &prefix, None, SENSORS_MAX)?;
    rows.iter()
        .map(|(row, _)| id(row.get(prefix.len()..).unwrap_or_default()))
        .collect()
}

/// Joins a host and a sensor's own record, which is not joined.
pub(crate) fn put_sensor(batch: &mut Batch, host: HostId, sensor: HostId) {
    batch.put(Table::LcLink, key(CLIENT, sensor), host.as_bytes().to_vec());
    batch.put(Table::LcLink, pair(host, sensor), Vec::new());
}

/// Undoes [`put_sensor`].
pub(crate) fn delete_sensor(batch: &mut Batch, host: HostId, sensor: HostId) {
    batch.delete(Table::LcLink, key(CLIENT, sensor));
    batch.delete(Table::LcLink, pair(host, sensor));
}

fn pair(host: HostId, sensor: HostId) -> Vec<u8> {
    let mut row = key(HOST, host);
    row.extend_from_slice(sensor.as_bytes());
    row
}

/// The own record of the client that this host reports as.
pub(crate) fn client_of(store: &Store, host: HostId) -> Result<Option<HostId>, Refusal> {
    read(store, &key(HOST, host))
}

/// All links: from the client's or sensor's own record to the host.
pub(crate) fn all(store: &Store) -> Result<HashMap<HostId, HostId>, Refusal> {
    let mut links = HashMap::new();
    for table in [Table::LbLink, Table::LcLink] {
        add_all(store, table, &mut links)?;
    }
    Ok(links)
}

fn add_all(store: &Store, table: Table, links: &mut HashMap<HostId, HostId>) -> Result<(), Refusal> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store.scan(table, &[CLIENT], after.as_deref(), 1000)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for (key, host) in &page {
            links.insert(id(key.get(1..).unwrap_or_default())?, id(host)?);
        }
    }
}

/// Joins a host and a client's own record, neither of which is joined.
pub(crate) fn put(batch: &mut Batch, host: HostId, client: HostId) {
    batch.put(Table::LbLink, key(CLIENT, client), host.as_bytes().to_vec());
    batch.put(Table::LbLink, key(HOST, host), client.as_bytes().to_vec());
}

/// Undoes [`put`].
pub(crate) fn delete(batch: &mut Batch, host: HostId, client: HostId) {
    batch.delete(Table::LbLink, key(CLIENT, client));
    batch.delete(Table::LbLink, key(HOST, host));
}

fn key(prefix: u8, host_id: HostId) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.push(prefix);
    key.extend_from_slice(host_id.as_bytes());
    key
}

fn read(store: &Store, key: &[u8]) -> Result<Option<HostId>, Refusal> {
    store
        .get(Table::LbLink, key)?
        .map(|stored| id(&stored))
        .transpose()
}

fn id(bytes: &[u8]) -> Result<HostId, Refusal> {
    let unreadable = |_| Refusal::Unavailable {
        detail: "a stored record is unreadable",
    };
    Uuid::from_slice(bytes).map(HostId).map_err(unreadable)
}

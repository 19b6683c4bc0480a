//! Which agent's host reports as which LittleBrother client: an administrator joined the two records.
//!
//! The client's own record stays as it is and is found no more: its id, sensor id and name mean the host. Only
//! the Directory writes links. Deliberately not here: the checks before a link (`crate::directory`).

use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use std::collections::HashMap;
use tripline_protocol::HostId;
use uuid::Uuid;

/// Prefix of the rows from a client's own record to its host.
const CLIENT: u8 = b'c';
/// Prefix of the rows from a host to its client's own record.
const HOST: u8 = b'h';

/// The host that reports as the client with this own record.
pub(crate) fn host_of(store: &Store, client: HostId) -> Result<Option<HostId>, Refusal> {
    read(store, &key(CLIENT, client))
}

/// The own record of the client that this host reports as.
pub(crate) fn client_of(store: &Store, host: HostId) -> Result<Option<HostId>, Refusal> {
    read(store, &key(HOST, host))
}

/// All links: from the client's own record to the host.
pub(crate) fn all(store: &Store) -> Result<HashMap<HostId, HostId>, Refusal> {
    let mut links = HashMap::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store.scan(Table::LbLink, &[CLIENT], after.as_deref(), 1000)?;
        let Some((last, _)) = page.last() else {
            return Ok(links);
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

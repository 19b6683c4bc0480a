//! Agents' keys: which host a key belongs to. The server knows keys by their SHA-256 only.

use super::record::{decode, encode};
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table, key};
use serde::{Deserialize, Serialize};
use tripline_protocol::{HostId, Sha256, Timestamp};

/// An agent's key as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentKeyRecord {
    /// Its host.
    pub host_id: HostId,
    /// When it was enrolled.
    pub created_at: Timestamp,
    /// When it was revoked; a revoked key stays, so that it is known as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// When it last opened a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// From which address that connection came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_from: Option<String>,
    /// The version of the agent that opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
}

impl AgentKeyRecord {
    /// A key that was never used.
    pub fn new(host_id: HostId, created_at: Timestamp) -> Self {
        Self {
            host_id,
            created_at,
            revoked_at: None,
            last_used_at: None,
            last_used_from: None,
            agent_version: None,
        }
    }
}

/// Adds a host's key to the batch that enrols it.
pub fn put_key(batch: &mut Batch, key: &Sha256, record: &AgentKeyRecord) -> Result<(), Refusal> {
    batch.put(Table::AgentKey, key::sha256(key), encode(record)?);
    Ok(())
}

/// Adds to the batch that `key` is valid no longer.
pub fn revoke_key(store: &Store, batch: &mut Batch, key: &Sha256, now: Timestamp) -> Result<(), Refusal> {
    let record = read(store, key)?.ok_or_else(|| Refusal::NotFound {
        what: "key",
        id: key.to_string(),
    })?;
    let revoked_at = record.revoked_at.or(Some(now));
    put_key(batch, key, &AgentKeyRecord { revoked_at, ..record })
}

/// The host whose agent has the key with this hash; `None` when it is unknown or revoked.
pub fn host_of_key(store: &Store, key: &Sha256) -> Result<Option<HostId>, Refusal> {
    let record = read(store, key)?.filter(|record| record.revoked_at.is_none());
    Ok(record.map(|record| record.host_id))
}

/// At most `limit` keys, revoked ones included, by their hash, after the hash `after`.
pub fn agent_keys(
    store: &Store,
    after: Option<&Sha256>,
    limit: usize,
) -> Result<Vec<(Sha256, AgentKeyRecord)>, Refusal> {
    let after = after.map(key::sha256);
    let rows = store.scan(
        Table::AgentKey,
        b"",
        after.as_ref().map(<[u8; 32]>::as_slice),
        limit,
    )?;
    let keys = rows
        .iter()
        .filter_map(|(key, value)| Some((key.first_chunk::<32>()?, value)));
    keys.map(|(key, value)| Ok((Sha256::from_digest(key), decode(value)?)))
        .collect()
}

/// What is stored of a key; `None` when it is unknown.
pub(crate) fn read(store: &Store, key: &Sha256) -> Result<Option<AgentKeyRecord>, Refusal> {
    store
        .get(Table::AgentKey, &key::sha256(key))?
        .map(|value| decode(&value))
        .transpose()
}

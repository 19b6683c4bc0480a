//! Hosts as administrators manage them, as the edges reach them.

use super::Core;
use crate::directory::{ListKeys, RevokeKey, RotateKey};
use crate::refusal::Refusal;
use crate::scheduler::ForgetHost;
use std::net::IpAddr;
use tripline_protocol::api::{ForgottenHost, HostView, KeyView, Page};
use tripline_protocol::{Org, Sha256};

/// What an agent's connection came with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presented {
    /// SHA-256 of its key; `None` stands for the host's present one.
    pub key_sha256: Option<Sha256>,
    /// The address of the agent's end.
    pub address: Option<IpAddr>,
}

/// Which keys to list, by their hashes.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    /// Only of hosts of this org.
    pub org: Option<Org>,
    /// Only of this host, by its id, sensor id or name.
    pub host: Option<String>,
    /// Only after the key that `Page::next` named.
    pub after: Option<String>,
    /// At most this many, 1 to 1000.
    pub limit: usize,
}

impl Core {
    /// Forgets a host, by its id, sensor id or name: its record, key, labels and link, in one batch. Its agent is told
    /// so and refused from then on; a LittleBrother client that reports again is a new host. Ended jobs and sessions
    /// stay until they are pruned.
    ///
    /// Open jobs and sessions are in the way (`Conflict`: `jobs_open`, `sessions_open`); with `force` they are cancelled
    /// and closed first, and it returns when they have ended, as they do within seconds. Refuses with `NotFound`,
    /// `AmbiguousHost`, `Conflict` (`linked`: it is a client that is linked to a host), and `Busy`.
    pub async fn forget_host(
        &self,
        org: Option<Org>,
        name: String,
        force: bool,
    ) -> Result<ForgottenHost, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.scheduler.do_send(ForgetHost {
            org,
            name,
            force,
            by: self.on_record(),
            reply,
        });
        answer.wait().await
    }

    /// Ends the validity of a host's agent keys, by the host's id, sensor id or name; its connection is closed.
    pub async fn revoke_agent_key(&self, org: Option<Org>, name: String) -> Result<HostView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.directory.do_send(RevokeKey {
            org,
            name,
            by: self.on_record(),
            reply,
        });
        answer.wait().await
    }

    /// Asks a host's agent to replace its key; one that is not attached is asked when it is. That it is asked is
    /// durable when this returns. Refuses with `NotFound`, and `Conflict` (`no_agent`, `key_revoked`).
    pub async fn rotate_agent_key(&self, org: Option<Org>, name: String) -> Result<Page<KeyView>, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.directory.do_send(RotateKey {
            org: org.clone(),
            name: name.clone(),
            by: self.on_record(),
            reply,
        });
        answer.wait().await?;
        let host = Some(name);
        self.list_agent_keys(KeyFilter {
            org,
            host,
            ..KeyFilter::default()
        })
        .await
    }

    /// Many agents' keys. As with hosts, a page may have fewer than `limit` while there are more. Refuses with
    /// `NotFound` and `Invalid` (`bad_cursor`).
    pub async fn list_agent_keys(&self, filter: KeyFilter) -> Result<Page<KeyView>, Refusal> {
        let KeyFilter {
            org,
            host,
            after,
            limit,
        } = filter;
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.directory.do_send(ListKeys {
            org,
            host,
            after,
            limit,
            reply,
        });
        answer.wait().await
    }
}

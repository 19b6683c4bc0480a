//! LittleBrother clients: whose message it is, their own records, and who was not heard of for too long.

use super::Directory;
use crate::door::Reply;
use crate::ground::read;
use crate::host::littlebrother::Saved;
use crate::host::{Client, HostCommand};
use crate::link;
use crate::littlebrother::{Answer, Settings};
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::store::Table;
use actix::prelude::*;
use std::time::Duration;
use tripline_protocol::api::LittlebrotherView;
use tripline_protocol::littlebrother::ClientMessage;
use tripline_protocol::{HostId, Span, Timestamp};
use uuid::Uuid;

/// How often silence is looked at.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// Hosts asked at once whether they are silent: after a restart all may be.
const SUSPECTS_MAX: usize = 200;
/// The platform of a client's own record: there are no others.
const PLATFORM: &str = "linux";

/// A LittleBrother client's message; from its edge, which checked the secret. Refuses with `Busy` and
/// `Unavailable`, and changes nothing then.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct FromClient {
    pub(crate) message: ClientMessage,
    pub(crate) reply: Reply<Answer>,
}

/// A client is there, or an agent's watcher sent something; from its Host actor.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ClientHeard(pub(crate) HostId);

/// A client is silent, and that is written down; from its Host actor.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ClientSilent(pub(crate) HostId);

/// The LittleBrother settings are others since then; from whoever changed them.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct LittlebrotherChanged(pub(crate) Timestamp);

impl Directory {
    /// Reads which clients are believed alive, and which are linked. Their silence counts from now on.
    pub(super) fn load_clients(&mut self) -> Result<(), Refusal> {
        let now = self.ground.now();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self
                .ground
                .store
                .scan(Table::LbAlive, &[], after.as_deref(), 10_000)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            let ids = page.iter().filter_map(|(key, _)| Uuid::from_slice(key).ok());
            ids.for_each(|id| self.presence.heard(HostId(id), now));
        }
        self.linked = link::all(&self.ground.store)?;
        self.serves = self.ground.littlebrother.load().is_some();
        Ok(())
    }

    /// The host that reports as this client.
    pub(super) fn host_of(&self, client: HostId) -> HostId {
        self.linked.get(&client).copied().unwrap_or(client)
    }

    fn hear_from_client(&mut self, message: FromClient, ctx: &Context<Self>) {
        let FromClient { message, reply } = message;
        match self.seat_client(&message, ctx) {
            Err(refusal) => {
                metrics::counter!("tripline_littlebrother_refused_total").increment(1);
                reply.send(Err(refusal));
            }
            Ok((client, host_id)) => {
                self.presence.heard(client, self.ground.now());
                let Some(active) = self.active.get_mut(&host_id) else {
                    return;
                };
                active.forwarded += 1;
                active.address.do_send(HostCommand::FromClient { message, reply });
            }
        }
    }

    /// Sees to it that the host of a message is in memory; one that is new is not stored before its message is.
    fn seat_client(
        &mut self,
        message: &ClientMessage,
        ctx: &Context<Self>,
    ) -> Result<(HostId, HostId), Refusal> {
        if let Some(detail) = self.closing {
            return Err(Refusal::Unavailable { detail });
        }
        let settings = self.ground.littlebrother.load_full();
        let settings = settings.ok_or(Refusal::Unavailable {
            detail: "LittleBrother clients are not served",
        })?;
        let client = HostId::derive_littlebrother(&settings.org, &message.hostname);
        self.presence.refused(client, self.ground.now());
        self.ground.admit()?;
        if self.moving.contains_key(&client) {
            return Err(Refusal::Busy {
                what: "link",
                retry_after: Span::from_secs(1),
            });
        }
        let host_id = self.host_of(client);
        self.check_stays(host_id)?;
        if !self.active.contains_key(&host_id) {
            let (record, client) = match self.record(host_id)? {
                Some(record) => {
                    let client = self.client_of(&record)?;
                    (record, client)
                }
                None => {
                    self.ground.hosts.admit()?;
                    let record = self.new_client(client, &settings, &message.hostname)?;
                    (record.clone(), Some(Client::new(record)))
                }
            };
            self.seat(record, client, ctx);
        }
        Ok((client, host_id))
    }

    fn new_client(
        &mut self,
        host_id: HostId,
        settings: &Settings,
        hostname: &str,
    ) -> Result<HostRecord, Refusal> {
        let now = self.ground.now();
        Ok(HostRecord {
            host_id,
            sensor_id: self.sensors.next(&self.ground.store)?,
            org: settings.org.clone(),
            hostname: hostname.to_owned(),
            platform: PLATFORM.to_owned(),
            arch: String::new(),
            os_version: String::new(),
            addresses: Vec::new(),
            agent_version: String::new(),
            labels: Vec::new(),
            install_id: None,
            key_sha256: None,
            next_key_sha256: None,
            rotation_asked_at: None,
            cloned: None,
            epoch: 0,
            isolation: None,
            limacharlie: None,
            created_at: now,
            last_seen_at: now,
        })
    }

    /// What the topology shows of a host: the client it reports as, else its agent's watcher.
    pub(super) fn client_view(&self, record: &HostRecord) -> Option<LittlebrotherView> {
        let linked = || link::client_of(&self.ground.store, record.host_id).ok().flatten();
        let client = if record.is_littlebrother() { None } else { linked() };
        let own = client.unwrap_or(record.host_id);
        let now = self.ground.now();
        self.ground.clients.view(own, now).or_else(|| {
            let saved: Option<Saved> =
                read(&self.ground.store, Table::LbHost, own.as_bytes(), "client").ok()?;
            saved?.view(own, now)
        })
    }

    /// Asks those that were not heard of for too long whether they are silent.
    pub(super) fn look_for_silence(&mut self, ctx: &Context<Self>) {
        metrics::gauge!("tripline_littlebrother_clients").set(self.presence.len() as f64);
        let now = self.ground.now();
        let limit = match self.ground.littlebrother.load().as_ref() {
            Some(settings) => settings.maximum_time_without_send,
            // Who is not served is not called silent.
            None => return,
        };
        for (client, since) in self.presence.suspects(limit, now, SUSPECTS_MAX) {
            if self.moving.contains_key(&client) {
                continue;
            }
            let host_id = self.host_of(client);
            if let Err(refusal) = self.forward(host_id, HostCommand::Silence { client, since }, ctx) {
                // Its first message was refused, and it never came again.
                tracing::debug!(host = %host_id, %refusal, "a client that is not known is heard of no more");
                self.presence.forget(client);
            }
        }
    }

    /// Everybody in memory looks at the settings anew. Who was not served was not silent.
    fn settings_changed(&mut self, at: Timestamp) {
        let serves = self.ground.littlebrother.load().is_some();
        if serves && !self.serves {
            self.presence.restart(at);
        }
        self.serves = serves;
        for active in self.active.values_mut() {
            active.forwarded += 1;
            active.address.do_send(HostCommand::Reconfigured);
        }
    }
}

impl Handler<FromClient> for Directory {
    type Result = ();
    fn handle(&mut self, message: FromClient, ctx: &mut Self::Context) {
        self.hear_from_client(message, ctx);
    }
}

impl Handler<ClientHeard> for Directory {
    type Result = ();
    fn handle(&mut self, ClientHeard(client): ClientHeard, _: &mut Self::Context) {
        self.presence.heard(client, self.ground.now());
    }
}

impl Handler<ClientSilent> for Directory {
    type Result = ();
    fn handle(&mut self, ClientSilent(client): ClientSilent, _: &mut Self::Context) {
        self.presence.forget(client);
        // After a restart many may have been read only to be called silent: they leave memory at once.
        if let Some(active) = self.active.get(&self.host_of(client)) {
            let forwarded = active.forwarded;
            active.address.do_send(HostCommand::PassivateIfIdle { forwarded });
        }
    }
}

impl Handler<LittlebrotherChanged> for Directory {
    type Result = ();
    fn handle(&mut self, LittlebrotherChanged(at): LittlebrotherChanged, _: &mut Self::Context) {
        self.settings_changed(at);
    }
}

//! Joining an agent's host and a LittleBrother client, and parting them again.
//!
//! While the client goes from one Host actor to the other, its messages are refused: it sends them again. The rows
//! that join the two are written when the actor that had the client has let it go.

use super::Directory;
use super::sensors::own_sensor;
use crate::audit::By;
use crate::door::Reply;
use crate::ground::Ground;
use crate::host::HostCommand;
use crate::link;
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::router::HostBook;
use crate::scheduler::HostLinked;
use crate::store::Batch;
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::api::{HostChangeKind, HostView};
use tripline_protocol::audit::Action;
use tripline_protocol::{HostId, Org, Span};

/// Join these two, which were checked; from the scheduler, which knows that the client's own record has no job.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct JoinHosts {
    pub(crate) host: HostId,
    pub(crate) client: HostId,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<HostView>,
}

/// Part a host from the client it reports as; from the API. Refuses with `NotFound` and `Conflict`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct UnlinkHost {
    pub(crate) org: Option<Org>,
    pub(crate) name: String,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<HostView>,
}

/// A client was let go; from the Host actor that had it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ClientLeft {
    pub(crate) client: HostId,
}

/// A client on its way from one Host actor to another.
#[derive(Debug)]
pub(super) struct Move {
    host: HostId,
    joins: bool,
    by: Arc<By>,
    reply: Reply<HostView>,
}

impl Move {
    /// The actor that has the client still.
    fn holder(&self, client: HostId) -> HostId {
        if self.joins { client } else { self.host }
    }
}

fn conflict(code: &'static str, detail: String) -> Refusal {
    Refusal::Conflict { code, detail }
}

/// The host and the client that a person means, if they can be joined.
pub(crate) fn check_link(
    ground: &Ground,
    org: Option<&Org>,
    host: &str,
    client: &str,
) -> Result<(HostId, HostId), Refusal> {
    let book = HostBook::new(&ground.store, &ground.attachments);
    let host = book.own(org, host, HostRecord::has_agent)?;
    let client = book.own(org, client, |record| !record.has_agent())?;
    let (HostRecord { hostname, .. }, name) = (&host, &client.hostname);
    if !host.has_agent() {
        let detail = format!("{hostname} has no agent; only an agent's host can be linked to a client");
        return Err(conflict("no_agent", detail));
    }
    if client.has_agent() {
        let detail = format!(
            "{name} has an agent; only the own record of a LittleBrother client or of a LimaCharlie sensor can be linked"
        );
        return Err(conflict("not_littlebrother", detail));
    }
    if host.org != client.org {
        let detail = format!("{hostname} and {name} are of different orgs");
        return Err(conflict("other_org", detail));
    }
    refuse_linked(ground, host.host_id, &client)?;
    Ok((host.host_id, client.host_id))
}

fn refuse_linked(ground: &Ground, host: HostId, own: &HostRecord) -> Result<(), Refusal> {
    let client = own.host_id;
    if let Some(other) = link::host_of(&ground.store, client)? {
        let detail = format!("client {client} is linked to host {other}; unlink it first");
        return Err(conflict("already_linked", detail));
    }
    if own.is_limacharlie() {
        let sensors = link::sensors_of(&ground.store, host)?.len();
        if sensors >= link::SENSORS_MAX {
            let detail =
                format!("host {host} is linked to {sensors} sensors already; unlink one of them first");
            return Err(conflict("already_linked", detail));
        }
        return Ok(());
    }
    if let Some(other) = link::client_of(&ground.store, host)? {
        let detail = format!("host {host} is linked to client {other}; unlink it first");
        return Err(conflict("already_linked", detail));
    }
    Ok(())
}

impl Directory {
    /// Whether a host or client is about to be joined or parted.
    pub(super) fn is_moving(&self, host_id: HostId) -> bool {
        let moves = |(client, known): (&HostId, &Move)| *client == host_id || known.host == host_id;
        self.moving.iter().any(moves)
    }

    fn begin_move(&mut self, client: HostId, moved: Move) {
        let busy = self.is_moving(client) || self.is_moving(moved.host);
        let leaves = self.removing.contains_key(&client) || self.removing.contains_key(&moved.host);
        if busy || leaves || self.closing.is_some() {
            return moved.reply.send(Err(Refusal::Busy {
                what: "link",
                retry_after: Span::from_secs(1),
            }));
        }
        // Nobody has a sensor: it sends nothing by itself.
        let is_held = !matches!(self.is_sensor(client), Ok(true));
        let holder = self.active.get_mut(&moved.holder(client)).filter(|_| is_held);
        match holder {
            Some(active) => {
                active.forwarded += 1;
                active.address.do_send(HostCommand::LetGo { client });
                self.moving.insert(client, moved);
            }
            None => self.finish_move(client, moved),
        }
    }

    /// Nobody has the client any more: the rows decide who has it next.
    fn finish_move(&mut self, client: HostId, moved: Move) {
        let Move {
            host,
            joins,
            by,
            reply,
        } = moved;
        let changed = if joins {
            self.join(host, client)
        } else {
            self.part(host, client)
        };
        let answer = changed.and_then(|mut batch| {
            let record = self.known(host)?;
            let action = if joins {
                Action::HostLink
            } else {
                Action::HostUnlink
            };
            let entry = self.ground.audit(action, &by, Some(&record.org));
            let kind = if self.is_sensor(client)? {
                "limacharlie"
            } else {
                "littlebrother"
            };
            batch.audit(entry.host(&record.to_ref()).on(kind, client));
            self.ground.store.commit(batch, || {});
            let change = if joins {
                HostChangeKind::Linked
            } else {
                HostChangeKind::Unlinked
            };
            self.tell_of(&record, change);
            self.tell(client, change);
            self.view(&record)
        });
        self.ground.after_commit(move || reply.send(answer));
    }

    fn is_sensor(&self, own: HostId) -> Result<bool, Refusal> {
        Ok(self.record(own)?.is_some_and(|record| record.is_limacharlie()))
    }

    fn join(&mut self, host: HostId, client: HostId) -> Result<Batch, Refusal> {
        let (target, record) = (self.known(host)?, self.known(client)?);
        refuse_linked(&self.ground, host, &record)?;
        tracing::warn!(%host, %client, hostname = %record.hostname, "host linked");
        let mut batch = Batch::new();
        if record.is_limacharlie() {
            link::put_sensor(&mut batch, host, client);
        } else {
            link::put(&mut batch, host, client);
            if let Some(active) = self.active.get_mut(&host) {
                active.forwarded += 1;
                active.address.do_send(HostCommand::Link(Box::new(record)));
            }
        }
        self.linked.insert(client, host);
        self.scheduler.do_send(HostLinked {
            client,
            host: target.to_ref(),
        });
        Ok(batch)
    }

    fn part(&mut self, host: HostId, client: HostId) -> Result<Batch, Refusal> {
        tracing::warn!(%host, %client, "host no longer linked");
        let mut batch = Batch::new();
        match self.is_sensor(client)? {
            true => link::delete_sensor(&mut batch, host, client),
            false => link::delete(&mut batch, host, client),
        }
        self.linked.remove(&client);
        Ok(batch)
    }

    fn unlink(&mut self, message: UnlinkHost) {
        let UnlinkHost { org, name, by, reply } = message;
        match self.linked_host(org.as_ref(), &name) {
            Err(refusal) => reply.send(Err(refusal)),
            Ok((host, client)) => self.begin_move(
                client,
                Move {
                    host,
                    joins: false,
                    by,
                    reply,
                },
            ),
        }
    }

    /// The host and whom it is to be parted from: the sensor that was named, else its LittleBrother client, else its only sensor.
    fn linked_host(&self, org: Option<&Org>, name: &str) -> Result<(HostId, HostId), Refusal> {
        let store = &self.ground.store;
        if let Ok(Some(sensor)) = own_sensor(&self.book(), org, name)
            && let Some(host) = link::host_of(store, sensor.host_id)?
        {
            return Ok((host, sensor.host_id));
        }
        let record = self.book().named(org, name)?;
        if let Some(client) = link::client_of(store, record.host_id)? {
            return Ok((record.host_id, client));
        }
        match link::sensors_of(store, record.host_id)?.as_slice() {
            [sensor] => Ok((record.host_id, *sensor)),
            [] => {
                let detail = format!(
                    "{} is linked to no LittleBrother client or LimaCharlie sensor",
                    record.hostname
                );
                Err(conflict("not_linked", detail))
            }
            sensors => {
                let detail = format!(
                    "{} is linked to {} sensors; name one",
                    record.hostname,
                    sensors.len()
                );
                Err(conflict("ambiguous_link", detail))
            }
        }
    }

    /// A Host actor is gone, whatever the reason: who waits for it to let a client go goes on.
    pub(super) fn holder_gone(&mut self, host_id: HostId) {
        let held = |(client, moved): (&HostId, &Move)| (moved.holder(*client) == host_id).then_some(*client);
        if let Some(client) = self.moving.iter().find_map(held) {
            self.client_left(client);
        }
    }

    fn client_left(&mut self, client: HostId) {
        if let Some(moved) = self.moving.remove(&client) {
            if moved.joins {
                self.leave(client);
            }
            self.finish_move(client, moved);
        }
    }
}

impl Handler<JoinHosts> for Directory {
    type Result = ();
    fn handle(&mut self, message: JoinHosts, _: &mut Self::Context) {
        let JoinHosts {
            host,
            client,
            by,
            reply,
        } = message;
        let joins = true;
        self.begin_move(
            client,
            Move {
                host,
                joins,
                by,
                reply,
            },
        );
    }
}

impl Handler<UnlinkHost> for Directory {
    type Result = ();
    fn handle(&mut self, message: UnlinkHost, _: &mut Self::Context) {
        self.unlink(message);
    }
}

impl Handler<ClientLeft> for Directory {
    type Result = ();
    fn handle(&mut self, ClientLeft { client }: ClientLeft, _: &mut Self::Context) {
        self.client_left(client);
    }
}

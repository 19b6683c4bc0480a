//! Joining an agent's host and a LittleBrother client, and parting them again.
//!
//! While the client goes from one Host actor to the other, its messages are refused: it sends them again. The rows
//! that join the two are written when the actor that had the client has let it go.

use super::Directory;
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
    let host = book.own(org, host, |record| !record.is_littlebrother())?;
    let client = book.own(org, client, HostRecord::is_littlebrother)?;
    let (HostRecord { hostname, .. }, name) = (&host, &client.hostname);
    if host.is_littlebrother() {
        let detail = format!("{hostname} has no agent; only an agent's host can be linked to a client");
        return Err(conflict("no_agent", detail));
    }
    if !client.is_littlebrother() {
        let detail = format!("{name} has an agent; only a LittleBrother client's own record can be linked");
        return Err(conflict("not_littlebrother", detail));
    }
    if host.org != client.org {
        let detail = format!("{hostname} and {name} are of different orgs");
        return Err(conflict("other_org", detail));
    }
    refuse_linked(ground, host.host_id, client.host_id)?;
    Ok((host.host_id, client.host_id))
}

fn refuse_linked(ground: &Ground, host: HostId, client: HostId) -> Result<(), Refusal> {
    if let Some(other) = link::host_of(&ground.store, client)? {
        let detail = format!("client {client} is linked to host {other}; unlink it first");
        return Err(conflict("already_linked", detail));
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
        let holder = self.active.get_mut(&moved.holder(client));
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
            batch.audit(entry.host(&record.to_ref()).on("littlebrother", client));
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

    fn join(&mut self, host: HostId, client: HostId) -> Result<Batch, Refusal> {
        refuse_linked(&self.ground, host, client)?;
        let (target, record) = (self.known(host)?, self.known(client)?);
        tracing::warn!(%host, %client, hostname = %record.hostname, "host linked to a LittleBrother client");
        if let Some(active) = self.active.get_mut(&host) {
            active.forwarded += 1;
            active.address.do_send(HostCommand::Link(Box::new(record)));
        }
        let mut batch = Batch::new();
        link::put(&mut batch, host, client);
        self.linked.insert(client, host);
        self.scheduler.do_send(HostLinked {
            client,
            host: target.to_ref(),
        });
        Ok(batch)
    }

    fn part(&mut self, host: HostId, client: HostId) -> Result<Batch, Refusal> {
        tracing::warn!(%host, %client, "host no longer linked to a LittleBrother client");
        let mut batch = Batch::new();
        link::delete(&mut batch, host, client);
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

    fn linked_host(&self, org: Option<&Org>, name: &str) -> Result<(HostId, HostId), Refusal> {
        let record = self.book().named(org, name)?;
        let client = link::client_of(&self.ground.store, record.host_id)?;
        let client = client.ok_or_else(|| {
            let detail = format!("{} is linked to no LittleBrother client", record.hostname);
            conflict("not_linked", detail)
        })?;
        Ok((record.host_id, client))
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

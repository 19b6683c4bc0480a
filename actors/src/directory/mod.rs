//! Directory: knows every host, and which of them are in memory.
//!
//! Whoever wants a host tells the Directory, which activates it on demand and forwards in order. Idle,
//! detached hosts leave memory: a known host costs disk. It also enrols: one batch makes the host, its key, its
//! names, takes a use of the enrolment token and emits `new_sensor`. It knows which LittleBrother clients are
//! believed alive, with one timer for all, and joins them with agents' hosts.

mod addresses;
mod changes;
mod clients;
mod count;
mod enrol;
mod find;
mod forget;
mod keys;
mod label;
mod link;
mod list;
mod presence;
mod sensors;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use changes::HostChanged;
pub(crate) use clients::{ClientHeard, ClientSilent, FromClient, LittlebrotherChanged};
pub(crate) use count::HostCount;
pub(crate) use enrol::{put_name, put_new_host};
pub(crate) use find::{FindHosts, LookAtHost};
pub(crate) use forget::{HostLeft, RemoveHost, to_forget};
pub(crate) use keys::{ListKeys, RevokeKey, RotateKey};
pub(crate) use label::LabelHost;
pub(crate) use link::{ClientLeft, JoinHosts, UnlinkHost, check_link};
pub(crate) use list::ListHosts;

use crate::audit::By;
use crate::core::{AttachAgent, Attached};
use crate::door::Reply;
use crate::ground::{Ground, read};
use crate::guardian::{Sentinel, retires};
use crate::host::{Attach, Client, Host, HostCommand, Stop};
use crate::labels;
use crate::outbox::Outbox;
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::router::HostBook;
use crate::scheduler::{HostDetached, HostDiffers, JobScheduler};
use crate::slot::{HostRestarted, SessionSlot};
use crate::store::Table;
use actix::prelude::*;
use enrol::Sensors;
use link::Move;
use presence::Presence;
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::api::{AttachmentView, Enrol, Enrolled, HostChangeKind, HostView};
use tripline_protocol::{HostId, Org};

/// For a host, through the Directory; from slots and the scheduler.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ToHost {
    pub(crate) host_id: HostId,
    pub(crate) command: HostCommand,
}

/// An agent says hello; from the agent channel. Refuses with `NotFound`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct AttachTo {
    pub(crate) request: AttachAgent,
    pub(crate) reply: Reply<Attached>,
}

/// An agent enrols; from the API. Refuses with `Forbidden`, or `Conflict` for a known install id with another key.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct EnrolAgent {
    pub(crate) token_id: String,
    pub(crate) request: Enrol,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<Enrolled>,
}

/// One host by id, sensor id or name; from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetHost {
    pub(crate) org: Option<Org>,
    pub(crate) name: String,
    pub(crate) reply: Reply<HostView>,
}

/// A Host actor died by a panic; from what remains of it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostDied(pub(crate) HostId);

/// A host could leave memory, if nothing was forwarded to it since; from the host.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostIdle {
    pub(crate) host_id: HostId,
    pub(crate) forwarded: u64,
}

/// All agents are to be told why, and go; at the end of the server.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct CloseAll(pub(crate) &'static str);

struct Active {
    address: Addr<Host>,
    forwarded: u64,
}

/// The actor.
pub(crate) struct Directory {
    ground: Arc<Ground>,
    active: HashMap<HostId, Active>,
    scheduler: Addr<JobScheduler>,
    outbox: Addr<Outbox>,
    slots: Vec<Addr<SessionSlot>>,
    sensors: Sensors,
    /// LittleBrother clients believed alive.
    presence: Presence,
    /// LittleBrother clients that are linked, and the hosts that report as them.
    linked: HashMap<HostId, HostId>,
    /// Clients that go from one Host actor to another.
    moving: HashMap<HostId, Move>,
    /// Hosts that are about to be forgotten.
    removing: forget::Removing,
    /// Whether LittleBrother clients are served.
    serves: bool,
    closing: Option<&'static str>,
    sentinel: Sentinel,
}

retires!(Directory);

impl Directory {
    /// Reads what is to be known of all LittleBrother clients.
    pub(crate) fn load(
        ground: Arc<Ground>,
        scheduler: Addr<JobScheduler>,
        outbox: Addr<Outbox>,
        slots: Vec<Addr<SessionSlot>>,
        sentinel: Sentinel,
    ) -> Result<Self, Refusal> {
        let mut directory = Self {
            ground,
            active: HashMap::new(),
            scheduler,
            outbox,
            slots,
            sensors: Sensors::default(),
            presence: Presence::default(),
            linked: HashMap::new(),
            moving: HashMap::new(),
            removing: forget::Removing::new(),
            serves: false,
            closing: None,
            sentinel,
        };
        directory.ground.hosts.restart(&directory.ground.store)?;
        directory.load_clients()?;
        Ok(directory)
    }

    fn book(&self) -> HostBook<'_> {
        HostBook::new(&self.ground.store, &self.ground.attachments)
    }

    fn record(&self, host_id: HostId) -> Result<Option<HostRecord>, Refusal> {
        read(&self.ground.store, Table::Host, host_id.as_bytes(), "host")
    }

    /// The record of a host that must be there.
    fn known(&self, host_id: HostId) -> Result<HostRecord, Refusal> {
        self.record(host_id)?.ok_or_else(|| Refusal::NotFound {
            what: "host",
            id: host_id.to_string(),
        })
    }

    /// The host's actor, made if it is not in memory.
    fn activate(&mut self, host_id: HostId, ctx: &Context<Self>) -> Result<&mut Active, Refusal> {
        self.check_stays(host_id)?;
        if !self.active.contains_key(&host_id) {
            let record = self.known(host_id)?;
            let client = self.client_of(&record)?;
            self.seat(record, client, ctx);
        }
        self.active.get_mut(&host_id).ok_or(Refusal::Unavailable {
            detail: "a host could not be activated",
        })
    }

    /// The LittleBrother client that a host reports as.
    fn client_of(&self, record: &HostRecord) -> Result<Option<Client>, Refusal> {
        if record.is_littlebrother() {
            return Ok(Some(Client::known(record.clone())));
        }
        match crate::link::client_of(&self.ground.store, record.host_id)? {
            Some(client) => Ok(Some(Client::known(self.known(client)?))),
            None => Ok(None),
        }
    }

    /// Makes a host's actor.
    fn seat(&mut self, record: HostRecord, client: Option<Client>, ctx: &Context<Self>) {
        let host_id = record.host_id;
        let ground = Arc::clone(&self.ground);
        let (me, scheduler, outbox) = (ctx.address(), self.scheduler.clone(), self.outbox.clone());
        let host = Host::new(ground, record, client, me, scheduler, outbox);
        let address = host.start();
        self.active.insert(
            host_id,
            Active {
                address,
                forwarded: 0,
            },
        );
        metrics::gauge!("tripline_directory_hosts_active").set(self.active.len() as f64);
    }

    /// A host's actor is in memory no longer.
    fn leave(&mut self, host_id: HostId) -> Option<Active> {
        let left = self.active.remove(&host_id);
        metrics::gauge!("tripline_directory_hosts_active").set(self.active.len() as f64);
        left
    }

    fn forward(&mut self, host_id: HostId, command: HostCommand, ctx: &Context<Self>) -> Result<(), Refusal> {
        let active = self.activate(host_id, ctx)?;
        active.forwarded += 1;
        active.address.do_send(command);
        Ok(())
    }

    /// A host as others see it.
    fn view(&self, record: &HostRecord) -> Result<HostView, Refusal> {
        let view = self.selectable(record)?;
        self.with_sids(record, view)
    }

    /// Adds what no selector asks for, which is read from rows of its own.
    fn with_sids(&self, record: &HostRecord, view: HostView) -> Result<HostView, Refusal> {
        let sids = crate::limacharlie::sids(&self.ground.store, record)?;
        Ok(HostView { sids, ..view })
    }

    /// What selectors ask about a host.
    fn selectable(&self, record: &HostRecord) -> Result<HostView, Refusal> {
        let mut view = record.to_view();
        view.labels = labels::all(&self.ground.store, record)?;
        let reach = self.ground.attachments.reach(record.host_id);
        let kinds = [("agent", reach.agent), ("littlebrother", reach.littlebrother)];
        for (kind, live) in kinds {
            let Some(live) = live else { continue };
            view.last_seen_at = self.ground.now();
            view.attachments.push(AttachmentView {
                kind: kind.into(),
                verbs: live.verbs.to_vec(),
                since: live.since,
                epoch: live.epoch,
            });
        }
        let is_away = !view.attachments.iter().any(|attached| attached.kind == "agent");
        if is_away && record.isolated_at(self.ground.now()).is_none() {
            view.isolation = None;
        }
        view.littlebrother = self.client_view(record);
        if let Some(reported) = &view.littlebrother {
            view.last_seen_at = view.last_seen_at.max(reported.last_message_at);
        }
        Ok(view)
    }
}

/// Hosts live as long as a connection holds them: without their Directory they must let their agents go.
impl Drop for Directory {
    fn drop(&mut self) {
        for active in self.active.values() {
            active.address.do_send(Stop("restart"));
        }
    }
}

impl Actor for Directory {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let every = self
            .ground
            .config
            .host_idle
            .to_duration()
            .max(std::time::Duration::from_secs(1));
        ctx.run_interval(every, |directory, _| {
            for active in directory.active.values() {
                let forwarded = active.forwarded;
                active.address.do_send(HostCommand::PassivateIfIdle { forwarded });
            }
        });
        ctx.run_interval(clients::TICK, |directory, ctx| directory.look_for_silence(ctx));
    }
}

impl Handler<ToHost> for Directory {
    type Result = ();
    fn handle(&mut self, ToHost { host_id, command }: ToHost, ctx: &mut Self::Context) {
        // A command that only tidies up needs no host in memory.
        let tidies = matches!(
            command,
            HostCommand::Ack { .. } | HostCommand::Abandon { .. } | HostCommand::Cancel { .. }
        );
        if tidies && !self.active.contains_key(&host_id) {
            return;
        }
        if let Err(error) = self.forward(host_id, command, ctx) {
            // The slot's deadline ends the step.
            tracing::error!(host = %host_id, %error, "a command cannot reach its host");
        }
    }
}

impl Handler<AttachTo> for Directory {
    type Result = ();
    fn handle(&mut self, AttachTo { request, reply }: AttachTo, ctx: &mut Self::Context) {
        let AttachAgent {
            host_id,
            presented,
            hello,
            link,
        } = request;
        if let Some(detail) = self.closing {
            return reply.send(Err(Refusal::Unavailable { detail }));
        }
        let key = presented.key_sha256.as_ref();
        if let Err(refusal) = enrol::check_hello(&hello).and_then(|()| self.check_key(host_id, key)) {
            return reply.send(Err(refusal));
        }
        match self.activate(host_id, ctx) {
            Err(refusal) => reply.send(Err(refusal)),
            Ok(active) => {
                active.forwarded += 1;
                let attach = Attach {
                    hello,
                    presented,
                    link,
                    reply,
                };
                active.address.do_send(HostCommand::Attach(Box::new(attach)));
            }
        }
    }
}

impl Handler<EnrolAgent> for Directory {
    type Result = ();
    fn handle(&mut self, message: EnrolAgent, _: &mut Self::Context) {
        let EnrolAgent {
            token_id,
            request,
            by,
            reply,
        } = message;
        match enrol::enrol(&self.ground, &mut self.sensors, &token_id, request, &by) {
            Err(refusal) => reply.send(Err(refusal)),
            Ok((batch, outgoing, enrolled)) => {
                let outbox = self.outbox.clone();
                let (host_id, is_new) = (enrolled.host_id, !batch.is_empty());
                self.ground.store.commit(batch, move || {
                    if !outgoing.is_empty() {
                        outbox.do_send(crate::outbox::Enqueue(outgoing));
                    }
                    reply.send(Ok(enrolled));
                });
                if is_new {
                    self.scheduler.do_send(HostDiffers(host_id));
                    self.tell(host_id, HostChangeKind::Enrolled);
                }
            }
        }
    }
}

impl Handler<GetHost> for Directory {
    type Result = ();
    fn handle(&mut self, message: GetHost, _: &mut Self::Context) {
        let found = self.book().named(message.org.as_ref(), &message.name);
        let answer = found.and_then(|record| self.view(&record));
        self.ground.after_commit(move || message.reply.send(answer));
    }
}

impl Handler<HostDied> for Directory {
    type Result = ();
    fn handle(&mut self, HostDied(host_id): HostDied, _: &mut Self::Context) {
        tracing::error!(host = %host_id, "a host's actor panicked; it is made anew when its agent comes back");
        metrics::counter!("tripline_actor_panics_total", "actor" => "host").increment(1);
        self.leave(host_id);
        self.ground.attachments.end_all(host_id);
        self.scheduler.do_send(HostDetached(host_id));
        self.tell(host_id, HostChangeKind::Detached);
        self.holder_gone(host_id);
        self.host_left(host_id);
        for slot in &self.slots {
            slot.do_send(HostRestarted(host_id));
        }
    }
}

impl Handler<HostIdle> for Directory {
    type Result = ();
    fn handle(&mut self, message: HostIdle, _: &mut Self::Context) {
        let idle = self
            .active
            .get(&message.host_id)
            .is_some_and(|a| a.forwarded == message.forwarded);
        if idle && let Some(active) = self.leave(message.host_id) {
            active.address.do_send(Stop("idle"));
        }
    }
}

impl Handler<CloseAll> for Directory {
    type Result = ();
    fn handle(&mut self, CloseAll(reason): CloseAll, _: &mut Self::Context) {
        self.closing = Some("it is stopping");
        for (_, active) in self.active.drain() {
            active.address.do_send(Stop(reason));
        }
    }
}

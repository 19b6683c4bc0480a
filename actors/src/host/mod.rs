//! Host: one host's identity, its attachment, and its commands under way.
//!
//! It sends commands down the agent's connection, reconciles after every (re)attachment what runs and what
//! finished there with what the slots wait for, and keeps the next command back while an abandoned one may
//! still run. It hears the messages of the LittleBrother client that it reports as and of its agent's own process
//! watcher, and answers them when what they mean is durable. It leaves memory when it is idle and detached.
//!
//! Deliberately not here: sockets (the agent channel edge), deadlines (SessionSlot), finding hosts and noticing
//! that one fell silent (Directory).

mod client;
mod conduct;
mod isolation;
mod keys;
mod leave;
pub(crate) mod littlebrother;
mod messages;
mod reporter;
mod runs;
mod signed;
mod state;
#[cfg(test)]
mod tests;
mod watcher;

pub(crate) use client::Client;
pub(crate) use messages::{Adopt, AgentSays, Attach, Detached, Execute, HostCommand, Stop};
pub(crate) use signed::event_message;

use crate::core::{Attached, LinkMessage};
use crate::directory::{Directory, HostChanged, HostDied, HostIdle};
use crate::ground::{Attachment, Ground};
use crate::guardian::Sentinel;
use crate::outbox::{Enqueue, Outbox, Outgoing, Publish};
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::scheduler::{HostAttached, HostDetached, JobScheduler};
use crate::slot::{HostReport, SessionSlot};
use crate::store::Batch;
use actix::prelude::*;
use state::{Effect, State};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tripline_protocol::api::HostChangeKind;
use tripline_protocol::event::HostHint;
use tripline_protocol::frame::{AgentEvent, AgentFrame, ServerFrame, Transfer};
use tripline_protocol::limit::EVENT_BYTES_MAX;
use tripline_protocol::verb::{PutFile, VerbCall};
use tripline_protocol::{Attestation, Event, EventKey, Timestamp};
use watcher::Watcher;

/// The actor.
pub(crate) struct Host {
    ground: Arc<Ground>,
    record: HostRecord,
    state: State<Addr<SessionSlot>>,
    link: Option<crate::core::AgentLink>,
    /// The LittleBrother client it reports as: itself, or one it is linked to.
    client: Option<Client>,
    /// Its agent's own process watcher, once that reported.
    watcher: Option<Watcher>,
    /// Whether the agent was told to watch.
    watches: bool,
    /// How many reporters were read from the store.
    loads: u64,
    /// The processes that came with the agent's key.
    runs: runs::Runs,
    /// When it was last told that there are several.
    clone_told_at: Option<Timestamp>,
    /// Of the key that opened the present connection.
    key_created_at: Option<Timestamp>,
    /// Whether the agent was asked for a new key over the present connection.
    rotation_sent: bool,
    conduct: conduct::Conduct,
    directory: Addr<Directory>,
    scheduler: Addr<JobScheduler>,
    outbox: Addr<Outbox>,
    sentinel: Sentinel,
}

impl Host {
    pub(crate) fn new(
        ground: Arc<Ground>,
        record: HostRecord,
        client: Option<Client>,
        directory: Addr<Directory>,
        scheduler: Addr<JobScheduler>,
        outbox: Addr<Outbox>,
    ) -> Self {
        let (died, host_id) = (directory.clone(), record.host_id);
        let sentinel = Sentinel::new(move || died.do_send(HostDied(host_id)));
        let mut state = State::default();
        // Nothing is under way yet that could change by it.
        drop(state.set_client(client.as_ref().map(Client::journal_id)));
        Self {
            ground,
            record,
            state,
            link: None,
            client,
            watcher: None,
            watches: false,
            loads: 0,
            runs: runs::Runs::default(),
            clone_told_at: None,
            key_created_at: None,
            rotation_sent: false,
            conduct: conduct::Conduct::default(),
            directory,
            scheduler,
            outbox,
            sentinel,
        }
    }

    fn apply(&mut self, effects: Vec<Effect<Addr<SessionSlot>>>, ctx: &Context<Self>) {
        let now = self.ground.now();
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Littlebrother { command_id, call } => {
                    let ended = self.ask_client(command_id, call);
                    let next = ended.map(|ended| self.state.client_ended(command_id, ended));
                    next.into_iter()
                        .flatten()
                        .rev()
                        .for_each(|next| effects.push_front(next));
                }
                Effect::Forget(command_id) => self.forget_kill(command_id),
                Effect::Send(frame) => self.send(*frame, ctx),
                Effect::SendCommand {
                    mut command,
                    deadline,
                } => {
                    command.remaining_ms = deadline.since(now).as_millis();
                    command.transfer = self.transfer(&command.call);
                    self.send(ServerFrame::Command(command), ctx);
                }
                Effect::Tell {
                    slot,
                    command_id,
                    report,
                } => slot.do_send(HostReport { command_id, report }),
            }
        }
    }

    /// What follows a command in chunks. An artifact that is gone is announced to nobody, and the agent says
    /// so in its result.
    fn transfer(&self, call: &VerbCall) -> Option<Transfer> {
        let VerbCall::PutFile(PutFile {
            artifact: Some(sha256),
            ..
        }) = call
        else {
            return None;
        };
        match self.ground.artifacts.open_read(sha256) {
            Ok((_, bytes)) => Some(Transfer {
                bytes,
                sha256: sha256.clone(),
            }),
            Err(error) => {
                tracing::warn!(%sha256, %error, "an artifact to be put on a host cannot be read");
                None
            }
        }
    }

    /// Sends a frame once everything decided so far is durable. A connection that does not take it is dead.
    fn send(&self, frame: ServerFrame, ctx: &Context<Self>) {
        let Some(link) = self.link.clone() else { return };
        let me = ctx.address();
        let epoch = self.state.epoch();
        self.ground.after_commit(move || {
            if link.try_send(LinkMessage::Frame(frame)).is_err() {
                me.do_send(Detached { epoch });
            }
        });
    }

    fn close_link(&mut self, reason: &'static str) {
        if let Some(link) = self.link.take() {
            // A full or closed link is on its way down by itself.
            drop(link.try_send(LinkMessage::Close(reason)));
        }
    }

    fn attach(&mut self, attach: Attach, ctx: &Context<Self>) {
        let now = self.ground.now();
        let mut batch = Batch::new();
        let admitted = self.check_clone(&attach, now);
        if let Err(refusal) = admitted.and_then(|()| self.note_key(&attach, now, &mut batch)) {
            return attach.reply.send(Err(refusal));
        }
        let Attach {
            hello, link, reply, ..
        } = attach;
        if self.link.is_some() {
            metrics::counter!("tripline_host_replaced_total").increment(1);
            tracing::warn!(
                host = %self.record.host_id, hostname = %self.record.hostname,
                "an agent with the same key attached; the older connection is closed"
            );
            self.close_link("replaced");
            self.watcher_detached();
        }
        self.update_record(&hello, now, &mut batch);
        let outgoing = self.take_isolation(hello.isolation.as_ref(), &mut batch);
        self.link = Some(link);
        self.rotation_sent = false;
        let attachment = Attachment {
            epoch: self.record.epoch,
            since: now,
            verbs: hello.verbs.clone().into(),
            journal_id: hello.journal_id,
        };
        self.ground.attachments.set_agent(self.record.host_id, attachment);
        self.watches = self.is_to_watch();
        let attached = Attached::new(self.record.epoch, self.watches, ctx.address());
        self.commit(batch, outgoing, move || reply.send(Ok(attached)));
        let effects = self.state.attach(self.record.epoch, &hello);
        self.apply(effects, ctx);
        self.scheduler.do_send(HostAttached(self.record.host_id));
        self.tell(HostChangeKind::Attached);
        self.look_at_key(ctx);
        tracing::info!(host = %self.record.host_id, hostname = %self.record.hostname, epoch = self.record.epoch, "agent attached");
    }

    fn update_record(&mut self, hello: &tripline_protocol::frame::Hello, now: Timestamp, batch: &mut Batch) {
        let old_name = self.record.hostname.clone();
        let record = &mut self.record;
        record.epoch += 1;
        record.last_seen_at = now;
        record.hostname = hello.hostname.clone();
        record.platform = hello.platform.clone();
        record.arch = hello.arch.clone();
        record.os_version = hello.os_version.clone();
        record.addresses = hello.addresses.clone();
        record.agent_version = hello.agent_version.clone();
        record.labels = hello.labels.clone();
        record.put(batch);
        if old_name != record.hostname {
            crate::directory::put_name(batch, record, Some(&old_name));
        }
    }

    fn detach(&mut self, ctx: &Context<Self>) {
        self.link = None;
        self.watcher_detached();
        self.record.last_seen_at = self.ground.now();
        let mut batch = Batch::new();
        self.record.put(&mut batch);
        self.ground.store.commit(batch, || {});
        self.ground
            .attachments
            .end_agent(self.record.host_id, self.record.epoch);
        self.tell(HostChangeKind::Detached);
        self.tell_unreachable();
        let effects = self.state.detach();
        self.apply(effects, ctx);
        tracing::info!(host = %self.record.host_id, hostname = %self.record.hostname, "agent detached");
    }

    /// Tells what happened to the host, for whoever follows the hosts. What it led to has been given to the store.
    fn tell(&self, change: HostChangeKind) {
        self.directory.do_send(HostChanged {
            host_id: self.record.host_id,
            change,
        });
    }

    /// Tells the scheduler, if nothing reaches the host any more.
    fn tell_unreachable(&self) {
        if self.ground.attachments.get(self.record.host_id).is_none() {
            self.scheduler.do_send(HostDetached(self.record.host_id));
        }
    }

    /// Commits a decision and hands on what it staged.
    fn commit(&self, batch: Batch, outgoing: Vec<Outgoing>, then: impl FnOnce() + Send + 'static) {
        let outbox = self.outbox.clone();
        self.ground.store.commit(batch, move || {
            if !outgoing.is_empty() {
                outbox.do_send(Enqueue(outgoing));
            }
            then();
        });
    }

    fn is_idle(&self) -> bool {
        let client = self.client.as_ref().is_none_or(Client::is_idle);
        let watcher = self.watcher.as_ref().is_none_or(Watcher::is_idle);
        self.link.is_none() && self.state.is_idle() && client && watcher
    }

    /// An event the agent reports: durable in the outbox, then acked. Not acked, it comes again.
    fn agent_event(&mut self, event: AgentEvent, permit: OwnedSemaphorePermit, ctx: &Context<Self>) {
        if let Some(why) = event.fault() {
            return self.break_off("event", &why, ctx);
        }
        let id = event.id.clone();
        let event = self.to_event(event);
        let message = event_message(&self.ground, &event);
        if message.payload.len() > EVENT_BYTES_MAX {
            let bytes = message.payload.len();
            let why = format!("it has {bytes} bytes, at most {EVENT_BYTES_MAX} are taken");
            return self.break_off("event", &why, ctx);
        }
        let host = self.record.host_id;
        let Some(link) = self.link.clone() else { return };
        let done = Box::new(move |result: Result<_, Refusal>| {
            drop(permit);
            match result {
                // A link that takes no more is down, and the agent sends the event again on the next one.
                Ok(_) => drop(link.try_send(LinkMessage::Frame(ServerFrame::EventAck { id }))),
                Err(refusal) => tracing::debug!(%host, %refusal, "an agent's event is not taken now"),
            }
        });
        let (entry, once) = (None, None);
        self.outbox.do_send(Publish {
            message,
            entry,
            once,
            done,
        });
    }

    fn to_event(&self, event: AgentEvent) -> Event {
        let source = format!("agent/{}", self.record.host_id);
        Event {
            key: EventKey::derive(&self.record.org, &source, &event.id),
            id: event.id,
            org: self.record.org.clone(),
            source,
            etype: event.etype,
            host: Some(HostHint::HostId(self.record.host_id)),
            time: event.time,
            data: event.data,
            attested_by: Attestation::Agent,
            depth: 0,
            traceparent: None,
        }
    }
}

impl Actor for Host {
    // Not disarmed in `stopped`: actix calls that for an actor that panicked, too.
    type Context = Context<Self>;
}

impl Handler<HostCommand> for Host {
    type Result = ();
    fn handle(&mut self, command: HostCommand, ctx: &mut Self::Context) {
        let effects = match command {
            HostCommand::Attach(attach) => return self.attach(*attach, ctx),
            HostCommand::CutOff(reason) => {
                if self.link.is_some() {
                    self.close_link(reason);
                    self.detach(ctx);
                }
                return;
            }
            HostCommand::RotateKey { by, reply } => return self.rotate_key(&by, reply, ctx),
            HostCommand::PassivateIfIdle { forwarded } => {
                self.look_at_key(ctx);
                if self.is_idle() {
                    self.directory.do_send(HostIdle {
                        host_id: self.record.host_id,
                        forwarded,
                    });
                }
                return;
            }
            HostCommand::Execute { slot, execute } => self.state.execute(slot, execute),
            HostCommand::Adopt { slot, adopt } => {
                let kill = self.kill_status(&adopt);
                self.state.adopt(slot, adopt, kill)
            }
            HostCommand::FromClient { message, reply } => return self.hear_from_client(message, reply, ctx),
            HostCommand::Silence { client, since } => return self.check_silence(client, since, ctx),
            HostCommand::Reconfigured => return self.reconfigured(ctx),
            HostCommand::Link(record) => return self.link_client(*record),
            HostCommand::LetGo { client } => return self.let_go(client, ctx),
            HostCommand::Leave(reason) => return self.leave(reason, ctx),
            HostCommand::Cancel { command_id } => self.state.cancel(command_id),
            HostCommand::Abandon { command_id } => self.state.abandon(command_id),
            HostCommand::Ack { command_id } => self.state.ack(command_id),
        };
        self.apply(effects, ctx);
    }
}

impl Handler<AgentSays> for Host {
    type Result = ();
    fn handle(&mut self, says: AgentSays, ctx: &mut Self::Context) {
        if says.epoch != self.state.epoch() || self.link.is_none() {
            return;
        }
        match says.frame {
            AgentFrame::Result(result) => {
                if !self.state.awaits(result.command_id) {
                    metrics::counter!("tripline_host_stray_results_total").increment(1);
                }
                let effects = self.state.result(*result, says.artifact);
                self.apply(effects, ctx);
            }
            AgentFrame::Event(event) => return self.agent_event(*event, says.permit, ctx),
            AgentFrame::Isolation { isolation } => self.hear_isolation(&isolation, ctx),
            AgentFrame::NewKey { key_sha256 } => self.take_key(key_sha256, ctx),
            AgentFrame::Littlebrother { seq, message } => self.hear_from_watcher(seq, *message, ctx),
            // That a command was accepted or progresses changes nothing here; the rest is the connection's.
            _ => {}
        }
        let permit = says.permit;
        self.ground.after_commit(move || drop(permit));
    }
}

impl Handler<Detached> for Host {
    type Result = ();
    fn handle(&mut self, message: Detached, ctx: &mut Self::Context) {
        if self.link.is_some() && message.epoch == self.state.epoch() {
            self.close_link("overloaded");
            self.detach(ctx);
        }
    }
}

impl Handler<Stop> for Host {
    type Result = ();
    fn handle(&mut self, stop: Stop, ctx: &mut Self::Context) {
        self.sentinel.disarm();
        self.close_link(stop.0);
        self.ground
            .attachments
            .end_agent(self.record.host_id, self.record.epoch);
        ctx.stop();
    }
}

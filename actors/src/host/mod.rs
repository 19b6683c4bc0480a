//! Host: one host's identity, its attachment, and its commands under way.
//!
//! It sends commands down the agent's connection, reconciles after every (re)attachment what runs and what
//! finished there with what the slots wait for, and keeps the next command back while an abandoned one may
//! still run. It leaves memory when it is idle and detached.
//!
//! Deliberately not here: sockets (the agent channel edge), deadlines (SessionSlot), finding hosts (Directory).

#[cfg_attr(
    not(test),
    expect(
        dead_code,
        unused_imports,
        reason = "the actor around it comes with the attachments"
    )
)]
pub(crate) mod littlebrother;
mod messages;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use messages::{Adopt, AgentSays, Attach, Detached, Execute, HostCommand, Stop};

use crate::core::{Attached, LinkMessage};
use crate::directory::{Directory, HostDied, HostIdle};
use crate::ground::{Attachment, Ground};
use crate::guardian::Sentinel;
use crate::outbox::{Outbox, Publish};
use crate::ports::OutMessage;
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::scheduler::{HostAttached, HostDetached, JobScheduler};
use crate::slot::{HostReport, SessionSlot};
use crate::store::Batch;
use actix::prelude::*;
use state::{Effect, State};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tripline_protocol::event::HostHint;
use tripline_protocol::frame::{AgentEvent, AgentFrame, ServerFrame, Transfer};
use tripline_protocol::verb::{PutFile, VerbCall};
use tripline_protocol::{Attestation, Event, EventKey, Timestamp};

/// Frames of one agent that may wait to be handled; an agent that sends more is cut off.
const FRAMES_WAITING_MAX: usize = 256;

/// The actor.
pub(crate) struct Host {
    ground: Arc<Ground>,
    record: HostRecord,
    state: State<Addr<SessionSlot>>,
    link: Option<crate::core::AgentLink>,
    directory: Addr<Directory>,
    scheduler: Addr<JobScheduler>,
    outbox: Addr<Outbox>,
    sentinel: Sentinel,
}

impl Host {
    pub(crate) fn new(
        ground: Arc<Ground>,
        record: HostRecord,
        directory: Addr<Directory>,
        scheduler: Addr<JobScheduler>,
        outbox: Addr<Outbox>,
    ) -> Self {
        let (died, host_id) = (directory.clone(), record.host_id);
        let sentinel = Sentinel::new(move || died.do_send(HostDied(host_id)));
        Self {
            ground,
            record,
            state: State::default(),
            link: None,
            directory,
            scheduler,
            outbox,
            sentinel,
        }
    }

    fn apply(&mut self, effects: Vec<Effect<Addr<SessionSlot>>>, ctx: &Context<Self>) {
        let now = self.ground.now();
        for effect in effects {
            match effect {
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
        let Attach { hello, link, reply } = attach;
        if self.link.is_some() {
            metrics::counter!("tripline_host_replaced_total").increment(1);
            tracing::warn!(
                host = %self.record.host_id, hostname = %self.record.hostname,
                "an agent with the same key attached; the older connection is closed. \
                 If this repeats, a machine was cloned with its agent's state directory"
            );
            self.close_link("replaced");
        }
        let mut batch = Batch::new();
        self.update_record(&hello, now, &mut batch);
        self.link = Some(link);
        let attachment = Attachment {
            epoch: self.record.epoch,
            since: now,
            verbs: hello.verbs.clone().into(),
            journal_id: hello.journal_id,
        };
        self.ground.attachments.set(self.record.host_id, Some(attachment));
        let attached = Attached::new(self.record.epoch, ctx.address(), FRAMES_WAITING_MAX);
        self.ground.store.commit(batch, move || reply.send(Ok(attached)));
        let effects = self.state.attach(self.record.epoch, &hello);
        self.apply(effects, ctx);
        self.scheduler.do_send(HostAttached(self.record.host_id));
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
        record.put(batch);
        if old_name != record.hostname {
            crate::directory::put_name(batch, record, Some(&old_name));
        }
    }

    fn detach(&mut self, ctx: &Context<Self>) {
        self.link = None;
        self.record.last_seen_at = self.ground.now();
        let mut batch = Batch::new();
        self.record.put(&mut batch);
        self.ground.store.commit(batch, || {});
        self.ground
            .attachments
            .end(self.record.host_id, self.record.epoch);
        self.scheduler.do_send(HostDetached(self.record.host_id));
        let effects = self.state.detach();
        self.apply(effects, ctx);
        tracing::info!(host = %self.record.host_id, hostname = %self.record.hostname, "agent detached");
    }

    /// An event the agent reports: durable in the outbox, then acked. Not acked, it comes again.
    fn agent_event(&self, event: AgentEvent) {
        let id = event.id.clone();
        let event = self.to_event(event);
        let message = event_message(&self.ground, &event);
        let host = self.record.host_id;
        let Some(link) = self.link.clone() else { return };
        let done = Box::new(move |result: Result<(), Refusal>| match result {
            // A link that takes no more is down, and the agent sends the event again on the next one.
            Ok(()) => drop(link.try_send(LinkMessage::Frame(ServerFrame::EventAck { id }))),
            Err(refusal) => tracing::debug!(%host, %refusal, "an agent's event is not taken now"),
        });
        self.outbox.do_send(Publish { message, done });
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

/// An event as an edge publishes it: signed, so that it is known again when it comes back.
pub(crate) fn event_message(ground: &Ground, event: &Event) -> OutMessage {
    let payload = crate::record::encode(&event.to_cloudevent());
    let mut headers = vec![(
        "Content-Type".to_owned(),
        "application/cloudevents+json".to_owned(),
    )];
    if event.attested_by != Attestation::Publisher {
        let signature = ground.attester.sign(event.attested_by, event.key, &payload);
        headers.push((tripline_protocol::subject::HEADER_ATTESTATION.into(), signature));
    }
    OutMessage {
        subject: ground.config.subjects.event(&event.org, &event.etype),
        message_id: event.key.to_string(),
        headers,
        payload,
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
            HostCommand::PassivateIfIdle { forwarded } => {
                if self.link.is_none() && self.state.is_idle() {
                    self.directory.do_send(HostIdle {
                        host_id: self.record.host_id,
                        forwarded,
                    });
                }
                return;
            }
            HostCommand::Execute { slot, execute } => self.state.execute(slot, execute),
            HostCommand::Adopt { slot, adopt } => self.state.adopt(slot, adopt),
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
                let effects = self.state.result(*result, says.artifact);
                self.apply(effects, ctx);
            }
            AgentFrame::Event(event) => self.agent_event(*event),
            // That a command was accepted or progresses changes nothing here; the rest is the connection's.
            _ => {}
        }
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
            .end(self.record.host_id, self.record.epoch);
        ctx.stop();
    }
}

impl Attached {
    fn new(epoch: u64, host: Addr<Host>, frames_max: usize) -> Self {
        Self {
            epoch,
            host,
            frames: Arc::new(Semaphore::new(frames_max)),
        }
    }
}

//! The LittleBrother client that a host reports as, and what the Host actor does with it: its messages, its
//! attachment, live response, and its silence.
//!
//! Deliberately not here: the agent's own watcher (`super::watcher`).

use super::Host;
use super::littlebrother::{KillStatus, Outcome};
use super::messages::{Adopt, AnswerWritten};
use super::reporter::{Heard, Reporter, Subject};
use super::state::LITTLEBROTHER_VERBS;
use crate::directory::{ClientHeard, ClientLeft, ClientSilent, put_new_host};
use crate::door::Reply;
use crate::ground::Attachment;
use crate::littlebrother::{Answer, Receipt, Settings};
use crate::outbox::Outgoing;
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::scheduler::HostAttached;
use crate::store::Batch;
use actix::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use tripline_protocol::api::HostChangeKind;
use tripline_protocol::littlebrother::ClientMessage;
use tripline_protocol::verb::VerbCall;
use tripline_protocol::{Attestation, CommandId, Fault, HostId, Timestamp};
use uuid::Uuid;

/// The client, by its own record.
pub(crate) struct Client {
    record: HostRecord,
    /// Not stored yet: its first message that is taken stores it.
    is_new: bool,
    /// Read when it is needed.
    pub(super) reporter: Option<Reporter>,
    /// Its messages come in this run of the actor.
    attached: bool,
    /// It was looked for commands that nobody waits for since.
    tidied: bool,
}

impl Client {
    /// One whose record is stored.
    pub(crate) fn known(record: HostRecord) -> Self {
        Self {
            record,
            is_new: false,
            reporter: None,
            attached: false,
            tidied: false,
        }
    }

    /// One whose record is not stored yet.
    pub(crate) fn new(record: HostRecord) -> Self {
        Self {
            is_new: true,
            ..Self::known(record)
        }
    }

    /// The id of its own record stands for the journal of what it was asked for.
    pub(super) fn journal_id(&self) -> Uuid {
        self.record.host_id.0
    }

    pub(super) fn is_idle(&self) -> bool {
        self.reporter
            .as_ref()
            .is_none_or(|reporter| reporter.state.is_idle())
    }
}

pub(super) const OFF: Refusal = Refusal::Unavailable {
    detail: "LittleBrother clients are not served",
};

impl Host {
    /// The settings, if messages can be taken now.
    pub(super) fn admit_messages(&self) -> Result<Arc<Settings>, Refusal> {
        let settings = self.ground.littlebrother.load_full().ok_or(OFF)?;
        self.ground.admit()?;
        Ok(settings)
    }

    pub(super) fn load_reporter(
        &mut self,
        own: HostId,
        hostname: &str,
        attested_by: Attestation,
    ) -> Result<Reporter, Refusal> {
        self.loads += 1;
        let subject = Subject {
            org: self.record.org.clone(),
            host_id: self.record.host_id,
            attested_by,
        };
        Reporter::load(&self.ground, own, hostname, subject, self.loads)
    }

    /// The client with its reporter.
    fn client(&mut self) -> Result<&mut Client, Refusal> {
        let missing = Refusal::Unavailable {
            detail: "the host reports as no LittleBrother client",
        };
        let Some(client) = &self.client else {
            return Err(missing);
        };
        if client.reporter.is_none() {
            let (own, hostname) = (client.record.host_id, client.record.hostname.clone());
            let reporter = self.load_reporter(own, &hostname, Attestation::Littlebrother)?;
            if let Some(client) = &mut self.client {
                client.reporter = Some(reporter);
            }
        }
        self.client.as_mut().ok_or(missing)
    }

    fn reporter(&mut self) -> Option<&mut Reporter> {
        self.client.as_mut().and_then(|client| client.reporter.as_mut())
    }

    pub(super) fn hear_from_client(
        &mut self,
        message: ClientMessage,
        reply: Reply<Answer>,
        ctx: &Context<Self>,
    ) {
        let mut batch = Batch::new();
        let is_new = self.client.as_ref().is_some_and(|client| client.is_new);
        match self.hear_client(message, &mut batch) {
            Err(refusal) => {
                metrics::counter!("tripline_littlebrother_refused_total").increment(1);
                reply.send(Err(refusal));
            }
            Ok((outgoing, outcome, instance)) => {
                let Outcome {
                    answer,
                    ticket,
                    killed,
                    ..
                } = outcome;
                let attaching = self.attach_client(&mut batch);
                let me = ctx.address();
                let receipt = Receipt::new(move |written| {
                    me.do_send(AnswerWritten {
                        instance,
                        ticket,
                        written,
                    });
                });
                let answer = Answer {
                    events: answer,
                    receipt,
                };
                self.commit(batch, outgoing, move || reply.send(Ok(answer)));
                if is_new {
                    self.tell(HostChangeKind::Enrolled);
                }
                if attaching {
                    self.client_attached(ctx);
                }
                self.killed(killed, ctx);
            }
        }
    }

    fn hear_client(
        &mut self,
        message: ClientMessage,
        batch: &mut Batch,
    ) -> Result<(Vec<Outgoing>, Outcome, u64), Refusal> {
        let settings = self.admit_messages()?;
        let ground = Arc::clone(&self.ground);
        self.client()?;
        let Some(Client {
            record,
            is_new,
            reporter: Some(reporter),
            attached,
            tidied,
        }) = &mut self.client
        else {
            return Err(OFF);
        };
        // Not with the first message: after a panic slots make known to a new actor what they wait for.
        if *attached && !*tidied {
            *tidied = true;
            forget_kills(reporter, batch, |command_id| !self.state.awaits(command_id));
        }
        let mut outgoing = Vec::new();
        if *is_new {
            ground.hosts.admit()?;
            *is_new = false;
            outgoing.extend(put_new_host(&ground, record, None, batch));
        }
        let Heard {
            outgoing: events,
            outcome,
        } = reporter.message(&settings, message, batch);
        outgoing.extend(events);
        Ok((outgoing, outcome, reporter.instance))
    }

    /// With the first message of this run the client is attached.
    fn attach_client(&mut self, batch: &mut Batch) -> bool {
        let now = self.ground.now();
        let Some(client) = self.client.as_mut().filter(|client| !client.attached) else {
            return false;
        };
        (client.attached, client.tidied) = (true, false);
        client.record.epoch += 1;
        client.record.last_seen_at = now;
        client.record.put(batch);
        let attachment = Attachment {
            epoch: client.record.epoch,
            since: now,
            verbs: LITTLEBROTHER_VERBS.into(),
            journal_id: client.journal_id(),
        };
        let attachments = &self.ground.attachments;
        attachments.set_littlebrother(self.record.host_id, Some(attachment));
        true
    }

    fn client_attached(&mut self, ctx: &Context<Self>) {
        let effects = self.state.client_attached();
        self.apply(effects, ctx);
        self.scheduler.do_send(HostAttached(self.record.host_id));
        self.tell(HostChangeKind::Attached);
        // Should the Directory be about to hear that it is silent: it is not.
        if let Some(client) = &self.client {
            self.directory.do_send(ClientHeard(client.record.host_id));
        }
        tracing::info!(host = %self.record.host_id, hostname = %self.record.hostname, "LittleBrother client attached");
    }

    /// The client is reachable no longer; what it was asked for is lost for now.
    pub(super) fn detach_client(&mut self, ctx: &Context<Self>) {
        let Some(client) = self.client.as_mut().filter(|client| client.attached) else {
            return;
        };
        client.attached = false;
        if let Some(reporter) = &mut client.reporter {
            reporter.hide();
        }
        self.ground
            .attachments
            .set_littlebrother(self.record.host_id, None);
        self.tell(HostChangeKind::Detached);
        self.tell_unreachable();
        let effects = self.state.client_detached();
        self.apply(effects, ctx);
        tracing::info!(host = %self.record.host_id, hostname = %self.record.hostname, "LittleBrother client detached");
    }

    fn killed(&mut self, killed: Vec<CommandId>, ctx: &Context<Self>) {
        for command_id in killed {
            let effects = self.state.client_ended(command_id, Ok(json!({})));
            self.apply(effects, ctx);
        }
    }

    /// Whether one that was not heard of for long is silent; the client or the agent's watcher.
    pub(super) fn check_silence(&mut self, own: HostId, since: Timestamp, ctx: &Context<Self>) {
        match self.silence(own, since, ctx) {
            Ok(true) => self.directory.do_send(ClientSilent(own)),
            Ok(false) => {}
            Err(refusal) => {
                tracing::debug!(client = %own, %refusal, "that a client is silent is not reported now");
            }
        }
    }

    fn silence(&mut self, own: HostId, since: Timestamp, ctx: &Context<Self>) -> Result<bool, Refusal> {
        let settings = self.ground.littlebrother.load_full();
        let is_client = self
            .client
            .as_ref()
            .is_some_and(|client| client.record.host_id == own);
        let Some(settings) = settings else {
            self.detach_client(ctx);
            return Ok(false);
        };
        self.ground.admit()?;
        let reporter = if is_client {
            self.client()?.reporter.as_mut()
        } else if own == self.record.host_id {
            Some(&mut self.watcher()?.reporter)
        } else {
            None
        };
        let Some(reporter) = reporter else {
            return Ok(false);
        };
        let mut batch = Batch::new();
        let silent = reporter.silence(&settings, since, &mut batch);
        let gone = silent.is_some() || !reporter.state.is_attached();
        if !batch.is_empty() {
            self.commit(batch, silent.unwrap_or_default(), || {});
        }
        if gone && is_client {
            self.detach_client(ctx);
        }
        Ok(gone)
    }

    /// Reports as this client from now on.
    pub(super) fn link_client(&mut self, record: HostRecord) {
        drop(self.state.set_client(Some(record.host_id.0)));
        self.client = Some(Client::known(record));
    }

    /// The client leaves this actor, and with its own record the actor leaves memory. What it was asked for here it
    /// is not asked for any more.
    pub(super) fn let_go(&mut self, own: HostId, ctx: &mut Context<Self>) {
        self.part_with_client(ctx);
        self.directory.do_send(ClientLeft { client: own });
        if self.record.is_littlebrother() {
            self.sentinel.disarm();
            ctx.stop();
        }
    }

    pub(super) fn part_with_client(&mut self, ctx: &Context<Self>) {
        self.detach_client(ctx);
        if let Some(reporter) = self.reporter() {
            let mut batch = Batch::new();
            forget_kills(reporter, &mut batch, |_| true);
            self.ground.store.commit(batch, || {});
        }
        self.client = None;
        let effects = self.state.set_client(None);
        self.apply(effects, ctx);
    }

    /// What the client knows of a command that was perhaps begun before this actor was made.
    pub(super) fn kill_status(&mut self, adopt: &Adopt) -> Option<KillStatus> {
        let journal_id = self.client.as_ref().map(Client::journal_id);
        if journal_id.is_none() || journal_id != adopt.journal_id {
            return None;
        }
        match self.client() {
            Ok(client) => client
                .reporter
                .as_ref()
                .map(|reporter| reporter.state.kill_status(adopt.command_id)),
            Err(refusal) => {
                // The store cannot be read: the process is about to end with that reason.
                tracing::error!(%refusal, "a LittleBrother client cannot be read");
                None
            }
        }
    }

    /// The client is asked for something. `None`: it is under way.
    pub(super) fn ask_client(
        &mut self,
        command_id: CommandId,
        call: VerbCall,
    ) -> Option<Result<Value, Fault>> {
        let settings = self.ground.littlebrother.load_full();
        let Some((settings, reporter)) = settings.zip(self.reporter()) else {
            return Some(Err(OFF.into()));
        };
        match call {
            VerbCall::ListProcesses(_) => {
                let listing = reporter.with(&settings, |state, context| state.processes(context));
                Some(serde_json::to_value(listing).map_err(|_| OFF.into()))
            }
            VerbCall::KillProcess(args) => {
                let kill = reporter.with(&settings, |state, context| state.kill(command_id, &args, context));
                match kill {
                    Ok(changes) => {
                        reporter.commit(changes);
                        None
                    }
                    Err(fault) => Some(Err(fault)),
                }
            }
            // Only what it offers is handed over.
            _ => Some(Err(OFF.into())),
        }
    }

    pub(super) fn forget_kill(&mut self, command_id: CommandId) {
        if let Some(reporter) = self.reporter() {
            let changes = reporter.state.forget_kill(command_id);
            reporter.commit(changes);
        }
    }
}

/// Forgets commands that nobody waits for: their jobs ended while the server was away.
fn forget_kills(reporter: &mut Reporter, batch: &mut Batch, stale: impl Fn(CommandId) -> bool) {
    for command_id in reporter.kills().into_iter().filter(|id| stale(*id)) {
        let changes = reporter.state.forget_kill(command_id);
        reporter.stage(changes, batch);
    }
}

impl Handler<AnswerWritten> for Host {
    type Result = ();
    fn handle(&mut self, message: AnswerWritten, _: &mut Self::Context) {
        let AnswerWritten {
            instance,
            ticket,
            written,
        } = message;
        let present = |reporter: &&mut Reporter| reporter.instance == instance;
        let Some(reporter) = self.reporter().filter(present) else {
            return;
        };
        if written {
            reporter.state.written(ticket);
        } else {
            let changes = reporter.state.lost(ticket);
            reporter.commit(changes);
        }
    }
}

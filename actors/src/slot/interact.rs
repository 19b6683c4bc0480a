//! The slot's shell around its interactive session: messages in, effects out.

use super::SessionSlot;
use super::interactive::{Effect, Journal, Lease, Refused, State};
use crate::artifact::may_read;
use crate::audit::{self, By};
use crate::once::Made;
use crate::refusal::Refusal;
use crate::scheduler::{CancelCommand, InteractiveEnded, RunCommand};
use crate::session::{CommandRecord, SessionRecord, last_command_number, made_before, open_commands};
use crate::store::Batch;
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::api::{SlotHolder, SlotSession};
use tripline_protocol::audit::Action;
use tripline_protocol::job::Reason;
use tripline_protocol::result::HostRef;
use tripline_protocol::session::{COMMANDS_MAX, CommandView};
use tripline_protocol::verb::{PutFile, VerbCall};
use tripline_protocol::{Org, SessionId, Span, Timestamp};

/// Hold this session; from the scheduler, which knows the slot is free.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct BeginSession(pub(crate) Box<SessionRecord>);

/// Run a command in your session; from the scheduler, which is asked again when the session is over.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct RunInteractive(pub(crate) RunCommand);

/// Cancel a command of your session; from the scheduler, which is asked again when the session is over.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct CancelInteractive(pub(crate) CancelCommand);

/// End your session; from the scheduler, which has written down why.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct CloseInteractive(pub(crate) SessionId);

impl SessionSlot {
    /// The journal of the interactive session's host, if it is attached.
    fn interactive_journal(&self) -> Journal {
        let host_id = self.interactive.record()?.host.host_id;
        Some(self.ground.attachments.get(host_id)?.journal_id)
    }

    /// Carries out what the state machine decided, in its order. The session perhaps ended with it.
    fn apply_interactive(&mut self, host: &HostRef, effects: Vec<Effect>, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Persist(record) => self.persist(&record, host),
                Effect::Host(command) => self.tell_host(host.host_id, command, ctx),
                Effect::Spill {
                    command_id,
                    name,
                    bytes,
                } => self.spill(command_id, name, bytes, ctx),
                Effect::End {
                    session_id,
                    reason,
                    given,
                } => {
                    if given {
                        self.ground.sessions.give();
                    }
                    self.scheduler.do_send(InteractiveEnded { session_id, reason });
                }
            }
        }
    }

    /// Writes a command, and tells whoever watches once that is durable.
    fn persist(&mut self, record: &CommandRecord, host: &HostRef) {
        if record.state.has_ended() {
            metrics::counter!("tripline_slot_commands_total", "state" => record.state.as_str()).increment(1);
        }
        let mut batch = std::mem::take(&mut self.noted);
        record.put(&mut batch);
        let entry = audit::of_session(&self.ground, record, host);
        let entries = self.on_record.drain(..).chain(entry);
        entries.for_each(|entry| batch.audit(entry));
        let (ground, session_id) = (Arc::clone(&self.ground), record.session_id);
        self.ground
            .store
            .commit(batch, move || ground.sessions.changed(session_id));
    }

    fn begin(&mut self, record: SessionRecord, ctx: &mut Context<Self>) -> Result<(), Refusal> {
        let session_id = record.session_id;
        let host = record.host.clone();
        let open = open_commands(&self.ground.store, session_id)?;
        let number_last = last_command_number(&self.ground.store, session_id)?;
        let journal = self
            .ground
            .attachments
            .get(host.host_id)
            .map(|live| live.journal_id);
        let now = self.ground.now();
        let effects = self.interactive.begin(record, open, number_last, journal, now);
        self.apply_interactive(&host, effects, ctx);
        Ok(())
    }

    /// Takes a command: its record is durable before its caller hears of it, and before its host does.
    fn run_command(&mut self, message: &RunCommand, ctx: &mut Context<Self>) -> Result<CommandView, Refusal> {
        let Some(session) = self.interactive.record().cloned() else {
            return Err(refusal(Refused::Closing));
        };
        if let Some(before) = made_before(&self.ground, message.once.as_ref())? {
            return Ok(before);
        }
        self.ground.admit_writes()?;
        let number = self.interactive.next_number().map_err(refusal)?;
        let command = message.command.clone();
        self.check_artifact(&command.call, &session.org)?;
        let file = match command.call {
            VerbCall::GetFile(_) | VerbCall::GetRawFile(_) => {
                let mut batch = Batch::new();
                let file = self.ground.sessions.next_file(&mut batch)?;
                self.ground.store.commit(batch, || {});
                Some(file)
            }
            _ => None,
        };
        let (caller, now) = (message.caller.name.clone(), self.ground.now());
        let mut record = CommandRecord::new(&session, number, command, file, caller, now);
        record.by = Some(By::from(&message.caller));
        let before = record.to_view();
        let journal = self.interactive_journal();
        let made = || Made::Command(session.session_id, number);
        let noted = &mut self.noted;
        self.ground.onces.note(message.once.as_ref(), made, now, noted)?;
        let effects = self.interactive.submit(record, journal, now);
        let view = self.interactive.command(number).map(CommandRecord::to_view);
        self.apply_interactive(&session.host, effects, ctx);
        Ok(view.unwrap_or(before))
    }

    fn check_artifact(&self, call: &VerbCall, org: &Org) -> Result<(), Refusal> {
        let VerbCall::PutFile(PutFile {
            artifact: Some(sha256),
            ..
        }) = call
        else {
            return Ok(());
        };
        match may_read(&self.ground.store, sha256, Some(org))? {
            true => Ok(()),
            false => Err(Refusal::Invalid {
                code: "artifact_not_found",
                detail: format!("this org has no content {sha256}"),
            }),
        }
    }

    fn cancel_command(
        &mut self,
        message: &CancelCommand,
        ctx: &mut Context<Self>,
    ) -> Result<CommandView, Refusal> {
        let number = message.number;
        let mut cancelled = None;
        let known = self.interactive.command(number);
        if let (Some(command), Some(session)) = (known, self.interactive.record()) {
            let by = By::from(&message.caller);
            let entry = self.ground.audit(Action::CommandCancel, &by, Some(&session.org));
            let entry = entry.host(&session.host).on("session", session.session_id);
            self.on_record.push(entry.on("command", command.command_id));
        }
        self.with_interactive(ctx, |state, journal, now| {
            let ended = state.cancel(number, &message.caller.name, journal, now);
            ended.map_or_else(Vec::new, |(record, effects)| {
                cancelled = Some(record.to_view());
                effects
            })
        });
        if let Some(view) = cancelled {
            return Ok(view);
        }
        let last = last_command_number(&self.ground.store, message.session_id)?;
        Err(if (1..=last).contains(&number) {
            Refusal::Conflict {
                code: "command_ended",
                detail: format!("command {number} has already ended"),
            }
        } else {
            Refusal::NotFound {
                what: "command",
                id: number.to_string(),
            }
        })
    }

    pub(super) fn tick_interactive(&mut self, ctx: &mut Context<Self>) {
        let Some(record) = self.interactive.record() else {
            return;
        };
        let sessions = &self.ground.sessions;
        let lease = Lease {
            last_request: sessions.last_request(record.session_id).unwrap_or_default(),
            wanted: sessions.is_wanted(),
        };
        self.with_interactive(ctx, |state, journal, now| state.tick(lease, journal, now));
    }

    /// As the list of slots shows it.
    pub(super) fn interactive_view(&self) -> Option<SlotSession> {
        let record = self.interactive.record()?;
        Some(SlotSession {
            host: record.host.clone(),
            since: self.interactive.since(),
            holder: SlotHolder::Interactive {
                session_id: record.session_id,
                owner: record.owner.name.clone(),
                command: self.interactive.current_number(),
            },
        })
    }

    /// Something happened to the session, if there is one.
    pub(super) fn with_interactive(
        &mut self,
        ctx: &mut Context<Self>,
        act: impl FnOnce(&mut State, Journal, Timestamp) -> Vec<Effect>,
    ) {
        let Some(host) = self.interactive.record().map(|record| record.host.clone()) else {
            return;
        };
        let journal = self.interactive_journal();
        let effects = act(&mut self.interactive, journal, self.ground.now());
        self.apply_interactive(&host, effects, ctx);
    }
}

fn refusal(refused: Refused) -> Refusal {
    match refused {
        Refused::Closing => Refusal::Conflict {
            code: "session_ended",
            detail: "the session has ended".into(),
        },
        Refused::Waiting => Refusal::Busy {
            what: "the session's queue of commands",
            retry_after: Span::from_secs(1),
        },
        Refused::Numbers => Refusal::Conflict {
            code: "too_many_commands",
            detail: format!("a session has at most {COMMANDS_MAX} commands; open another one"),
        },
    }
}

impl Handler<BeginSession> for SessionSlot {
    type Result = ();
    fn handle(&mut self, BeginSession(record): BeginSession, ctx: &mut Self::Context) {
        let session_id = record.session_id;
        if let Err(error) = self.begin(*record, ctx) {
            tracing::error!(session = %session_id, %error, "a session's commands cannot be read");
            let reason = Reason::new("bad_record", "its commands cannot be read");
            self.scheduler.do_send(InteractiveEnded { session_id, reason });
        }
    }
}

impl Handler<RunInteractive> for SessionSlot {
    type Result = ();
    fn handle(&mut self, RunInteractive(message): RunInteractive, ctx: &mut Self::Context) {
        if self.interactive.holds(message.session_id).is_none() {
            // Its end is on its way to the scheduler: ask there again.
            return self.scheduler.do_send(message);
        }
        let answer = self.run_command(&message, ctx);
        self.ground.after_commit(move || message.reply.send(answer));
    }
}

impl Handler<CancelInteractive> for SessionSlot {
    type Result = ();
    fn handle(&mut self, CancelInteractive(message): CancelInteractive, ctx: &mut Self::Context) {
        if self.interactive.holds(message.session_id).is_none() {
            return self.scheduler.do_send(message);
        }
        let answer = self.cancel_command(&message, ctx);
        self.ground.after_commit(move || message.reply.send(answer));
    }
}

impl Handler<CloseInteractive> for SessionSlot {
    type Result = ();
    fn handle(&mut self, CloseInteractive(session_id): CloseInteractive, ctx: &mut Self::Context) {
        if self.interactive.holds(session_id).is_some() {
            self.with_interactive(ctx, |state, _, now| state.close(now));
        }
    }
}

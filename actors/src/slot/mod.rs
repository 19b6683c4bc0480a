//! SessionSlot: the right to hold a session, and the session in it.
//!
//! A slot runs one job at a time: it renders and sends step after step, watches deadlines, and ends the job or
//! gives it back when its host went away before anything irrevocable. Or it holds one interactive session, and
//! sends command after command as its caller asks for them (`interactive`). The intent to send a mutating
//! command is durable before the command is sent; its outcome is durable before the agent may forget it.
//!
//! Deliberately not here: which job comes next (JobScheduler), how a host is reached (Host).

mod flight;
mod interact;
mod interactive;
mod run;
mod state;
#[cfg(test)]
mod tests;
mod turn;

pub(crate) use interact::{BeginSession, CancelInteractive, CloseInteractive, RunInteractive};

use crate::artifact::may_read;
use crate::audit::{self, By, Entry};
use crate::directory::{Directory, ToHost};
use crate::door::Reply;
use crate::ground::Ground;
use crate::guardian::{Sentinel, retires};
use crate::host::HostCommand;
use crate::limacharlie;
use crate::outbox::{Enqueue, Outbox};
use crate::published::stage_events;
use crate::record::JobRecord;
use crate::refusal::Refusal;
use crate::scheduler::{CancelJob, GetJob, JobScheduler, SessionEnd, SessionEnded, notice};
use crate::store::Batch;
use crate::trace;
use actix::prelude::*;
use state::{Effect, Moment, State, ToHostEffect};
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::api::{JobView, SlotHolder, SlotSession, SlotView, SlotsView};
use tripline_protocol::audit::Action;
use tripline_protocol::frame::CommandResult;
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::verb::{PutFile, VerbCall};
use tripline_protocol::{CommandId, Fault, HostId, JobId, Org};

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Run this job; from the scheduler, which knows the slot is free.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct RunJob(pub(crate) Box<JobRecord>);

/// End this job early; from the scheduler, which is asked again when it is no longer here.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Cancel {
    pub(crate) org: Option<Org>,
    pub(crate) job_id: JobId,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<JobView>,
}

/// Show this job; from the scheduler.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ViewJob {
    pub(crate) job_id: JobId,
    pub(crate) reply: Reply<JobView>,
}

/// Add yourself to the view and pass it on to the next slot; from the scheduler or the slot before.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct AddView {
    pub(crate) view: SlotsView,
    pub(crate) rest: std::vec::IntoIter<Addr<SessionSlot>>,
    pub(crate) reply: Reply<SlotsView>,
}

/// What a host reports about a command of this slot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Report {
    /// It ended.
    Ended(Box<CommandResult>, Option<ArtifactRef>),
    /// The host went away; the command may go on there.
    Lost,
    /// The host is back, and the command goes on or was sent.
    Found,
    /// The agent's journal is another one: nobody knows whether it ran.
    JournalLost,
}

/// A host's report; from its Host actor.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostReport {
    pub(crate) command_id: CommandId,
    pub(crate) report: Report,
}

impl HostReport {
    /// The command failed before it was sent.
    fn failed(command_id: CommandId, fault: Fault) -> Self {
        let result = CommandResult {
            command_id,
            output: None,
            error: Some(fault),
            truncated: None,
        };
        Self {
            command_id,
            report: Report::Ended(Box::new(result), None),
        }
    }
}

/// A Host actor died and was made anew: commands under way must be made known to it again. From the Directory.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct HostRestarted(pub(crate) HostId);

/// An output was written to an artifact. Sent by the slot to itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct Spilled {
    command_id: CommandId,
    result: Result<ArtifactRef, Fault>,
}

/// The actor.
pub(crate) struct SessionSlot {
    ground: Arc<Ground>,
    index: u32,
    scheduler: Addr<JobScheduler>,
    directory: Addr<Directory>,
    outbox: Addr<Outbox>,
    state: State,
    /// At most one of the two has something.
    interactive: interactive::State,
    /// What goes on record with the next batch.
    on_record: Vec<Entry>,
    /// Goes into the batch of the next record of a command.
    noted: Batch,
    sentinel: Sentinel,
}

retires!(SessionSlot);

impl SessionSlot {
    pub(crate) fn new(
        ground: Arc<Ground>,
        index: u32,
        scheduler: Addr<JobScheduler>,
        directory: Addr<Directory>,
        outbox: Addr<Outbox>,
        sentinel: Sentinel,
    ) -> Self {
        let grace = ground.config.reconnect_grace;
        Self {
            ground,
            index,
            scheduler,
            directory,
            outbox,
            state: State::new(grace),
            interactive: interactive::State::new(grace),
            on_record: Vec::new(),
            noted: Batch::new(),
            sentinel,
        }
    }

    /// Carries out what the state machine decided, in its order.
    fn apply(&mut self, effects: Vec<Effect>, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Persist(record) => {
                    let mut batch = Batch::new();
                    record.put(&mut batch);
                    for note in &record.notes {
                        batch.audit(audit::of_job(&self.ground, &record, note));
                    }
                    self.on_record.drain(..).for_each(|entry| batch.audit(entry));
                    let events = stage_events(&self.ground, &mut batch, &record);
                    let (ground, spans) = (Arc::clone(&self.ground), trace::passed(&self.ground, &record));
                    let outbox = self.outbox.clone();
                    let has_news = limacharlie::job_stepped(&self.ground, &mut batch, &record);
                    let tell = has_news.then(|| limacharlie::tell(&self.ground, &record));
                    self.ground.store.commit(batch, move || {
                        if !events.is_empty() {
                            outbox.do_send(Enqueue(events));
                        }
                        if let Some(tell) = tell {
                            tell();
                        }
                        ground.traces.send(spans);
                    });
                }
                Effect::Announce(record) => self.ground.after_commit(notice(&self.ground, &record)),
                Effect::Host { host_id, command } => self.tell_host(host_id, command, ctx),
                Effect::Spill {
                    command_id,
                    name,
                    bytes,
                } => self.spill(command_id, name, bytes, ctx),
                Effect::NextTurn(job_id) => self.yield_turn(job_id, ctx),
                Effect::End { record, end, ack } => self.scheduler.do_send(SessionEnded { record, end, ack }),
            }
        }
    }

    fn tell_host(&self, host_id: HostId, command: ToHostEffect, ctx: &mut Context<Self>) {
        let slot = ctx.address();
        let command = match command {
            ToHostEffect::Execute(execute) => {
                if let Some(fault) = self.refused(&execute.call) {
                    return ctx.notify(HostReport::failed(execute.command_id, fault));
                }
                HostCommand::Execute { slot, execute }
            }
            ToHostEffect::Adopt(adopt) => HostCommand::Adopt { slot, adopt },
            ToHostEffect::Cancel(command_id) => HostCommand::Cancel { command_id },
            ToHostEffect::Abandon(command_id) => HostCommand::Abandon { command_id },
            ToHostEffect::Ack(command_id) => HostCommand::Ack { command_id },
        };
        self.directory.do_send(ToHost { host_id, command });
    }

    fn moment_of(&self, host_id: Option<HostId>) -> Moment {
        let live = host_id.and_then(|host_id| self.ground.attachments.get(host_id));
        Moment {
            now: self.ground.now(),
            journal_id: live.map(|live| live.journal_id),
            outbox_room: self.ground.load.room(),
        }
    }

    /// Now, with the host of the job's session.
    fn moment(&self) -> Moment {
        self.moment_of(self.state.host_id())
    }

    /// Why a command must not be sent: it would give a host a file of another org.
    fn refused(&self, call: &VerbCall) -> Option<Fault> {
        let VerbCall::PutFile(PutFile {
            artifact: Some(sha256),
            ..
        }) = call
        else {
            return None;
        };
        let of_job = self.state.record().map(|record| &record.org);
        let org = of_job.or_else(|| self.interactive.record().map(|record| &record.org));
        match may_read(&self.ground.store, sha256, org) {
            Ok(true) => None,
            Ok(false) => {
                let text = format!("no job or session of this org has an artifact {sha256}");
                Some(Fault::server("artifact_not_found", text))
            }
            Err(refusal) => Some(refusal.into()),
        }
    }

    /// Writes a large output to an artifact, away from the actors' thread.
    fn spill(&self, command_id: CommandId, name: String, bytes: Vec<u8>, ctx: &mut Context<Self>) {
        let artifacts = Arc::clone(&self.ground.artifacts);
        let me = ctx.address();
        actix::spawn(async move {
            let written = tokio::task::spawn_blocking(move || artifacts.put_bytes(&bytes)).await;
            let result = match written {
                Ok(Ok((sha256, bytes))) => Ok(ArtifactRef { sha256, bytes, name }),
                Ok(Err(error)) => Err(Fault::server("artifact_not_stored", error.to_string())),
                Err(_) => Err(Fault::server("artifact_not_stored", "its writer died")),
            };
            me.do_send(Spilled { command_id, result });
        });
    }
}

impl Actor for SessionSlot {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, |slot, ctx| {
            let effects = slot.state.tick(slot.moment());
            slot.apply(effects, ctx);
            slot.tick_interactive(ctx);
        });
    }
}

impl Handler<RunJob> for SessionSlot {
    type Result = ();
    fn handle(&mut self, RunJob(record): RunJob, ctx: &mut Self::Context) {
        let moment = self.moment_of(Some(record.host.host_id));
        let effects = self.state.run(*record, moment);
        self.apply(effects, ctx);
    }
}

impl Handler<Cancel> for SessionSlot {
    type Result = ();
    fn handle(&mut self, message: Cancel, ctx: &mut Self::Context) {
        let Cancel {
            org,
            job_id,
            by,
            reply,
        } = message;
        let Some(record) = self.state.record().filter(|record| record.job_id == job_id) else {
            return self.scheduler.do_send(CancelJob {
                org,
                job_id,
                by,
                reply,
            });
        };
        let view = record.to_view(None);
        let entry = self.ground.audit(Action::JobCancel, &by, Some(&record.org));
        self.on_record.push(entry.host(&record.host).on("job", job_id));
        let effects = self.state.cancel(job_id, self.moment());
        self.apply(effects, ctx);
        self.ground.after_commit(move || reply.send(Ok(view)));
    }
}

impl Handler<HostReport> for SessionSlot {
    type Result = ();
    fn handle(&mut self, message: HostReport, ctx: &mut Self::Context) {
        let HostReport { command_id, report } = message;
        if self.interactive.is_in_flight(command_id) {
            return self.with_interactive(ctx, |state, journal, now| {
                state.report(command_id, report, journal, now)
            });
        }
        let effects = self.state.report(command_id, report, self.moment());
        self.apply(effects, ctx);
    }
}

impl Handler<HostRestarted> for SessionSlot {
    type Result = ();
    fn handle(&mut self, HostRestarted(host_id): HostRestarted, ctx: &mut Self::Context) {
        let effects = self.state.host_restarted(host_id, self.moment());
        self.apply(effects, ctx);
        self.with_interactive(ctx, |state, _, now| state.host_restarted(host_id, now));
    }
}

impl Handler<Spilled> for SessionSlot {
    type Result = ();
    fn handle(&mut self, message: Spilled, ctx: &mut Self::Context) {
        let Spilled { command_id, result } = message;
        if self.interactive.is_in_flight(command_id) {
            return self.with_interactive(ctx, |state, journal, now| {
                state.spilled(command_id, result, journal, now)
            });
        }
        let effects = self.state.spilled(command_id, result, self.moment());
        self.apply(effects, ctx);
    }
}

impl Handler<ViewJob> for SessionSlot {
    type Result = ();
    fn handle(&mut self, message: ViewJob, _: &mut Self::Context) {
        let ViewJob { job_id, reply } = message;
        match self.state.record().filter(|record| record.job_id == job_id) {
            Some(record) => {
                let view = record.to_view(None);
                self.ground.after_commit(move || reply.send(Ok(view)));
            }
            // Its end is on its way to the scheduler: ask there again.
            None => self.scheduler.do_send(GetJob {
                org: None,
                job_id,
                reply,
            }),
        }
    }
}

impl Handler<AddView> for SessionSlot {
    type Result = ();
    fn handle(&mut self, mut message: AddView, _: &mut Self::Context) {
        let session = self.state.record().map(|record| SlotSession {
            host: record.host.clone(),
            since: self.state.since(),
            holder: SlotHolder::Job {
                job_id: record.job_id,
                step: self.state.step(),
            },
        });
        let session = session.or_else(|| self.interactive_view());
        message.view.slots.push(SlotView {
            slot: self.index,
            session,
        });
        match message.rest.next() {
            Some(next) => next.do_send(message),
            None => message.reply.send(Ok::<_, Refusal>(message.view)),
        }
    }
}

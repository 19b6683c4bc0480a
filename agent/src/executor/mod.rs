//! What runs now, what ended and waits for an ack, and the rule that nothing mutating runs twice.
//!
//! Connections come and go beside it. A command is first looked for among what runs, what waits for an ack and
//! what the journal knows; only an unknown one is executed, on a blocking thread, and its result is kept until
//! the server acked it. Results of commands that only read are kept in memory: after an agent's crash such
//! a command may run again. A refusal (busy, not supported, stale epoch) is kept nowhere, since nothing began.

mod outcome;
mod table;

use crate::isolation::HostIsolation;
use crate::journal::{self, Journal, Known};
use crate::link::{Link, Outgoing};
use crate::partials::{self, Partials};
use crate::platform::Platform;
use crate::policy::Policy;
use crate::stop::parking::Mutex;
use crate::stop::{Cause, Stop, cancelled};
use crate::transfer::{ChunkSink, ChunkSource, is_pause, paused};
use crate::verbs::{self, Context, Done, Resuming};
use outcome::{already_acked, result_frame, unknown_outcome};
use std::sync::{Arc, Weak};
use std::time::Duration;
use table::{Running, Table, TransferEnd};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tripline_protocol::frame::{AgentFrame, CODE_INTERRUPTED, CODE_STALE_EPOCH, Chunk, Command};
use tripline_protocol::verb::{Effect, Verb};
use tripline_protocol::{CommandId, Fault};

/// Most commands at once; more are refused as `busy`.
pub const COMMANDS_MAX: usize = 16;
/// Most results that wait for an ack; at this many new commands are refused as `busy`.
pub const UNACKED_MAX: usize = 1024;
/// Most bytes of results that wait for an ack.
const UNACKED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long after its deadline a command that does not react is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);
/// How long the end of the agent waits for its commands to end.
const SHUTDOWN: Duration = Duration::from_secs(6);

struct Shared {
    platform: Arc<dyn Platform>,
    policy: Policy,
    journal: Journal,
    partials: Partials,
    isolation: Arc<HostIsolation>,
    table: Mutex<Table>,
    permits: Arc<Semaphore>,
    running: watch::Sender<usize>,
    broken: watch::Sender<Option<journal::Error>>,
}

/// Runs commands. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Executor(Arc<Shared>);

enum Admission {
    Run(Arc<Running>, OwnedSemaphorePermit),
    Runs,
    Ended(Arc<str>),
    Refused(Fault),
}

/// What is known about a command, wherever it is known.
enum Found {
    Running(Arc<Running>),
    Ended(Arc<str>),
    Acked,
    Nowhere,
}

impl Executor {
    /// Takes a journal over and settles what an earlier agent began and did not finish: what is left of its
    /// processes and temporary files is removed, and its result is `interrupted`.
    pub async fn new(
        platform: Arc<dyn Platform>,
        policy: Policy,
        journal: Journal,
        partials: Partials,
        isolation: Arc<HostIsolation>,
    ) -> Result<Self, journal::Error> {
        let table = Table {
            epoch: journal.epoch(),
            ..Table::default()
        };
        let executor = Self(Arc::new(Shared {
            platform,
            policy,
            journal,
            partials,
            isolation,
            table: Mutex::new(table),
            permits: Arc::new(Semaphore::new(COMMANDS_MAX)),
            running: watch::Sender::new(0),
            broken: watch::Sender::new(None),
        }));
        for begun in executor.0.journal.begun() {
            executor.settle_interrupted(begun).await?;
        }
        tokio::spawn(sweep(Arc::downgrade(&executor.0)));
        Ok(executor)
    }

    async fn settle_interrupted(&self, begun: journal::Begun) -> Result<(), journal::Error> {
        let id = begun.id;
        let shared = self.0.clone();
        let cleaned = tokio::task::spawn_blocking(move || {
            let ended = begun
                .pid
                .map_or(0, |pid| shared.platform.end_leftovers(begun.id, pid));
            (ended, shared.settle_leftover(&begun.leftover))
        });
        let mut can_go_on = false;
        match cleaned.await {
            Ok((ended, Ok(kept))) => {
                tracing::warn!(command_id = %id, ended, kept, "a command was interrupted");
                can_go_on = kept;
            }
            Ok((ended, Err(error))) => {
                tracing::warn!(command_id = %id, ended, %error, "a command was interrupted, its temporary file stays");
            }
            Err(error) => tracing::error!(command_id = %id, %error, "failed to clean up after a command"),
        }
        let fault = if can_go_on {
            paused()
        } else {
            let text = "the agent died while the command ran: whether it took effect is unknown";
            Fault::server(CODE_INTERRUPTED, text)
        };
        self.0.journal.finish(id, &result_frame(id, Err(fault))).await
    }

    /// The verbs to announce.
    pub fn verbs(&self) -> Vec<Verb> {
        let mut verbs = self.0.policy.announced(self.0.platform.verbs());
        if self.0.isolation.lacks().is_some() {
            verbs.retain(|verb| !matches!(verb, Verb::Isolate | Verb::Unisolate));
        }
        verbs
    }

    /// The isolation of the host.
    pub fn isolation(&self) -> &Arc<HostIsolation> {
        &self.0.isolation
    }

    /// The operating system.
    pub fn platform(&self) -> &Arc<dyn Platform> {
        &self.0.platform
    }

    /// The journal's identity.
    pub fn journal_id(&self) -> uuid::Uuid {
        self.0.journal.id()
    }

    /// Ids of what runs, and of what ended and waits for an ack.
    pub fn snapshot(&self) -> (Vec<CommandId>, Vec<CommandId>) {
        let table = self.0.table.lock();
        let running: Vec<CommandId> = table.running.keys().copied().collect();
        let journaled = self.0.journal.unacked().into_iter().map(|(id, _)| id);
        let finished = table.answers.keys().copied().chain(journaled);
        let finished = finished.filter(|id| !table.running.contains_key(id)).collect();
        (running, finished)
    }

    /// The server welcomed the agent on `link`: results go there from now on, those without an ack first.
    pub fn attach(&self, link: &Arc<Link>, epoch: u64) {
        let mut table = self.0.table.lock();
        table.link = Some(link.clone());
        if epoch > table.epoch {
            table.epoch = epoch;
            self.0.journal.note_epoch(epoch);
        }
        let journaled = self.0.journal.unacked().into_iter().map(|(_, text)| text);
        for text in table.answers.values().cloned().chain(journaled) {
            send_result(link, text);
        }
    }

    /// The connection is gone: its transfers end, everything else goes on.
    pub fn detach(&self, link: &Arc<Link>) {
        let mut table = self.0.table.lock();
        if table
            .link
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, link))
        {
            table.link = None;
        }
        for running in table
            .running
            .values()
            .filter(|running| Arc::ptr_eq(&running.link, link))
        {
            running.transfer.cut();
        }
    }

    /// A command came on `link`.
    pub fn command(&self, link: &Arc<Link>, command: Command) {
        let id = command.command_id;
        match self.admit(link, &command) {
            Admission::Run(running, permit) => {
                tokio::spawn(self.clone().execute(command, running, permit));
            }
            Admission::Runs => link.frame(AgentFrame::Accepted { command_id: id }),
            Admission::Ended(text) => send_result(link, text),
            Admission::Refused(fault) => self.refuse(link, id, fault),
        }
    }

    /// Answers with a fault without anything having begun.
    pub fn refuse(&self, link: &Link, id: CommandId, fault: Fault) {
        tracing::info!(command_id = %id, code = fault.code, "refused a command");
        send_result(link, result_frame(id, Err(fault)).into());
    }

    fn find(&self, table: &Table, id: CommandId) -> Found {
        if let Some(running) = table.running.get(&id) {
            return Found::Running(running.clone());
        }
        if let Some(text) = table.answers.get(&id) {
            return Found::Ended(text.clone());
        }
        match self.0.journal.known(id) {
            None => Found::Nowhere,
            Some(Known::Finished(text)) => Found::Ended(text),
            Some(Known::Acked) => Found::Acked,
            // Begun, not running and without a result: writing the result failed, and the agent is about to end.
            Some(Known::Begun) => Found::Ended(result_frame(id, Err(unknown_outcome())).into()),
        }
    }

    fn admit(&self, link: &Arc<Link>, command: &Command) -> Admission {
        let mut table = self.0.table.lock();
        match self.find(&table, command.command_id) {
            Found::Running(_) => return Admission::Runs,
            Found::Ended(text) => return Admission::Ended(text),
            Found::Acked => return Admission::Refused(already_acked()),
            Found::Nowhere => {}
        }
        let permit = match self.check(&table, command) {
            Ok(permit) => permit,
            Err(fault) => return Admission::Refused(fault),
        };
        let stop = Stop::after(Duration::from_millis(command.remaining_ms));
        let transfer = TransferEnd::of(command, link, &stop);
        let running = Arc::new(Running {
            stop,
            link: link.clone(),
            transfer,
        });
        self.insert(&mut table, command.command_id, &running);
        Admission::Run(running, permit)
    }

    fn check(&self, table: &Table, command: &Command) -> Result<OwnedSemaphorePermit, Fault> {
        if command.epoch < table.epoch {
            let text = format!("epoch {} is older than {}", command.epoch, table.epoch);
            return Err(Fault::server(CODE_STALE_EPOCH, text));
        }
        if table.stopping {
            return Err(Fault::server("agent_stopping", "the agent is being stopped"));
        }
        self.0
            .policy
            .admit(command.call.verb(), self.0.platform.verbs())?;
        self.check_unacked(table)?;
        let busy = || Fault::server("busy", format!("{COMMANDS_MAX} commands run on this host"));
        self.0.permits.clone().try_acquire_owned().map_err(|_| busy())
    }

    fn check_unacked(&self, table: &Table) -> Result<(), Fault> {
        let (count, bytes) = self.0.journal.unacked_size();
        if count + table.answers.len() >= UNACKED_MAX || bytes + table.answer_bytes >= UNACKED_BYTES_MAX {
            return Err(Fault::server("busy", "too many results wait for an ack"));
        }
        Ok(())
    }

    fn insert(&self, table: &mut Table, id: CommandId, running: &Arc<Running>) {
        table.running.insert(id, running.clone());
        self.0.running.send_replace(table.running.len());
    }

    async fn execute(self, command: Command, running: Arc<Running>, permit: OwnedSemaphorePermit) {
        let id = command.command_id;
        let mutating = command.call.verb().effect() == Effect::Mutates;
        if mutating {
            let leftover = verbs::leftover(&command);
            if let Err(error) = self.0.journal.begin(id, leftover).await {
                return self.not_begun(id, &running, error);
            }
        }
        running.link.frame(AgentFrame::Accepted { command_id: id });
        if let TransferEnd::In(inbound) = &running.transfer {
            inbound.open();
        }
        let outcome = self.run(command, running, permit).await;
        let result = result_frame(id, outcome);
        if mutating {
            self.end_durably(id, result).await;
        } else {
            self.ended(id, result.into(), true);
        }
    }

    /// The journal did not take the beginning, so the command was not executed.
    fn not_begun(&self, id: CommandId, running: &Running, error: journal::Error) {
        let fault = Fault::server(
            "journal_unwritable",
            format!("{error}: the command was not executed"),
        );
        let mut table = self.0.table.lock();
        self.remove(&mut table, id);
        self.refuse(&running.link, id, fault);
        if !matches!(error, journal::Error::Write(_)) {
            self.0.broken.send_replace(Some(error));
        }
    }

    /// A result that cannot be made durable is not sent: the agent ends, and its next start says `interrupted`.
    async fn end_durably(&self, id: CommandId, result: String) {
        match self.0.journal.finish(id, &result).await {
            Ok(()) => self.ended(id, result.into(), false),
            Err(error) => {
                tracing::error!(command_id = %id, %error, "failed to keep a result");
                self.0.broken.send_replace(Some(error));
            }
        }
    }

    fn ended(&self, id: CommandId, result: Arc<str>, in_memory: bool) {
        let mut table = self.0.table.lock();
        if in_memory {
            table.answer_bytes += result.len();
            table.answers.insert(id, result.clone());
        }
        self.remove(&mut table, id);
        if let Some(link) = &table.link {
            send_result(link, result);
        }
    }

    fn remove(&self, table: &mut Table, id: CommandId) {
        table.running.remove(&id);
        self.0.running.send_replace(table.running.len());
    }

    /// Runs the verb on a blocking thread. A verb that hangs in the kernel beyond its deadline is given up; its
    /// thread keeps its permit.
    async fn run(
        &self,
        command: Command,
        running: Arc<Running>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Done, Fault> {
        let give_up = tokio::time::Instant::from_std(running.stop.deadline()) + GIVE_UP_AFTER;
        let shared = self.0.clone();
        let work = tokio::task::spawn_blocking(move || {
            let outcome = shared.run_here(&command, &running);
            drop(permit);
            outcome
        });
        match tokio::time::timeout_at(give_up, work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(Fault::server(
                "agent_failed",
                format!("the agent failed: {error}"),
            )),
            Err(_) => {
                let text =
                    "the command did not end at its deadline: it hangs in the host and may still take effect";
                Err(Fault::timeout("command_timeout", text))
            }
        }
    }

    /// The server cancels a command. One that is not known is remembered, so that it will not run if it comes.
    pub fn cancel(&self, link: &Arc<Link>, id: CommandId) {
        let mut table = self.0.table.lock();
        match self.find(&table, id) {
            Found::Running(running) => running.stop.set(Cause::Cancelled),
            Found::Ended(text) => send_result(link, text),
            Found::Acked => self.refuse(link, id, already_acked()),
            Found::Nowhere => {
                if let Err(fault) = self.check_unacked(&table) {
                    return self.refuse(link, id, fault);
                }
                let stop = Stop::after(Duration::ZERO);
                let transfer = TransferEnd::None;
                self.insert(
                    &mut table,
                    id,
                    &Arc::new(Running {
                        stop,
                        link: link.clone(),
                        transfer,
                    }),
                );
                let executor = self.clone();
                tokio::spawn(async move {
                    executor.end_durably(id, result_frame(id, Err(cancelled()))).await;
                });
            }
        }
    }

    /// The server has these results.
    pub fn ack(&self, ids: &[CommandId]) {
        let mut table = self.0.table.lock();
        for id in ids {
            if let Some(text) = table.answers.remove(id) {
                table.answer_bytes = table.answer_bytes.saturating_sub(text.len());
            } else if matches!(self.0.journal.known(*id), Some(Known::Finished(_))) {
                self.0.journal.ack(*id);
            }
        }
    }

    /// The server can take more of a transfer.
    pub fn credit(&self, id: CommandId, bytes: u64) {
        match self
            .0
            .table
            .lock()
            .running
            .get(&id)
            .map(|running| &running.transfer)
        {
            Some(TransferEnd::Out(outbound)) => outbound.grant(bytes),
            _ => tracing::trace!(command_id = %id, "credit for no transfer"),
        }
    }

    /// A piece of a transfer came on `link`.
    pub fn chunk(&self, link: &Arc<Link>, chunk: &Chunk<'_>) {
        let running = self.0.table.lock().running.get(&chunk.command_id).cloned();
        match running.as_deref() {
            Some(Running {
                transfer: TransferEnd::In(inbound),
                link: its,
                ..
            }) if Arc::ptr_eq(its, link) => {
                inbound.push(chunk);
            }
            _ => tracing::debug!(command_id = %chunk.command_id, "a chunk for no transfer"),
        }
    }

    /// Returns once the journal does not work any more, after which the agent must end.
    pub async fn broken(&self) -> journal::Error {
        let mut broken = self.0.broken.subscribe();
        match broken.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or(journal::Error::Closed),
            Err(_) => journal::Error::Closed,
        }
    }

    /// Ends what runs as `interrupted` and waits until the results are kept, at most some seconds.
    pub async fn shut_down(&self) {
        let count = {
            let mut table = self.0.table.lock();
            table.stopping = true;
            table
                .running
                .values()
                .for_each(|running| running.stop.set(Cause::AgentStops));
            table.running.len()
        };
        let mut running = self.0.running.subscribe();
        if tokio::time::timeout(SHUTDOWN, running.wait_for(|running| *running == 0))
            .await
            .is_err()
        {
            tracing::warn!(commands = count, "stopped while commands did not end");
        }
    }
}

/// Removes files of cut transfers that nobody goes on with, now and then, as long as there is an executor.
async fn sweep(shared: Weak<Shared>) {
    let mut looks = tokio::time::interval(partials::LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let swept =
            tokio::task::spawn_blocking(move || shared.partials.sweep(&*shared.platform, partials::KEPT_FOR));
        if let Err(error) = swept.await {
            tracing::error!(%error, "failed to look for files of cut transfers");
        }
    }
}

impl Shared {
    /// Removes the temporary file that a command left, unless its transfer can go on with it: `true`.
    fn settle_leftover(&self, leftover: &[u8]) -> Result<bool, Fault> {
        if leftover.is_empty() {
            return Ok(false);
        }
        if self.partials.keeps(leftover, &*self.platform) {
            return Ok(true);
        }
        self.platform.remove_leftover(leftover).map(|()| false)
    }

    fn run_here(&self, command: &Command, running: &Running) -> Result<Done, Fault> {
        let id = command.command_id;
        let mutating = command.call.verb().effect() == Effect::Mutates;
        let started = |pid| {
            if mutating {
                self.journal.started(id, pid);
            }
        };
        let (sink, source): (Option<&dyn ChunkSink>, Option<&dyn ChunkSource>) = match &running.transfer {
            TransferEnd::None => (None, None),
            TransferEnd::Out(outbound) => (Some(outbound), None),
            TransferEnd::In(inbound) => (None, Some(inbound)),
        };
        let context = Context {
            id,
            platform: &*self.platform,
            policy: &self.policy,
            isolation: &self.isolation,
            stop: &running.stop,
            transfer: command.transfer.as_ref(),
            resume: command.resume.as_ref().map(|resume| Resuming {
                resume,
                partials: &self.partials,
            }),
            sink,
            source,
            started: &started,
        };
        let sends = matches!(running.transfer, TransferEnd::Out(_)) && command.resume.is_some();
        match verbs::run(&context, &command.call) {
            // What only reads has nothing to leave in order: its transfer goes on when the agent is back.
            Err(fault) if sends && is_pause(&fault) => Err(paused()),
            outcome => outcome,
        }
    }
}

fn send_result(link: &Link, text: Arc<str>) {
    if link.send(Outgoing::Result(text)).is_err() {
        tracing::trace!("a result waits for the next connection");
    }
}

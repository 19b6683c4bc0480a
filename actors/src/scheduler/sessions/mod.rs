//! Interactive sessions at the scheduler: opened, queued beside the jobs, given a slot, ended.
//!
//! It owns the records of sessions; while one is active, its slot owns its commands. A session survives the
//! end of the server: those that were active get their slots back before anything else starts.

mod files;
mod life;
mod messages;
mod prune;
mod query;
mod queue;
#[cfg(test)]
mod tests;

pub(crate) use messages::{
    AddFile, CancelCommand, CloseSession, DeleteFile, GetSession, InteractiveEnded, KeepAlive, ListSessions,
    OpenSession, RunCommand,
};

use super::JobScheduler;
use super::slots::Slots;
use crate::access::Principal;
use crate::core::CoreConfig;
use crate::door::Reply;
use crate::ground::{Ground, read};
use crate::refusal::Refusal;
use crate::session::{SessionRecord, check_act, is_owner, made_before, may_see};
use crate::slot::{CancelInteractive, RunInteractive, SessionSlot};
use crate::store::Table;
use actix::prelude::*;
use queue::{Entry, Limits, Phase, Queue};
use std::collections::HashMap;
use tripline_protocol::session::SessionState;
use tripline_protocol::{HostId, SessionId, Timestamp};

/// Sessions that may wait, in all.
const WAITING_MAX: usize = 10_000;
/// Sessions of one owner that may wait.
const WAITING_PER_OWNER_MAX: usize = 1_000;
/// Sessions ended at once because their time is over.
const END_MAX: usize = 1000;

/// The open sessions.
#[derive(Debug)]
pub(super) struct Desk {
    queue: Queue,
    records: HashMap<SessionId, SessionRecord>,
    /// Sessions that were active when the server stopped, oldest first.
    resume: Vec<SessionId>,
    pruner: prune::Pruner,
}

/// The slots, shared as the settings say.
pub(super) fn slots(config: &CoreConfig) -> Slots {
    let total = config.slots_total;
    let jobs_most = total.saturating_sub(config.slots_interactive_reserved);
    let sessions_most = total.saturating_sub(config.slots_jobs_reserved);
    Slots::new(total, jobs_most, sessions_most)
}

impl Desk {
    /// Reads the open sessions. Their hosts come back one by one, and their callers have all their time again.
    pub(super) fn load(ground: &Ground) -> Result<Self, Refusal> {
        let mut desk = Self {
            queue: Queue::new(Limits {
                total: WAITING_MAX,
                per_owner: WAITING_PER_OWNER_MAX,
            }),
            records: HashMap::new(),
            resume: Vec::new(),
            pruner: prune::Pruner::load(&ground.store)?,
        };
        let (now, mut after) = (ground.now(), None::<Vec<u8>>);
        loop {
            let page = ground
                .store
                .scan(Table::OpenSession, &[], after.as_deref(), 1000)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, id) in &page {
                let record: Option<SessionRecord> = read(&ground.store, Table::Session, id, "session")?;
                let Some(record) = record else { continue };
                if record.state == SessionState::Active {
                    desk.resume.push(record.session_id);
                }
                ground.sessions.begin(record.session_id, now);
                desk.queue.add(entry_of(&record, now), || false, now);
                desk.records.insert(record.session_id, record);
            }
        }
        Ok(desk)
    }

    pub(super) fn attached(&mut self, host_id: HostId) {
        self.queue.attached(host_id);
    }

    pub(super) fn detached(&mut self, host_id: HostId, now: Timestamp) {
        self.queue.detached(host_id, now);
    }

    /// Whether a session of this host is open.
    pub(super) fn is_used(&self, host_id: HostId) -> bool {
        self.of_host(host_id).next().is_some()
    }

    fn of_host(&self, host_id: HostId) -> impl Iterator<Item = SessionId> {
        let records = self.records.values();
        records
            .filter(move |record| record.host.host_id == host_id)
            .map(|record| record.session_id)
    }

    /// Whether one waits for nothing but a slot.
    pub(super) fn is_ready(&self) -> bool {
        self.queue.ready_len() > 0
    }

    pub(super) fn ready_len(&self) -> usize {
        self.queue.ready_len()
    }
}

fn entry_of(record: &SessionRecord, now: Timestamp) -> Entry {
    Entry {
        session_id: record.session_id,
        number: record.number,
        host_id: record.host.host_id,
        owner: record.owner.token_id.as_str().into(),
        since: now,
    }
}

fn not_found(session_id: SessionId) -> Refusal {
    Refusal::NotFound {
        what: "session",
        id: session_id.to_string(),
    }
}

/// It takes nothing more.
fn ended(record: &SessionRecord) -> Refusal {
    let why = record.reason.as_ref().map_or("", |reason| reason.text.as_str());
    Refusal::Conflict {
        code: "session_ended",
        detail: format!("session {} has ended: {why}", record.session_id),
    }
}

impl JobScheduler {
    /// A session's record as it is now.
    fn session_of(&self, session_id: SessionId) -> Result<Option<SessionRecord>, Refusal> {
        match self.sessions.records.get(&session_id) {
            Some(record) => Ok(Some(record.clone())),
            None => read(
                &self.ground.store,
                Table::Session,
                session_id.as_bytes(),
                "session",
            ),
        }
    }

    /// The record, if the caller may see it. A request of its owner is a sign of life.
    fn seen_by(&self, caller: &Principal, session_id: SessionId) -> Result<SessionRecord, Refusal> {
        let record = self.session_of(session_id)?;
        let record = record
            .filter(|record| may_see(caller, &record.org))
            .ok_or_else(|| not_found(session_id))?;
        if is_owner(caller, &record) {
            self.ground.sessions.touch(session_id, self.ground.now());
        }
        Ok(record)
    }

    /// The record, if the caller may act on it and it takes anything.
    fn open_for(&self, caller: &Principal, session_id: SessionId) -> Result<SessionRecord, Refusal> {
        let record = self.seen_by(caller, session_id)?;
        check_act(caller, &record)?;
        if record.is_closing() || !record.state.is_open() {
            return Err(ended(&record));
        }
        Ok(record)
    }

    fn slot_of(&self, session_id: SessionId) -> Option<&Addr<SessionSlot>> {
        match self.sessions.queue.phase(session_id)? {
            Phase::Active { slot } => self.slots.get(slot as usize),
            Phase::Pending => None,
        }
    }

    /// The slot that takes commands of this session now.
    fn slot_for(&self, caller: &Principal, session_id: SessionId) -> Result<&Addr<SessionSlot>, Refusal> {
        let record = self.open_for(caller, session_id)?;
        self.slot_of(session_id).ok_or_else(|| Refusal::Conflict {
            code: "session_pending",
            detail: format!("session {} is not active yet", record.session_id),
        })
    }
}

impl Handler<OpenSession> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: OpenSession, _: &mut Self::Context) {
        match self.open_session(&message) {
            Err(refusal) => message.reply.send(Err(refusal)),
            Ok((batch, view)) => {
                let reply = message.reply;
                self.ground.store.commit(batch, move || reply.send(Ok(view)));
                self.dispatch();
            }
        }
    }
}

impl Handler<KeepAlive> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: KeepAlive, _: &mut Self::Context) {
        let KeepAlive {
            caller,
            session_id,
            reply,
        } = message;
        let answer = self.open_for(&caller, session_id).map(|record| {
            self.ground.sessions.touch(session_id, self.ground.now());
            self.session_view(&record)
        });
        self.ground.after_commit(move || reply.send(answer));
    }
}

impl Handler<CloseSession> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: CloseSession, _: &mut Self::Context) {
        let answer = self.close_session(&message);
        self.dispatch();
        self.ground.after_commit(move || message.reply.send(answer));
    }
}

impl Handler<RunCommand> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: RunCommand, _: &mut Self::Context) {
        if self.draining.is_some() {
            return message.reply.send(Err(Refusal::Unavailable {
                detail: "it is stopping",
            }));
        }
        // Also when the session has ended since.
        let before = self
            .seen_by(&message.caller, message.session_id)
            .and_then(|record| check_act(&message.caller, &record))
            .and_then(|()| made_before(&self.ground, message.once.as_ref()));
        if let Some(answer) = before.transpose() {
            let reply = message.reply;
            return self.ground.after_commit(move || reply.send(answer));
        }
        match self.slot_for(&message.caller, message.session_id) {
            Ok(slot) => slot.do_send(RunInteractive(message)),
            Err(refusal) => refuse(self, message.reply, refusal),
        }
    }
}

impl Handler<CancelCommand> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: CancelCommand, _: &mut Self::Context) {
        match self.slot_for(&message.caller, message.session_id) {
            Ok(slot) => slot.do_send(CancelInteractive(message)),
            Err(refusal) => refuse(self, message.reply, refusal),
        }
    }
}

/// Refuses, once what the refusal rests on is durable.
fn refuse<T: Send + 'static>(scheduler: &JobScheduler, reply: Reply<T>, refusal: Refusal) {
    scheduler.ground.after_commit(move || reply.send(Err(refusal)));
}

impl Handler<AddFile> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: AddFile, _: &mut Self::Context) {
        match self.add_file(&message) {
            Err(refusal) => refuse(self, message.reply, refusal),
            Ok((batch, view)) => self
                .ground
                .store
                .commit(batch, move || message.reply.send(Ok(view))),
        }
    }
}

impl Handler<DeleteFile> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: DeleteFile, _: &mut Self::Context) {
        match self.delete_file(&message) {
            Err(refusal) => refuse(self, message.reply, refusal),
            Ok((batch, view)) => self
                .ground
                .store
                .commit(batch, move || message.reply.send(Ok(view))),
        }
    }
}

impl Handler<InteractiveEnded> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: InteractiveEnded, _: &mut Self::Context) {
        self.end_session(message.session_id, message.reason, None);
        self.dispatch();
    }
}

//! Interactive sessions at the scheduler: opened, queued beside the jobs, given a slot, ended.
//!
//! It owns the records of sessions; while one is active, its slot owns its commands. A session survives the
//! end of the server: those that were active get their slots back before anything else starts.

mod messages;
mod prune;
mod query;
mod queue;
#[cfg(test)]
mod tests;

pub(crate) use messages::{
    AddFile, CancelCommand, CloseSession, GetSession, InteractiveEnded, KeepAlive, ListSessions, OpenSession,
    RunCommand,
};

use super::JobScheduler;
use super::slots::{Kind, Slots};
use crate::access::Principal;
use crate::core::CoreConfig;
use crate::door::Reply;
use crate::ground::{Ground, read};
use crate::refusal::Refusal;
use crate::session::{FileRecord, SessionRecord, check_act, is_owner, may_see};
use crate::slot::{BeginSession, CancelInteractive, CloseInteractive, RunInteractive, SessionSlot};
use crate::store::{Batch, Table};
use actix::prelude::*;
use queue::{Entry, Limits, Phase, Queue};
use std::collections::HashMap;
use tripline_protocol::job::Reason;
use tripline_protocol::session::{
    FILE_NAME_BYTES_MAX, FILES_MAX, SessionFile, SessionOwner, SessionState, SessionView,
};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::{Fault, SessionId, Span};
use uuid::Uuid;

/// Sessions that may wait, in all and of one owner.
const LIMITS: Limits = Limits {
    total: 10_000,
    per_owner: 1_000,
};
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
            queue: Queue::new(LIMITS),
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

    pub(super) fn attached(&mut self, host_id: tripline_protocol::HostId) {
        self.queue.attached(host_id);
    }

    pub(super) fn detached(&mut self, host_id: tripline_protocol::HostId, now: tripline_protocol::Timestamp) {
        self.queue.detached(host_id, now);
    }

    /// Whether one waits for nothing but a slot.
    pub(super) fn is_ready(&self) -> bool {
        self.queue.ready_len() > 0
    }

    pub(super) fn ready_len(&self) -> usize {
        self.queue.ready_len()
    }
}

fn entry_of(record: &SessionRecord, now: tripline_protocol::Timestamp) -> Entry {
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

    fn open_session(&mut self, message: &OpenSession) -> Result<(Batch, SessionView), Refusal> {
        let longest = self.ground.config.session_idle_timeout;
        let idle_timeout = message.idle_timeout.unwrap_or(longest);
        if idle_timeout == Span::ZERO || idle_timeout > longest {
            return Err(Refusal::Invalid {
                code: "bad_idle_timeout",
                detail: format!("idle_timeout must be longer than 0s and at most {longest}"),
            });
        }
        let caller = &message.caller;
        self.ground.admit_writes()?;
        let busy = |full: queue::Full| Refusal::Busy {
            what: full.what(),
            retry_after: Span::from_secs(5),
        };
        self.sessions.queue.room(&caller.token_id).map_err(busy)?;
        let (now, mut batch) = (self.ground.now(), Batch::new());
        let record = SessionRecord {
            session_id: SessionId(Uuid::new_v4()),
            number: self.ground.sessions.next_session(&mut batch)?,
            org: message.org.clone(),
            host: message.host.clone(),
            sensor_id: message.sensor_id,
            owner: SessionOwner {
                token_id: caller.token_id.clone(),
                name: caller.name.clone(),
            },
            state: SessionState::Pending,
            opened_at: now,
            idle_timeout,
            last_request_at: now,
            files: 0,
            verbs: Vec::new(),
            active_since: None,
            closed_at: None,
            reason: None,
            error: None,
        };
        record.put_new(&mut batch);
        metrics::counter!("tripline_scheduler_sessions_opened_total").increment(1);
        self.ground.sessions.begin(record.session_id, now);
        let (host_id, attachments) = (record.host.host_id, &self.ground.attachments);
        let attached = || attachments.get(host_id).is_some();
        self.sessions.queue.add(entry_of(&record, now), attached, now);
        let view = self.session_view(&record);
        self.sessions.records.insert(record.session_id, record);
        Ok((batch, view))
    }

    /// Gives the next session its slot.
    pub(super) fn dispatch_session(&mut self) -> bool {
        let Some((slot, session_id)) = self.sessions.queue.dispatch(self.state.slots_mut()) else {
            return false;
        };
        self.begin_session(slot, session_id);
        true
    }

    fn begin_session(&mut self, slot: u32, session_id: SessionId) {
        let now = self.ground.now();
        let Some(record) = self.sessions.records.get_mut(&session_id) else {
            tracing::error!(session = %session_id, "an open session has no record");
            self.sessions.queue.remove(session_id, self.state.slots_mut());
            return;
        };
        if record.state != SessionState::Active {
            record.state = SessionState::Active;
            record.active_since = Some(now);
            if let Some(attachment) = self.ground.attachments.get(record.host.host_id) {
                record.verbs = attachment.verbs.to_vec();
            }
            self.store_session(session_id);
        }
        if let (Some(slot), Some(record)) = (
            self.slots.get(slot as usize),
            self.sessions.records.get(&session_id),
        ) {
            slot.do_send(BeginSession(Box::new(record.clone())));
        }
    }

    /// Writes an open session, and tells whoever watches it once that is durable.
    fn store_session(&mut self, session_id: SessionId) {
        let Some(record) = self.sessions.records.get_mut(&session_id) else {
            return;
        };
        if let Some(last_request) = self.ground.sessions.last_request(session_id) {
            record.last_request_at = last_request;
        }
        let mut batch = Batch::new();
        record.put(&mut batch);
        let ground = std::sync::Arc::clone(&self.ground);
        self.ground
            .store
            .commit(batch, move || ground.sessions.changed(session_id));
    }

    /// Those that were active when the server stopped go on. One for which no slot is left (there are fewer
    /// than before) waits for one.
    pub(super) fn resume_sessions(&mut self) {
        for session_id in std::mem::take(&mut self.sessions.resume) {
            match self.sessions.queue.start(session_id, self.state.slots_mut()) {
                Some(slot) => self.begin_session(slot, session_id),
                None => tracing::warn!(session = %session_id, "an active session waits for a slot again"),
            }
        }
    }

    /// Writes how a session ended.
    fn end_session(&mut self, session_id: SessionId, reason: Reason, error: Option<Fault>) {
        self.sessions.queue.remove(session_id, self.state.slots_mut());
        let Some(mut record) = self.sessions.records.remove(&session_id) else {
            return;
        };
        if let Some(last_request) = self.ground.sessions.last_request(session_id) {
            record.last_request_at = last_request;
        }
        let mut batch = Batch::new();
        record.put_end(&mut batch, self.ground.now(), reason, error);
        let code = record
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| reason.code.clone());
        metrics::counter!("tripline_scheduler_sessions_ended_total", "reason" => code).increment(1);
        self.sessions.pruner.ended();
        let ground = std::sync::Arc::clone(&self.ground);
        self.ground
            .store
            .commit(batch, move || ground.sessions.end(session_id));
    }

    /// Ends sessions that waited too long, for their host or for a sign of their caller.
    pub(super) fn expire_sessions(&mut self) {
        let now = self.ground.now();
        let limit = self.ground.config.session_wait_timeout;
        for session_id in self.sessions.queue.overdue(limit, now, END_MAX) {
            let text = format!("its host was offline for {limit}");
            let fault = Fault::timeout("host_offline", text.clone());
            self.end_session(session_id, Reason::new("host_offline", text), Some(fault));
        }
        let idle = |id: &SessionId| {
            let record = self.sessions.records.get(id);
            let last_request = self.ground.sessions.last_request(*id);
            let pair = record.zip(last_request);
            pair.is_some_and(|(record, last)| now.since(last) >= record.idle_timeout)
        };
        let idle: Vec<SessionId> = self.sessions.queue.pending().filter(idle).take(END_MAX).collect();
        for session_id in idle {
            let reason = Reason::new("idle", "its caller asked for nothing while it waited");
            self.end_session(session_id, reason, None);
        }
    }

    pub(super) fn tick_sessions(&mut self) {
        self.expire_sessions();
        self.sessions.pruner.tick(&self.ground);
        let queue = &self.sessions.queue;
        metrics::gauge!("tripline_scheduler_sessions_pending").set(queue.pending_len() as f64);
        let active = self.state.slots().used(Kind::Session);
        metrics::gauge!("tripline_scheduler_sessions_active").set(f64::from(active));
    }

    /// Says how many slots are waited for that idle sessions could give.
    pub(super) fn note_wanted(&self) {
        let slots = self.state.slots();
        let jobs = self.state.ready_len() > 0 && slots.is_below_share(Kind::Job);
        let wanted = self.sessions.queue.ready_len() + usize::from(jobs);
        self.ground
            .sessions
            .set_wanted(u32::try_from(wanted).unwrap_or(u32::MAX));
    }

    fn close_session(&mut self, message: &CloseSession) -> Result<SessionView, Refusal> {
        let record = self.seen_by(&message.caller, message.session_id)?;
        check_act(&message.caller, &record)?;
        let session_id = record.session_id;
        let Some(phase) = self
            .sessions
            .queue
            .phase(session_id)
            .filter(|_| !record.is_closing())
        else {
            return Ok(self.session_view(&record));
        };
        let reason = Reason::new("closed", format!("{} closed it", message.caller.name));
        match phase {
            Phase::Pending => {
                self.end_session(session_id, reason, None);
                let ended = self
                    .session_of(session_id)?
                    .ok_or_else(|| not_found(session_id))?;
                Ok(self.session_view(&ended))
            }
            Phase::Active { .. } => {
                if let Some(record) = self.sessions.records.get_mut(&session_id) {
                    record.reason = Some(reason.clone());
                }
                self.store_session(session_id);
                if let Some(slot) = self.slot_of(session_id) {
                    slot.do_send(CloseInteractive(session_id));
                }
                let mut closing = record;
                closing.reason = Some(reason);
                Ok(self.session_view(&closing))
            }
        }
    }

    fn add_file(&mut self, message: &AddFile) -> Result<(Batch, SessionFile), Refusal> {
        let record = self.open_for(&message.caller, message.session_id)?;
        check_file(&message.file)?;
        self.ground.admit_writes()?;
        if record.files >= FILES_MAX {
            return Err(Refusal::Conflict {
                code: "too_many_files",
                detail: format!("a session takes at most {FILES_MAX} files; open another one"),
            });
        }
        if !self.ground.artifacts.exists(&message.file.sha256) {
            return Err(Refusal::Invalid {
                code: "artifact_not_found",
                detail: format!("there is no content {}", message.file.sha256),
            });
        }
        let mut batch = Batch::new();
        let ArtifactRef { sha256, bytes, name } = message.file.clone();
        let file = FileRecord {
            org: record.org,
            view: SessionFile {
                number: self.ground.sessions.next_file(&mut batch)?,
                session_id: record.session_id,
                name,
                sha256,
                bytes,
                command: None,
                added_at: self.ground.now(),
            },
        };
        file.put(&mut batch);
        if let Some(record) = self.sessions.records.get_mut(&message.session_id) {
            record.files += 1;
            record.put(&mut batch);
        }
        Ok((batch, file.view))
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

fn check_file(file: &ArtifactRef) -> Result<(), Refusal> {
    let name = &file.name;
    if name.is_empty() || name.len() > FILE_NAME_BYTES_MAX || name.contains(['/', '\0']) {
        return Err(Refusal::Invalid {
            code: "bad_file_name",
            detail: format!("a file's name has 1 to {FILE_NAME_BYTES_MAX} bytes, without / and NUL"),
        });
    }
    Ok(())
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

impl Handler<InteractiveEnded> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: InteractiveEnded, _: &mut Self::Context) {
        self.end_session(message.session_id, message.reason, None);
        self.dispatch();
    }
}

//! The life of a session: opened, given a slot, closed or expired, ended.

use super::messages::{CloseSession, OpenSession};
use super::queue::{self, Phase};
use super::{END_MAX, entry_of, not_found};
use crate::audit::{By, Entry};
use crate::once::{self, Made};
use crate::refusal::Refusal;
use crate::scheduler::JobScheduler;
use crate::scheduler::slots::Kind;
use crate::session::{SessionRecord, check_act};
use crate::slot::{BeginSession, CloseInteractive};
use crate::store::Batch;
use std::sync::Arc;
use tripline_protocol::audit::Action;
use tripline_protocol::job::Reason;
use tripline_protocol::session::{SessionOwner, SessionState, SessionView};
use tripline_protocol::{Fault, HostId, SessionId, Span};
use uuid::Uuid;

/// Why a session ends that its caller closes: that is on record when it is asked for.
const CLOSED: &str = "closed";

impl JobScheduler {
    pub(super) fn open_session(&mut self, message: &OpenSession) -> Result<(Batch, SessionView), Refusal> {
        let longest = self.ground.config.session_idle_timeout;
        let idle_timeout = message.idle_timeout.unwrap_or(longest);
        if idle_timeout == Span::ZERO || idle_timeout > longest {
            return Err(Refusal::Invalid {
                code: "bad_idle_timeout",
                detail: format!("idle_timeout must be longer than 0s and at most {longest}"),
            });
        }
        let caller = &message.caller;
        let wanted = message.once.as_ref();
        if let Some(Made::Session(session_id)) = self.ground.onces.made(wanted, self.ground.now())? {
            let known = self.session_of(session_id)?.ok_or_else(once::gone)?;
            return Ok((Batch::new(), self.session_view(&known)));
        }
        self.check_known(message.host.host_id)?;
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
        let session_id = record.session_id;
        let made = || Made::Session(session_id);
        self.ground.onces.note(wanted, made, now, &mut batch)?;
        record.put_new(&mut batch);
        batch.audit(self.session_entry(Action::SessionOpen, &By::from(caller), &record));
        metrics::counter!("tripline_scheduler_sessions_opened_total").increment(1);
        self.ground.sessions.begin(record.session_id, now);
        let (host_id, attachments) = (record.host.host_id, &self.ground.attachments);
        let attached = || attachments.get(host_id).is_some();
        self.sessions.queue.add(entry_of(&record, now), attached, now);
        let view = self.session_view(&record);
        self.sessions.records.insert(record.session_id, record);
        Ok((batch, view))
    }

    fn session_entry(&self, action: Action, by: &By, record: &SessionRecord) -> Entry {
        let entry = self
            .ground
            .audit(action, by, Some(&record.org))
            .host(&record.host);
        entry
            .on("session", record.session_id)
            .detail("number", record.number)
    }

    /// Gives the next session its slot.
    pub(in crate::scheduler) fn dispatch_session(&mut self) -> bool {
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
        self.on_record.drain(..).for_each(|entry| batch.audit(entry));
        let ground = Arc::clone(&self.ground);
        self.ground
            .store
            .commit(batch, move || ground.sessions.changed(session_id));
    }

    /// Those that were active when the server stopped go on. One for which no slot is left (there are fewer
    /// than before) waits for one.
    pub(in crate::scheduler) fn resume_sessions(&mut self) {
        for session_id in std::mem::take(&mut self.sessions.resume) {
            match self.sessions.queue.start(session_id, self.state.slots_mut()) {
                Some(slot) => self.begin_session(slot, session_id),
                None => tracing::warn!(session = %session_id, "an active session waits for a slot again"),
            }
        }
    }

    /// Writes how a session ended.
    pub(super) fn end_session(&mut self, session_id: SessionId, reason: Reason, error: Option<Fault>) {
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
        self.on_record.drain(..).for_each(|entry| batch.audit(entry));
        if code != CLOSED {
            let entry = self.session_entry(Action::SessionClose, &By::system(), &record);
            batch.audit(entry.outcome("done", Some(&code)));
        }
        metrics::counter!("tripline_scheduler_sessions_ended_total", "reason" => code).increment(1);
        self.sessions.pruner.ended();
        let ground = Arc::clone(&self.ground);
        self.ground
            .store
            .commit(batch, move || ground.sessions.end(session_id));
    }

    /// Ends sessions that waited too long, for their host or for a sign of their caller.
    fn expire_sessions(&mut self) {
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

    pub(in crate::scheduler) fn tick_sessions(&mut self) {
        self.expire_sessions();
        self.sessions.pruner.tick(&self.ground);
        let queue = &self.sessions.queue;
        metrics::gauge!("tripline_scheduler_sessions_pending").set(queue.pending_len() as f64);
        let active = self.state.slots().used(Kind::Session);
        metrics::gauge!("tripline_scheduler_sessions_active").set(f64::from(active));
        self.state.slots().show();
    }

    /// Says how many slots are waited for that idle sessions could give.
    pub(in crate::scheduler) fn note_wanted(&self) {
        let slots = self.state.slots();
        let jobs = self.state.ready_len() > 0 && slots.is_below_share(Kind::Job);
        let wanted = self.sessions.queue.ready_len() + usize::from(jobs);
        self.ground
            .sessions
            .set_wanted(u32::try_from(wanted).unwrap_or(u32::MAX));
    }

    /// Ends what was opened at a client's own record while that was being linked: nothing would reach it there.
    pub(in crate::scheduler) fn end_stranded_sessions(&mut self, client: HostId, linked_to: &str) {
        let text = format!("its host was linked to {linked_to}; open it again");
        self.end_sessions_of(client, &Reason::new("host_linked", text));
    }

    /// Ends the sessions of a host, whoever opened them; says how many that began to end with this.
    pub(in crate::scheduler) fn end_sessions_of(&mut self, host_id: HostId, reason: &Reason) -> u32 {
        let sessions: Vec<SessionId> = self.sessions.of_host(host_id).collect();
        let mut ended = 0;
        for session_id in sessions {
            let closing = |record: &SessionRecord| record.is_closing();
            if self.sessions.records.get(&session_id).is_some_and(closing) {
                continue;
            }
            ended += 1;
            match self.sessions.queue.phase(session_id) {
                Some(Phase::Active { .. }) => self.close_active(session_id, reason.clone()),
                _ => {
                    let fault = Fault::server(&reason.code, reason.text.clone());
                    self.end_session(session_id, reason.clone(), Some(fault));
                }
            }
        }
        ended
    }

    /// Notes why an active session ends, and has its slot end it.
    fn close_active(&mut self, session_id: SessionId, reason: Reason) {
        if let Some(record) = self.sessions.records.get_mut(&session_id) {
            record.reason.get_or_insert(reason);
        }
        self.store_session(session_id);
        if let Some(slot) = self.slot_of(session_id) {
            slot.do_send(CloseInteractive(session_id));
        }
    }

    pub(super) fn close_session(&mut self, message: &CloseSession) -> Result<SessionView, Refusal> {
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
        let by = By::from(&message.caller);
        let entry = self.session_entry(Action::SessionClose, &by, &record);
        self.on_record.push(entry);
        let reason = Reason::new(CLOSED, format!("{} closed it", message.caller.name));
        match phase {
            Phase::Pending => {
                self.end_session(session_id, reason, None);
                let ended = self
                    .session_of(session_id)?
                    .ok_or_else(|| not_found(session_id))?;
                Ok(self.session_view(&ended))
            }
            Phase::Active { .. } => {
                self.close_active(session_id, reason.clone());
                let mut closing = record;
                closing.reason = Some(reason);
                Ok(self.session_view(&closing))
            }
        }
    }
}

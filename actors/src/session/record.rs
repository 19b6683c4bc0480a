//! What the store has of a session.

use crate::record::{by_time_key, encode};
use crate::store::{Batch, Table, key};
use serde::{Deserialize, Serialize};
use tripline_protocol::api::Waiting;
use tripline_protocol::job::Reason;
use tripline_protocol::result::HostRef;
use tripline_protocol::session::{SessionOwner, SessionState, SessionView};
use tripline_protocol::verb::Verb;
use tripline_protocol::{Fault, Org, SessionId, Span, Timestamp};

/// A session, from when it is opened until it is pruned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    pub(crate) session_id: SessionId,
    pub(crate) number: u32,
    pub(crate) org: Org,
    pub(crate) host: HostRef,
    pub(crate) sensor_id: u32,
    pub(crate) owner: SessionOwner,
    pub(crate) state: SessionState,
    pub(crate) opened_at: Timestamp,
    pub(crate) idle_timeout: Span,
    /// Coarse: as of the last write. [`super::LiveSessions`] knows better.
    pub(crate) last_request_at: Timestamp,
    /// Files uploaded to it.
    #[serde(default)]
    pub(crate) files: u32,
    /// What its host offered when it became active.
    #[serde(default)]
    pub(crate) verbs: Vec<Verb>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) active_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) closed_at: Option<Timestamp>,
    /// Why it ended, or is about to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Fault>,
}

impl SessionRecord {
    pub(crate) fn put(&self, batch: &mut Batch) {
        batch.put(Table::Session, self.session_id.as_bytes().to_vec(), encode(self));
    }

    /// Writes one that was just opened, with its indexes.
    pub(crate) fn put_new(&self, batch: &mut Batch) {
        self.put(batch);
        let id = self.session_id.as_bytes();
        let number = key::u32(self.number).to_vec();
        batch.put(Table::SessionByNumber, number.clone(), id.to_vec());
        batch.put(Table::OpenSession, number, id.to_vec());
        batch.put(Table::SessionByTime, by_time_key(self.opened_at, id), b"");
    }

    /// Its end was decided, and it takes no more commands, though one may still run.
    pub(crate) fn is_closing(&self) -> bool {
        self.reason.is_some()
    }

    /// Ends it, with its indexes. A reason given before stays.
    pub(crate) fn put_end(
        &mut self,
        batch: &mut Batch,
        now: Timestamp,
        reason: Reason,
        error: Option<Fault>,
    ) {
        self.state = match error {
            Some(_) => SessionState::Failed,
            None => SessionState::Closed,
        };
        self.reason.get_or_insert(reason);
        self.error = error;
        self.closed_at = Some(now);
        self.put(batch);
        batch.delete(Table::OpenSession, key::u32(self.number).to_vec());
        let ended = by_time_key(now, self.session_id.as_bytes());
        batch.put(Table::EndedSession, ended, b"");
    }

    /// Removes an ended one with its indexes; its commands and files are gone already.
    pub(crate) fn bury(&self, batch: &mut Batch) {
        let id = self.session_id.as_bytes();
        batch.delete(Table::Session, id.to_vec());
        batch.delete(Table::SessionByNumber, key::u32(self.number).to_vec());
        batch.delete(Table::SessionByTime, by_time_key(self.opened_at, id));
        if let Some(closed_at) = self.closed_at {
            batch.delete(Table::EndedSession, by_time_key(closed_at, id));
        }
    }

    /// As the API shows it: one whose end was decided is closed to its caller.
    pub(crate) fn to_view(
        &self,
        waiting: Option<Waiting>,
        verbs: Option<&[Verb]>,
        last_request: Option<Timestamp>,
    ) -> SessionView {
        let state = match (self.state, &waiting) {
            (SessionState::Pending | SessionState::Active, _) if self.is_closing() => SessionState::Closed,
            (SessionState::Active, Some(_)) => SessionState::Pending,
            (state, _) => state,
        };
        SessionView {
            session_id: self.session_id,
            number: self.number,
            org: self.org.clone(),
            host: self.host.clone(),
            sensor_id: self.sensor_id,
            owner: self.owner.clone(),
            state,
            waiting: waiting.filter(|_| state == SessionState::Pending),
            reason: self.reason.clone(),
            error: self.error.clone(),
            verbs: verbs.unwrap_or(&self.verbs).to_vec(),
            opened_at: self.opened_at,
            active_since: self.active_since,
            closed_at: self.closed_at,
            last_request_at: last_request.unwrap_or(self.last_request_at),
            idle_timeout: self.idle_timeout,
        }
    }
}

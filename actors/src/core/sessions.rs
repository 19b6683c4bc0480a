//! Interactive sessions, as the edges reach them.

use super::Core;
use crate::access::Principal;
use crate::refusal::Refusal;
use tripline_protocol::api::Page;
use tripline_protocol::session::{
    CommandView, OpenSession, RunCommand, SessionFile, SessionState, SessionView,
};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::{HostId, Org, SessionId, Span};

/// Which sessions to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// Only of this org; a caller bound to an org sees no other.
    pub org: Option<Org>,
    /// Only of the token with this id.
    pub owner: Option<String>,
    /// Only of this host.
    pub host: Option<HostId>,
    /// Only in this state.
    pub state: Option<SessionState>,
    /// Only those that have not ended.
    pub open: bool,
    /// Only after the session that `Page::next` named.
    pub after: Option<String>,
    /// At most this many, 1 to 1000.
    pub limit: usize,
}

const NOT_YET: Refusal = Refusal::Unavailable {
    detail: "interactive sessions are not served",
};

/// Whoever may see a session's org may read it. Only its owner (the token that opened it) and
/// administrators may act on it: keep it alive, close it, run and cancel commands, add files; anybody else
/// who may see it gets `Forbidden`. A session of another org is `NotFound`. Every request of the owner counts as
/// a sign of life (`slots.idle_timeout`).
impl Core {
    /// Opens a session; durable when it returns, and then mostly `pending`: [`Core::get_session`] waits until
    /// it is active. A full house or an offline host makes it wait, in fair order over owners.
    ///
    /// Refuses with `NotFound` and `AmbiguousHost` (the host), `Forbidden` (role, org), `Invalid`
    /// (`bad_idle_timeout`), and `Busy` with 10,000 sessions waiting, 1,000 of them of this owner, or a full disk.
    pub async fn open_session(
        &self,
        caller: &Principal,
        request: OpenSession,
    ) -> Result<SessionView, Refusal> {
        let _ = (caller, request);
        Err(NOT_YET)
    }

    /// One session. With `wait`, one that is pending is shown when it is not any more, or when that span is
    /// over. Refuses with `NotFound`.
    pub async fn get_session(
        &self,
        caller: &Principal,
        session_id: SessionId,
        wait: Option<Span>,
    ) -> Result<SessionView, Refusal> {
        let _ = (caller, session_id, wait);
        Err(NOT_YET)
    }

    /// The id of the session with this small integer. Refuses with `NotFound`.
    pub fn session_by_number(&self, caller: &Principal, number: u32) -> Result<SessionId, Refusal> {
        let _ = (caller, number);
        Err(NOT_YET)
    }

    /// Many sessions, newest first. Refuses with `Invalid` (`bad_cursor`).
    pub async fn list_sessions(
        &self,
        caller: &Principal,
        filter: SessionFilter,
    ) -> Result<Page<SessionView>, Refusal> {
        let _ = (caller, filter);
        Err(NOT_YET)
    }

    /// A sign of life of the caller. Refuses with `NotFound`, `Forbidden`, and `Conflict` (`session_ended`).
    pub async fn keep_alive(
        &self,
        caller: &Principal,
        session_id: SessionId,
    ) -> Result<SessionView, Refusal> {
        let _ = (caller, session_id);
        Err(NOT_YET)
    }

    /// Ends a session: what waits in it is cancelled, and what runs is too. It takes no more commands when this
    /// returns; its slot is free once its host confirmed that nothing runs any more, or did not in time.
    /// Closing one that has ended shows it as it is. Refuses with `NotFound`, `Forbidden`.
    pub async fn close_session(
        &self,
        caller: &Principal,
        session_id: SessionId,
    ) -> Result<SessionView, Refusal> {
        let _ = (caller, session_id);
        Err(NOT_YET)
    }

    /// Runs a command once those before it in the session have ended; durable when it returns.
    /// [`Core::get_command`] waits until it has ended.
    ///
    /// Refuses with `NotFound`, `Forbidden`, `Invalid` (`bad_argument`, `bad_timeout`, `bad_origin`,
    /// `artifact_not_found` for a `put_file` of a content this org has not), `Conflict` (`session_pending`,
    /// `session_ended`, `too_many_commands`), `Busy` (100 commands wait, a full disk), and `Unavailable` while
    /// the server stops.
    pub async fn run_command(
        &self,
        caller: &Principal,
        session_id: SessionId,
        command: RunCommand,
    ) -> Result<CommandView, Refusal> {
        let _ = (caller, session_id, command);
        Err(NOT_YET)
    }

    /// One command by its number. With `wait`, one that has not ended is shown when it has, or when that span
    /// is over. Refuses with `NotFound`.
    pub async fn get_command(
        &self,
        caller: &Principal,
        session_id: SessionId,
        number: u32,
        wait: Option<Span>,
    ) -> Result<CommandView, Refusal> {
        let _ = (caller, session_id, number, wait);
        Err(NOT_YET)
    }

    /// The session's transcript: its commands in order, after the one with the number `after`, at most `limit`
    /// (1 to 1000) or 4 MiB of them. `Page::next` is a number. Refuses with `NotFound`.
    pub async fn list_commands(
        &self,
        caller: &Principal,
        session_id: SessionId,
        after: Option<u32>,
        limit: usize,
    ) -> Result<Page<CommandView>, Refusal> {
        let _ = (caller, session_id, after, limit);
        Err(NOT_YET)
    }

    /// Cancels a command; one that runs ends when its host confirms. Refuses with `NotFound`, `Forbidden`, and
    /// `Conflict` (`command_ended`).
    pub async fn cancel_command(
        &self,
        caller: &Principal,
        session_id: SessionId,
        number: u32,
    ) -> Result<CommandView, Refusal> {
        let _ = (caller, session_id, number);
        Err(NOT_YET)
    }

    /// Gives a content that was uploaded (it is in the artifact store) to a session, so that its org may put it
    /// on hosts. Durable when it returns. Refuses with `NotFound`, `Forbidden`, `Invalid` (`bad_file_name`, no
    /// such content), and `Conflict` (`session_ended`, `too_many_files`).
    pub async fn add_file(
        &self,
        caller: &Principal,
        session_id: SessionId,
        file: ArtifactRef,
    ) -> Result<SessionFile, Refusal> {
        let _ = (caller, session_id, file);
        Err(NOT_YET)
    }

    /// A file by its number, of whatever session the caller may see. A file that is being fetched is there when
    /// its command succeeded. Refuses with `NotFound`.
    pub async fn get_file(&self, caller: &Principal, number: u32) -> Result<SessionFile, Refusal> {
        let _ = (caller, number);
        Err(NOT_YET)
    }

    /// The files of a session in the order of their numbers, after the number `after`, at most `limit` (1 to
    /// 1000). `Page::next` is a number. Refuses with `NotFound`.
    pub async fn list_files(
        &self,
        caller: &Principal,
        session_id: SessionId,
        after: Option<u32>,
        limit: usize,
    ) -> Result<Page<SessionFile>, Refusal> {
        let _ = (caller, session_id, after, limit);
        Err(NOT_YET)
    }
}

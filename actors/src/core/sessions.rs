//! Interactive sessions, as the edges reach them.
//!
//! What changes a session goes to the scheduler; looking at commands and files is in `transcript`.

use super::Core;
use super::hold::Hold;
use crate::access::Principal;
use crate::ground::read;
use crate::once::Once;
use crate::refusal::Refusal;
use crate::router::HostBook;
use crate::scheduler::{
    self, AddFile, CancelCommand, CloseSession, DeleteFile, GetSession, KeepAlive, ListSessions,
};
use crate::session::{NewCommand, SessionRecord, is_owner, may_see};
use crate::store::{Table, key};
use tripline_protocol::api::{Page, Role};
use tripline_protocol::session::{
    COMMAND_TIMEOUT_MAX, CommandView, ORIGIN_BYTES_MAX, OpenSession, RunCommand, SessionFile, SessionState,
    SessionView,
};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::verb::VerbCall;
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

/// A session of the caller's, as dialects with small integers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnSession {
    /// Its id.
    pub session_id: SessionId,
    /// Its small integer.
    pub number: u32,
    /// Its host's.
    pub sensor_id: u32,
}

/// Whoever may see a session's org may read it. Only its owner (the token that opened it) and
/// administrators may act on it: keep it alive, close it, run and cancel commands, add files; anybody else
/// who may see it gets `Forbidden`. A session of another org is `NotFound`. Every request of the owner that names
/// a session, or a file of it, counts as a sign of life (`slots.idle_timeout`); listing sessions does not. A request is held for a minute at most, and 4,096 of them at a time:
/// beyond, they are answered at once.
impl Core {
    /// Opens a session; durable when it returns, and then mostly `pending`: [`Core::get_session`] waits until
    /// it is active. A full house or an offline host makes it wait, in fair order over owners.
    ///
    /// Refuses with `NotFound` and `AmbiguousHost` (the host), `Forbidden` (role, org), `Invalid`
    /// (`bad_idle_timeout`), and `Busy` with 10,000 sessions waiting, 1,000 of them of this owner, or a full disk.
    pub async fn open_session_once(
        &self,
        caller: &Principal,
        request: OpenSession,
        once: Option<Once>,
    ) -> Result<SessionView, Refusal> {
        let needed = Role::Operator;
        if !caller.may(needed) {
            let detail = format!("opening a session needs the role {needed}");
            return Err(Refusal::Forbidden { detail });
        }
        let org = caller.org_for(request.org.as_ref())?;
        let book = HostBook::new(&self.ground.store, &self.ground.attachments);
        let host = book.named(org.as_ref(), &request.host)?;
        let (reply, answer) = self.doors.session.enter()?;
        self.peers()?.scheduler.do_send(scheduler::OpenSession {
            caller: caller.clone(),
            org: host.org.clone(),
            host: host.to_ref(),
            sensor_id: host.sensor_id,
            idle_timeout: request.idle_timeout,
            once,
            reply,
        });
        answer.wait().await
    }

    /// One session. With `wait`, one that is pending is shown when it is not any more, or when that span is
    /// over. Refuses with `NotFound`.
    pub async fn get_session(
        &self,
        caller: &Principal,
        session_id: SessionId,
        wait: Option<Span>,
    ) -> Result<SessionView, Refusal> {
        let mut hold = Hold::new(&self.ground, session_id, wait);
        loop {
            let watch = hold.watch();
            let (reply, answer) = self.doors.session.enter()?;
            self.peers()?.scheduler.do_send(GetSession {
                caller: caller.clone(),
                session_id,
                reply,
            });
            let view = answer.wait().await?;
            if view.state != SessionState::Pending || hold.is_over(watch).await {
                return Ok(view);
            }
        }
    }

    /// The id of the session with this small integer. Refuses with `NotFound`.
    pub fn session_by_number(&self, caller: &Principal, number: u32) -> Result<SessionId, Refusal> {
        let record = self
            .numbered(number)?
            .filter(|record| may_see(caller, &record.org));
        record
            .map(|record| record.session_id)
            .ok_or_else(|| no_session(number))
    }

    /// The caller's own session with this small integer; a sign of life. Refuses with `NotFound`, also when it is
    /// another token's.
    pub fn own_session(&self, caller: &Principal, number: u32) -> Result<OwnSession, Refusal> {
        let record = self.numbered(number)?;
        let own = record.filter(|record| may_see(caller, &record.org) && is_owner(caller, record));
        let record = own.ok_or_else(|| no_session(number))?;
        self.touch(caller, &record);
        Ok(OwnSession {
            session_id: record.session_id,
            number: record.number,
            sensor_id: record.sensor_id,
        })
    }

    fn numbered(&self, number: u32) -> Result<Option<SessionRecord>, Refusal> {
        let store = &self.ground.store;
        match store.get(Table::SessionByNumber, &key::u32(number))? {
            Some(id) => read(store, Table::Session, &id, "session"),
            None => Ok(None),
        }
    }

    /// Many sessions, newest first. Refuses with `Invalid` (`bad_cursor`).
    pub async fn list_sessions(
        &self,
        caller: &Principal,
        filter: SessionFilter,
    ) -> Result<Page<SessionView>, Refusal> {
        let mut filter = filter;
        filter.org = caller.org_for(filter.org.as_ref())?;
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.scheduler.do_send(ListSessions {
            caller: caller.clone(),
            filter,
            reply,
        });
        answer.wait().await
    }

    /// A sign of life of the caller. Refuses with `NotFound`, `Forbidden`, and `Conflict` (`session_ended`).
    pub async fn keep_alive(
        &self,
        caller: &Principal,
        session_id: SessionId,
    ) -> Result<SessionView, Refusal> {
        let (reply, answer) = self.doors.session.enter()?;
        self.peers()?.scheduler.do_send(KeepAlive {
            caller: caller.clone(),
            session_id,
            reply,
        });
        answer.wait().await
    }

    /// The owner is about something that takes long, such as fetching a file. Anybody else's is none.
    pub fn sign_of_life(&self, caller: &Principal, session_id: SessionId) {
        // One that is gone has no life to give signs of.
        let _ = self.session_seen_by(caller, session_id);
    }

    /// Ends a session: what waits in it is cancelled, and what runs is too. It takes no more commands when this
    /// returns; its slot is free once its host confirmed that nothing runs any more, or did not in time.
    /// Closing one that has ended shows it as it is. Refuses with `NotFound`, `Forbidden`.
    pub async fn close_session(
        &self,
        caller: &Principal,
        session_id: SessionId,
    ) -> Result<SessionView, Refusal> {
        let (reply, answer) = self.doors.session.enter()?;
        self.peers()?.scheduler.do_send(CloseSession {
            caller: caller.clone(),
            session_id,
            reply,
        });
        answer.wait().await
    }

    /// Runs a command once those before it in the session have ended; durable when it returns.
    /// [`Core::get_command`] waits until it has ended.
    ///
    /// Refuses with `NotFound`, `Forbidden`, `Invalid` (`bad_argument`, `bad_timeout`, `bad_origin`,
    /// `artifact_not_found` for a `put_file` of a content this org has not), `Conflict` (`session_pending`,
    /// `session_ended`, `too_many_commands`), `Busy` (100 commands wait, a full disk), and `Unavailable` while
    /// the server stops.
    pub async fn run_command_once(
        &self,
        caller: &Principal,
        session_id: SessionId,
        command: RunCommand,
        once: Option<Once>,
    ) -> Result<CommandView, Refusal> {
        let command = checked(command)?;
        let (reply, answer) = self.doors.session.enter()?;
        self.peers()?.scheduler.do_send(scheduler::RunCommand {
            caller: caller.clone(),
            session_id,
            command,
            once,
            reply,
        });
        answer.wait().await
    }

    /// Cancels a command; one that runs ends when its host confirms. Refuses with `NotFound`, `Forbidden`, and
    /// `Conflict` (`command_ended`).
    pub async fn cancel_command(
        &self,
        caller: &Principal,
        session_id: SessionId,
        number: u32,
    ) -> Result<CommandView, Refusal> {
        let (reply, answer) = self.doors.session.enter()?;
        self.peers()?.scheduler.do_send(CancelCommand {
            caller: caller.clone(),
            session_id,
            number,
            reply,
        });
        answer.wait().await
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
        let (reply, answer) = self.doors.session.enter()?;
        self.peers()?.scheduler.do_send(AddFile {
            caller: caller.clone(),
            session_id,
            file,
            reply,
        });
        answer.wait().await
    }

    /// Deletes a file of a session, also of one that has ended: it is listed no more and its content is let go,
    /// while the session's record keeps that it was there. Durable when it returns. Refuses with `NotFound`,
    /// `Forbidden`.
    pub async fn delete_file(&self, caller: &Principal, number: u32) -> Result<SessionFile, Refusal> {
        let (reply, answer) = self.doors.session.enter()?;
        self.peers()?.scheduler.do_send(DeleteFile {
            caller: caller.clone(),
            number,
            reply,
        });
        answer.wait().await
    }
}

fn no_session(number: u32) -> Refusal {
    Refusal::NotFound {
        what: "session",
        id: number.to_string(),
    }
}

/// Reads the arguments as the verb wants them.
fn checked(command: RunCommand) -> Result<NewCommand, Refusal> {
    let invalid = |code, detail| Err(Refusal::Invalid { code, detail });
    let call = match VerbCall::parse(command.verb, command.arguments) {
        Ok(call) => call,
        Err(error) => return invalid("bad_argument", error.to_string()),
    };
    let timeout = command.timeout.unwrap_or(RunCommand::TIMEOUT_DEFAULT);
    if timeout == Span::ZERO || timeout > COMMAND_TIMEOUT_MAX {
        let detail = format!("timeout must be longer than 0s and at most {COMMAND_TIMEOUT_MAX}");
        return invalid("bad_timeout", detail);
    }
    let origin = command.origin;
    let bytes = origin
        .as_ref()
        .map_or(0, |origin| crate::record::encode(origin).len());
    if bytes > ORIGIN_BYTES_MAX {
        let detail = format!("origin of {bytes} bytes, at most {ORIGIN_BYTES_MAX} are taken");
        return invalid("bad_origin", detail);
    }
    Ok(NewCommand {
        call,
        timeout,
        idempotent: command.idempotent,
        origin,
    })
}

//! What the scheduler is told and asked about interactive sessions.

use crate::access::Principal;
use crate::core::SessionFilter;
use crate::door::Reply;
use crate::once::Once;
use crate::session::NewCommand;
use actix::prelude::*;
use tripline_protocol::api::Page;
use tripline_protocol::job::Reason;
use tripline_protocol::result::HostRef;
use tripline_protocol::session::{CommandView, SessionFile, SessionView};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::{Org, SessionId, Span};

/// A person or program opens a session; from the API. Refuses with `Invalid` and `Busy`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct OpenSession {
    pub(crate) caller: Principal,
    pub(crate) org: Org,
    pub(crate) host: HostRef,
    pub(crate) sensor_id: u32,
    pub(crate) idle_timeout: Option<Span>,
    pub(crate) once: Option<Once>,
    pub(crate) reply: Reply<SessionView>,
}

/// One session, from the API. Refuses with `NotFound`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetSession {
    pub(crate) caller: Principal,
    pub(crate) session_id: SessionId,
    pub(crate) reply: Reply<SessionView>,
}

/// Many sessions, from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ListSessions {
    pub(crate) caller: Principal,
    pub(crate) filter: SessionFilter,
    pub(crate) reply: Reply<Page<SessionView>>,
}

/// A sign of life; from the API. Refuses with `NotFound`, `Forbidden`, `Conflict`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct KeepAlive {
    pub(crate) caller: Principal,
    pub(crate) session_id: SessionId,
    pub(crate) reply: Reply<SessionView>,
}

/// Ends a session; from the API. Refuses with `NotFound`, `Forbidden`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct CloseSession {
    pub(crate) caller: Principal,
    pub(crate) session_id: SessionId,
    pub(crate) reply: Reply<SessionView>,
}

/// Runs a command in a session; from the API, or from a slot that has not got the session any more. Handed on
/// to the session's slot. Refuses with `NotFound`, `Forbidden`, `Conflict`, `Busy`, `Unavailable`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct RunCommand {
    pub(crate) caller: Principal,
    pub(crate) session_id: SessionId,
    pub(crate) command: NewCommand,
    pub(crate) once: Option<Once>,
    pub(crate) reply: Reply<CommandView>,
}

/// Cancels a command of a session; from the API, or from a slot that has not got the session any more. Handed
/// on to the session's slot. Refuses with `NotFound`, `Forbidden`, `Conflict`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct CancelCommand {
    pub(crate) caller: Principal,
    pub(crate) session_id: SessionId,
    pub(crate) number: u32,
    pub(crate) reply: Reply<CommandView>,
}

/// Gives a content to a session; from the API. Refuses with `NotFound`, `Forbidden`, `Conflict`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct AddFile {
    pub(crate) caller: Principal,
    pub(crate) session_id: SessionId,
    pub(crate) file: ArtifactRef,
    pub(crate) reply: Reply<SessionFile>,
}

/// Deletes a file of a session, whether that has ended or not; from the API. Refuses with `NotFound`, `Forbidden`,
/// `Busy`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct DeleteFile {
    pub(crate) caller: Principal,
    pub(crate) number: u32,
    pub(crate) reply: Reply<SessionFile>,
}

/// An interactive session is over and its slot free; from the slot.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct InteractiveEnded {
    pub(crate) session_id: SessionId,
    /// Why, unless its end had been asked for.
    pub(crate) reason: Reason,
}

//! Commands on record: that one that changes its host is about to be sent, and how each ended.
//!
//! A command that only reads is on record once, with its end: nothing of it is durable before.

use super::Entry;
use crate::ground::Ground;
use crate::record::JobRecord;
use crate::session::CommandRecord;
use tripline_protocol::CommandId;
use tripline_protocol::audit::Action;
use tripline_protocol::frame::CODE_INTERRUPTED;
use tripline_protocol::result::HostRef;
use tripline_protocol::session::CommandState;
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::verb::{Effect, VerbCall};

/// What happened to a command of a job and is not on record yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Note {
    pub(crate) command_id: CommandId,
    /// The attempt of the job that the command is of; the job may be at another when this goes on record.
    pub(crate) attempt: u32,
    /// The step's id.
    pub(crate) step: String,
    pub(crate) call: VerbCall,
    /// How it ended; `None`: it is about to be sent.
    pub(crate) end: Option<End>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    /// `succeeded`, `failed`, `cancelled` or `unknown`.
    pub(crate) result: &'static str,
    pub(crate) code: Option<String>,
    /// The file it brought.
    pub(crate) artifact: Option<ArtifactRef>,
}

impl End {
    /// It did not succeed.
    pub(crate) fn with_code(result: &'static str, code: &str) -> Self {
        Self {
            result,
            code: Some(code.to_owned()),
            artifact: None,
        }
    }
}

/// The record of a command of a job.
pub(crate) fn of_job(ground: &Ground, record: &JobRecord, note: &Note) -> Entry {
    let (action, result, code) = match &note.end {
        None => (Action::CommandSend, "sent", None),
        Some(end) => (Action::CommandEnd, end.result, end.code.as_deref()),
    };
    let artifact = note.end.as_ref().and_then(|end| end.artifact.as_ref());
    let entry = ground
        .audit(action, &record.by(), Some(&record.org))
        .host(&record.host)
        .on("job", record.job_id)
        .on("command", note.command_id)
        .detail("name", &record.name)
        .detail("step", &note.step)
        .detail("attempt", note.attempt)
        .detail("event", &record.event);
    with_call(ground, entry, &note.call, note.end.is_some())
        .detail("artifact", artifact)
        .outcome(result, code)
}

/// The record of a command of a session, if what is about to be stored of it is to be on record.
pub(crate) fn of_session(ground: &Ground, record: &CommandRecord, host: &HostRef) -> Option<Entry> {
    let ended = record.state.has_ended();
    let begins = record.state == CommandState::Running && record.mutates() && !record.cancel_requested;
    if !ended && !begins {
        return None;
    }
    let action = if ended {
        Action::CommandEnd
    } else {
        Action::CommandSend
    };
    let code = record.error.as_ref().map(|error| error.code.as_str());
    let result = match code {
        _ if !ended => "sent",
        Some(CODE_INTERRUPTED) => "unknown",
        _ => record.state.as_str(),
    };
    let entry = ground
        .audit(action, &record.by(), Some(&record.org))
        .host(host)
        .on("session", record.session_id)
        .on("command", record.command_id)
        .detail("number", record.number)
        .detail("attempt", record.attempt);
    let entry = with_call(ground, entry, &record.call, ended)
        .detail("artifact", &record.artifact)
        .detail("cancelled_by", &record.cancelled_by);
    Some(entry.outcome(result, code))
}

/// What was done. The arguments are on record once: with the first record of a command.
fn with_call(ground: &Ground, entry: Entry, call: &VerbCall, ended: bool) -> Entry {
    let entry = entry.detail("verb", call.verb());
    match ended && call.verb().effect() == Effect::Mutates {
        true => entry,
        false => entry.detail("arguments", ground.config.audit_redact.arguments(call)),
    }
}

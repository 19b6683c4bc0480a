//! What the store has of a session's commands.

use super::{FileRecord, NewCommand, SessionRecord};
use crate::artifact::{forget_use, note_use};
use crate::audit::By;
use crate::ground::read;
use crate::record::{decode, encode};
use crate::refusal::Refusal;
use crate::store::key::{self, Key};
use crate::store::{Batch, Store, Table};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tripline_protocol::session::{COMMANDS_WAITING_MAX, CommandState, CommandView, SessionFile};
use tripline_protocol::step::{ArtifactRef, Truncated};
use tripline_protocol::verb::{Effect, VerbCall};
use tripline_protocol::{CommandId, Fault, Org, SessionId, Span, Timestamp, TransferId};
use uuid::Uuid;

/// More than can be open at once: those that wait, and the one under way.
const OPEN_COMMANDS_MAX: usize = 2 * COMMANDS_WAITING_MAX;

/// A command of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CommandRecord {
    pub(crate) session_id: SessionId,
    pub(crate) org: Org,
    pub(crate) number: u32,
    pub(crate) command_id: CommandId,
    pub(crate) call: VerbCall,
    pub(crate) timeout: Span,
    pub(crate) idempotent: bool,
    pub(crate) caller: String,
    /// The same, for the audit; a version before did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<By>,
    pub(crate) state: CommandState,
    /// How often it was begun.
    pub(crate) attempt: u32,
    /// Attempts of these that only went on with a transfer that was cut.
    #[serde(default, skip_serializing_if = "crate::record::is_zero")]
    pub(crate) pauses: u32,
    pub(crate) queued_at: Timestamp,
    /// The number of the file it will bring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<Value>,
    /// The agent's journal when a mutating one was sent; with another one nobody knows whether it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) journal_id: Option<Uuid>,
    /// Its caller wants it ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cancel_requested: bool,
    /// Who wanted that, unless the whole session was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cancelled_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact: Option<ArtifactRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) truncated: Option<Truncated>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Fault>,
}

impl CommandRecord {
    /// One that was just accepted.
    pub(crate) fn new(
        session: &SessionRecord,
        number: u32,
        command: NewCommand,
        file: Option<u32>,
        caller: String,
        now: Timestamp,
    ) -> Self {
        Self {
            session_id: session.session_id,
            org: session.org.clone(),
            number,
            command_id: CommandId::derive_interactive(session.session_id, number, 1),
            call: command.call,
            timeout: command.timeout,
            idempotent: command.idempotent,
            caller,
            by: None,
            state: CommandState::Pending,
            attempt: 0,
            pauses: 0,
            queued_at: now,
            file,
            origin: command.origin,
            journal_id: None,
            cancel_requested: false,
            cancelled_by: None,
            started_at: None,
            finished_at: None,
            output: None,
            artifact: None,
            truncated: None,
            error: None,
        }
    }

    /// On whose behalf it runs.
    pub(crate) fn by(&self) -> By {
        self.by.clone().unwrap_or_else(By::system)
    }

    pub(crate) fn mutates(&self) -> bool {
        self.call.verb().effect() == Effect::Mutates
    }

    /// Whether it may be run again when its outcome is unknown.
    pub(crate) fn may_repeat(&self) -> bool {
        self.idempotent || !self.mutates()
    }

    /// How often it was begun, without the times its transfer only went on.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempt.saturating_sub(self.pauses)
    }

    /// What it moves, if it moves a file.
    pub(crate) fn transfer_id(&self) -> TransferId {
        TransferId::derive_interactive(self.session_id, self.number)
    }

    /// Writes it, with what it brought.
    pub(crate) fn put(&self, batch: &mut Batch) {
        let key = command_key(self.session_id, self.number);
        batch.put(Table::SessionCommand, key.clone(), encode(self));
        if self.state.has_ended() {
            batch.delete(Table::OpenCommand, key);
        } else {
            batch.put(Table::OpenCommand, key, b"");
        }
        match (self.to_file(), &self.artifact) {
            (Some(file), _) => file.put(batch),
            (None, Some(artifact)) => note_use(batch, &artifact.sha256, &self.org, self.session_id),
            (None, None) => {}
        }
    }

    /// The file it brought, if it brings one and has.
    fn to_file(&self) -> Option<FileRecord> {
        let (number, artifact) = (self.file?, self.artifact.as_ref()?);
        let view = SessionFile {
            number,
            session_id: self.session_id,
            name: artifact.name.clone(),
            sha256: artifact.sha256.clone(),
            bytes: artifact.bytes,
            command: Some(self.number),
            added_at: self.finished_at.unwrap_or(self.queued_at),
            deleted_at: None,
            deleted_by: None,
        };
        let org = self.org.clone();
        Some(FileRecord { org, view })
    }

    pub(crate) fn bury(&self, batch: &mut Batch) {
        batch.delete(Table::SessionCommand, command_key(self.session_id, self.number));
        if let Some(artifact) = &self.artifact {
            forget_use(batch, &artifact.sha256, &self.org, self.session_id);
        }
    }

    /// As the API shows it.
    pub(crate) fn to_view(&self) -> CommandView {
        CommandView {
            session_id: self.session_id,
            number: self.number,
            command_id: self.command_id,
            verb: self.call.verb(),
            arguments: arguments(&self.call),
            state: self.state,
            timeout: self.timeout,
            output: self.output.clone(),
            file: self.file,
            artifact: self.artifact.clone(),
            truncated: self.truncated,
            error: self.error.clone(),
            origin: self.origin.clone(),
            caller: self.caller.clone(),
            cancelled_by: self.cancelled_by.clone(),
            queued_at: self.queued_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
        }
    }
}

/// The arguments without contents of files: a transcript says what was put where, not what was in it.
fn arguments(call: &VerbCall) -> Value {
    let mut arguments = call.to_args();
    if let (VerbCall::PutFile(_), Some(map)) = (call, arguments.as_object_mut()) {
        for name in ["content", "content_b64"] {
            if let Some(Value::String(content)) = map.remove(name) {
                map.insert(format!("{name}_length"), json!(content.len()));
            }
        }
    }
    arguments
}

/// Session, number of the command.
pub(crate) fn command_key(session_id: SessionId, number: u32) -> Vec<u8> {
    Key::new().bytes(session_id.as_bytes()).u32(number).into()
}

/// The commands of a session that have not ended, in order.
pub(crate) fn open_commands(store: &Store, session_id: SessionId) -> Result<Vec<CommandRecord>, Refusal> {
    let mut open = Vec::new();
    for (key, _) in store.scan(Table::OpenCommand, session_id.as_bytes(), None, OPEN_COMMANDS_MAX)? {
        let record: Option<CommandRecord> = read(store, Table::SessionCommand, &key, "command")?;
        open.extend(record);
    }
    Ok(open)
}

/// The number of a session's newest command, 0 when it has none.
pub(crate) fn last_command_number(store: &Store, session_id: SessionId) -> Result<u32, Refusal> {
    let newest = store.scan_back(Table::SessionCommand, session_id.as_bytes(), None, 1)?;
    let number = newest.first().and_then(|(key, _)| key::read_u32(key.get(16..)?));
    Ok(number.unwrap_or(0))
}

/// Decodes a command found by a scan.
pub(crate) fn command_of(bytes: &[u8]) -> Result<CommandRecord, Refusal> {
    decode("command", bytes).map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a command is unreadable"
        );
        Refusal::Unavailable {
            detail: "a stored record is unreadable",
        }
    })
}

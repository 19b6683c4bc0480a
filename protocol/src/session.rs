//! Interactive sessions: bodies of `/v1/sessions`, and the words for where a session and its commands are.
//!
//! A session is a conversation of one caller with one host. It waits as `pending` until a slot is free and its
//! host can be reached, holds the slot while it is `active`, and ends as `closed` or, when its host never came,
//! as `failed`. Its commands run one after the other, in order. Deliberately not here: jobs (`job`), the verbs
//! themselves (`verb`), how another dialect calls any of this.

use crate::api::Waiting;
use crate::fault::Fault;
use crate::id::{CommandId, Org, SessionId, Sha256};
use crate::job::Reason;
use crate::result::HostRef;
use crate::step::{ArtifactRef, Truncated};
use crate::time::{Span, Timestamp};
use crate::verb::Verb;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Commands of one session that may wait.
pub const COMMANDS_WAITING_MAX: usize = 100;
/// Commands a session may have in its life.
pub const COMMANDS_MAX: u32 = 100_000;
/// Files that may be uploaded to a session in its life.
pub const FILES_MAX: u32 = 10_000;
/// Longest time a command may be given.
pub const COMMAND_TIMEOUT_MAX: Span = Span::from_secs(24 * 3600);
/// Longest name of a file, in bytes.
pub const FILE_NAME_BYTES_MAX: usize = 1024;
/// Largest [`RunCommand::origin`], as JSON.
pub const ORIGIN_BYTES_MAX: usize = 4 * 1024;

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Waits for a slot or for its host.
    Pending,
    /// Holds a slot and takes commands.
    Active,
    /// Ended by its caller, or because nobody used it.
    Closed,
    /// Ended before it was active.
    Failed,
}

impl SessionState {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Closed => "closed",
            Self::Failed => "failed",
        }
    }

    /// Whether it has not ended.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Active)
    }
}

impl std::fmt::Display for SessionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for SessionState {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "pending" => Ok(Self::Pending),
            "active" => Ok(Self::Active),
            "closed" => Ok(Self::Closed),
            "failed" => Ok(Self::Failed),
            _ => Err("expected pending, active, closed or failed"),
        }
    }
}

/// Where a command of a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// Waits for those before it, or for its host to come back.
    Pending,
    /// Sent to the host.
    Running,
    /// Done.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended because its caller wanted so, or closed the session.
    Cancelled,
}

impl CommandState {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it has ended.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl std::fmt::Display for CommandState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose session it is: the token that opened it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionOwner {
    /// The token's id.
    pub token_id: String,
    /// Whom the token is for.
    pub name: String,
}

/// `POST /v1/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// Tenant; default: the token's, else `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Org>,
    /// A host id, sensor id or hostname.
    pub host: String,
    /// Closed after so long without a request or a running command; at most, and by default,
    /// `slots.idle_timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Span>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionView {
    /// Its id.
    pub session_id: SessionId,
    /// Its small integer.
    pub number: u32,
    /// Its tenant.
    pub org: Org,
    /// Its host.
    pub host: HostRef,
    /// The host's small integer.
    pub sensor_id: u32,
    /// Whose it is.
    pub owner: SessionOwner,
    /// Where it is.
    pub state: SessionState,
    /// Why it waits and where in the queue; only while `pending`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Why it ended: `closed`, `idle`, `host_offline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What went wrong, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
    /// What its host offers now, or offered last; empty: its host is offline.
    #[serde(default)]
    pub verbs: Vec<Verb>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it got its slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_since: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// When its owner last asked for anything.
    pub last_request_at: Timestamp,
    /// Closed after so long without a request or a running command.
    pub idle_timeout: Span,
}

/// `POST /v1/sessions/{session}/commands`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RunCommand {
    /// What to do.
    pub verb: Verb,
    /// The verb's arguments, each nested at most [`crate::limit::NESTING_MAX`] levels.
    #[serde(default, deserialize_with = "crate::limit::shallow")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Arguments))]
    pub arguments: Value,
    /// How long it may run once it began; default 2 minutes, at most [`COMMAND_TIMEOUT_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Whether it may be run again when its outcome is unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
    /// The caller's own words, kept with the command and given back; at most [`ORIGIN_BYTES_MAX`].
    #[serde(
        default,
        deserialize_with = "crate::limit::shallow_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub origin: Option<Value>,
}

impl RunCommand {
    /// How long a command may run when it does not say.
    pub const TIMEOUT_DEFAULT: Span = Span::from_secs(120);

    /// A command with defaults.
    pub fn new(verb: Verb, arguments: Value) -> Self {
        Self {
            verb,
            arguments,
            timeout: None,
            idempotent: false,
            origin: None,
        }
    }
}

/// A command of a session; all of them, in order, are the session's transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandView {
    /// Its session.
    pub session_id: SessionId,
    /// Its number in the session, from 1.
    pub number: u32,
    /// Its identity at the host; another one when it had to be begun again.
    pub command_id: CommandId,
    /// What it does.
    pub verb: Verb,
    /// Its arguments, without contents of files.
    pub arguments: Value,
    /// Where it is.
    pub state: CommandState,
    /// How long it may run.
    pub timeout: Span,
    /// What the verb returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Outputs, required = false))]
    pub output: Option<Value>,
    /// The number of the file it fetches, from the beginning; the file is there when it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<u32>,
    /// The file it fetched, or its output when that was too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<ArtifactRef>,
    /// What was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Truncated>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
    /// The caller's own words, as it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Value>,
    /// Who asked for it.
    pub caller: String,
    /// Who wanted it cancelled, whether or not it was done before. Of one that was cancelled with its session,
    /// the session's `reason` says who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
    /// When it was accepted.
    pub queued_at: Timestamp,
    /// When it was sent, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

/// A file of a session: one that was uploaded to be put on the host, or one that was fetched from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionFile {
    /// Its small integer, over all sessions: it can be used in another session of its owner.
    pub number: u32,
    /// The session it came with.
    pub session_id: SessionId,
    /// Its name, without folders.
    pub name: String,
    /// Of its content.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
    /// The command that fetched it; absent: it was uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<u32>,
    /// When it came.
    pub added_at: Timestamp,
    /// When it was deleted: its content is not to be had any more, and that it was there is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// Who deleted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_by: Option<String>,
}

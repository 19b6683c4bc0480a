//! Interactive sessions: what the scheduler, the slots and the facade share about them.
//!
//! A session's record belongs to the scheduler, from when it is opened until it is pruned; the records of its
//! commands belong to the slot it is in. Both are in the store as they are, so whoever only looks reads them
//! there.
//!
//! Deliberately not here: the order of waiting sessions (scheduler), running commands (slot).

mod access;
mod command;
mod file;
mod live;
mod once;
mod record;
#[cfg(test)]
mod tests;

pub(crate) use access::{check_act, is_owner, may_see};
pub(crate) use command::{CommandRecord, command_key, command_of, last_command_number, open_commands};
pub(crate) use file::{FileRecord, file_key};
pub(crate) use live::{LiveSessions, Watch};
pub(crate) use once::made_before;
pub(crate) use record::SessionRecord;

use serde_json::Value;
use tripline_protocol::Span;
use tripline_protocol::verb::VerbCall;

/// A command to run, checked.
#[derive(Debug, Clone)]
pub(crate) struct NewCommand {
    pub(crate) call: VerbCall,
    pub(crate) timeout: Span,
    pub(crate) idempotent: bool,
    pub(crate) origin: Option<Value>,
}

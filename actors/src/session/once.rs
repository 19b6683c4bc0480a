//! A command that was asked for before, with the same idempotency key.

use super::{CommandRecord, command_key};
use crate::ground::{Ground, read};
use crate::once::{self, Made, Once};
use crate::refusal::Refusal;
use crate::store::Table;
use tripline_protocol::session::CommandView;

/// The command that the same request made, as the store has it.
pub(crate) fn made_before(ground: &Ground, wanted: Option<&Once>) -> Result<Option<CommandView>, Refusal> {
    let Some(Made::Command(session_id, number)) = ground.onces.made(wanted, ground.now())? else {
        return Ok(None);
    };
    let key = command_key(session_id, number);
    let record: Option<CommandRecord> = read(&ground.store, Table::SessionCommand, &key, "command")?;
    record.map(|record| Some(record.to_view())).ok_or_else(once::gone)
}

//! Reads an agent's journal, as its documentation describes the bytes: after a header of 24 bytes come records of
//! a length (u32), a checksum (8 bytes) and a payload, which begins with its kind (1: the command begins) and
//! the command's id (16 bytes).

use std::collections::BTreeMap;
use std::path::Path;
use tripline_protocol::CommandId;
use uuid::Uuid;

const HEADER_BYTES: usize = 24;
const PREFIX_BYTES: usize = 12;
const BEGUN: u8 = 1;

/// How often each command began. A record that is cut off ends the reading: the agent that wrote it was killed.
pub(crate) fn commands_begun(state_dir: &Path) -> BTreeMap<CommandId, usize> {
    let bytes = std::fs::read(state_dir.join("commands.journal")).expect("a journal");
    let mut rest = &bytes[HEADER_BYTES..];
    let mut begun = BTreeMap::new();
    while let Some((prefix, after)) = rest.split_at_checked(PREFIX_BYTES) {
        let length = u32::from_be_bytes(prefix[..4].try_into().expect("4 bytes"));
        let Some((payload, after)) = after.split_at_checked(length as usize) else {
            break;
        };
        if payload[0] == BEGUN {
            let id = Uuid::from_slice(&payload[1..17]).expect("16 bytes");
            *begun.entry(CommandId(id)).or_default() += 1;
        }
        rest = after;
    }
    begun
}

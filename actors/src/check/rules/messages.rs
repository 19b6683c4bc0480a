//! Tokens, and messages on their way to NATS.

use super::Look;
use crate::access::TokenRecord;
use crate::outbox::is_message;
use crate::store::{Error, Table};

pub(super) fn token(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    match key.split_first() {
        Some((b't', id)) => {
            if let Some(record) = look.decode::<TokenRecord>(value) {
                look.expect(
                    record.id.as_bytes() == id,
                    "it is another token than its key says",
                );
            }
        }
        Some((b'u', id)) => {
            look.expect(value.len() == 4, "it is no number of uses");
            look.needs(Table::Token, &[b"t", id].concat())?;
        }
        _ => look.wrong("its key is of no kind of token"),
    }
    Ok(())
}

pub(super) fn outbox(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(key.len() == 8, "its key is no number");
    look.expect(is_message(value), "it cannot be read");
    Ok(())
}

pub(super) fn sent(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(value.len() == 8, "it is no time");
    look.needs(Table::Outbox, key).map(drop)
}

pub(super) fn quarantine(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    outbox(look, key, value)
}

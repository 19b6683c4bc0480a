//! What administrators asked for, tokens, requests that are carried out once, and messages on their way to NATS.

use super::Look;
use crate::access::TokenRecord;
use crate::once::{self, Note};
use crate::outbox::is_message;
use crate::replay;
use crate::store::{Error, Table};
use tripline_protocol::api::Pause;

pub(super) fn control(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    match key.first() {
        Some(&replay::BY_TIME) => return look.needs(Table::Control, value).map(drop),
        Some(&replay::BY_EVENT | &replay::BY_LETTER) => drop(look.decode::<replay::Record>(value)),
        _ => drop(look.decode::<Pause>(value)),
    }
    Ok(())
}

pub(super) fn once(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    match look.decode::<Note>(value) {
        Some(note) => look.implies(Table::OnceByTime, once::by_time(note.at, key).into(), Vec::new()),
        None => Ok(()),
    }
}

pub(super) fn once_by_time(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    match key.split_first_chunk::<8>() {
        Some((_, row)) => look.needs(Table::Once, row).map(drop),
        None => {
            look.wrong("its key has no time");
            Ok(())
        }
    }
}

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

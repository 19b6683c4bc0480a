//! Fan-outs, and their hosts.

use super::{Look, id};
use crate::fanout::{FanoutDefinition, FanoutRecord, HostRow, read_chunk};
use crate::record::{by_time_key, split_by_time_key};
use crate::store::{Error, Table};

pub(super) fn fanout(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let Some(record) = look.decode::<FanoutRecord>(value) else {
        return Ok(());
    };
    let id = record.fanout_id.as_bytes();
    if !look.expect(key == id, "it is another fan-out than its key says") {
        return Ok(());
    }
    look.implies(
        Table::FanoutByTime,
        by_time_key(record.created_at, id),
        Vec::new(),
    )?;
    if look.value(Table::FanoutDefinition, id)?.is_none() {
        look.lost("what it does is not there");
    }
    for number in 0..record.chunks {
        let row = [id.as_slice(), &number.to_be_bytes()].concat();
        if look.value(Table::FanoutChunk, &row)?.is_none() {
            look.lost("hosts of it are not there");
        }
    }
    Ok(())
}

pub(super) fn by_time(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    match split_by_time_key(key) {
        Some((_, id)) => of_fanout(look, &id).map(drop),
        None => {
            look.wrong("its key is no time with an id");
            Ok(())
        }
    }
}

pub(super) fn definition(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    if look.needs(Table::Fanout, key)? {
        let _: Option<FanoutDefinition> = look.decode(value);
    }
    Ok(())
}

pub(super) fn chunk(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    if belongs(look, key, 4)? {
        look.expect(read_chunk(value).is_some(), "it is no list of hosts");
    }
    Ok(())
}

pub(super) fn host(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    if belongs(look, key, 16)? {
        let _: Option<HostRow> = look.decode(value);
    }
    Ok(())
}

/// The key is a fan-out's id, and so many bytes more.
fn belongs(look: &mut Look<'_>, key: &[u8], more: usize) -> Result<bool, Error> {
    match id(key).filter(|_| key.len() == 16 + more) {
        Some(id) => of_fanout(look, &id),
        None => {
            look.wrong("its key names nothing of a fan-out");
            Ok(false)
        }
    }
}

/// The fan-out is there, or is being forgotten: its record goes first, and its rows by and by.
fn of_fanout(look: &mut Look<'_>, id: &[u8; 16]) -> Result<bool, Error> {
    match look.value(Table::JobTombstone, id)? {
        Some(_) => Ok(true),
        None => look.needs(Table::Fanout, id),
    }
}

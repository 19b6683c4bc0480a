//! What guards of pipelines counted, and decisions not to act.

use super::Look;
use crate::router::{
    DecisionRecord, PauseRecord, Place, TallyRecord, TouchedRecord, WindowRecord, by_time, of_row, which,
};
use crate::scheduler::EndsRecord;
use crate::store::{Error, Table};
use tripline_protocol::Name;

pub(super) fn window(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(Place::of_row(key).is_some(), "its key names no window");
    let _: Option<WindowRecord> = look.decode(value);
    Ok(())
}

pub(super) fn touched_host(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(which(key).is_some(), "its key names no host of a pipeline");
    let _: Option<TouchedRecord> = look.decode(value);
    Ok(())
}

pub(super) fn ends(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    pipeline(look, key);
    let _: Option<EndsRecord> = look.decode(value);
    Ok(())
}

pub(super) fn pause(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    pipeline(look, key);
    let _: Option<PauseRecord> = look.decode(value);
    Ok(())
}

pub(super) fn withheld(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(of_row(key).is_some(), "its key names no event");
    match look.decode::<DecisionRecord>(value) {
        Some(record) => look.implies(Table::WithheldByTime, by_time(record.at, key).into(), Vec::new()),
        None => Ok(()),
    }
}

pub(super) fn withheld_by_time(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    match key.split_first_chunk::<8>() {
        Some((_, row)) => look.needs(Table::Withheld, row).map(drop),
        None => {
            look.wrong("its key has no time");
            Ok(())
        }
    }
}

pub(super) fn tally(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    pipeline(look, key);
    let _: Option<TallyRecord> = look.decode(value);
    Ok(())
}

/// The key is a pipeline's name.
fn pipeline(look: &mut Look<'_>, key: &[u8]) {
    let name = std::str::from_utf8(key).ok();
    let name = name.and_then(|name| name.parse::<Name>().ok());
    look.expect(name.is_some(), "its key is no name of a pipeline");
}

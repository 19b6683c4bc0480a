//! What guards of pipelines counted.

use super::Look;
use crate::router::{PauseRecord, Place, TouchedRecord, WindowRecord, which};
use crate::scheduler::EndsRecord;
use crate::store::Error;
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

/// The key is a pipeline's name.
fn pipeline(look: &mut Look<'_>, key: &[u8]) {
    let name = std::str::from_utf8(key).ok();
    let name = name.and_then(|name| name.parse::<Name>().ok());
    look.expect(name.is_some(), "its key is no name of a pipeline");
}

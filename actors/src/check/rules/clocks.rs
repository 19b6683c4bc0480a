//! How far the clocks of ticks have come.

use super::Look;
use crate::store::Error;
use crate::timekeeper::is_clock;

pub(super) fn clock(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(is_clock(key, value), "it says not how far a clock has come");
    Ok(())
}

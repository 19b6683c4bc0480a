//! The audit. Its records are evidence: what is wrong with them is told and never put right here, and whether the
//! chain holds, `tripline audit verify` says.

use super::Look;
use crate::store::Error;

pub(super) fn record(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    if serde_json::from_slice::<serde::de::IgnoredAny>(value).is_err() || key.len() < 9 {
        look.lost("a record of the audit cannot be read");
    }
    Ok(())
}

/// A number and a hash.
pub(super) fn place(look: &mut Look<'_>, _: &[u8], value: &[u8]) -> Result<(), Error> {
    if value.len() < 40 {
        look.lost("a place in the audit's chain cannot be read");
    }
    Ok(())
}

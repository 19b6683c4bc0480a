//! What guards of pipelines counted.

use super::Look;
use crate::router::{Place, WindowRecord};
use crate::store::Error;

pub(super) fn window(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(Place::of_row(key).is_some(), "its key names no window");
    let _: Option<WindowRecord> = look.decode(value);
    Ok(())
}

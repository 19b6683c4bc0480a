//! `tripline openapi`: the document of the HTTP API, as `/v1/openapi.json` serves it; needs no server.

use super::{Failure, output};

/// Prints it.
pub(super) fn print() -> Result<(), Failure> {
    let failed = |error| Failure::Failed(format!("the API cannot be described: {error}"));
    output::print(&crate::http::document().map_err(failed)?)
}

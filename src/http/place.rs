//! Where a request came from, for the audit.

use super::observe::RequestId;
use actix_web::{HttpMessage, HttpRequest};
use tripline_protocol::audit::{Dialect, Place};

/// The peer, and the id by which the request is found in the log.
pub(super) fn place(request: &HttpRequest, dialect: Dialect) -> Place {
    Place {
        dialect,
        address: request.peer_addr().map(|address| address.to_string()),
        request: request
            .extensions()
            .get::<RequestId>()
            .map(|RequestId(id)| id.clone()),
    }
}

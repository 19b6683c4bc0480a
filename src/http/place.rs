//! Where a request came from, and who was turned away, for the audit.

use super::HttpState;
use super::observe::RequestId;
use actix_web::{HttpMessage, HttpRequest};
use tripline_actors::access::Principal;
use tripline_actors::audit::{By, Denied};
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

/// Who presented something that is not valid.
pub(super) fn unknown(request: &HttpRequest, dialect: Dialect, code: &'static str) -> Denied {
    Denied {
        by: By::unknown(place(request, dialect)),
        org: None,
        code,
    }
}

/// Puts on record that somebody presented something that is not valid.
pub(super) fn note_unknown(state: &HttpState, request: &HttpRequest, dialect: Dialect, code: &'static str) {
    state.core.note_denied(unknown(request, dialect, code));
}

/// Puts on record that a caller asked for more than its token allows.
pub(super) fn note_forbidden(state: &HttpState, caller: &Principal) {
    state.core.note_denied(Denied {
        by: By::from(caller),
        org: caller.org.clone(),
        code: "forbidden",
    });
}

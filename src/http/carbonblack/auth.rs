//! Who calls: the token of `X-Auth-Token`, and the role each call asks for.

use super::super::HttpState;
use super::super::auth::{callers, log_in};
use super::super::place::{note_forbidden, note_unknown, place};
use super::super::strangers;
use super::error::DialectError;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use tripline_actors::access::Principal;
use tripline_protocol::api::Role;
use tripline_protocol::audit::Dialect;

const TOKEN: &str = "x-auth-token";

fn unauthorized(text: &str) -> DialectError {
    DialectError::new(StatusCode::UNAUTHORIZED, text)
}

fn with_role(request: &HttpRequest, role: Role) -> Result<Principal, DialectError> {
    let state = request.app_data::<web::Data<HttpState>>().ok_or_else(|| {
        let text = "The application was built without its state";
        DialectError::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    })?;
    let token = request.headers().get(TOKEN).and_then(|token| token.to_str().ok());
    let token = token.ok_or_else(|| unauthorized("A token is needed: X-Auth-Token"))?;
    let address = request.peer_addr().map(|address| address.ip());
    let caller = log_in(address, &state.limits, token.trim(), |token| {
        Ok::<_, DialectError>(state.access.authenticate(token))
    })?;
    let mut caller = caller.ok_or_else(|| {
        note_unknown(state, request, Dialect::Carbonblack, "unauthenticated");
        unauthorized("The token is unknown, revoked or expired")
    })?;
    strangers::prove(request);
    caller.place = Some(place(request, Dialect::Carbonblack));
    state.limits.request(&caller.token_id)?;
    match caller.may(role) {
        true => Ok(caller),
        false => {
            note_forbidden(state, &caller);
            Err(DialectError::refused(format!(
                "This needs a token of role {role}; yours is of role {}",
                caller.role
            )))
        }
    }
}

callers! {
    with_role, DialectError;
    /// May read.
    Viewer;
    /// May open sessions and act in them.
    Operator;
}
